"""Deleting queues, and exchanges that hold messages: ask the actor, journal it, stop the actor, remove its journal.

A part of the registry actor's shell. Whatever dies on the way, a deletion is begun again until it was refused or done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.declaration import may_hold
from posthouse.actors.registry_state import Directory, Operation
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.transport.errors import ActorDown, Refused, ResourceLocked, Unavailable, UnknownQueue
from posthouse.transport.links import Link
from posthouse.transport.messages import (
    DeleteExchange,
    DeleteQueue,
    ExchangeSpec,
    Failed,
    PrepareDelete,
    QueueSpec,
    Reply,
    TopologyChange,
)
from posthouse.transport.messages_hold import PrepareDeleteExchange
from posthouse.transport.names import actor_of_exchange, actor_of_queue

Deletion = DeleteQueue | DeleteExchange


class Asked(NamedTuple):
    """An actor was asked to make ready to go; no link: by the broker itself. `if_idle`: if still nobody uses it."""

    message: Deletion
    link: Link | None
    if_idle: bool


class Registry(Protocol):
    """What a deletion asks of the registry."""

    topology: Topology
    directory: Directory

    def queue_link(self, name: str) -> Link:
        """The link to a queue of the topology."""

    def exchange_link(self, name: str) -> Link | None:
        """The link on which an exchange follows the topology; None while there is none."""

    def forget_queue(self, name: str) -> None:
        """Close the link to a queue that was deleted."""

    def commit(self, operation: Operation, change: TopologyChange | None) -> None:
        """Journal and apply a change, and answer when it is in force."""

    def remove(self, link: Link, message: Deletion) -> None:
        """A client's request, from the beginning."""

    def order(self, order: Callable[..., control.FromChild], *arguments: Any) -> int:
        """Tell the supervisor; returns the number of the order."""

    def gone(self, actor: str) -> None:
        """Whoever asked for this actor is told that it is unknown now."""

    def declare_queue(self, link: Link, request: int, spec: QueueSpec) -> None:
        """A client's request, from the beginning."""


