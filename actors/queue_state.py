"""One queue: what is ready, who holds what, and what follows from every fact.

A deterministic core. Facts come in as calls, `now_ms` with them; effects go out as returned values, and a
refused call changes nothing. It promises that every message is in exactly one place (ready, held by one
consumer, or gone), that first deliveries leave in the order of their offsets, that a requeued message
returns to its place, and that no cost is per message: all are per batch, per slice or per range. It must not
know of clocks, sockets or files.

Priorities, expiry, length limits and retries with a delay have their places: a second `ready` beside the
first, an index of times beside the backlog, a check at the top of `store`, and a stop on the way of
`_requeue`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, final

from posthouse.actors import queue_view
from posthouse.actors.offsets import merged
from posthouse.actors.queue_consumers import AUTO_ACK_ROUND_MAX, GETTER, Consumer, Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_effects import Delivery, Settlement, Slice, StoreOutcome, StoreResult
from posthouse.actors.queue_records import Mark
from posthouse.actors.queue_replay import QueueReplay
from posthouse.actors.stored_batch import Bytes, StoredBatch, stored
from posthouse.transport import messages
from posthouse.transport.batch import slice_batch
from posthouse.transport.errors import InvalidArgument, NoResponders, PreconditionFailed, ResourceLocked, UnknownQueue
from posthouse.transport.messages import Batch, ConsumerInfo, Outcome, QueueInfo, QueueSpec

DISPATCH_BYTES_MAX: Final = 4 * 1024 * 1024
_RESENT: Final = StoreResult(StoreOutcome.RESENT)
_LATE: Final = StoreResult(StoreOutcome.LATE)
_DUPLICATE: Final = StoreResult(StoreOutcome.DUPLICATE)


@final
class QueueState:
    """The state machine of one queue. `replay` rebuilds it from the journal before the first fact."""

    __slots__ = ("_backlog", "_consumers", "_contents", "_is_closing", "_ready", "_spec", "replay")

    def __init__(self, spec: QueueSpec) -> None:
        self._spec = spec
        self._contents = QueueContents()
        self._backlog = self._contents.backlog
        self._ready = self._contents.ready
        self._consumers = Consumers(spec.name, spec.single_active_consumer)
        self._is_closing = False
        self.replay = QueueReplay(self._contents)

    # ---- messages come in ----

    def store(self, batch: Batch, raw: Bytes, now_ms: int) -> StoreResult:
        """Take a batch whose exact MessagePack is `raw`. Raises UnknownQueue, InvalidArgument, NoResponders.

        What its stream has already brought is answered as stored and not stored again. When STORED, the
        caller journals `entry.raw` and reports its `placed`, or leaves both when the batch is not to be
        journaled.
        """
        self._refuse_when_closing()
        contents = self._contents
        seen_seq = contents.streams.last(batch.stream)
        last_seq = batch.first_seq + batch.count - 1
        if batch.first_seq <= seen_seq:
            if last_seq <= seen_seq:
                return _RESENT
            batch = slice_batch(batch, seen_seq + 1 - batch.first_seq, batch.count)
            raw = messages.encode(batch)
        if batch.options is not None and batch.options.deadline_ms is not None:
            if batch.options.deadline_ms <= now_ms:
                contents.streams.saw(batch.stream, last_seq)
                contents.counters.late_calls += batch.count
                return _LATE
            if not len(self._consumers):
                raise NoResponders(f"queue {self._spec.name!r} has no consumer that could answer")
        if batch.options is not None and batch.options.dedup_id is not None:
            if batch.count != 1:
                raise InvalidArgument(f"{batch.count} messages share a dedup_id; send each in a batch of its own")
            if contents.dedup.has(batch.options.dedup_id, now_ms):
                contents.counters.duplicates += 1
                return _DUPLICATE
            contents.dedup.add(batch.options.dedup_id, now_ms)
        first_offset = contents.next_offset
        entry = stored(first_offset, batch, raw)
        contents.next_offset = entry.last_offset + 1
        contents.streams.saw(batch.stream, last_seq)
        contents.counters.stored += entry.count
        self._backlog.add(entry)
        self._ready.put(first_offset, entry.last_offset, 0)
        if entry.deadline_ms is not None:
            contents.calls.add(entry)
        return StoreResult(StoreOutcome.STORED, first_offset, entry)

    # ---- consumers come and go ----

    def add_consumer(
        self,
        session: int,
        consumer: int,
        client_id: int,
        client_name: str,
        prefetch: int,
        auto_ack: bool = False,
        exclusive: bool = False,
    ) -> None:
        """Open a consumer of a session. Raises UnknownQueue, ResourceLocked, InvalidArgument."""
        self._refuse_when_closing()
        self._refuse_stranger(client_id)
        self._consumers.admit(
            Consumer(
                session=session,
                consumer=consumer,
                client_id=client_id,
                client_name=client_name,
                prefetch=prefetch,
                auto_ack=auto_ack,
                exclusive=exclusive,
                credit=AUTO_ACK_ROUND_MAX if auto_ack else prefetch,
            )
        )

    def remove_consumer(self, session: int, consumer: int) -> list[tuple[int, int]]:
        """Close a consumer; what it held is ready again, in its place. Returns those ranges."""
        gone = self._consumers.leave(session, consumer)
        return [] if gone is None else self._requeue(gone.unacked)

    def remove_session(self, session: int) -> list[tuple[int, int]]:
        """Close all that a session had; what it held is ready again, in its place. Returns those ranges."""
        requeued = [
            pair for consumer in self._consumers.of_session(session) for pair in self.remove_consumer(session, consumer)
        ]
        self._consumers.pause(session, is_paused=False)
        return merged(sorted(requeued))

    def pause(self, session: int, *, is_paused: bool) -> None:
        """Deliver nothing to a session for now (it does not read what it was sent), or go on."""
        self._consumers.pause(session, is_paused)

    # ---- messages go out ----

    @property
    def can_dispatch(self) -> bool:
        """Would `dispatch` return anything now? It would after a round that an auto-ack bound cut short."""
        return bool(self._ready.count and self._consumers.line and not self._is_closing)

    def dispatch(self, bytes_max: int = DISPATCH_BYTES_MAX) -> list[Delivery]:
        """Share what is ready among the consumers with credit; their turns go on from call to call.

        In each round a turn is one slice of at most an equal share of what is ready, within one stored
        batch, at one attempt. It ends when about `bytes_max` of bodies are on their way, since all of them
        are in memory at once; `can_dispatch` then says that there is more.
        """
        deliveries: list[Delivery] = []
        spent: list[Consumer] = []
        ready, line = self._ready, self._consumers.line
        if self._is_closing:
            return deliveries
        while ready.count and line and bytes_max > 0:
            share = -(-ready.count // len(line))
            for _ in range(len(line)):
                consumer = line.popleft()
                credit = consumer.credit
                delivery = self._deliver(consumer, share if share < credit else credit, consumer.auto_ack)
                deliveries.append(delivery)
                bytes_max -= delivery.entry.body_bytes * delivery.count // delivery.entry.count
                if consumer.credit:
                    line.append(consumer)
                else:
                    consumer.in_line = False
                    if consumer.auto_ack:
                        spent.append(consumer)
                if not ready.count or bytes_max <= 0:
                    break
        self._consumers.refill(spent)
        return deliveries

    def drop_late(self, now_ms: int) -> list[tuple[int, int]]:
        """Take out the ready calls whose deadline has passed; nobody waits for them. Returns their ranges."""
        contents = self._contents
        dropped: list[tuple[int, int]] = []
        if not contents.calls.is_used:
            return dropped
        for entry in contents.calls.due(now_ms, self._backlog):
            for first, last, _ in self._ready.take(entry.first_offset, entry.last_offset):
                self._backlog.settle(first, last)
                contents.counters.late_calls += last - first + 1
                dropped.append((first, last))
        return merged(sorted(dropped))

    def get_one(self, session: int, client_id: int, auto_ack: bool) -> Delivery | None:
        """Give a session the lowest ready message, as its consumer 0. Raises UnknownQueue, ResourceLocked."""
        self._refuse_when_closing()
        self._refuse_stranger(client_id)
        getter = self._consumers.getter(session, client_id)
        delivery = self._deliver(getter, 1, auto_ack) if self._ready.count else None
        if not getter.unacked:
            self._consumers.leave(session, GETTER)
        return delivery

    def settle(self, session: int, consumer: int, outcome: int, ranges: list[int], requeue: bool = True) -> Settlement:
        """Settle flat ranges, in any order. Only what this consumer holds counts. Raises InvalidArgument.

        ACK, REJECT and NACK without `requeue` take messages out of the queue; NACK with `requeue` returns
        them to their place with their attempt.
        """
        pairs = _pairs(outcome, ranges)
        holder = self._consumers.find(session, consumer)
        pieces: list[tuple[int, int, int]] = []
        asked = 0
        for first, last in pairs:
            asked += last - first + 1
            if holder is not None:
                pieces += holder.unacked.take(first, last)
        count = sum(last - first + 1 for first, last, _ in pieces)
        if holder is not None and count:
            self._consumers.regain(holder, count)
        if outcome == Outcome.NACK and requeue:
            return Settlement([], self._requeue(pieces), [], asked - count)
        rejected: list[Slice] = []
        if outcome == Outcome.ACK:
            self._contents.counters.acked += count
        else:
            self._contents.counters.rejected += count
            rejected = queue_view.slices(self._backlog, pieces)
        settled = merged([(first, last) for first, last, _ in pieces])
        for first, last in settled:
            self._backlog.settle(first, last)
        return Settlement(settled, [], rejected, asked - count)

    # ---- looking and cleaning ----

    def peek(self, count: int) -> list[Slice]:
        """The lowest `count` messages, ready or unacked. Of what is ready, the attempt is the one to come."""
        return queue_view.first_messages(self._contents, self._consumers, count)

    def purge(self) -> list[tuple[int, int]]:
        """Remove all that is ready; what consumers hold stays. Returns the ranges."""
        purged = merged([(first, last) for first, last, _ in self._ready])
        self._ready.clear()
        for first, last in purged:
            self._backlog.settle(first, last)
        return purged

    def prepare_delete(self, if_unused: bool, if_empty: bool) -> int:
        """Refuse work from now on. Returns how many messages there are. Raises PreconditionFailed."""
        if if_unused and len(self._consumers):
            raise PreconditionFailed(
                f"queue {self._spec.name!r} has {len(self._consumers)} consumers; "
                "close them, or delete it without if_unused"
            )
        if if_empty and self._backlog.live:
            raise PreconditionFailed(
                f"queue {self._spec.name!r} holds {self._backlog.live} messages; "
                "purge it, or delete it without if_empty"
            )
        self._is_closing = True
        return self._backlog.live

    def reopen(self) -> bool:
        """Whoever asked for `prepare_delete` died before it went on: take work again. True if that was so."""
        was_closing, self._is_closing = self._is_closing, False
        return was_closing

    def info(self) -> QueueInfo:
        """The counts. `state` and `journal_bytes` are the shell's to fill in."""
        return queue_view.queue_info(self._spec, self._contents, self._consumers)

    def consumer_keys(self) -> list[tuple[int, int]]:
        """Session and number of every consumer, oldest first."""
        return [(consumer.session, consumer.consumer) for consumer in self._consumers]

    def consumers(self) -> list[ConsumerInfo]:
        """Every consumer, oldest first."""
        return queue_view.consumer_infos(self._spec.name, self._consumers)

    # ---- the journal and the memory ----

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the batches that are in memory."""
        return self._backlog.bytes_in_memory

    def mark(self) -> Mark:
        """What the head of a new journal segment must say."""
        return self._contents.mark()

    def placed(self, first_offset: int, position: int) -> None:
        """The journal holds this batch at `position`, for the first time or moved. It may be gone by now."""
        entry = self._backlog.get(first_offset)
        if entry is not None:
            self._backlog.place(entry, position)

    def lowest_position(self) -> int | None:
        """The lowest journal position still needed; None when no living message is in the journal."""
        return self._backlog.lowest_position()

    def entries_below(self, position: int) -> list[StoredBatch]:
        """Living batches that pin the journal below `position`: write them as MOVED, then say `placed`."""
        return self._backlog.placed_below(position)

    def live_ranges(self, entry: StoredBatch) -> list[int]:
        """What lives of a batch, for its MOVED record: flat, first, last, times delivered, …"""
        return queue_view.live_ranges(self._contents, self._consumers, entry)

    def shed(self, limit_bytes: int) -> None:
        """Drop bytes that the journal can give back, furthest from delivery first, down to `limit_bytes`."""
        self._backlog.shed(limit_bytes)

    def restore(self, entry: StoredBatch, batch: Batch, raw: Bytes) -> None:
        """The journal gave back what `shed` had dropped."""
        self._backlog.restore(entry, batch, raw)

    # ---- inside ----

    def _deliver(self, consumer: Consumer, limit: int, auto_ack: bool) -> Delivery:
        """Give a consumer the lowest ready messages: one slice of a batch, at one attempt."""
        ready, counters = self._ready, self._contents.counters
        entry = self._backlog.find(ready.first)
        room = entry.last_offset + 1 - ready.first
        piece = ready.pop_first(limit if limit < room else room)
        assert piece is not None
        first, last, times = piece
        count = last - first + 1
        counters.delivered += count
        if times:
            counters.redelivered += count
        consumer.credit -= count
        if auto_ack:
            counters.acked += count
            self._backlog.settle(first, last)
        else:
            consumer.unacked.put(first, last, times + 1)
        start = first - entry.first_offset
        return Delivery(consumer.session, consumer.consumer, first, count, times + 1, entry, start, auto_ack)

    def _requeue(self, pieces: Iterable[tuple[int, int, int]]) -> list[tuple[int, int]]:
        requeued: list[tuple[int, int]] = []
        for first, last, times in pieces:
            self._ready.put(first, last, times)
            if self._contents.calls.is_used:
                self._contents.calls.returned(first, last, self._backlog)
            requeued.append((first, last))
        return merged(requeued)

    def has_seen(self, batch: Batch) -> bool:
        """All of this batch was stored before: its publisher sent it again because no receipt had reached it."""
        return self._contents.streams.last(batch.stream) >= batch.first_seq + batch.count - 1

    def _refuse_when_closing(self) -> None:
        if self._is_closing:
            raise UnknownQueue(f"queue {self._spec.name!r} is being deleted; declare it again")

    def _refuse_stranger(self, client_id: int) -> None:
        if self._spec.exclusive and client_id != self._spec.owner:
            raise ResourceLocked(f"queue {self._spec.name!r} is exclusive to the client that declared it")


def _pairs(outcome: int, ranges: list[int]) -> list[tuple[int, int]]:
    """Flat ranges as pairs. Raises InvalidArgument for what is no outcome or no range."""
    if outcome not in (Outcome.ACK, Outcome.NACK, Outcome.REJECT):
        raise InvalidArgument(f"{outcome} is no way to settle: 0 is ack, 1 nack, 2 reject")
    if len(ranges) % 2:
        raise InvalidArgument(f"{len(ranges)} numbers are not pairs of a first and a last offset")
    pairs = list(zip(ranges[::2], ranges[1::2], strict=True))
    for first, last in pairs:
        if not 1 <= first <= last:
            raise InvalidArgument(f"offsets {first} to {last} are no range")
    return pairs
