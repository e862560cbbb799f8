"""The questions a registry answers without changing anything.

Counts of queues and of what exchanges hold are asked of them when somebody wants them, so nothing has to be kept in
step; a queue that does not answer in time is listed with the state of its actor and no counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.connections import connections_of
from posthouse.actors.dead_letter_circle import circle_of
from posthouse.actors.declaration import may_hold
from posthouse.actors.registry_state import Directory
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.errors import UnknownExchange
from posthouse.transport.links import Link
from posthouse.transport.messages import (
    BindingSpec,
    ConsumerInfo,
    DescribeTree,
    ExchangeSpec,
    Explain,
    Failed,
    FollowDeadLetters,
    ListBindings,
    ListConsumers,
    ListExchanges,
    ListQueues,
    Message,
    QueueConsumers,
    QueueInfo,
    QueueStatus,
    Reply,
)
from posthouse.transport.messages_hold import HoldInfo, HoldStatus
from posthouse.transport.messages_sessions import ConnectionInfo, ListConnections, ListSessions, SessionInfo
from posthouse.transport.names import actor_of_queue

Question = Callable[[int], Message]

QUERY_LIMIT_MS: Final = 2_000
FIRST_QUERY: Final = 1 << 32
"""Requests of queries are numbered from here, so that they never meet the registry's own."""


class Registry(Protocol):
    """What a query reads of the registry."""

    topology: Topology
    directory: Directory

    def queue_link(self, name: str) -> Link:
        """The link to a queue of the topology."""

    def exchange_link(self, name: str) -> Link | None:
        """The link on which an exchange follows the topology; None while there is none."""


@final
@dataclass(eq=False)
class Gathering:
    """One question to many actors. `kind` is the type of one answer, `conclude` makes the answer of all of them."""

    link: Link
    request: int
    kind: Any
    conclude: Callable[[dict[str, Any]], Any]
    key: str = ""
    """Of the timer after which nobody is waited for any longer."""
    missing: dict[int, str] = field(default_factory=dict)
    answers: dict[str, Any] = field(default_factory=dict)


