"""One queue: what is ready, who holds what, and what follows from every fact.

A deterministic core. Facts come in as calls, `now_ms` with them; effects go out as returned values, and a
refused call changes nothing. It promises that every message is in exactly one place (ready, held by one
consumer, or gone), that first deliveries leave in the order of their offsets (within each priority, where there
are any), that a requeued message returns to its place, and that no cost is per message: all are per batch, per
slice or per range. It must not know of clocks, sockets or files.

Who gets what is decided in `queue_dispatch.py`, what becomes of deliveries that fail in `queue_failures.py`, bounds of
time and room in `queue_bounds.py`; what the journal must keep is asked of `queue_storage.py`. Priorities are a matter
of what `ready` is: `queue_ready.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, final

from posthouse.actors import queue_look, queue_view
from posthouse.actors.move import Intent
from posthouse.actors.offsets import merged
from posthouse.actors.queue_bounds import Bounds
from posthouse.actors.queue_consumers import AUTO_ACK_ROUND_MAX, GETTER, Consumer, Consumers
from posthouse.actors.queue_contents import Leave, QueueContents
from posthouse.actors.queue_dispatch import DISPATCH_BYTES_MAX, Dispatch
from posthouse.actors.queue_effects import Delivery, Settlement, StoreOutcome, StoreResult, pairs_of
from posthouse.actors.queue_failures import Failures, Fate
from posthouse.actors.queue_handouts import Handouts
from posthouse.actors.queue_history import Failure
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_replay import QueueReplay
from posthouse.actors.queue_storage import QueueStorage
from posthouse.actors.stored_batch import Bytes, Slice, StoredBatch, stored
from posthouse.transport import messages
from posthouse.transport.batch import slice_batch
from posthouse.transport.errors import InvalidArgument, NoResponders, ResourceLocked, UnknownQueue
from posthouse.transport.messages import Batch, ConsumerInfo, Outcome, QueueInfo, QueueSpec
from posthouse.transport.messages_looking import LookedAt, LookInto

_RESENT: Final = StoreResult(StoreOutcome.RESENT)
_LATE: Final = StoreResult(StoreOutcome.LATE)
_DUPLICATE: Final = StoreResult(StoreOutcome.DUPLICATE)


@final
class QueueState:
    """The state machine of one queue. `replay` rebuilds it from the journal before the first fact; `failures` is the
    part that knows the way to the dead letters.
    """

    __slots__ = (
        "_backlog", "_bounds", "_consumers", "_contents", "_dispatch", "_is_closing", "_ready", "_spec", "breaker",
        "failures", "outbox", "replay", "storage",
    )  # fmt: skip

    def __init__(self, spec: QueueSpec) -> None:
        self._spec = spec
        self._contents = QueueContents(spec.priority)
        self._backlog = self._contents.backlog
        self._ready = self._contents.ready
        self._consumers = Consumers(spec.name, spec.single_active_consumer)
        self.failures = Failures(spec, self._contents)
        self.breaker = self.failures.breaker
        self._bounds = Bounds(spec, self._contents, self._consumers, self.failures)
        self._dispatch = Dispatch(self._contents, self._consumers, self._bounds, self.breaker)
        self._is_closing = False
        self.outbox = self._contents.outbox
        self.replay = QueueReplay(self._contents)
        self.storage = QueueStorage(self._contents, self._consumers)

    # ---- messages come in ----

    def store(self, batch: Batch, raw: Bytes, now_ms: int) -> StoreResult:
        """Take a batch whose exact MessagePack is `raw`. Raises UnknownQueue, InvalidArgument, NoResponders.

        What its stream has already brought is answered as stored and not stored again. When STORED, the
        caller journals `entry.raw` and tells `storage` where it is `placed`, or leaves both when the batch is not to be
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
        if self._bounds.has_room_limit:
            self._bounds.refuse_overflow(batch)
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
        return StoreResult(StoreOutcome.STORED, first_offset, entry, self._bounds.stored(entry, batch, now_ms))

    def drop_overflow(self, now_ms: int) -> Fate | None:
        """Bring the queue back within its bounds: what was taken out, if anything was."""
        if not self._bounds.has_room_limit or self._spec.overflow == "reject-publish":
            return None
        fate = self._bounds.drop_overflow(now_ms)
        if fate is not None:
            self._gone(Kind.DROPPED, fate.gone)
        return fate

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
        now_ms: int = 0,
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
                since_ms=now_ms,
            )
        )

    def remove_consumer(self, session: int, consumer: int) -> list[tuple[int, int]]:
        """Close a consumer in order; what it held is ready again, in its place. Returns those ranges.

        An attempt that was only begun has not failed: it counts as an attempt and never ends a message.
        """
        gone = self._consumers.leave(session, consumer)
        if gone is None:
            return []
        return self._put_back(gone.unacked)

    def remove_session(self, session: int, failure: Failure | None = None) -> Fate:
        """Close all that a session had. `failure`: it ended without a word, so what it held has failed once more."""
        pieces: list[tuple[int, int, int]] = []
        for number in self._consumers.of_session(session):
            gone = self._consumers.leave(session, number)
            pieces += [] if gone is None else gone.unacked
        self._consumers.pause(session, is_paused=False)
        self._contents.came_back()
        return self._fail(sorted(pieces), failure or Failure(0, "consumer_gone"), is_final=False)

    def pause(self, session: int, *, is_paused: bool) -> None:
        """Deliver nothing to a session for now (it does not read what it was sent), or go on."""
        self._consumers.pause(session, is_paused)

    # ---- messages go out ----

    @property
    def can_dispatch(self) -> bool:
        """Would `dispatch` return anything now? It would after a round that a bound cut short."""
        return self._dispatch.is_possible and not self._is_closing

    def dispatch(self, now_ms: int = 0, bytes_max: int = DISPATCH_BYTES_MAX) -> list[Delivery]:
        """Share what is ready among the consumers with credit, in turns, about `bytes_max` of bodies at once.

        While the breaker is not closed it is one message at most.
        """
        return [] if self._is_closing else self._dispatch.share(now_ms, bytes_max)

    def drop_late(self, now_ms: int) -> list[tuple[int, int]]:
        """Take out the ready calls whose deadline has passed; nobody waits for them. Returns their ranges."""
        contents = self._contents
        dropped: list[tuple[int, int]] = []
        for entry in contents.calls.due(now_ms, self._backlog) if contents.calls.is_used else ():
            late = self._ready.take(entry.first_offset, entry.last_offset)
            late += contents.waiting.take(entry.first_offset, entry.last_offset)
            dropped += [(first, last) for first, last, _ in late]
            contents.count_gone("late_calls", dropped[len(dropped) - len(late) :])
            if entry.live:
                contents.calls.overdue(entry)
        return merged(sorted(dropped))

    def get_one(
        self, session: int, client_id: int, auto_ack: bool, now_ms: int = 0, client_name: str = ""
    ) -> Delivery | None:
        """Give a session the next ready message, as its consumer 0. Raises UnknownQueue, ResourceLocked."""
        self._refuse_when_closing()
        self._refuse_stranger(client_id)
        getter = self._consumers.getter(session, client_id, client_name)
        delivery = self._dispatch.give(getter, auto_ack, now_ms)
        if not getter.unacked:
            self._consumers.leave(session, GETTER)
        return delivery

    def settle(
        self,
        session: int,
        consumer: int,
        outcome: int,
        ranges: list[int],
        requeue: bool = True,
        failure: Failure | None = None,
    ) -> Settlement:
        """Settle flat ranges, in any order. Only what this consumer holds counts. Raises InvalidArgument.

        ACK takes messages out of the queue. RELEASE returns them as if they had only been looked at. NACK with
        `requeue` is a failed attempt, after which the retry policy decides; REJECT, and NACK without `requeue`, ask
        for no other. `failure` says more about either.
        """
        pairs = pairs_of(outcome, ranges)
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
        if outcome == Outcome.RELEASE:
            return Settlement([], asked - count, Fate(self._put_back(pieces), [], [], []))
        if outcome != Outcome.ACK:
            is_final = outcome == Outcome.REJECT or not requeue
            how = "reject" if is_final else "nack"
            said = Failure(0, how) if failure is None else failure._replace(how=how)
            if holder is not None:
                said = said._replace(consumer=holder.client_name)
            self._contents.came_back()
            return Settlement([], asked - count, self._fail(pieces, said, is_final=is_final))
        self._contents.counters.acked += count
        settled = merged([(first, last) for first, last, _ in pieces])
        gone = self._contents.gone if self._contents.histories else self._backlog.settle
        for first, last in settled:
            gone(first, last)
        if self.breaker is not None:
            self.breaker.succeeded(settled)
        return Settlement(settled, asked - count)

    # ---- time, and the way out ----

    def next_ms(self) -> int | None:
        """When `pass_time` is due, at the latest."""
        return self._bounds.next_ms()

    def pass_time(self, now_ms: int, chance: float) -> list[tuple[Kind, Fate]]:
        """What waited is in its place again; what became too old, or was held too long, is taken out.

        Each fate comes with the kind of record for what is gone by it.
        """
        fates = self._bounds.pass_time(now_ms, chance)
        for kind, fate in fates:
            self._gone(kind, fate.gone)
        return fates

    def left(self, intent: Intent[Leave]) -> None:
        """The dead letters have these messages."""
        first, last, _ = intent.item
        self._contents.leaving.take(first, last)
        self._contents.gone(first, last)
        self._contents.counters.dead_lettered += last - first + 1

    def leaving_slice(self, leave: Leave) -> Slice:
        """The bytes that an intent moves."""
        (piece,) = queue_view.slices(self._backlog, [(leave.first, leave.last, max(1, leave.death.attempt))])
        return piece

    def look_after(self, first_offset: int, last_offset: int) -> tuple[int, int]:
        """How many of these are still here, and how many of them have failed at least once."""
        return queue_view.look_after(self._contents, self._consumers, first_offset, last_offset)

    # ---- looking and cleaning ----

    def times(self) -> tuple[int | None, int | None]:
        """When the oldest of what is ready was published, and when the longest-held was delivered, if anything is."""
        return queue_view.oldest_ready_ms(self._contents), self._bounds.handouts.oldest_ms()

    @property
    def handouts(self) -> Handouts:
        """What is counted of deliveries."""
        return self._bounds.handouts

    def peek(self, count: int) -> list[Slice]:
        """The first `count` messages, ready or unacked. Of what is ready, the attempt is the one to come."""
        return queue_view.first_messages(self._contents, self._consumers, count)

    def look(self, message: LookInto, bytes_of: Callable[[StoredBatch], Bytes]) -> list[LookedAt]:
        """The messages that are asked for, where each is and who holds it, with the beginnings of their bodies."""
        found = queue_look.find(self._contents, self._consumers, message, self.handouts.moments())
        return queue_look.show(found, self._backlog.find, bytes_of, message.body_bytes_max)

    def pause_all(self, is_paused: bool) -> bool:
        """Deliver nothing to anybody, or go on. True if that is a change, which is to be journaled."""
        was_paused, self._contents.is_paused = self._contents.is_paused, is_paused
        return was_paused != is_paused

    def purge(self) -> list[tuple[int, int]]:
        """Remove all that is ready or waits; what consumers hold or is leaving stays. Returns the ranges."""
        pieces = sorted([*self._ready, *self._contents.waiting.clear()])
        purged = merged([(first, last) for first, last, _ in pieces])
        self._ready.clear()
        for first, last in purged:
            self._contents.gone(first, last)
        return purged

    @property
    def is_in_use(self) -> bool:
        """Has it a consumer, does anybody hold a message of it, or is one on its way to the dead letters?"""
        return bool(self._contents.leaving or any(True for _ in self._consumers.holders()))

    def prepare_delete(self, if_unused: bool, if_empty: bool) -> int:
        """Refuse work from now on. Returns how many messages there are. Raises PreconditionFailed."""
        queue_view.refuse_in_use(self._spec, self._contents, self._consumers, if_unused, if_empty)
        self._is_closing = True
        return self._backlog.live

    def reopen(self) -> bool:
        """Whoever asked for `prepare_delete` died before it went on: take work again. True if that was so."""
        was_closing, self._is_closing = self._is_closing, False
        return was_closing

    def info(self) -> QueueInfo:
        """The counts. `state` and `journal_bytes` are the shell's to fill in."""
        return queue_view.queue_info(self._spec, self._contents, self._consumers, self.breaker)

    def consumer_keys(self) -> list[tuple[int, int]]:
        """Session and number of every consumer, oldest first."""
        return [(consumer.session, consumer.consumer) for consumer in self._consumers]

    def consumers(self) -> list[ConsumerInfo]:
        """Every consumer, oldest first."""
        return queue_view.consumer_infos(self._spec.name, self._consumers)

    # ---- inside ----

    def _put_back(self, pieces: Iterable[tuple[int, int, int]]) -> list[tuple[int, int]]:
        """Nobody handled these: they are ready again, in their place."""
        self._contents.came_back()
        put_back: list[tuple[int, int]] = []
        for first, last, times in pieces:
            self._ready.put(first, last, times)
            put_back.append((first, last))
        if self.breaker is not None:
            self.breaker.returned(put_back)
        return merged(sorted(put_back))

    def _fail(self, pieces: Iterable[tuple[int, int, int]], failure: Failure, *, is_final: bool) -> Fate:
        fate = self.failures.failed(pieces, failure, is_final=is_final)
        if is_final:
            self._contents.counters.rejected += sum(intent.count for intent in fate.leaving)
        self._gone(Kind.REJECTED, fate.gone)
        return fate

    def _gone(self, kind: Kind, ranges: list[tuple[int, int]]) -> None:
        self._contents.count_gone({Kind.EXPIRED: "expired", Kind.DROPPED: "dropped"}.get(kind, "rejected"), ranges)

    def _refuse_when_closing(self) -> None:
        if self._is_closing:
            raise UnknownQueue(f"queue {self._spec.name!r} is being deleted; declare it again")

    def _refuse_stranger(self, client_id: int) -> None:
        if self._spec.exclusive and client_id != self._spec.owner:
            raise ResourceLocked(f"queue {self._spec.name!r} is exclusive to the client that declared it")
