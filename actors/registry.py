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

from posthouse.actors import measures
from posthouse.actors.actor import Context
from posthouse.actors.registry_definitions import Defining
from posthouse.actors.registry_deleting import Deletions
from posthouse.actors.registry_directory import Announcements
from posthouse.actors.registry_queries import Queries
from posthouse.actors.registry_records import KIND_BOOT, KIND_CHANGE, change_of
from posthouse.actors.registry_state import Directory, Operation, Operations, Whereabouts
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.errors import (
    ActorDown,
    ProtocolViolation,
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
    ExchangeSpec,
    Failed,
    Locate,
    Message,
    QueueSpec,
    QueueUnused,
    Reply,
    TopologyChange,
    Unbind,
    WatchTopology,
)
from posthouse.transport.messages_use import QueueUsed
from posthouse.transport.names import DEAD_LETTER, DELAY, MONITOR, actor_of_exchange, actor_of_queue

STANDING_ACTORS: Final = (DEAD_LETTER, DELAY, MONITOR)
"""Always there, whatever is declared; the directory knows them for whoever asks."""

OWNER_GRACE_MS: Final = 2_000
"""An exclusive queue outlives its client's connection by this much, so that a reconnect does not destroy it."""

OWNER_GRACE_AFTER_RESTART_MS: Final = 10_000


