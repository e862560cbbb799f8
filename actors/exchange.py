"""The exchange actor: routes batches to queues and answers publishers when every queue has them.

It owns nothing but what is on its way: topology comes from the registry, messages belong to the publisher until each
queue on the route has settled them. A queue that restarts is the link's business: it sends again what was not settled.

Fails with: nothing of its own; an assertion is ours, and publishers send again to the next life.
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.death_headers import deaths_of, is_cycle
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.transport import messages
from posthouse.transport.batch import check_batch, durability_of, headers_of, properties_of
from posthouse.transport.errors import (
    ActorDown,
    InvalidArgument,
    PreconditionFailed,
    ProtocolViolation,
    Refused,
    Unavailable,
    UnknownExchange,
    Unroutable,
)
from posthouse.transport.limits import DEDUP_ID_BYTES_MAX
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import (
    Batch,
    Durability,
    Message,
    Receipt,
    StoreNote,
    TopologyChange,
    WatchTopology,
)
from posthouse.transport.messages_dead import Republish
from posthouse.transport.names import DEAD_LETTER, actor_of_queue, decode_headers

DUPLICATE: Final = "duplicate"
"""The code of a `StoreNote` for a `dedup_id` that the queue has seen within its window."""


@final
class Pending:
    """A batch that was sent to its queues and not yet settled by all of them."""

    __slots__ = ("arrived", "count", "durability", "first_seq", "queues", "remaining", "repeats", "stream")

    def __init__(self, arrived: Arrived, batch: Batch, queues: tuple[str, ...], durability: int) -> None:
        self.arrived = arrived
        self.stream = batch.stream
        self.first_seq = batch.first_seq
        self.count = batch.count
        self.queues = queues
        self.remaining = len(queues)
        self.durability = durability
        self.repeats: tuple[Arrived, ...] = ()
        """Frames of later sessions in which the publisher sent the same batch meanwhile."""


@final
class ExchangeActor:
    """One exchange. `name` is "" for the default exchange."""

    def __init__(self, context: Context, name: str) -> None:
        self._context = context
        self._name = name
        self._topology = Topology()
        self._router = Router(self._topology, name)
        self._is_informed = False
        self._quarantined: dict[str, str] = {}
        self._early: list[tuple[Arrived, Batch, msgspec.Raw, Republish | None]] = []
        self._queues: dict[str, Link] = {}
        self._queue_of: dict[Link, str] = {}
        self._pending: dict[tuple[int, int], Pending] = {}
        self._finished: list[Pending] = []
        self._notes: dict[tuple[int, int], list[StoreNote]] = {}
        self._registry = context.connect("registry", survives=False)
        self.dropped = 0

    def start(self) -> None:
        """Nothing to rebuild: the registry tells the topology when the link opens."""

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        if type(message) is Batch:
            self._take(arrived, message, raw)
        elif type(message) is Republish:
            batch = messages.decode(message.batch)
            if not isinstance(batch, Batch) or arrived.link.client_name != DEAD_LETTER:
                raise ProtocolViolation("a Republish comes from the dead letters and carries a Batch")
            self._take(arrived, batch, message.batch, message)
        elif isinstance(message, TopologyChange) and arrived.link is self._registry:
            self._apply(message)
        elif isinstance(message, StoreNote) and arrived.link in self._queue_of:
            self._notes.setdefault((message.stream, message.first_seq), []).append(message)
        else:
            raise ProtocolViolation(f"an exchange does not understand {type(message).__name__}")

    def link_opened(self, link: Link) -> None:
        if link is self._registry:
            self._context.send(link, WatchTopology(1))

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        """A publisher that left gets no receipts; its batches go on to their queues."""

    def settled(self, link: Link, contexts: list[Any]) -> None:
        finished = self._finished
        for pending in contexts:
            pending.remaining -= 1
            if pending.remaining == 0:
                finished.append(pending)

    def wake(self, key: str) -> None:
        raise AssertionError(f"an exchange has no timer {key}")

    def noticed(self, message: control.FromSupervisor) -> None:
        """Which queues live is the links' business, except for those that will not live again by themselves."""
        if isinstance(message, control.Up):
            self._quarantined.pop(message.id, None)
        elif _is_quarantine(message) and message.id not in self._quarantined:
            self._quarantined[message.id] = message.reason
            self._give_up(message.id)

    def finish_round(self) -> None:
        finished, self._finished = self._finished, []
        index = 0
        while index < len(finished):
            index = self._answer(finished, index)

    # ---- publishing ----

    def _take(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw, move: Republish | None = None) -> None:
        if self._is_informed:
            self._publish(arrived, batch, raw, move)
        else:
            self._context.hold(arrived)
            self._early.append((arrived, batch, raw, move))

    def _publish(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw, move: Republish | None = None) -> None:
        """`move`: it comes out of the dead letters, and finds a queue or is refused."""
        key = (batch.stream, batch.first_seq)
        known = self._pending.get(key)
        if known is not None and known.count == batch.count:
            # Its publisher came back in a new session. One copy is on its way, and what becomes of it is the answer
            # to both; with a second copy nobody could tell which of the two a queue's note is about.
            self._context.hold(arrived)
            known.repeats += (arrived,)
            return
        try:
            queues = self._route(batch) if move is None else self._route_move(batch, move)
            if self._quarantined:
                self._refuse_quarantined(queues)
        except (Refused, Unavailable) as error:
            self._refuse(arrived.link, batch, error)
            return
        durability = durability_of(batch)
        specs = self._topology.queues
        if durability and not all(specs[queue].durable for queue in queues):
            durability = Durability.MEMORY
        pending = Pending(arrived, batch, queues, durability)
        self._context.hold(arrived)
        if not queues:
            self._finished.append(pending)
            return
        self._pending[key] = pending
        size = len(memoryview(raw))
        for queue in queues:
            link = self._queues.get(queue) or self._queue_link(queue)
            self._context.forward(link, raw, size, batch.count, pending)

    def _check(self, batch: Batch) -> None:
        check_batch(batch, self._context.limits)
        _check_readable(batch)
        if batch.exchange != self._name:
            raise InvalidArgument(f"this is exchange {self._name!r}, the message is for {batch.exchange!r}")

    def _route_move(self, batch: Batch, move: Republish) -> tuple[str, ...]:
        """Where dead letters go; the store keeps what is refused. Raises Unroutable."""
        self._check(batch)
        if self._name not in self._topology.exchanges:
            raise UnknownExchange(f"exchange {self._name!r} has just been deleted")
        queues = self._router.route_raw(batch.routing_key, batch.headers).queues
        deaths = deaths_of(headers_of(batch)) if move.no_cycles else []
        left = tuple(queue for queue in queues if not is_cycle(queue, deaths))
        if left:
            return left
        if queues:
            raise Unroutable(f"it would go in a circle: it died in {queues[0]!r} before, and nobody rejected it since")
        raise Unroutable(f"exchange {self._name!r} has no queue for routing key {batch.routing_key!r}")

    def _route(self, batch: Batch) -> tuple[str, ...]:
        self._check(batch)
        spec = self._topology.exchanges.get(self._name)
        if spec is None:
            raise UnknownExchange(f"exchange {self._name!r} has just been deleted")
        if spec.internal:
            raise PreconditionFailed(f"exchange {self._name!r} is internal: publish to an exchange that is bound to it")
        route = self._router.route_raw(batch.routing_key, batch.headers)
        if route.queues:
            return route.queues
        if route.fallback == "return":
            raise Unroutable(
                f"exchange {self._name!r} has no queue for routing key {batch.routing_key!r}; "
                f"`posthouse explain {self._name} --key {batch.routing_key}` shows why"
            )
        self.dropped += batch.count
        return ()

    def _refuse_quarantined(self, queues: tuple[str, ...]) -> None:
        for queue in queues:
            reason = self._quarantined.get(actor_of_queue(queue))
            if reason is not None:
                raise ActorDown(f"queue {queue!r} is quarantined: {reason}; nothing was stored, see `posthouse tree`")

    def _refuse(self, link: Link, batch: Batch, error: Refused | Unavailable) -> None:
        receipt = Receipt(batch.stream, batch.first_seq, batch.count, code=error.code, text=str(error))
        self._context.send(link, receipt)

    def _answer(self, finished: list[Pending], index: int) -> int:
        """One receipt for as many neighbours as share stream and queues; returns the index after them."""
        first = finished[index]
        link, stream, queues = first.arrived.link, first.stream, first.queues
        notes = self._notes
        if first.repeats or (notes and (stream, first.first_seq) in notes):
            self._answer_alone(first, notes.pop((stream, first.first_seq), []))
            return index + 1
        next_seq = first.first_seq
        durability: int = first.durability
        while index < len(finished):
            pending = finished[index]
            if pending.stream != stream or pending.first_seq != next_seq or pending.queues != queues:
                break
            if pending.arrived.link is not link or pending.repeats or (notes and (stream, next_seq) in notes):
                break
            self._pending.pop((stream, next_seq), None)
            next_seq += pending.count
            durability = min(durability, pending.durability)
            self._context.release(pending.arrived)
            index += 1
        receipt = Receipt(stream, first.first_seq, next_seq - first.first_seq, queues, durability)
        self._context.send(link, receipt)
        return index

    def _answer_alone(self, pending: Pending, notes: list[StoreNote]) -> None:
        """A batch that came in several sessions, or that a queue had something to say on: it was a duplicate there,
        or was refused.
        """
        refusals = [note for note in notes if note.code != DUPLICATE]
        receipt = Receipt(
            pending.stream,
            pending.first_seq,
            pending.count,
            pending.queues,
            pending.durability,
            duplicate=len(notes) > len(refusals),
            code=refusals[0].code if refusals else None,
            text=refusals[0].text if refusals else "",
        )
        self._pending.pop((pending.stream, pending.first_seq), None)
        for arrived in (pending.arrived, *pending.repeats):
            self._context.release(arrived)
            self._context.send(arrived.link, receipt)

    # ---- topology ----

    def _apply(self, change: TopologyChange) -> None:
        if change.is_snapshot:
            self._topology = Topology()
            self._router = Router(self._topology, self._name)
        self._topology.apply(change)
        self._router.refresh()
        for queue in [queue for queue in self._queues if queue not in self._topology.queues]:
            self._drop_queue(queue)
        if self._name in self._topology.exchanges and not self._is_informed:
            self._is_informed = True
            early, self._early = self._early, []
            for arrived, batch, raw, move in early:
                self._publish(arrived, batch, raw, move)
                self._context.release(arrived)

    def _queue_link(self, queue: str) -> Link:
        link = self._queues[queue] = self._context.connect(actor_of_queue(queue))
        self._queue_of[link] = queue
        return link

    def _give_up(self, actor: str) -> None:
        """What is on its way to a quarantined queue is answered now; what other queues have of it, they keep."""
        for queue, link in list(self._queues.items()):
            if link.target == actor:
                for pending in self._context.disconnect(link):
                    key = (pending.stream, pending.first_seq)
                    text = f"queue {queue!r} was quarantined; other queues on the route may hold the message"
                    note = StoreNote(*key, pending.count, ActorDown.code, text)
                    self._notes.setdefault(key, []).append(note)
                    self.settled(link, [pending])
                del self._queue_of[link]
                self._queue_link(queue)

    def _drop_queue(self, queue: str) -> None:
        """The queue was deleted: what was on its way to it counts as having reached the others only."""
        link = self._queues.pop(queue)
        del self._queue_of[link]
        for pending in self._context.disconnect(link):
            pending.queues = tuple(name for name in pending.queues if name != queue)
            self.settled(link, [pending])


def _is_quarantine(message: control.FromSupervisor) -> TypeGuard[control.Down]:
    return isinstance(message, control.Down) and message.state == "quarantined"


def _check_readable(batch: Batch) -> None:
    """Queues slice properties and consumers read headers and properties, so what cannot be read goes no further.

    Raises InvalidArgument.
    """
    decode_headers(batch.headers)
    try:
        properties = properties_of(batch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the properties are not pairs of two texts: {error}") from None
    if properties is not None and len(properties) != batch.count:
        raise InvalidArgument(f"{batch.count} messages come with the properties of {len(properties)}")
    options = batch.options
    if options is None:
        return
    if not Durability.MEMORY <= options.durability <= Durability.SYNC:
        raise InvalidArgument(f"durability is {options.durability}; it is 0 (memory), 1 (os) or 2 (sync)")
    if options.dedup_id is not None and not 0 < len(options.dedup_id.encode()) <= DEDUP_ID_BYTES_MAX:
        raise InvalidArgument(f"a dedup_id has 1 to {DEDUP_ID_BYTES_MAX} bytes")