@final
class Queries:
    """Lists, explanations and the tree."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self._context = context
        self._registry = registry
        self._last = FIRST_QUERY
        self._gatherings: dict[int, Gathering] = {}
        self._timed: dict[str, Gathering] = {}
        self._trees: dict[int, tuple[Link, int]] = {}
        self._standing: dict[str, Link] = {}

    def receive(self, link: Link, message: Message) -> bool:
        """True if the message was a question."""
        topology = self._registry.topology
        match message:
            case ListExchanges(request):
                self._ask_exchanges(Gathering(link, request, HoldInfo, self._exchanges))
            case ListBindings(request):
                bindings: list[BindingSpec] = list(topology.snapshot().put_bindings)
                self._context.reply(link, request, bindings)
            case ListQueues(request, names):
                queues = sorted(topology.queues if names is None else topology.queues.keys() & set(names))
                gathering = Gathering(link, request, QueueInfo, lambda answers: self._queues(queues, answers))
                self._ask_queues(gathering, QueueStatus, queues)
            case ListConsumers(request):
                gathering = Gathering(link, request, list[ConsumerInfo], self._consumers)
                self._ask_queues(gathering, QueueConsumers, topology.queues)
            case ListSessions(request):
                self._context.reply(link, request, self._context.sessions())
            case ListConnections(request):
                self._ask_everybody(Gathering(link, request, list[SessionInfo], self._connections), ListSessions)
            case Explain(request, exchange, routing_key, headers):
                if exchange not in topology.exchanges:
                    raise UnknownExchange(f"there is no exchange {exchange!r}")
                self._context.reply(link, request, Router(topology, exchange).explain(routing_key, headers))
            case FollowDeadLetters(request, queue, routing_keys):
                self._context.reply(link, request, circle_of(topology, queue, routing_keys))
            case DescribeTree(request):
                self._last += 1
                self._trees[self._last] = (link, request)
                self._context.tell_supervisor(control.DescribeTree(self._last))
            case _:
                return False
        return True

    def tree(self, request: int, nodes: list[control.NodeInfo]) -> None:
        """The supervisor described its tree."""
        link, asked = self._trees.pop(request)
        self._context.reply(link, asked, [msgspec.to_builtins(node) for node in nodes])

    def wake(self, key: str) -> None:
        """Time is up for a question."""
        gathering = self._timed.get(key)
        if gathering is not None:
            self._finish(gathering)

    def answered(self, request: int, answer: Reply | Failed) -> None:
        """A queue answered; late and unknown answers are passed over."""
        gathering = self._gatherings.pop(request, None)
        if gathering is None:
            return
        name = gathering.missing.pop(request)
        if isinstance(answer, Reply):
            gathering.answers[name] = msgspec.msgpack.decode(answer.result, type=gathering.kind)
        if not gathering.missing:
            self._finish(gathering)

    def _ask_queues(self, gathering: Gathering, question: Question, queues: Iterable[str]) -> None:
        for name in queues:
            if self._registry.directory.where(actor_of_queue(name)).is_up:
                self._ask(gathering, name, self._registry.queue_link(name), question)
        self._gather(gathering)

    def _ask_exchanges(self, gathering: Gathering) -> None:
        for name, spec in self._registry.topology.exchanges.items():
            linked = self._registry.exchange_link(name) if may_hold(spec) else None
            if linked is not None:
                self._ask(gathering, name, linked, HoldStatus)
        self._gather(gathering)

    def _ask_everybody(self, gathering: Gathering, question: Question) -> None:
        registry = self._registry
        for actor, where in registry.directory.actors.items():
            kind, _, name = actor.partition(":")
            linked: Link | None
            if kind == "exchange":
                linked = registry.exchange_link(name)
            elif kind == "queue":
                linked = registry.queue_link(name)
            else:
                linked = self._standing.get(actor) or self._context.connect(actor, survives=False)
                self._standing[actor] = linked
            if where.is_up and linked is not None:
                self._ask(gathering, actor, linked, question)
        self._gather(gathering)

    def _ask(self, gathering: Gathering, name: str, link: Link, question: Question) -> None:
        self._last += 1
        gathering.missing[self._last] = name
        self._gatherings[self._last] = gathering
        self._context.send(link, question(self._last))

    def _gather(self, gathering: Gathering) -> None:
        if gathering.missing:
            gathering.key = str(self._last)
            self._timed[gathering.key] = gathering
            self._context.set_timer(gathering.key, self._context.monotonic_ms + QUERY_LIMIT_MS)
        else:
            self._finish(gathering)

    def _finish(self, gathering: Gathering) -> None:
        self._timed.pop(gathering.key, None)
        for request in gathering.missing:
            del self._gatherings[request]
        self._context.reply(gathering.link, gathering.request, gathering.conclude(gathering.answers))

    # ---- what is made of the answers; whoever is missing did not answer in time, or is new ----

    def _exchanges(self, answers: dict[str, Any]) -> list[ExchangeInfo]:
        exchanges = self._registry.topology.exchanges
        return [_exchange_info(exchanges[name], answers.get(name)) for name in sorted(exchanges)]

    def _queues(self, queues: list[str], answers: dict[str, Any]) -> list[QueueInfo]:
        there = self._registry.topology.queues
        return [answers.get(name) or self._silent(name) for name in queues if name in there]

    def _consumers(self, answers: dict[str, Any]) -> list[ConsumerInfo]:
        return [info for name in sorted(self._registry.topology.queues) for info in answers.get(name, [])]

    def _connections(self, answers: dict[str, Any]) -> list[ConnectionInfo]:
        return connections_of([*self._context.sessions(), *(one for told in answers.values() for one in told)])

    def _silent(self, name: str) -> QueueInfo:
        spec = self._registry.topology.queues[name]
        state = self._registry.directory.where(actor_of_queue(name)).state
        return QueueInfo(
            name=name,
            state="silent" if state == "up" else state,
            durable=spec.durable,
            exclusive=spec.exclusive,
            auto_delete=spec.auto_delete,
            single_active_consumer=spec.single_active_consumer,
        )


def _exchange_info(spec: ExchangeSpec, hold: HoldInfo | None) -> ExchangeInfo:
    declared = msgspec.structs.asdict(spec)
    if hold is None:
        return ExchangeInfo(**declared)
    return ExchangeInfo(**declared, held=hold.messages, held_bytes=hold.bytes, leaving=hold.leaving)