@final
class RegistryActor:
    """The one registry. `boot` changes with every start of the broker; transient things do not survive that."""

    def __init__(
        self,
        context: Context,
        *,
        boot: str,
        remove_journal: Callable[[QueueSpec | ExchangeSpec], None],
        own_exchanges: tuple[ExchangeSpec, ...] = (),
    ) -> None:
        self._context = context
        self._boot = boot
        self._own_exchanges = own_exchanges
        self.topology = Topology()
        self.directory = Directory()
        self._announcements = Announcements(context, self.directory)
        self._operations = Operations(self.directory)
        self._queries = Queries(context, self)
        self._defining = Defining(context, self)
        self._exchanges: dict[Link, str] = {}
        self._queue_links: dict[str, Link] = {}
        self._owners: dict[Link, int] = {}
        self._deletions = Deletions(context, self, remove_journal)
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
                self._apply(change_of(record.payload, record.position))
        if last_boot != self._boot:
            self._context.append(KIND_BOOT, self._boot.encode())
            self.topology.drop_transient()
        for own in self._own_exchanges:
            if own.name not in self.topology.exchanges:
                self._declare_own(own)
        for actor in STANDING_ACTORS:
            self._announcements.watch(actor)
        for exchange in self.topology.exchanges.values():
            self._start_exchange(exchange)
        for spec in self.topology.queues.values():
            self._start_queue(spec)
        self._census = self.order(control.DescribeTree)
        self._context.set_timer("owners", self._context.monotonic_ms + OWNER_GRACE_AFTER_RESTART_MS)

    def measure(self, meter: Meter) -> None:
        topology = self.topology
        meter.set(measures.EXCHANGES, len(topology.exchanges))
        meter.set(measures.QUEUES, len(topology.queues))

    def _declare_own(self, spec: ExchangeSpec) -> None:
        """An exchange that every broker has: this one is new, or of a version that had none."""
        made = msgspec.structs.replace(spec, serial=self._serial + 1)
        change = TopologyChange(version=self.topology.version + 1, put_exchanges=(made,))
        self._context.append(KIND_CHANGE, messages.encode(change))
        self._apply(change)

    def queue_link(self, name: str) -> Link:
        return self._queue_links[name]

    def exchange_link(self, name: str) -> Link | None:
        actor = actor_of_exchange(name)
        return next((link for link, linked in reversed(self._exchanges.items()) if linked == actor), None)

    def _apply(self, change: TopologyChange) -> None:
        if change.is_snapshot:
            self.topology = Topology()
        self.topology.apply(change)
        serials = [spec.serial for spec in change.put_queues] + [spec.serial for spec in change.put_exchanges]
        self._serial = max([self._serial, *serials])

    def _start_exchange(self, spec: ExchangeSpec) -> None:
        actor = actor_of_exchange(spec.name)
        order = self.order(control.StartChild, "exchanges", "exchange", actor, messages.encode(spec))
        self._starting[order] = actor
        self._announcements.watch(actor)

    def _start_queue(self, spec: QueueSpec) -> None:
        actor = actor_of_queue(spec.name)
        self.directory.actors[actor] = Whereabouts()
        self._starting[self.order(control.StartChild, "queues", "queue", actor, messages.encode(spec))] = actor
        self._queue_links[spec.name] = self._context.connect(actor, survives=False)

    def order(self, order: Callable[..., control.FromChild], *arguments: Any) -> int:
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
                self.declare_queue(link, request, spec)
            case Bind(request, binding):
                self.commit(Operation(link, request, None), self.topology.bind(binding, client=link.client_id))
            case Unbind() | DeleteExchange() | DeleteQueue():
                self.remove(link, message)
            case Locate(request, actor):
                self._announcements.locate(link, actor)
            case WatchTopology():
                self._exchanges[link] = link.client_name
                self._push(link, self.topology.snapshot())
                self._deletions.begin_again(link.client_name)
            case QueueUnused(name, serial, is_idle):
                self._deletions.unused(name, serial, is_idle)
            case Reply(request) | Failed(request) if link.is_opener or link in self._exchanges:
                if not self._deletions.answered(request, message):
                    self._queries.answered(request, message)
            case _:
                if not (self._queries.receive(link, message) or self._defining.receive(link, message)):
                    raise ProtocolViolation(f"a registry does not understand {type(message).__name__}")

    def link_opened(self, link: Link) -> None:
        if link.is_opener:
            self._deletions.begin_again(link.target)
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
                    self._deletions.queue(None, DeleteQueue(0, spec.name))
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

    def forget_queue(self, name: str) -> None:
        """Close the link to a queue that was deleted."""
        self._context.disconnect(self._queue_links.pop(name))

    # ---- declaring ----

    def _declare_exchange(self, link: Link, request: int, spec: ExchangeSpec) -> None:
        if spec.name:
            spec = msgspec.structs.replace(spec, serial=self._serial + 1)
        change = self.topology.declare_exchange(spec)
        self.commit(Operation(link, request, None, actor=actor_of_exchange(spec.name)), change)
        if change is not None:
            self._serial += 1
            self._start_exchange(spec)

    def declare_queue(self, link: Link, request: int, spec: QueueSpec) -> None:
        is_named_here = spec.name == ""
        # The same request asked again, because an answer was lost, must not make a second queue.
        name = f"posthouse.queue-{link.client_id:x}-{request}" if is_named_here else spec.name
        changes: dict[str, Any] = {"serial": self._serial + 1, "name": name, "owner": 0}
        if spec.exclusive:
            changes.update(durable=False, owner=link.client_id)
        if not self._deletions.may_be_declared(link, request, spec):
            return
        spec = msgspec.structs.replace(spec, **changes)
        change = self.topology.declare_queue(spec, named_by_broker=is_named_here)
        self.commit(Operation(link, request, spec.name, actor=actor_of_queue(spec.name)), change)
        if change is not None:
            self._serial += 1
            self._start_queue(spec)
        elif spec.expires_ms is not None:
            self._context.send(self._queue_links[spec.name], QueueUsed())

    @property
    def last_serial(self) -> int:
        return self._serial

    def is_leaving(self, queue: str) -> bool:
        return self._deletions.is_leaving(queue)

    def start_made(self, change: TopologyChange) -> None:
        """Start the actors of what a change made."""
        serials = [spec.serial for spec in change.put_exchanges] + [spec.serial for spec in change.put_queues]
        self._serial = max([self._serial, *serials])
        for exchange in change.put_exchanges:
            self._start_exchange(exchange)
        for queue in change.put_queues:
            self._start_queue(queue)

    def commit(self, operation: Operation, change: TopologyChange | None) -> None:
        """Journal a change, apply it, tell the exchanges; the answer comes when they have it."""
        if change is not None:
            self._context.append(KIND_CHANGE, messages.encode(change))
            gone = [self.topology.exchanges[name] for name in change.drop_exchanges]
            self.topology.apply(change)
            for link in self._exchanges:
                self._push(link, change)
            for exchange in gone:
                self._deletions.stop_exchange(exchange)
        operation.version = self.topology.version
        self._operations.add(operation)

    def remove(self, link: Link, message: Unbind | DeleteExchange | DeleteQueue) -> None:
        operation = Operation(link, message.request, None)
        try:
            match message:
                case Unbind(_, binding):
                    self.commit(operation, self.topology.unbind(binding, client=link.client_id))
                case DeleteExchange():
                    self._deletions.exchange(link, message)
                case DeleteQueue():
                    self._deletions.queue(link, message)
        except (UnknownBinding, UnknownExchange, UnknownQueue) as error:
            operation.error = error
            self.commit(operation, None)

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

    # ---- the supervisor ----

    def _stop_strangers(self, nodes: list[control.NodeInfo]) -> None:
        """A crash between journaling a deletion and stopping the actor leaves one that nobody names any more."""
        for node in nodes:
            if node.group in ("queues", "exchanges") and node.id not in self.directory.actors:
                self.order(control.StopChild, node.id)

    def _supervisor_answered(self, request: int, ok: bool, text: str) -> None:
        stopped = self._deletions.stopped(request)
        if stopped is not None:
            self._operations.add(stopped)
        actor = self._starting.pop(request, None)
        if actor is not None and not ok:
            self._moved(actor, Whereabouts(state="quarantined", reason=text))

    # ---- directory ----

    def _moved(self, actor: str, where: Whereabouts) -> None:
        if self._announcements.moved(actor, where) and where.state == "quarantined":
            self._deletions.begin_again(actor)

    def gone(self, actor: str) -> None:
        """The actor's exchange or queue was deleted."""
        self._announcements.gone(actor)
