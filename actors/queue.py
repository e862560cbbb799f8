"""The queue actor: journals what the core decides and carries out its effects.

Store, deliver and settle are rounds: everything that arrived is appended as one chunk, synced once, and only then
answered and delivered (the cell sees to that). Deliveries and plain acks are written without a sync of their own:
they survive a crash of the process, and the next sync covers them.

Fails with: DiskFault (its journal; the supervisor decides), assertions (ours; the next life replays the journal).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.breaker_watch import BreakerWatch
from posthouse.actors.departures import TIMER as DEPARTURES
from posthouse.actors.departures import Departures
from posthouse.actors.desk import Desk
from posthouse.actors.move import Admission
from posthouse.actors.queue_effects import Delivery, StoreOutcome, StoreResult, by_receiver
from posthouse.actors.queue_figures import QueueFigures
from posthouse.actors.queue_history import Failure
from posthouse.actors.queue_records import (
    ExpiresRecord,
    Kind,
    encode_expires,
    encode_ranges,
    encode_receivers,
    encode_store,
    encode_summary,
)
from posthouse.actors.queue_state import QueueState
from posthouse.actors.queue_summary import Summing
from posthouse.actors.retry import check_delay_ms
from posthouse.actors.segments import rotate
from posthouse.actors.stored_batch import Slice, StoredBatch
from posthouse.actors.stored_bytes import StoredBytes
from posthouse.actors.usage import Usage
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.batch import check_batch, durability_of
from posthouse.transport.errors import DiskSpaceLow, ProtocolViolation, Refused
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import (
    Batch,
    Cancel,
    Consume,
    ConsumerCancelled,
    Deliver,
    Durability,
    Get,
    Message,
    Outcome,
    Peek,
    Purge,
    QueueConsumers,
    QueueSpec,
    QueueStatus,
    Settle,
    StoreNote,
)
from posthouse.transport.messages_dead import LookAfter, Restore, TakeBack
from posthouse.transport.messages_looking import LookInto, PauseQueue
from posthouse.transport.messages_sessions import ListSessions
from posthouse.transport.messages_use import PrepareDelete, QueueUsed
from posthouse.transport.names import DEAD_LETTER, REGISTRY


@final
@dataclass(frozen=True)
class QueueLimits:
    """Bodies beyond `memory_bytes_max` stay in the journal only and are read back when their turn comes; with less
    than `disk_free_bytes_min` left on the disk nothing new is stored. A journal over `compact_bytes_min` is relieved
    of old segments in which little lives. What a round brought one by one is summed up in the journal from so many on.
    """

    memory_bytes_max: int = 64 * 1024 * 1024
    disk_free_bytes_min: int = 64 * 1024 * 1024
    compact_bytes_min: int = 64 * 1024 * 1024
    summary_min: int = 16


@final
class QueueActor:
    """One queue."""

    def __init__(self, context: Context, spec: QueueSpec, limits: QueueLimits) -> None:
        self._context = context
        self._spec = spec
        self._limits = limits
        self._state = QueueState(spec)
        self._sessions: dict[int, Link] = {}
        self._congested: set[int] = set()
        self._is_disk_low = False
        self._clock_ms = 0
        self._bytes = StoredBytes(context, self._state.storage)
        self._departures = Departures(context, spec, self._state, self._bytes.of_slice)
        self._usage = Usage(context, spec, self._state)
        self._breaker_watch = BreakerWatch(context, spec.name, self._state)
        self._figures = QueueFigures(context.meter, self._state)
        self._summing = Summing(limits.summary_min)
        self._desk = Desk(context, self._state, self._bytes, spec.durable)

    # ---- life ----

    def start(self) -> None:
        # Waits and expiries go by the wall clock at the beginning of this life, carried on by the one that never
        # steps: what is journaled means the same in the next life, and a stepped clock moves nothing in this one.
        self._clock_ms = self._context.wall_ms - self._context.monotonic_ms
        self._usage.start()
        if not self._spec.durable:
            return
        self._look_at_disk()
        replay = self._state.replay
        for chunks in self._context.journal.replay_pieces():
            replay.chunks(chunks)
            if self._state.storage.bytes_in_memory > self._limits.memory_bytes_max:
                self._state.storage.shed(self._limits.memory_bytes_max)
        replay.finish()

    @property
    def _now_ms(self) -> int:
        return self._clock_ms + self._context.monotonic_ms

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        link = arrived.link
        if type(message) is Batch:
            self._store(link, message, raw)
        elif type(message) is Settle:
            self._settle(link, message)
        elif type(message) is StoreNote and self._departures.owns(link):
            self._departures.noted(message)
        elif type(message) is Restore:
            self._restore(link, message)
        else:
            self._request(link, message)

    def link_opened(self, link: Link) -> None:
        if link.is_opener:
            return
        self._sessions[link.session] = link
        if link.client_name == REGISTRY and self._state.reopen():
            # A registry that had begun to delete this queue died before it journaled the deletion. Its consumers
            # were told already, so they are gone; not sooner, or what was confirmed meanwhile might go with it.
            for session, consumer in self._state.consumer_keys():
                self._state.remove_consumer(session, consumer)
            self._usage.had_consumer()

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        if self._departures.owns(link):
            if abandoned:
                self._departures.abandoned(abandoned)
        elif self._sessions.pop(link.session, None) is not None:
            self._congested.discard(link.session)
            failure = Failure(self._now_ms, "consumer_gone", 0.0, link.client_name)
            self._departures.carry_out(Kind.REJECTED, self._state.remove_session(link.session, failure))

    def settled(self, link: Link, contexts: list[Any]) -> None:
        """What consumers received is theirs until they settle it or leave; what the dead letters settled is gone."""
        if self._departures.owns(link):
            self._departures.settled(contexts)

    def wake(self, key: str) -> None:
        if key == DEPARTURES:
            self._departures.wake()

    def _look_at_disk(self) -> None:
        """Before the disk is full, not after: what was accepted must still be acked and moved."""
        free = self._context.journal.free_bytes()
        self._is_disk_low = free < self._limits.disk_free_bytes_min

    def noticed(self, message: control.FromSupervisor) -> None:
        """Where others live is the links' business."""

    def finish_round(self) -> None:
        summary = self._summing.take(self._context.journal.next_position) if self._spec.durable else None
        if summary is not None:
            self._context.append(Kind.SUMMARY, encode_summary(summary), is_durable=False)
        self._pass_time()
        self._dispatch()
        if self._state.outbox.has_unsent:
            self._departures.send()
        if self._usage.is_watched:
            self._usage.look()
        self._breaker_watch.look()
        if self._spec.durable:
            if self._context.journal.segment_is_full:
                compact_bytes_min = self._limits.compact_bytes_min
                rotate(self._context.journal, self._state.storage, self._bytes.of, compact_bytes_min)
            self._state.storage.shed(self._limits.memory_bytes_max)

    def measure(self, meter: Meter) -> None:
        if self._spec.durable:
            self._look_at_disk()
        self._figures.show(self._context.wall_ms, self._now_ms)

    # ---- messages in ----

    def _restore(self, link: Link, message: Restore) -> None:
        """A move out of the dead letters: the same as a batch, but that a gap is never taken."""
        batch = messages.decode(message.batch)
        if not isinstance(batch, Batch):
            raise ProtocolViolation("a Restore carries no Batch")
        check_batch(batch, self._context.limits)
        last_seq = batch.first_seq + batch.count - 1
        admission = self._state.storage.admission(batch.stream, message.floor, batch.first_seq, last_seq)
        result: StoreResult | None = None
        if admission is Admission.GAP:
            text = f"numbers before {batch.first_seq} are missing"
            self._context.send(link, StoreNote(batch.stream, batch.first_seq, batch.count, "gap", text))
        else:
            result = self._store(link, batch, message.batch)
        if message.request:
            self._context.reply(link, message.request, 0 if result is None else result.first_offset)

    def _store(self, link: Link, batch: Batch, raw: msgspec.Raw) -> StoreResult | None:
        try:
            if (
                self._is_disk_low
                and durability_of(batch) > Durability.MEMORY
                and not self._state.storage.has_seen(batch)
            ):
                minimum = self._limits.disk_free_bytes_min
                raise DiskSpaceLow(f"the broker's disk has less than {minimum} bytes free; make room or consume")
            result = self._state.store(batch, memoryview(raw), self._now_ms)
        except Refused as error:
            note = StoreNote(batch.stream, batch.first_seq, batch.count, error.code, str(error))
            self._context.send(link, note)
            self._figures.refused += batch.count
            return None
        if result.outcome is StoreOutcome.DUPLICATE:
            self._context.send(link, StoreNote(batch.stream, batch.first_seq, batch.count, "duplicate"))
        entry = result.entry
        if entry is not None and self._spec.durable:
            self._journal_stored(batch, entry, result.expires_ms)
        overflow = self._state.drop_overflow(self._now_ms)
        if overflow is not None:
            self._departures.carry_out(Kind.DROPPED, overflow)
        return result

    def _journal_stored(self, batch: Batch, entry: StoredBatch, expires_ms: int | None) -> None:
        durability = durability_of(batch)
        if durability > Durability.MEMORY:
            assert entry.raw is not None
            parts = encode_store(entry.first_offset, entry.raw)
            position = self._context.append(Kind.STORE, *parts, is_durable=durability == Durability.SYNC)
            self._state.storage.placed(entry.first_offset, position)
            self._summing.stored(batch, entry)
            if expires_ms is not None:
                record = ExpiresRecord(expires_ms, entry.first_offset, entry.last_offset)
                self._context.append(Kind.EXPIRES, encode_expires(record), is_durable=False)

    def _drop_late(self) -> None:
        """Calls that nobody waits for any more are not handed out."""
        late = self._state.drop_late(self._context.wall_ms)
        if late and self._spec.durable:
            self._context.append(Kind.LATE, encode_ranges(late), is_durable=False)

    def _settle(self, link: Link, message: Settle) -> None:
        failure: Failure | None = None
        if message.outcome != Outcome.ACK:
            if message.retry_after_ms is not None:
                check_delay_ms("retry_after", message.retry_after_ms)
            failure = Failure(
                self._now_ms,
                chance=self._context.random.random(),
                reason=message.reason,
                error=message.error,
                retry_after_ms=message.retry_after_ms,
            )
        settlement = self._state.settle(
            link.session, message.consumer, message.outcome, message.ranges, message.requeue, failure
        )
        is_durable = bool(message.request)
        if settlement.settled and self._spec.durable:
            self._context.append(Kind.SETTLED, encode_ranges(settlement.settled), is_durable=is_durable)
        if settlement.fate is not None:
            self._departures.carry_out(Kind.REJECTED, settlement.fate, is_durable=is_durable)
        if message.request:
            self._context.reply(link, message.request, settlement.unknown)

    def _pass_time(self) -> None:
        """What is due comes back, expires or is taken away. A queue in which nothing waits has nothing to do."""
        next_ms = self._state.next_ms()
        if next_ms is None:
            return
        now_ms = self._now_ms
        if next_ms <= now_ms:
            for kind, fate in self._state.pass_time(now_ms, self._context.random.random()):
                self._departures.carry_out(kind, fate)
            next_ms = self._state.next_ms()
        if next_ms is not None:
            self._context.set_timer("due", next_ms - self._clock_ms)

    # ---- requests ----

    def _request(self, link: Link, message: Message) -> None:
        context, state = self._context, self._state
        match message:
            case Consume(request, consumer, prefetch, auto_ack, exclusive):
                name, now_ms = link.client_name, self._now_ms
                state.add_consumer(link.session, consumer, link.client_id, name, prefetch, auto_ack, exclusive, now_ms)
                self._usage.had_consumer()
                context.reply(link, request, None)
            case Cancel(request, consumer):
                state.remove_consumer(link.session, consumer)
                context.reply(link, request, None)
            case Get(request, auto_ack):
                self._get(link, request, auto_ack)
            case Peek() | LookInto() | PauseQueue():
                self._desk.answer(link, message)
            case Purge(request):
                purged = state.purge()
                if purged and self._spec.durable:
                    context.append(Kind.PURGED, encode_ranges(purged))
                count = sum(last - first + 1 for first, last in purged)
                self._figures.purged += count
                context.reply(link, request, count)
            case QueueStatus(request):
                size = context.journal.stats().bytes if self._spec.durable else 0
                context.reply(link, request, msgspec.structs.replace(state.info(), journal_bytes=size))
            case QueueConsumers(request):
                context.reply(link, request, state.consumers())
            case ListSessions(request):
                context.reply(link, request, context.sessions())
            case LookAfter(request, first_offset, last_offset):
                context.reply(link, request, state.look_after(first_offset, max(first_offset, last_offset)))
            case TakeBack(request) if link.client_name == DEAD_LETTER:
                context.reply(link, request, self._departures.take_back(message, self._now_ms))
            case QueueUsed():
                self._usage.used()
            case PrepareDelete(request, if_unused, if_empty, if_idle) if link.client_name == REGISTRY:
                if if_idle:
                    self._usage.refuse_unless_idle()
                count = state.prepare_delete(if_unused, if_empty)
                self._cancel_consumers()
                context.reply(link, request, count)
            case _:
                raise ProtocolViolation(f"a queue does not understand {type(message).__name__}")

    def _get(self, link: Link, request: int, auto_ack: bool) -> None:
        self._drop_late()
        self._usage.used()
        delivery = self._state.get_one(link.session, link.client_id, auto_ack, self._now_ms, link.client_name)
        if delivery is not None:
            self._deliver([delivery])
        self._context.reply(link, request, None if delivery is None else delivery.first_offset)

    def _cancel_consumers(self) -> None:
        text = f"queue {self._spec.name!r} was deleted"
        for session, consumer in self._state.consumer_keys():
            self._context.send(self._sessions[session], ConsumerCancelled(consumer, "unknown_queue", text))

    # ---- messages out ----

    def _dispatch(self) -> None:
        state = self._state
        self._drop_late()
        # A paused consumer is not in line: were it the only one, nobody but this would ever let it go on.
        if self._congested or state.can_dispatch:
            self._watch_congestion()
        if not state.can_dispatch:
            return
        deliveries = state.dispatch(self._now_ms)
        if deliveries:
            self._deliver(deliveries)
        if state.can_dispatch:
            self._context.set_timer("dispatch", self._context.monotonic_ms + 1)

    def _watch_congestion(self) -> None:
        """A consumer that does not read what it was sent gets no more, whatever its prefetch, until it does."""
        for session, link in self._sessions.items():
            is_congested = self._context.is_congested(link)
            if is_congested != (session in self._congested):
                self._state.pause(session, is_paused=is_congested)
                (self._congested.add if is_congested else self._congested.discard)(session)

    def _deliver(self, deliveries: list[Delivery]) -> None:
        if self._spec.durable:
            for kind, receivers in by_receiver(deliveries, lambda session: self._sessions[session].client_name):
                self._context.append(kind, encode_receivers(receivers), is_durable=False)
        for delivery in deliveries:
            start, stop = delivery.start, delivery.start + delivery.count
            part = Slice(delivery.first_offset, delivery.attempt, delivery.entry, start, stop)
            self._send_slice(self._sessions[delivery.session], delivery.consumer, part)

    def _send_slice(self, link: Link, consumer: int, part: Slice) -> None:
        encoded = messages.encode(self._slice_message(consumer, part))
        self._context.forward(link, encoded, len(encoded), part.stop - part.start, None)

    def _slice_message(self, consumer: int, part: Slice) -> Deliver:
        return Deliver(consumer, part.first_offset, part.attempt, msgspec.Raw(self._bytes.of_slice(part)))
