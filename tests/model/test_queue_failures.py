"""Failing deliveries beside a naive model: retries, deaths, moves, restarts and trims of the journal, in every order.

The model knows of each message where it is: ready, held, waiting until a time, or leaving under a number. What the core
answers is journaled as the shell does, and a restart reads it back. Once without a breaker and once with one: when it
is open is asked of a breaker of the model's own, what follows for each message is spelled out here.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.actors import queue_records
from posthouse.actors.breaker import Breaker
from posthouse.actors.queue_failures import Fate
from posthouse.actors.queue_history import Failure
from posthouse.actors.queue_records import ExpiresRecord, Kind, LeavingRecord
from posthouse.actors.queue_state import QueueState
from posthouse.actors.retry import delay_ms
from posthouse.actors.stored_batch import Bytes
from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.messages import Outcome, QueueSpec
from tests.support.queue_samples import sample_batch

POLICY = RetrySpec(max_attempts=3, first_delay_ms=100, jitter=False)
SPEC = QueueSpec(name="ewr", retry=POLICY, ttl_ms=5_000)
BREAKER = BreakerSpec(window=3, failure_share=0.6, probe_after_ms=40, max_probe_after_ms=150)
WITH_BREAKER = QueueSpec(name="ewr", retry=POLICY, ttl_ms=5_000, breaker=BREAKER)
STREAM = 77


@dataclass
class Known:
    """One message as the model sees it."""

    place: str = "ready"
    times: int = 0
    excused: int = 0
    due_ms: int = 0
    expires_ms: int = 0


class FailureMachine(RuleBasedStateMachine):
    """One consumer, one clock, one journal."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = 0
        self.state = QueueState(self.spec)
        self.breaker = None if self.spec.breaker is None else Breaker(self.spec.breaker)
        self.state.outbox.stream = STREAM
        self.model: dict[int, Known] = {}
        self.moved: set[int] = set()
        self.records: list[tuple[int, int, bytes]] = []
        self.position = 0
        self.next_seq = 1
        self.state.add_consumer(1, 1, 1, "program", 100)

    def journal(self, kind: int, *parts: Bytes) -> int:
        self.position += 1
        self.records.append((self.position, int(kind), b"".join(parts)))
        return self.position

    def carry_out(self, kind: Kind, fate: Fate) -> None:
        assert not fate.gone
        for retry in fate.retries:
            told = queue_records.encode_retry(retry.due_ms, (retry.attempt,), retry.ranges, retry.excused)
            self.journal(Kind.RETRY, told)
        for intent in fate.leaving:
            first, last, death = intent.item
            record = LeavingRecord(STREAM, intent.first_seq, first, last, death)
            self.journal(Kind.LEAVING, queue_records.encode_leaving(record))

    @rule(count=st.integers(1, 4))
    def store(self, count: int) -> None:
        batch, raw = sample_batch(count, self.next_seq)
        self.next_seq += count
        result = self.state.store(batch, raw, self.now_ms)
        assert result.entry is not None
        assert result.expires_ms is not None
        self.state.storage.placed(
            result.first_offset, self.journal(Kind.STORE, *queue_records.encode_store(result.first_offset, raw))
        )
        expires = ExpiresRecord(result.expires_ms, result.entry.first_offset, result.entry.last_offset)
        self.journal(Kind.EXPIRES, queue_records.encode_expires(expires))
        for offset in range(result.entry.first_offset, result.entry.last_offset + 1):
            self.model[offset] = Known(expires_ms=self.now_ms + 5_000)

    @rule()
    def dispatch(self) -> None:
        deliveries = self.state.dispatch(self.now_ms)
        if self.breaker is not None and not self.breaker.is_closed:
            assert len(deliveries) == (self.breaker.may_deliver and self.state.info().ready + len(deliveries) > 0)
            for delivery in deliveries:
                self.breaker.probed(delivery.first_offset, self.now_ms)
        for delivery in deliveries:
            last = delivery.first_offset + delivery.count - 1
            for offset in range(delivery.first_offset, last + 1):
                known = self.model[offset]
                assert known.place == "ready"
                known.place, known.times = "held", known.times + 1
                assert known.times == delivery.attempt
            self.journal(Kind.DELIVERED, queue_records.encode_ranges([(delivery.first_offset, last)]))

    def held(self) -> list[int]:
        return sorted(offset for offset, known in self.model.items() if known.place == "held")

    def is_excused(self, offsets: list[int]) -> bool:
        """Their attempts failed: does it count?"""
        return self.breaker is not None and self.breaker.failed([(offset, offset) for offset in offsets], self.now_ms)

    def failed(self, known: Known, is_excused: bool) -> bool:
        """One attempt of a message failed. True if it was the last."""
        if not is_excused:
            return known.times - known.excused >= POLICY.max_attempts
        known.excused += 1
        return False

    def returned(self, offset: int, due_ms: int) -> None:
        known = self.model[offset]
        known.place, known.due_ms = ("waiting", due_ms) if due_ms > self.now_ms else ("ready", 0)

    @rule(data=st.data(), outcome=st.sampled_from(Outcome), wish_ms=st.sampled_from([None, 0, 40]))
    @precondition(lambda self: self.held())
    def settle(self, data: st.DataObject, outcome: Outcome, wish_ms: int | None) -> None:
        first = data.draw(st.sampled_from(self.held()))
        last = first + data.draw(st.integers(0, 3))
        mine = [offset for offset in self.held() if first <= offset <= last]
        failure = Failure(self.now_ms, retry_after_ms=wish_ms, error={"type": "ValueError"})
        result = self.state.settle(1, 1, outcome, [first, last], True, failure)
        if outcome is Outcome.ACK:
            self.journal(Kind.SETTLED, queue_records.encode_ranges(result.settled))
            if self.breaker is not None:
                self.breaker.succeeded([(offset, offset) for offset in mine])
            for offset in mine:
                del self.model[offset]
            return
        assert result.fate is not None
        if self.breaker is not None and outcome is Outcome.RELEASE:
            self.breaker.returned([(offset, offset) for offset in mine])
        is_excused = outcome is not Outcome.RELEASE and self.is_excused(mine)
        for offset in mine:
            known = self.model[offset]
            if outcome is Outcome.RELEASE:
                known.place = "ready"
            elif outcome is Outcome.REJECT or self.failed(known, is_excused):
                known.place = "leaving"
            else:
                counted = max(1, known.times - known.excused)
                pause_ms = delay_ms(POLICY, counted, 0.0) if wish_ms is None else wish_ms
                self.returned(offset, self.now_ms + pause_ms)
        self.carry_out(Kind.REJECTED, result.fate)

    @rule()
    @precondition(lambda self: self.held())
    def consumer_dies(self) -> None:
        mine = self.held()
        fate = self.state.remove_session(1, Failure(self.now_ms, "consumer_gone"))
        is_excused = self.is_excused(mine)
        for offset in mine:
            known = self.model[offset]
            known.place = "leaving" if self.failed(known, is_excused) else "ready"
        self.carry_out(Kind.REJECTED, fate)
        self.state.add_consumer(1, 1, 1, "program", 100)

    @rule(duration_ms=st.sampled_from([1, 50, 150, 1_000, 6_000]))
    def time_passes(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    @rule()
    def look_at_the_clock(self) -> None:
        if self.breaker is not None:
            self.breaker.pass_time(self.now_ms)
        for kind, fate in self.state.pass_time(self.now_ms, 0.0):
            self.carry_out(kind, fate)
        for known in self.model.values():
            if known.place == "waiting" and known.due_ms <= self.now_ms:
                known.place = "ready"
            if known.place in ("ready", "waiting") and known.expires_ms <= self.now_ms:
                known.place = "leaving"

    @rule(takes=st.lists(st.booleans(), min_size=1, max_size=6))
    def the_store_answers(self, takes: list[bool]) -> None:
        """Takes some, and refuses all that follows the first refusal."""
        sent = [intent for intent in (self.state.outbox.take() for _ in takes) if intent is not None]
        is_full = False
        for intent, is_taken in zip(sent, takes, strict=False):
            is_full = is_full or not is_taken
            if is_full:
                self.state.outbox.refused(intent.first_seq)
            if self.state.outbox.answered(intent):
                self.state.left(intent)
                self.journal(Kind.LEFT, queue_records.encode_ranges([(intent.item.first, intent.item.last)]))
                for offset in range(intent.item.first, intent.item.last + 1):
                    assert self.model.pop(offset).place == "leaving"
                    assert offset not in self.moved, "moved twice"
                    self.moved.add(offset)
            else:
                assert is_full

    @rule()
    def restart(self) -> None:
        """Whoever held something is gone; all else is where it was."""
        before = {intent.first_seq: intent.item for intent in self.state.outbox.intents()}
        self.state = QueueState(self.spec)
        self.breaker = None if self.spec.breaker is None else Breaker(self.spec.breaker)
        for record in self.records:
            self.state.replay.record(*record)
        self.state.replay.finish()
        self.state.outbox.stream = STREAM
        assert {intent.first_seq: intent.item for intent in self.state.outbox.intents()} == before
        for known in self.model.values():
            if known.place == "held":
                known.place = "ready"
        self.state.add_consumer(1, 1, 1, "program", 100)
        # As the first round of a life does: what came back before it waits again until somebody looks at the clock.
        self.look_at_the_clock()

    @rule()
    def rotate(self) -> None:
        """A new segment; everything old that lives is copied forward, and the old segments go."""
        head = self.journal(Kind.MARK, queue_records.encode_mark(self.state.storage.mark()))
        for entry in self.state.storage.entries_below(head):
            assert entry.raw is not None
            live = self.state.storage.live_ranges(entry)
            position = self.journal(Kind.MOVED, *queue_records.encode_moved(entry.first_offset, live, entry.raw))
            self.state.storage.placed(entry.first_offset, position)
            for kind, payload in self.state.storage.restated(entry.first_offset, entry.last_offset):
                self.journal(kind, payload)
        self.records = [record for record in self.records if record[0] >= head]

    @invariant()
    def everything_is_in_one_place(self) -> None:
        places = [known.place for known in self.model.values()]
        info = self.state.info()
        assert (info.ready, info.unacked, info.waiting, info.leaving) == tuple(
            places.count(place) for place in ("ready", "held", "waiting", "leaving")
        )
        seen = {
            piece.first_offset + index for piece in self.state.peek(10_000) for index in range(piece.stop - piece.start)
        }
        assert seen == set(self.model)

    @invariant()
    def excuses_are_remembered(self) -> None:
        histories = self.state._contents.histories
        for offset, known in self.model.items():
            if known.place != "leaving":
                assert histories.excused(offset, offset) == [(offset, offset, known.excused)]


class OutageMachine(FailureMachine):
    """The same facts in a queue with a breaker."""

    spec = WITH_BREAKER


TestFailures = FailureMachine.TestCase
TestFailures.settings = settings(deadline=None, max_examples=150, stateful_step_count=40)
TestOutages = OutageMachine.TestCase
TestOutages.settings = settings(deadline=None, max_examples=200, stateful_step_count=50)
