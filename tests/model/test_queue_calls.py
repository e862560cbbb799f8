"""Calls beside plain messages in one queue, against a model that looks at every message for itself.

The model knows each message's deadline, who holds it, and how often it was delivered. What the queue hands out, drops
and counts must be the same whatever the order of stores, deliveries, returns and time.
"""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.actors.queue_effects import StoreOutcome
from posthouse.actors.queue_state import QueueState
from posthouse.transport.errors import NoResponders
from posthouse.transport.messages import Outcome, QueueSpec
from tests.support.queue_samples import sample_batch, sample_consumer


@dataclass
class Copy:
    """One living message."""

    deadline_ms: int | None
    holder: int = 0
    times: int = 0

    def is_late(self, now_ms: int) -> bool:
        return self.deadline_ms is not None and self.deadline_ms <= now_ms


class QueueWithCalls(RuleBasedStateMachine):
    """Sessions 1 to 3 may consume, each with its consumer 1."""

    @initialize()
    def begin(self) -> None:
        self.state = QueueState(QueueSpec(name="q"))
        self.now_ms = 0
        self.next_seq = 1
        self.next_offset = 1
        self.late = 0
        self.sessions: set[int] = set()
        self.living: dict[int, Copy] = {}

    @rule(count=st.integers(1, 4), in_ms=st.none() | st.integers(-5, 40))
    def store(self, count: int, in_ms: int | None) -> None:
        deadline_ms = None if in_ms is None else self.now_ms + in_ms
        batch, raw = sample_batch(count, self.next_seq, deadline_ms=deadline_ms)
        is_late = deadline_ms is not None and deadline_ms <= self.now_ms
        try:
            outcome = self.state.store(batch, raw, self.now_ms).outcome
        except NoResponders:
            assert deadline_ms is not None
            assert not is_late
            assert not self.sessions
            return
        self.next_seq += count
        if is_late:
            assert outcome is StoreOutcome.LATE
            self.late += count
            return
        assert outcome is StoreOutcome.STORED
        assert deadline_ms is None or self.sessions
        for _ in range(count):
            self.living[self.next_offset] = Copy(deadline_ms)
            self.next_offset += 1

    @rule(session=st.integers(1, 3), prefetch=st.integers(1, 6))
    def open(self, session: int, prefetch: int) -> None:
        if session not in self.sessions:
            sample_consumer(self.state, session=session, prefetch=prefetch)
            self.sessions.add(session)

    @rule(session=st.integers(1, 3))
    def leave(self, session: int) -> None:
        self.state.remove_session(session)
        self.sessions.discard(session)
        for copy in self.living.values():
            if copy.holder == session:
                copy.holder = 0

    @rule(duration_ms=st.integers(1, 30))
    def wait(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    @rule()
    def hand_out(self) -> None:
        """As the shell does in every round: what is late goes first."""
        dropped = {offset for first, last in self.state.drop_late(self.now_ms) for offset in range(first, last + 1)}
        late = {at for at, copy in self.living.items() if not copy.holder and copy.is_late(self.now_ms)}
        assert dropped == late
        for offset in dropped:
            del self.living[offset]
        self.late += len(dropped)
        for delivery in self.state.dispatch():
            for offset in range(delivery.first_offset, delivery.first_offset + delivery.count):
                copy = self.living[offset]
                assert not copy.holder
                assert not copy.is_late(self.now_ms)
                copy.holder = delivery.session
                copy.times += 1
                assert delivery.attempt == copy.times

    @rule(session=st.integers(1, 3), how=st.sampled_from([Outcome.ACK, Outcome.NACK]), share=st.integers(1, 3))
    def settle(self, session: int, how: Outcome, share: int) -> None:
        held = [offset for offset, copy in self.living.items() if copy.holder == session][::share]
        if held:
            self.state.settle(session, 1, how, [number for offset in held for number in (offset, offset)])
        for offset in held:
            if how is Outcome.ACK:
                del self.living[offset]
            else:
                self.living[offset].holder = 0

    @invariant()
    def counts_are_those_of_the_model(self) -> None:
        if not hasattr(self, "state"):
            return
        info = self.state.info()
        assert info.ready == sum(1 for copy in self.living.values() if not copy.holder)
        assert info.unacked == sum(1 for copy in self.living.values() if copy.holder)
        assert info.late_calls == self.late


TestQueueWithCalls = QueueWithCalls.TestCase
