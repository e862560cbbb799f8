"""The exchange actor: routes batches to queues and answers publishers when every queue has them.

It owns what is on its way and what it holds for queues to come (`holding.py`): topology comes from the registry,
messages belong to the publisher until each queue on the route has settled them. A queue that restarts is the link's
business: it sends again what was not settled.

Fails with: DiskFault (its journal, where it holds messages); an assertion is ours, and publishers send again to the
next life.
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.declaration import may_hold
from posthouse.actors.held_moves import Direct, Onward
from posthouse.actors.held_requests import answer
from posthouse.actors.holding import Holding, HoldLimits
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.supervisor import control_messages as control
from posthouse.transport.batch import check_batch, durability_of, properties_of
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
    ExchangeSpec,
    Message,
    Receipt,
    StoreNote,
    TopologyChange,
    WatchTopology,
)
from posthouse.transport.names import actor_of_queue, decode_headers

DUPLICATE: Final = "duplicate"
"""The code of a `StoreNote` for a `dedup_id` that the queue has seen within its window."""


@final
class Pending:
    """A batch that was sent to its queues and not yet settled by all of them."""

    __slots__ = ("arrived", "count", "durability", "first_seq", "is_held", "queues", "remaining", "repeats", "stream")

    def __init__(
        self, arrived: Arrived, batch: Batch, queues: tuple[str, ...], durability: int, *, is_held: bool = False
    ) -> None:
        self.arrived = arrived
        self.stream = batch.stream
        self.first_seq = batch.first_seq
        self.count = batch.count
        self.queues = queues
        self.remaining = len(queues)
        self.durability = durability
        self.is_held = is_held
        self.repeats: tuple[Arrived, ...] = ()
        """Frames of later sessions in which the publisher sent the same batch meanwhile."""


@final
class ExchangeActor:
    """One exchange. Its name is "" for the default exchange."""

    def __init__(self, context: Context, spec: ExchangeSpec, limits: HoldLimits | None = None) -> None:
        self._context = context
        self._spec = spec
        self._name = name = spec.name
        self._topology = Topology()
        self._router = Router(self._topology, name)
        self._is_informed = False
        self._quarantined: dict[str, str] = {}
        self._early: list[tuple[Arrived, Batch, msgspec.Raw]] = []
        self._queues: dict[str, Link] = {}
        self._queue_of: dict[Link, str] = {}
        self._pending: dict[tuple[int, int], Pending] = {}
        self._finished: list[Pending] = []
        self._notes: dict[tuple[int, int], list[StoreNote]] = {}
        self._registry = context.connect("registry", survives=False)
        self._holding: Holding | None = None
        if may_hold(spec):
            self._holding = Holding(context, spec, limits or HoldLimits(), self._link_to)
        self.dropped = 0

    def start(self) -> None:
        """The registry tells the topology when the link opens; only what is held is rebuilt."""
        if self._holding is not None:
            self._holding.start()

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        if type(message) is Batch:
            if self._is_informed:
                self._publish(arrived, message, raw)
            else:
                self._context.hold(arrived)
                self._early.append((arrived, message, raw))
        elif isinstance(message, TopologyChange) and arrived.link is self._registry:
            self._apply(message)
        elif isinstance(message, StoreNote) and self._holding is not None and self._holding.moves.noted(message):
            return
        elif isinstance(message, StoreNote) and arrived.link in self._queue_of:
            self._notes.setdefault((message.stream, message.first_seq), []).append(message)
        elif not answer(self._context, arrived.link, message, self._spec, self._holding, self._router, self._topology):
            raise ProtocolViolation(f"an exchange does not understand {type(message).__name__}")

    def link_opened(self, link: Link) -> None:
        if link is self._registry:
            if self._holding is not None:
                self._holding.is_closing = False  # A registry that had begun to delete this exchange is gone.
            self._context.send(link, WatchTopology(1))

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        """A publisher that left gets no receipts; its batches go on to their queues."""
        if self._holding is not None and abandoned:
            self._holding.moves.lost(context for context in abandoned if type(context) is Onward)

    def settled(self, link: Link, contexts: list[Any]) -> None:
        finished = self._finished
        for pending in contexts:
            if type(pending) is Onward:
                assert self._holding is not None
                self._holding.moves.settled(pending)
                continue
            pending.remaining -= 1
            if pending.remaining == 0:
                finished.append(pending)

    def wake(self, key: str) -> None:
        assert self._holding is not None, f"an exchange has no timer {key}"
        self._holding.wake(key)

    def noticed(self, message: control.FromSupervisor) -> None:
        """Which queues live is the links' business, except for those that will not live again by themselves."""
        if isinstance(message, control.Up):
            self._quarantined.pop(message.id, None)
        elif _is_quarantine(message) and message.id not in self._quarantined:
            self._quarantined[message.id] = message.reason
            self._give_up(message.id)

    def finish_round(self) -> None:
        if self._holding is not None:
            self._holding.finish_round(self._router, self._topology)
        finished, self._finished = self._finished, []
        index = 0
        while index < len(finished):
            index = self._answer(finished, index)

    # ---- publishing ----

    def _publish(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw) -> None:
        key = (batch.stream, batch.first_seq)
        known = self._pending.get(key)
        if known is not None and known.count == batch.count:
            # Its publisher came back in a new session. One copy is on its way, and what becomes of it is the answer
            # to both; with a second copy nobody could tell which of the two a queue's note is about.
            self._context.hold(arrived)
            known.repeats += (arrived,)
            return
        try:
            pending = self._route(arrived, batch, raw)
        except (Refused, Unavailable) as error:
            self._refuse(arrived.link, batch, error)
            return
        self._context.hold(arrived)
        if not pending.queues:
            self._finished.append(pending)
            return
        self._pending[key] = pending
        size = len(memoryview(raw))
        holding = self._holding if self._holding is not None and self._holding.state.leaving else None
        for queue in pending.queues:
            link = self._link_to(queue)
            if holding is not None and holding.moves.must_wait(queue):
                holding.moves.wait(queue, Direct(raw, size, batch.count, pending))
            else:
                self._context.forward(link, raw, size, batch.count, pending)

    def _route(self, arrived: Arrived, batch: Batch, raw: msgspec.Raw) -> Pending:
        holding = self._holding
        check_batch(batch, self._context.limits)
        _check_readable(batch)
        if batch.exchange != self._name:
            raise InvalidArgument(f"this is exchange {self._name!r}, the message is for {batch.exchange!r}")
        spec = self._topology.exchanges.get(self._name)
        if spec is None:
            raise UnknownExchange(f"exchange {self._name!r} has just been deleted")
        if spec.internal:
            raise PreconditionFailed(f"exchange {self._name!r} is internal: publish to an exchange that is bound to it")
        durability = durability_of(batch)
        if holding is not None and holding.has_seen(batch):
            durability = durability if holding.is_durable else Durability.MEMORY
            return Pending(arrived, batch, (), durability, is_held=spec.unrouted != "dead-letter")
        route = self._router.route_raw(batch.routing_key, batch.headers)
        if route.queues:
            if self._quarantined:
                self._refuse_quarantined(route.queues)
            specs = self._topology.queues
            if durability and not all(specs[queue].durable for queue in route.queues):
                durability = Durability.MEMORY
            return Pending(arrived, batch, route.queues, durability)
        if route.fallback == "drop":
            self.dropped += batch.count
            return Pending(arrived, batch, (), durability)
        if route.fallback == "return" or holding is None:
            raise Unroutable(
                f"exchange {self._name!r} has no queue for routing key {batch.routing_key!r}; "
                f"`posthouse explain {self._name} --key {batch.routing_key}` shows why"
            )
        is_held = route.fallback == "hold"
        return Pending(arrived, batch, (), holding.take(batch, raw, at_once=not is_held), is_held=is_held)

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
            if pending.is_held is not first.is_held:
                break
            self._pending.pop((stream, next_seq), None)
            next_seq += pending.count
            durability = min(durability, pending.durability)
            self._context.release(pending.arrived)
            index += 1
        count = next_seq - first.first_seq
        receipt = Receipt(stream, first.first_seq, count, queues, durability, held=first.is_held)
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
        before = self._topology.queues if change.is_snapshot else {}
        if change.is_snapshot:
            self._topology = Topology()
            self._router = Router(self._topology, self._name)
        self._topology.apply(change)
        may_differ = self._router.refresh() or change.is_snapshot
        now = self._topology.queues
        for queue in list(self._queues):
            # The registry may have come back with another queue of the same name.
            if queue not in now or (
                change.is_snapshot and queue in before and before[queue].serial != now[queue].serial
            ):
                self._drop_queue(queue)
        if self._name not in self._topology.exchanges:
            return
        if self._holding is not None:
            self._holding.learn(self._router, self._topology, may_differ=may_differ)
        if not self._is_informed:
            self._is_informed = True
            early, self._early = self._early, []
            for arrived, batch, raw in early:
                self._publish(arrived, batch, raw)
                self._context.release(arrived)

    def _link_to(self, queue: str) -> Link:
        return self._queues.get(queue) or self._queue_link(queue)

    def _queue_link(self, queue: str) -> Link:
        link = self._queues[queue] = self._context.connect(actor_of_queue(queue))
        self._queue_of[link] = queue
        return link

    def _give_up(self, actor: str) -> None:
        """What is on its way to a quarantined queue is answered now; what other queues have of it, they keep."""
        for queue, link in list(self._queues.items()):
            if link.target == actor:
                for pending in self._unsettled(queue, link):
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
        for pending in self._unsettled(queue, link):
            pending.queues = tuple(name for name in pending.queues if name != queue)
            self.settled(link, [pending])

    def _unsettled(self, queue: str, link: Link) -> list[Pending]:
        """The link is closed: the batches that were on their way. What was held before goes back to where it was."""
        contexts = self._context.disconnect(link)
        if self._holding is None:
            return contexts
        self._holding.moves.lost(context for context in contexts if type(context) is Onward)
        contexts = [context for context in contexts if type(context) is not Onward]
        return contexts + self._holding.moves.give_up(queue)


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
