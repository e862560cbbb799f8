"""The registry actor: the topology, and who lives where.

It journals every change before it tells anybody, has the supervisor start and stop the actors that the topology
names, and pushes changes to the exchanges. When it crashes the exchanges and queues go on with what they know; its
next life replays the journal, finds them alive and goes on answering.

Fails with: DiskFault (its journal), assertions (ours). A refused request changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.registry_directory import Announcements
from posthouse.actors.registry_queries import Queries
from posthouse.actors.registry_state import Deletion, Directory, Operation, Operations, Whereabouts
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.transport import messages
from posthouse.transport.errors import (
    ActorDown,
    ProtocolViolation,
    Refused,
    ResourceLocked,
    Unavailable,
    UnknownBinding,
    UnknownExchange,
    UnknownQueue,
)
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import (
    Bind,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteQueue,
    Failed,
    Locate,
    Message,
    PrepareDelete,
    QueueSpec,
    QueueUnused,
    Reply,
    TopologyChange,
    Unbind,
    WatchTopology,
)
from posthouse.transport.messages_use import QueueUsed
from posthouse.transport.names import DEAD_LETTER, actor_of_exchange, actor_of_queue

KIND_CHANGE: Final = 1
KIND_BOOT: Final = 2

STANDING_ACTORS: Final = (DEAD_LETTER,)
"""Always there, whatever is declared; the directory knows them for whoever asks."""

OWNER_GRACE_MS: Final = 2_000
"""An exclusive queue outlives its client's connection by this much, so that a reconnect does not destroy it."""

OWNER_GRACE_AFTER_RESTART_MS: Final = 10_000


