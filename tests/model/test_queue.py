"""The queue core beside a naive model, in every order of facts, with crashes and journal trims between.

Once as most queues are, and once with priorities.
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from posthouse.actors import queue_records
from posthouse.actors.queue_effects import Delivery, StoreOutcome
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_state import QueueState
from posthouse.actors.retry import OFF
from posthouse.actors.stored_batch import Bytes
from posthouse.transport import messages
from posthouse.transport.messages import Batch, Options, Outcome, QueueSpec
from tests.support.queue_model import (
    Holder,
    QueueModel,
    Record,
    contents,
    model_of,
    offsets_of,
    one_by_one,
    rebuilt,
    spread,
)
from tests.support.queue_samples import sample_batch, sample_body

SPEC = QueueSpec(name="ewr", retry=OFF, dead_letter="off")
WITH_PRIORITIES = QueueSpec(name="ewr", retry=OFF, dead_letter="off", priority=True)
PRIORITIES = st.sampled_from([0, 0, 0, 4, 9])
SESSIONS = st.integers(1, 2)
NUMBERS = st.integers(0, 2)
NAMES = st.tuples(SESSIONS, NUMBERS)
CLIENT = 9


class QueueMachine(RuleBasedStateMachine):
    """Facts go to both; whatever the core answers is checked against the model, then done to the model."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.state = QueueState(self.spec)
        self.model = QueueModel()
        self.prefetch: dict[Holder, int | None] = {}
        self.paused: set[int] = set()
        self.records: list[Record] = []
        self.everything: list[Record] = []
        self.next_seq = {1: 1, 2: 1}

    # ---- the shell's part ----

    def journal(self, kind: Kind, *parts: Bytes) -> int:
        position = self.everything[-1][0] + 1 if self.everything else 1
        record = (position, int(kind), b"".join(parts))
        self.records.append(record)
        self.everything.append(record)
        return position

    def journal_ranges(self, kind: Kind, ranges: list[tuple[int, int]]) -> None:
        if ranges:
            self.journal(kind, queue_records.encode_ranges(ranges))

    @initialize(prefetches=st.lists(st.integers(1, 6), max_size=2), counts=st.lists(st.integers(1, 5)))
    def begin(self, prefetches: list[int], counts: list[int]) -> None:
        """Most runs begin with a queue at work: what follows then has something to act upon."""
        for number, prefetch in enumerate(prefetches, start=1):
            self.add_consumer(1, number, prefetch, False)
        for count in counts:
            self.store(1, count, True, 0)
        self.dispatch()

    # ---- messages come in ----

    @rule(stream=st.integers(1, 2), count=st.integers(1, 5), is_journaled=st.booleans(), priority=PRIORITIES)
    def store(self, stream: int, count: int, is_journaled: bool, priority: int) -> None:
        self.store_from(stream, self.next_seq[stream], count, is_journaled, priority)

    @rule(stream=st.integers(1, 2), back=st.integers(1, 6), count=st.integers(1, 5), priority=PRIORITIES)
    def store_again(self, stream: int, back: int, count: int, priority: int) -> None:
        """A link sends again, perhaps more than before. What is new gets stored, the rest is not."""
        self.store_from(stream, max(1, self.next_seq[stream] - back), count, True, priority)

    def store_from(self, stream: int, first_seq: int, count: int, is_journaled: bool, priority: int) -> None:
        options = Options(priority=priority) if priority else None
        batch, raw = sample_batch(count, first_seq, stream, options=options)
        priority = priority if self.spec.priority else 0
        result = self.state.store(batch, raw, now_ms=0)
        seen = self.model.streams.get(stream, 0)
        last_seq = first_seq + count - 1
        self.next_seq[stream] = max(self.next_seq[stream], last_seq + 1)
        if last_seq <= seen:
            assert result.outcome is StoreOutcome.RESENT
            return
        assert result.outcome is StoreOutcome.STORED
        assert result.entry is not None
        assert result.entry.raw is not None
        fresh = max(first_seq, seen + 1)
        assert result.first_offset == self.model.store(stream, fresh, last_seq + 1 - fresh, is_journaled, priority)
        if is_journaled:
            record = queue_records.encode_store(result.first_offset, result.entry.raw)
            self.state.storage.placed(result.first_offset, self.journal(Kind.STORE, *record))

    # ---- consumers ----

    @rule(session=SESSIONS, number=st.integers(1, 2), prefetch=st.integers(1, 6), auto_ack=st.booleans())
    def add_consumer(self, session: int, number: int, prefetch: int, auto_ack: bool) -> None:
        if (session, number) not in self.prefetch:
            self.state.add_consumer(session, number, CLIENT, "program", prefetch, auto_ack)
            self.prefetch[session, number] = None if auto_ack else prefetch

    @rule(name=NAMES)
    @precondition(lambda self: self.prefetch)
    def remove_consumer(self, name: Holder) -> None:
        requeued = self.state.remove_consumer(*name)
        assert spread(requeued) == self.model.held(name)
        self.model.release(spread(requeued))
        self.prefetch.pop(name, None)

    @rule(session=SESSIONS)
    @precondition(lambda self: self.prefetch)
    def remove_session(self, session: int) -> None:
        requeued = spread(self.state.remove_session(session).requeued)
        assert requeued == sorted(o for number in range(3) for o in self.model.held((session, number)))
        self.model.release(requeued)
        self.paused.discard(session)
        for name in [name for name in self.prefetch if name[0] == session]:
            del self.prefetch[name]

    @rule(session=SESSIONS, is_paused=st.booleans())
    def pause(self, session: int, is_paused: bool) -> None:
        self.state.pause(session, is_paused=is_paused)
        (self.paused.add if is_paused else self.paused.discard)(session)

    # ---- messages go out ----

    @rule(stream=st.integers(1, 2), batches=st.lists(st.tuples(st.integers(1, 5), PRIORITIES), min_size=1, max_size=4))
    def store_and_dispatch(self, stream: int, batches: list[tuple[int, int]]) -> None:
        """A round as a busy queue has them."""
        for count, priority in batches:
            self.store(stream, count, True, priority)
        self.dispatch()

    @rule()
    def dispatch(self) -> None:
        deliveries = self.state.dispatch()
        assert not self.paused & {delivery.session for delivery in deliveries}
        self.take_out(deliveries)
        hungry = [
            name
            for name, prefetch in self.prefetch.items()
            if name[0] not in self.paused and (prefetch is None or len(self.model.held(name)) < prefetch)
        ]
        assert not (self.model.ready() and hungry)

    @rule(session=SESSIONS, auto_ack=st.booleans())
    def get_one(self, session: int, auto_ack: bool) -> None:
        delivery = self.state.get_one(session, CLIENT, auto_ack)
        if delivery is None:
            assert not self.model.ready()
            return
        assert (delivery.session, delivery.consumer, delivery.count) == (session, 0, 1)
        assert delivery.settled == auto_ack
        self.take_out([delivery])

    def take_out(self, deliveries: list[Delivery]) -> None:
        """Check each delivery message by message, in order; then write down what a shell writes down."""
        delivered, settled = [], []
        for delivery in deliveries:
            offsets = range(delivery.first_offset, delivery.first_offset + delivery.count)
            name = (delivery.session, delivery.consumer)
            assert list(offsets) == self.model.ready()[: delivery.count]
            assert delivery.first_offset == delivery.entry.first_offset + delivery.start
            assert delivery.start + delivery.count <= delivery.entry.count
            self.model.deliver(offsets, name)
            assert {self.model.messages[offset].times for offset in offsets} == {delivery.attempt}
            prefetch = self.prefetch.get(name)
            assert prefetch is None or len(self.model.held(name)) <= prefetch
            pair = (offsets[0], offsets[-1])
            if delivery.entry.position is not None:
                delivered.append(pair)
            if delivery.settled:
                self.model.settle(list(offsets))
                settled.append(pair)
        self.journal_ranges(Kind.DELIVERED, delivered)
        self.journal_ranges(Kind.SETTLED, settled)

    @rule(
        data=st.data(),
        outcome=st.sampled_from(Outcome),
        requeue=st.booleans(),
        wanted=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 6)), min_size=1, max_size=4),
    )
    def settle(self, data: st.DataObject, outcome: Outcome, requeue: bool, wanted: list[tuple[int, int]]) -> None:
        """Any ranges near what is held, overlapping or stale as they come; at times by somebody who holds nothing."""
        holders = sorted({message.holder for message in self.model.messages.values() if message.holder})
        name = data.draw(st.sampled_from(holders) | NAMES if holders else NAMES, label="holder")
        lowest = min(self.model.held(name) or self.model.messages, default=1)
        pairs = [(lowest + start, lowest + start + length) for start, length in wanted]
        mine = sorted(set(spread(pairs)) & set(self.model.held(name)))
        result = self.state.settle(*name, outcome, [offset for pair in pairs for offset in pair], requeue)
        assert result.unknown == len(spread(pairs)) - len(mine)
        if result.fate is None:
            assert outcome is Outcome.ACK
            assert sorted(spread(result.settled)) == mine
            self.model.settle(mine)
            self.journal_ranges(Kind.SETTLED, result.settled)
            return
        assert not result.settled
        assert not result.fate.leaving
        if outcome is Outcome.RELEASE or (outcome is Outcome.NACK and requeue):
            assert sorted(spread(result.fate.requeued)) == mine
            self.model.release(mine)
            return
        assert sorted(spread(result.fate.gone)) == mine
        self.model.settle(mine)
        self.journal_ranges(Kind.REJECTED, result.fate.gone)

    @rule()
    @precondition(lambda self: len(self.model.ready()) > 4)
    def purge(self) -> None:
        purged = self.state.purge()
        assert spread(purged) == sorted(self.model.ready())
        self.model.settle(spread(purged))
        self.journal_ranges(Kind.PURGED, purged)

    # ---- the journal ----

    @rule()
    def sync(self) -> None:
        """From here a crash loses nothing of what was written so far."""
        self.synced_to = len(self.everything)
        self.synced_model = copy.deepcopy(self.model.after_crash())

    @rule()
    def rotate(self) -> None:
        """A new segment: a mark at its head, then copies of what is old and alive; older records go."""
        head = self.journal(Kind.MARK, queue_records.encode_mark(self.state.storage.mark()))
        for entry in self.state.storage.entries_below(head):
            assert entry.raw is not None
            moved = queue_records.encode_moved(entry.first_offset, self.state.storage.live_ranges(entry), entry.raw)
            self.state.storage.placed(entry.first_offset, self.journal(Kind.MOVED, *moved))
        lowest = self.state.storage.lowest_position()
        assert lowest is None or lowest > head
        # Nothing may be deleted before its copy is safe.
        self.sync()
        self.records = [record for record in self.records if record[0] >= head]

    @rule(limit_bytes=st.integers(0, 400))
    def shed_and_read_back(self, limit_bytes: int) -> None:
        """Memory is bounded by what the journal holds, and what comes back from it is the same."""
        self.state.storage.shed(limit_bytes)
        entries = {piece.entry.first_offset: piece.entry for piece in self.state.peek(10_000)}.values()
        in_memory = [entry for entry in entries if entry.raw is not None]
        assert self.state.storage.bytes_in_memory == sum(entry.footprint for entry in in_memory)
        assert self.state.storage.bytes_in_memory <= limit_bytes or all(e.position is None for e in in_memory)
        payloads = {position: payload for position, _, payload in self.records}
        for entry in entries:
            if entry.raw is None:
                assert entry.position is not None
                raw = memoryview(payloads[entry.position])[-entry.size :]
                batch = messages.decode(raw)
                assert isinstance(batch, Batch)
                self.state.storage.restore(entry, batch, raw)

    @rule()
    def trim_equals_the_whole(self) -> None:
        """Replay of what trims left equals replay of everything ever written, also when it comes twice."""
        short, whole = rebuilt(self.spec, self.records), rebuilt(self.spec, self.everything)
        assert contents(short) == contents(whole)
        lowest = self.state.storage.lowest_position()
        assert short.storage.lowest_position() == whole.storage.lowest_position() == lowest
        assert short.storage.mark() == whole.storage.mark()
        assert short.info() == whole.info()
        one_by_one(self.spec, self.everything, whole)
        for position, kind, payload in self.records:
            short.replay.record(position, kind, payload)
        assert contents(short) == contents(whole)
        assert short.info() == whole.info()

    @rule()
    @precondition(lambda self: len(self.records) > 3)
    def crash(self) -> None:
        """The process is gone, and every consumer with it; all that was written is found again."""
        self.state = rebuilt(self.spec, self.records)
        self.model = self.model.after_crash()
        self.settle_numbers()

    @precondition(lambda self: hasattr(self, "synced_to"))
    @rule(data=st.data())
    def power_loss(self, data: st.DataObject) -> None:
        """Some of what was not synced is lost. With all of it lost, the queue is as it was at the sync."""
        kept = data.draw(st.integers(self.synced_to, len(self.everything)), label="records kept")
        gone = {position for position, _, _ in self.everything[kept:]}
        self.records = [record for record in self.records if record[0] not in gone]
        self.everything = self.everything[:kept]
        self.state = rebuilt(self.spec, self.records)
        self.model = (
            self.synced_model if kept == self.synced_to else model_of(self.everything, has_priority=self.spec.priority)
        )
        self.settle_numbers()

    def settle_numbers(self) -> None:
        """What a restart may forget: numbers used only by what was in no journal, or not synced."""
        self.prefetch.clear()
        self.paused.clear()
        mark = self.state.storage.mark()
        self.model.next_offset = mark.next_offset
        self.model.streams = dict(zip(mark.streams[::2], mark.streams[1::2], strict=True))
        assert self.model.next_offset > max(self.model.messages, default=0)
        for message in self.model.messages.values():
            assert self.model.streams[message.stream] >= message.seq
        if hasattr(self, "synced_to"):
            del self.synced_to

    # ---- what always holds ----

    @invariant()
    def every_message_is_in_exactly_one_place(self) -> None:
        expected = {
            offset: (message.times + (message.holder is None), sample_body(message.stream, message.seq))
            for offset, message in sorted(self.model.messages.items())
        }
        assert contents(self.state) == expected

    @invariant()
    def the_counts_are_true(self) -> None:
        info = self.state.info()
        assert info.ready == len(self.model.ready())
        ready = [self.model.messages[offset].priority for offset in self.model.ready()]
        assert info.ready_by_priority == (tuple(map(ready.count, range(10))) if self.spec.priority else ())
        shown = [offset for piece in self.state.peek(10_000) for offset in offsets_of(piece)]
        assert not self.spec.priority or shown[: len(ready)] == self.model.ready()
        assert info.ready + info.unacked == len(self.model.messages)
        assert info.bytes == 8 * len(self.model.messages)
        assert info.consumers == len(self.prefetch)
        assert {(c.consumer, c.unacked) for c in self.state.consumers()} == {
            (name[1], len(self.model.held(name))) for name in self.prefetch
        }

    @invariant()
    def batches_know_what_lives_of_them(self) -> None:
        alive: dict[int, int] = {}
        pieces: dict[int, Any] = {}
        for piece in self.state.peek(10_000):
            pieces[piece.entry.first_offset] = piece.entry
        for offset, message in self.model.messages.items():
            entry = pieces[message.first_offset]
            alive[message.first_offset] = alive.get(message.first_offset, 0) + 1
            assert entry.first_offset <= offset <= entry.last_offset
        for first_offset, entry in pieces.items():
            flat = self.state.storage.live_ranges(entry)
            assert entry.live == alive[first_offset]
            assert [
                (offset, times)
                for first, last, times in zip(flat[::3], flat[1::3], flat[2::3], strict=True)
                for offset in range(first, last + 1)
            ] == [
                (offset, message.times)
                for offset, message in sorted(self.model.messages.items())
                if message.first_offset == first_offset
            ]
        positions = [entry.position for entry in pieces.values() if entry.position is not None]
        assert self.state.storage.lowest_position() == min(positions, default=None)
        assert self.state.storage.bytes_in_memory == sum(entry.footprint for entry in pieces.values())


class PriorityQueueMachine(QueueMachine):
    """The same facts in a queue that heeds priorities."""

    spec = WITH_PRIORITIES


TestQueue = QueueMachine.TestCase
TestQueue.settings = settings(deadline=None, max_examples=250, stateful_step_count=40)
TestPriorityQueue = PriorityQueueMachine.TestCase
TestPriorityQueue.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
