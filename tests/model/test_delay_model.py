"""The delay scheduler's core beside a dictionary: whatever is taken in, changed and crashed, the same is due next."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.actors import delay_ledger, timetable
from posthouse.actors.delay_ledger import BURYING, FAILED, FIRING
from posthouse.actors.delay_moves import Move
from tests.support.delay_samples import NOW_MS, Desk, delayed_batch, waiting

HOUR = 3_600_000
delays = st.one_of(st.integers(1, 50), st.integers(1, 20_000), st.integers(1, 12 * HOUR), st.integers(1, 50_000 * HOUR))


class DelayMachine(RuleBasedStateMachine):
    """`expected`: id → due for all that waits, FAILED, FIRING, BURYING."""

    def __init__(self) -> None:
        super().__init__()
        self.desk = Desk()
        self.now = 0
        self.expected: dict[int, int] = {}
        self.keys: dict[str, int] = {}
        self.earlier: dict[int, list[int]] = {}
        self.moves: list[Move] = []
        self.burials: dict[int, list[int]] = {}
        self.next_seq = 1
        self.next_id = 1

    @rule(after=st.lists(delays, min_size=1, max_size=40), exchange=st.sampled_from(["a", "b"]))
    def store(self, after: list[int], exchange: str) -> None:
        dues = [self.now + delay for delay in after]
        batch = delayed_batch(*dues, first_seq=self.next_seq, exchange=exchange)
        self.next_seq += len(dues)
        assert self.desk.store(batch, NOW_MS + self.now) == self.next_id
        for due in dues:
            self.expected[self.next_id] = NOW_MS + due
            self.next_id += 1

    @rule(after=delays, key=st.sampled_from(["k", "l"]))
    def upsert(self, after: int, key: str) -> None:
        batch = delayed_batch(self.now + after, first_seq=self.next_seq, key=key)
        self.next_seq += 1
        self.desk.store(batch, NOW_MS + self.now)
        before = self.keys.get(key, 0)
        if self.expected.get(before, FIRING) not in (FIRING, BURYING):
            del self.expected[before]
        self.keys[key] = self.next_id
        self.expected[self.next_id] = NOW_MS + self.now + after
        self.next_id += 1

    @precondition(lambda self: any(due not in (FIRING, BURYING) for due in self.expected.values()))
    @rule(data=st.data(), after=st.none() | delays)
    def change(self, data: Any, after: int | None) -> None:
        changeable = sorted(one for one, due in self.expected.items() if due not in (FIRING, BURYING))
        message_id = data.draw(st.sampled_from(changeable))
        if after is None:
            self.desk.cancel(message_id)
            del self.expected[message_id]
        else:
            self.earlier.setdefault(message_id, []).append(self.expected[message_id])
            self.desk.reschedule(message_id, NOW_MS + self.now + after)
            self.expected[message_id] = NOW_MS + self.now + after

    @precondition(lambda self: self.earlier)
    @rule(data=st.data())
    def change_back(self, data: Any) -> None:
        """To a time that the message had before, be it past: its old entry may still stand there."""
        message_id = data.draw(st.sampled_from(sorted(self.earlier)))
        due = data.draw(st.sampled_from(self.earlier[message_id]))
        before = self.expected.get(message_id, FIRING)
        if before not in (FIRING, BURYING) and due > 0:
            self.earlier[message_id].append(before)
            self.desk.reschedule(message_id, due)
            self.expected[message_id] = due

    @rule(passed=st.one_of(st.integers(0, 100), delays), count_max=st.integers(1, 30), lines_up=st.booleans())
    def time_passes(self, passed: int, count_max: int, lines_up: bool) -> None:
        self.now += passed
        now_ms = NOW_MS + self.now
        state = self.desk.state
        if lines_up:
            state.line_up(now_ms + 8_192, 16, 40)
        due = sorted((due, message_id) for message_id, due in self.expected.items() if 0 < due <= now_ms)
        taken = state.take_due(now_ms, count_max)
        assert [(due_ms, message_id) for message_id, due_ms in taken] == due[:count_max]
        for exchange in {state.ledger.place(message_id).exchange for message_id, _ in taken}:
            ids = [message_id for message_id, _ in taken if state.ledger.place(message_id).exchange == exchange]
            self.moves.append(self.desk.announce(ids, now_ms))
            self.expected.update(dict.fromkeys(ids, FIRING))

    @precondition(lambda self: self.moves)
    @rule(which=st.integers(0, 1_000), end=st.sampled_from(["fired", "failed", "returned"]), after=delays)
    def move_ends(self, which: int, end: str, after: int) -> None:
        move = self.moves.pop(which % len(self.moves))
        if end == "fired":
            self.desk.fired(move)
        elif end == "failed":
            self.desk.failed(move)
        else:
            self.desk.returned(move, NOW_MS + self.now + after)
        for message_id in move.ids:
            if end == "fired":
                del self.expected[message_id]
            else:
                self.expected[message_id] = FAILED if end == "failed" else NOW_MS + self.now + after

    @precondition(lambda self: FAILED in self.expected.values())
    @rule(count=st.integers(1, 5))
    def set_out_for_the_dead_letters(self, count: int) -> None:
        ids = [message_id for message_id, due in self.expected.items() if due == FAILED][:count]
        self.burials[self.desk.bury(ids)] = ids
        self.expected.update(dict.fromkeys(ids, BURYING))

    @precondition(lambda self: self.burials)
    @rule(which=st.integers(0, 1_000))
    def arrive_there(self, which: int) -> None:
        first_seq = sorted(self.burials)[which % len(self.burials)]
        self.desk.buried(first_seq)
        for message_id in self.burials.pop(first_seq):
            del self.expected[message_id]

    @rule(repeats=st.integers(1, 2))
    def crash(self, repeats: int) -> None:
        state = self.desk.restart(repeats=repeats)
        assert sorted(move.key for move in state.contents.moves) == sorted(move.key for move in self.moves)
        intents = {intent.first_seq: intent.item.ids for intent in state.contents.burials.intents()}
        assert intents == self.burials
        self.moves = [found for move in self.moves if (found := state.contents.moves.get(*move.key)) is not None]

    @invariant()
    def the_same_is_there(self) -> None:
        state = self.desk.state
        assert waiting(state) == self.expected
        assert state.ledger.live == len(self.expected)
        assert state.ledger.failed == sum(1 for due in self.expected.values() if due in (FAILED, BURYING))
        assert state.ledger.firing == sum(1 for due in self.expected.values() if due == FIRING)

    @invariant()
    def the_list_is_in_order(self) -> None:
        shown = [(due, one) for one, due in self.desk.state.in_order(None) if self.expected[one] > 0]
        assert shown == sorted((due, one) for one, due in self.expected.items() if due > 0)

    @invariant()
    def nobody_wakes_too_late(self) -> None:
        due = [due for due in self.expected.values() if due > 0]
        next_due = self.desk.state.next_due()
        assert 0 < next_due <= min(due) if due else next_due == 0


TestDelayScheduler = DelayMachine.TestCase
TestDelayScheduler.settings = settings(deadline=None, max_examples=60, stateful_step_count=40)


def test_the_machine_meets_pages_that_are_joined_and_buckets_whose_gaps_are_closed() -> None:
    """With the sizes of the product a machine of forty steps would see neither; the constants are small numbers."""
    assert delay_ledger.PAGE_ENTRIES_MAX == 1_024
    assert timetable.STALE_MIN == 64
