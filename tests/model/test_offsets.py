"""The range map beside a plain dictionary of single offsets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from posthouse.actors import offsets
from posthouse.actors.offsets import RangeMap

OFFSETS = st.integers(1, 60)
LENGTHS = st.integers(0, 12)
VALUES = st.sampled_from([0, 1, (1, 2)])

Value = int | tuple[int, int]


class RangeMapMachine(RuleBasedStateMachine):
    """Every call on both; the invariant compares all that can be seen."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges: RangeMap[Value] = RangeMap()
        self.model: dict[int, Value] = {}

    @initialize(spent_max=st.sampled_from([0, 2, 512]))
    def choose_when_to_tidy(self, spent_max: int) -> None:
        self.spent_max, offsets._SPENT_MAX = offsets._SPENT_MAX, spent_max  # type: ignore[misc]

    def teardown(self) -> None:
        if hasattr(self, "spent_max"):
            offsets._SPENT_MAX = self.spent_max  # type: ignore[misc]

    @rule(first=OFFSETS, length=LENGTHS, value=VALUES)
    def put(self, first: int, length: int, value: Value) -> None:
        self.ranges.put(first, first + length, value)
        self.model.update(dict.fromkeys(range(first, first + length + 1), value))

    @rule(length=LENGTHS, value=VALUES)
    def put_at_the_end(self, length: int, value: Value) -> None:
        self.put(max(self.model, default=0) + 1, length, value)

    @rule(first=OFFSETS, length=LENGTHS)
    def take(self, first: int, length: int) -> None:
        taken = self.ranges.take(first, first + length)
        assert expanded(taken) == {
            offset: self.model.pop(offset) for offset in range(first, first + length + 1) if offset in self.model
        }

    @rule(count_max=st.integers(1, 8))
    def pop_first(self, count_max: int) -> None:
        popped = self.ranges.pop_first(count_max)
        if popped is None:
            assert not self.model
            return
        first, last, value = popped
        assert first == min(self.model)
        assert 1 <= last - first + 1 <= count_max
        for offset in range(first, last + 1):
            assert self.model.pop(offset) == value
        # It stopped because of the limit, a gap or another value; never for nothing.
        assert last - first + 1 == count_max or self.model.get(last + 1) != value

    @rule(first=OFFSETS, length=LENGTHS)
    def pieces(self, first: int, length: int) -> None:
        pieces = self.ranges.pieces(first, first + length)
        assert pieces == sorted(pieces, key=lambda piece: piece[0])
        assert expanded(pieces) == {o: v for o, v in self.model.items() if first <= o <= first + length}

    @rule()
    def clear(self) -> None:
        self.ranges.clear()
        self.model.clear()

    @invariant()
    def both_are_the_same(self) -> None:
        ranges = list(self.ranges)
        assert expanded(ranges) == self.model
        assert self.ranges.count == len(self.model)
        assert self.ranges.ranges == len(ranges)
        assert bool(self.ranges) == bool(self.model)
        for (_, last, value), (first, _, following) in pairwise(ranges):
            assert last < first
            assert last + 1 < first or value != following
        if ranges:
            assert self.ranges.first == min(self.model)


def expanded(ranges: list[tuple[int, int, Value]]) -> dict[int, Value]:
    """Ranges as single offsets."""
    return {offset: value for first, last, value in ranges for offset in range(first, last + 1)}


TestRangeMap = RangeMapMachine.TestCase
TestRangeMap.settings = settings(deadline=None, max_examples=120, stateful_step_count=40)