@final
class Deletions:
    """What is being deleted."""

    def __init__(
        self, context: Context, registry: Registry, remove_journal: Callable[[QueueSpec | ExchangeSpec], None]
    ) -> None:
        self._context = context
        self._registry = registry
        self._remove_journal = remove_journal
        self._asked: dict[int, Asked] = {}
        self._waiting: list[tuple[Link, int, QueueSpec]] = []
        self._stopping: dict[int, tuple[Operation | None, QueueSpec | ExchangeSpec]] = {}
        self._last_request = 0

    def may_be_declared(self, link: Link, request: int, spec: QueueSpec) -> bool:
        """False: a queue of this name is being stopped, or asked whether it is still idle, and the request waits.

        It is made anew, or found in use, when that is over: nobody is told of a queue that is on its way out.
        """
        if self.is_leaving(spec.name):
            self._waiting.append((link, request, spec))
            return False
        return True

    def is_leaving(self, queue: str) -> bool:
        """A queue of this name is being stopped, or asked whether it is still idle."""
        is_stopping = any(isinstance(gone, QueueSpec) and gone.name == queue for _, gone in self._stopping.values())
        return is_stopping or self._is_asked_if_idle(queue)

    def _is_asked_if_idle(self, queue: str) -> bool:
        return any(asked.if_idle and asked.message.name == queue for asked in self._asked.values())

    def _declare_waiting(self) -> None:
        """A queue has gone, or stays: whoever declared it meanwhile is served now."""
        waiting, self._waiting = self._waiting, []
        for link, request, spec in waiting:
            try:
                self._registry.declare_queue(link, request, spec)
            except (Refused, Unavailable) as error:
                self._context.refuse(link, request, error)

    # ---- asking ----

    def unused(self, name: str, serial: int, is_idle: bool) -> None:
        """A queue says that its last consumer left; `is_idle`: that nobody used it for as long as it was told."""
        registry = self._registry
        queue = registry.topology.queues.get(name)
        if queue is None or queue.serial != serial:
            return
        wanted = queue.auto_delete
        if is_idle:
            is_up = registry.directory.where(actor_of_queue(name)).is_up
            wanted = queue.expires_ms is not None and is_up and not self._is_asked_if_idle(name)
        if wanted:
            self.queue(None, DeleteQueue(0, name, if_unused=True), if_idle=is_idle)

    def queue(self, link: Link | None, message: DeleteQueue, *, if_idle: bool = False) -> None:
        """Delete a queue; no link: by the broker itself. Raises UnknownQueue, ResourceLocked, ActorDown."""
        registry = self._registry
        spec = registry.topology.queues.get(message.name)
        if spec is None:
            raise UnknownQueue(f"there is no queue {message.name!r}")
        if link is not None and spec.exclusive and spec.owner != link.client_id:
            raise ResourceLocked(f"queue {message.name!r} is exclusive to the client that declared it")
        where = registry.directory.where(actor_of_queue(message.name))
        if where.is_up:
            number = self._ask(message, link, if_idle)
            prepare = PrepareDelete(number, message.if_unused, message.if_empty, if_idle)
            self._context.send(registry.queue_link(message.name), prepare)
        elif message.if_empty:
            raise ActorDown(f"queue {message.name!r} is {where.state}, so nobody knows whether it is empty")
        else:
            self._delete_queue(link, message, 0)

    def exchange(self, link: Link, message: DeleteExchange) -> None:
        """Delete an exchange; one that holds messages refuses. Raises UnknownExchange, PreconditionFailed."""
        registry = self._registry
        change = registry.topology.delete_exchange(message.name, message.if_unused)
        spec = registry.topology.exchanges[message.name]
        is_lost = registry.directory.where(actor_of_exchange(message.name)).state in ("quarantined", "stopped")
        if not may_hold(spec) or is_lost:
            registry.commit(Operation(link, message.request, None), change)
            return
        number = self._ask(message, link)
        linked = registry.exchange_link(message.name)
        if linked is not None:  # Else it is starting, and is asked when it comes for the topology.
            self._context.send(linked, PrepareDeleteExchange(number))

    def _ask(self, message: Deletion, link: Link | None, if_idle: bool = False) -> int:
        self._last_request += 1
        self._asked[self._last_request] = Asked(message, link, if_idle)
        return self._last_request

    def begin_again(self, actor: str) -> None:
        """The actor is gone, or died before it answered, or is back: what waits to delete it is begun again."""
        waiting = [number for number, asked in self._asked.items() if _actor_of(asked.message) == actor]
        for message, link, if_idle in [self._asked.pop(number) for number in waiting]:
            try:
                if link is not None:
                    self._registry.remove(link, message)
                elif (
                    isinstance(message, DeleteQueue) and message.name in self._registry.topology.queues and not if_idle
                ):
                    self.queue(None, message)
            except (Refused, Unavailable) as error:
                assert link is not None, "the broker itself never asks what can be refused"
                self._context.refuse(link, message.request, error)
        if waiting:
            self._declare_waiting()

    def answered(self, request: int, answer: Reply | Failed) -> bool:
        """An actor has answered; False if the question was not whether it may be deleted."""
        asked = self._asked.pop(request, None)
        if asked is None:
            return False
        message, link, _ = asked
        if isinstance(answer, Failed):
            if link is not None:
                self._context.send(link, Failed(message.request, answer.code, answer.text))
        elif isinstance(message, DeleteQueue):
            self._delete_queue(link, message, msgspec.msgpack.decode(answer.result))
        else:
            assert link is not None, "only clients delete exchanges by name"
            self._delete_exchange(link, message)
        self._declare_waiting()
        return True

    # ---- doing ----

    def _delete_queue(self, link: Link | None, message: DeleteQueue, count: int) -> None:
        registry = self._registry
        spec = registry.topology.queues[message.name]
        change = registry.topology.delete_queue(message.name)
        registry.commit(Operation(None, 0, None), change)
        operation = Operation(link, message.request, count, version=registry.topology.version)
        actor = actor_of_queue(message.name)
        registry.forget_queue(message.name)
        self._stopping[registry.order(control.StopChild, actor)] = (operation, spec)
        registry.gone(actor)
        self.begin_again(actor)

    def _delete_exchange(self, link: Link, message: DeleteExchange) -> None:
        registry = self._registry
        try:
            change = registry.topology.delete_exchange(message.name, message.if_unused)
        except Refused as error:  # It was bound while it was asked.
            linked = registry.exchange_link(message.name)
            if linked is not None:
                self._context.send(linked, PrepareDeleteExchange(0, is_called_off=True))
            self._context.refuse(link, message.request, error)
            return
        registry.commit(Operation(link, message.request, None), change)
        self.begin_again(actor_of_exchange(message.name))

    def stop_exchange(self, spec: ExchangeSpec) -> None:
        """It is not in the topology any more."""
        actor = actor_of_exchange(spec.name)
        self._stopping[self._registry.order(control.StopChild, actor)] = (None, spec)
        self._registry.gone(actor)

    def stopped(self, order: int) -> Operation | None:
        """The supervisor has stopped an actor: its journal goes; returns what may be answered now."""
        operation, spec = self._stopping.pop(order, (None, None))
        if spec is not None:
            self._remove_journal(spec)
            self._declare_waiting()
        return operation


def _actor_of(message: Deletion) -> str:
    return actor_of_queue(message.name) if isinstance(message, DeleteQueue) else actor_of_exchange(message.name)
