"""Ready offsets by priority beside a dictionary, in every order of facts."""

from __future__ import annotations

from itertools import groupby

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.actors.queue_ready import LeastFirst, PriorityReady

RANGES = st.tuples(st.integers(0, 12), st.integers(0, 8))


class PriorityMachine(RuleBasedStateMachine):
    """Batches come in, are taken out at both ends and in the middle, and come back with other counts."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[tuple[int, int, int]] = []
        self.next_offset = 1
        self.ready = PriorityReady(self.batch_at)
        self.model: dict[int, int] = {}
        self.out: dict[int, int] = {}

    def batch_at(self, offset: int) -> tuple[int, int]:
        return next((last, priority) for first, last, priority in self.batches if first <= offset <= last)

    def priority(self, offset: int) -> int:
        return self.batch_at(offset)[1]

    def in_order(self) -> list[int]:
        """Offsets in the order in which they are to leave."""
        return sorted(self.model, key=lambda offset: (-self.priority(offset), offset))

    def dropped_first(self) -> list[int]:
        return sorted(self.model, key=lambda offset: (self.priority(offset), offset))

    @rule(count=st.integers(1, 5), priority=st.integers(0, 9) | st.integers(4, 5))
    def store(self, count: int, priority: int) -> None:
        last = self.next_offset + count - 1
        self.batches.append((self.next_offset, last, priority))
        self.ready.put(self.next_offset, last, 0)
        self.model.update(dict.fromkeys(range(self.next_offset, last + 1), 0))
        self.next_offset = last + 1

    @rule(count_max=st.integers(1, 6), is_dropped=st.booleans())
    def pop(self, count_max: int, is_dropped: bool) -> None:
        expected = self.dropped_first() if is_dropped else self.in_order()
        end = LeastFirst(self.ready) if is_dropped else self.ready
        assert end.count == len(expected)
        if not expected:
            assert end.pop_first(count_max) is None
            return
        assert end.first == expected[0]
        piece = end.pop_first(count_max)
        assert piece is not None
        offsets = list(range(piece[0], piece[1] + 1))
        assert len(offsets) <= count_max
        assert offsets == expected[: len(offsets)]
        self.remove(offsets, piece[2])

    def remove(self, offsets: list[int], times: int) -> None:
        for offset in offsets:
            assert self.model.pop(offset) == times
            self.out[offset] = times + 1

    @rule(wanted=RANGES)
    @precondition(lambda self: self.batches)
    def take(self, wanted: tuple[int, int]) -> None:
        first, last = wanted[0], wanted[0] + wanted[1]
        pieces = self.ready.pieces(first, last)
        taken = self.ready.take(first, last)
        assert taken == pieces
        assert [offset for low, high, _ in taken for offset in range(low, high + 1)] == sorted(
            offset for offset in self.model if first <= offset <= last
        )
        for low, high, times in taken:
            self.remove(list(range(low, high + 1)), times)

    @rule(wanted=RANGES)
    @precondition(lambda self: self.out)
    def come_back(self, wanted: tuple[int, int]) -> None:
        """Whole ranges over the borders of batches, as a consumer that leaves returns them."""
        lowest = min(self.out) + wanted[0]
        mine = [offset for offset in sorted(self.out) if lowest <= offset <= lowest + wanted[1]]
        for (_, times), run in groupby(enumerate(mine), key=lambda pair: (pair[1] - pair[0], self.out[pair[1]])):
            offsets = [offset for _, offset in run]
            self.ready.put(offsets[0], offsets[-1], times)
            self.model.update(dict.fromkeys(offsets, times))
        for offset in mine:
            del self.out[offset]

    @rule()
    @precondition(lambda self: len(self.model) > 8)
    def clear(self) -> None:
        self.ready.clear()
        self.model.clear()

    @invariant()
    def they_say_the_same(self) -> None:
        pieces = list(self.ready)
        assert [offset for first, last, _ in pieces for offset in range(first, last + 1)] == self.in_order()
        assert all(self.model[offset] == times for first, last, times in pieces for offset in (first, last))
        assert (self.ready.count, bool(self.ready)) == (len(self.model), bool(self.model))
        counts = [sum(self.priority(offset) == number for offset in self.model) for number in range(10)]
        assert list(self.ready.counts) == counts


TestPriorities = PriorityMachine.TestCase
TestPriorities.settings = settings(deadline=None, max_examples=200, stateful_step_count=40)