@final
class RegistryActor:
    """The one registry. `boot` changes with every start of the broker; transient things do not survive that."""

    def __init__(self, context: Context, *, boot: str, remove_journal: Callable[[QueueSpec], None]) -> None:
        self._context = context
        self._boot = boot
        self._remove_journal = remove_journal
        self.topology = Topology()
        self.directory = Directory()
        self._announcements = Announcements(context, self.directory)
        self._operations = Operations(self.directory)
        self._queries = Queries(context, self)
        self._exchanges: dict[Link, str] = {}
        self._queue_links: dict[str, Link] = {}
        self._owners: dict[Link, int] = {}
        self._deleting: dict[int, Deletion] = {}
        self._held: list[tuple[Link, int, QueueSpec]] = []
        self._stopping: dict[int, tuple[Operation, QueueSpec]] = {}
        self._starting: dict[int, str] = {}
        self._census = 0
        self._last_request = 0
        self._serial = 0

    # ---- life ----

    def start(self) -> None:
        last_boot = ""
        for record in self._context.journal.replay():
            if record.kind == KIND_BOOT:
                last_boot = bytes(record.payload).decode()
                self.topology.drop_transient()
            else:
                change = messages.decode(record.payload)
                assert isinstance(change, TopologyChange)
                self._apply(change)
        if last_boot != self._boot:
            self._context.append(KIND_BOOT, self._boot.encode())
            self.topology.drop_transient()
        for actor in STANDING_ACTORS:
            self._announcements.watch(actor)
        for name in self.topology.exchanges:
            self._start_exchange(name)
        for spec in self.topology.queues.values():
            self._start_queue(spec)
        self._census = self._order(control.DescribeTree)
        self._context.set_timer("owners", self._context.monotonic_ms + OWNER_GRACE_AFTER_RESTART_MS)

    def queue_link(self, name: str) -> Link:
        return self._queue_links[name]

    def _apply(self, change: TopologyChange) -> None:
        if change.is_snapshot:
            self.topology = Topology()
        self.topology.apply(change)
        self._serial = max([self._serial, *(spec.serial for spec in change.put_queues)])

    def _start_exchange(self, name: str) -> None:
        actor = actor_of_exchange(name)
        self._starting[self._order(control.StartChild, "exchanges", "exchange", actor, name.encode())] = actor
        self._announcements.watch(actor)

    def _start_queue(self, spec: QueueSpec) -> None:
        actor = actor_of_queue(spec.name)
        self.directory.actors[actor] = Whereabouts()
        self._starting[self._order(control.StartChild, "queues", "queue", actor, messages.encode(spec))] = actor
        self._queue_links[spec.name] = self._context.connect(actor, survives=False)

    def _order(self, order: Callable[..., control.FromChild], *arguments: Any) -> int:
        self._last_request += 1
        self._context.tell_supervisor(order(self._last_request, *arguments))
        return self._last_request

    # ---- events ----

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        del raw
        link = arrived.link
        match message:
            case DeclareExchange(request, spec):
                self._declare_exchange(link, request, spec)
            case DeclareQueue(request, spec):
                self._declare_queue(link, request, spec)
            case Bind(request, binding):
                self._commit(Operation(link, request, None), self.topology.bind(binding, client=link.client_id))
            case Unbind() | DeleteExchange() | DeleteQueue():
                self._remove(link, message)
            case Locate(request, actor):
                self._announcements.locate(link, actor)
            case WatchTopology():
                self._exchanges[link] = link.client_name
                self._push(link, self.topology.snapshot())
            case QueueUnused(name, serial, is_idle):
                self._queue_unused(name, serial, is_idle)
            case Reply(request) | Failed(request) if link.is_opener:
                self._queue_answered(request, message)
            case _:
                if not self._queries.receive(link, message):
                    raise ProtocolViolation(f"a registry does not understand {type(message).__name__}")

    def link_opened(self, link: Link) -> None:
        if link.is_opener:
            self._delete_again(link.target)
        elif link.client_id:
            self._owners[link] = link.client_id

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        exchange = self._exchanges.pop(link, None)
        if exchange is not None and exchange not in self._exchanges.values():
            self._operations.left(exchange)
        self.directory.forget_link(link)
        owner = self._owners.pop(link, None)
        if owner is not None and any(spec.owner == owner for spec in self.topology.queues.values()):
            self._context.set_timer("owners", self._context.monotonic_ms + OWNER_GRACE_MS)

    def settled(self, link: Link, contexts: list[Any]) -> None:
        exchange = self._exchanges.get(link)
        if exchange is not None:
            for version in contexts:
                self._operations.applied(exchange, version)

    def wake(self, key: str) -> None:
        if key == "owners":
            present = set(self._owners.values())
            for spec in list(self.topology.queues.values()):
                if spec.owner and spec.owner not in present:
                    self._delete_queue(Deletion(None, DeleteQueue(0, spec.name)))
        else:
            self._queries.wake(key)

    def noticed(self, message: control.FromSupervisor) -> None:
        match message:
            case control.Up(actor, generation, endpoint):
                self._moved(actor, Whereabouts(generation, endpoint, "up"))
            case control.Down(actor, generation, state, reason):
                if state != "unknown":
                    self._moved(actor, Whereabouts(generation, "", state, reason))
            case control.Done(request, ok, text):
                self._supervisor_answered(request, ok, text)
            case control.Tree(request, nodes) if request == self._census:
                self._stop_strangers(nodes)
            case control.Tree(request, nodes):
                self._queries.tree(request, nodes)

    def finish_round(self) -> None:
        actors = {actor_of_exchange(name) for name in self.topology.exchanges}
        for operation in self._operations.take_finished(actors):
            self._answer(operation)
        self._announcements.say_when_ready()
        journal = self._context.journal
        if journal.segment_is_full:
            journal.commit()
            head = [
                (KIND_BOOT, self._boot.encode()),
                (KIND_CHANGE, messages.encode(self.topology.snapshot())),
            ]
            journal.rotate(head, replaces_all=True)

    # ---- declaring ----

    def _declare_exchange(self, link: Link, request: int, spec: messages.ExchangeSpec) -> None:
        change = self.topology.declare_exchange(spec)
        self._commit(Operation(link, request, None, actor=actor_of_exchange(spec.name)), change)
        if change is not None:
            self._start_exchange(spec.name)

    def _declare_queue(self, link: Link, request: int, spec: QueueSpec) -> None:
        is_named_here = spec.name == ""
        # The same request asked again, because an answer was lost, must not make a second queue.
        name = f"posthouse.queue-{link.client_id:x}-{request}" if is_named_here else spec.name
        changes: dict[str, Any] = {"serial": self._serial + 1, "name": name, "owner": 0}
        if spec.exclusive:
            changes.update(durable=False, owner=link.client_id)
        if self._is_going(spec.name):
            # It is made anew, or found in use, when that is over: nobody is told of a queue that is on its way out.
            self._held.append((link, request, spec))
            return
        spec = msgspec.structs.replace(spec, **changes)
        change = self.topology.declare_queue(spec, named_by_broker=is_named_here)
        self._commit(Operation(link, request, spec.name, actor=actor_of_queue(spec.name)), change)
        if change is not None:
            self._serial += 1
            self._start_queue(spec)
        elif spec.expires_ms is not None:
            self._context.send(self._queue_links[spec.name], QueueUsed())

    def _is_going(self, name: str) -> bool:
        """Is it being stopped, or being asked whether it is still idle?"""
        return any(spec.name == name for _, spec in self._stopping.values()) or any(
            deletion.if_idle and deletion.message.name == name for deletion in self._deleting.values()
        )

    def _declare_held(self) -> None:
        """A queue has gone, or stays: whoever declared it meanwhile is served now."""
        held, self._held = self._held, []
        for link, request, spec in held:
            try:
                self._declare_queue(link, request, spec)
            except (Refused, Unavailable) as error:
                self._context.refuse(link, request, error)

    def _commit(self, operation: Operation, change: TopologyChange | None) -> None:
        """Journal a change, apply it, tell the exchanges; the answer comes when they have it."""
        if change is not None:
            self._context.append(KIND_CHANGE, messages.encode(change))
            self.topology.apply(change)
            for link in self._exchanges:
                self._push(link, change)
            for name in change.drop_exchanges:
                self._order(control.StopChild, actor_of_exchange(name))
                self._announcements.gone(actor_of_exchange(name))
        operation.version = self.topology.version
        self._operations.add(operation)

    def _remove(self, link: Link, message: Unbind | DeleteExchange | DeleteQueue) -> None:
        operation = Operation(link, message.request, None)
        try:
            match message:
                case Unbind(_, binding):
                    self._commit(operation, self.topology.unbind(binding, client=link.client_id))
                case DeleteExchange(_, name, if_unused):
                    self._commit(operation, self.topology.delete_exchange(name, if_unused))
                case DeleteQueue():
                    self._delete_queue(Deletion(link, message))
        except (UnknownBinding, UnknownExchange, UnknownQueue) as error:
            operation.error = error
            self._commit(operation, None)

    def _push(self, link: Link, change: TopologyChange) -> None:
        self._context.send(link, change, context=change.version)

    def _answer(self, operation: Operation) -> None:
        if operation.link is None:
            return
        if operation.error is not None:
            self._context.refuse(operation.link, operation.request, operation.error)
            return
        where = self.directory.actors.get(operation.actor)
        if where is not None and where.state == "quarantined":
            error = ActorDown(f"{operation.actor} is quarantined: {where.reason}; see `posthouse tree`")
            self._context.refuse(operation.link, operation.request, error)
            return
        self._context.reply(operation.link, operation.request, operation.result)

    # ---- deleting a queue: ask it, journal it, stop it, remove its journal ----

    def _queue_unused(self, name: str, serial: int, is_idle: bool) -> None:
        queue = self.topology.queues.get(name)
        if queue is None or queue.serial != serial:
            return
        wanted = queue.auto_delete
        if is_idle:
            is_up = self.directory.where(actor_of_queue(name)).is_up
            wanted = queue.expires_ms is not None and is_up and not self._is_going(name)
        if wanted:
            self._delete_queue(Deletion(None, DeleteQueue(0, name, if_unused=True), is_idle))

    def _delete_queue(self, deletion: Deletion) -> None:
        link, message = deletion.link, deletion.message
        spec = self.topology.queues.get(message.name)
        if spec is None:
            raise UnknownQueue(f"there is no queue {message.name!r}")
        if link is not None and spec.exclusive and spec.owner != link.client_id:
            raise ResourceLocked(f"queue {message.name!r} is exclusive to the client that declared it")
        where = self.directory.where(actor_of_queue(message.name))
        if where.is_up:
            self._last_request += 1
            self._deleting[self._last_request] = deletion
            prepare = PrepareDelete(self._last_request, message.if_unused, message.if_empty, deletion.if_idle)
            self._context.send(self._queue_links[message.name], prepare)
        elif message.if_empty:
            raise ActorDown(f"queue {message.name!r} is {where.state}, so nobody knows whether it is empty")
        else:
            self._deleted(link, message, 0)

    def _queue_answered(self, request: int, answer: Reply | Failed) -> None:
        if request not in self._deleting:
            self._queries.answered(request, answer)
            return
        deletion = self._deleting.pop(request)
        if isinstance(answer, Reply):
            self._deleted(deletion.link, deletion.message, msgspec.msgpack.decode(answer.result))
        elif deletion.link is not None:
            self._context.send(deletion.link, Failed(deletion.message.request, answer.code, answer.text))
        self._declare_held()

    def _deleted(self, link: Link | None, message: DeleteQueue, count: int) -> None:
        spec = self.topology.queues[message.name]
        change = self.topology.delete_queue(message.name)
        self._commit(Operation(None, 0, None), change)
        operation = Operation(link, message.request, count, version=self.topology.version)
        actor = actor_of_queue(message.name)
        self._context.disconnect(self._queue_links.pop(message.name))
        self._stopping[self._order(control.StopChild, actor)] = (operation, spec)
        self._announcements.gone(actor)
        self._delete_again(actor)

    def _delete_again(self, actor: str) -> None:
        """The queue is gone, or died before it answered: what else waits to delete it is begun again."""
        waiting = [number for number, one in self._deleting.items() if actor_of_queue(one.message.name) == actor]
        for deletion in [self._deleting.pop(number) for number in waiting]:
            link, message = deletion.link, deletion.message
            try:
                if link is not None:
                    self._remove(link, message)
                elif message.name in self.topology.queues and not deletion.if_idle:
                    self._delete_queue(deletion)
            except (Refused, Unavailable) as error:
                assert link is not None, "the broker itself never asks what can be refused"
                self._context.refuse(link, message.request, error)
        self._declare_held()

    def _stop_strangers(self, nodes: list[control.NodeInfo]) -> None:
        """A crash between journaling a deletion and stopping the actor leaves one that nobody names any more."""
        for node in nodes:
            if node.group in ("queues", "exchanges") and node.id not in self.directory.actors:
                self._order(control.StopChild, node.id)

    def _supervisor_answered(self, request: int, ok: bool, text: str) -> None:
        stopping = self._stopping.pop(request, None)
        if stopping is not None:
            operation, spec = stopping
            self._remove_journal(spec)
            self._operations.add(operation)
            self._declare_held()
        actor = self._starting.pop(request, None)
        if actor is not None and not ok:
            self._moved(actor, Whereabouts(state="quarantined", reason=text))

    # ---- directory ----

    def _moved(self, actor: str, where: Whereabouts) -> None:
        if self._announcements.moved(actor, where) and where.state == "quarantined":
            self._delete_again(actor)
