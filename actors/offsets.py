"""Ranges of offsets, each with a value: the shape in which a queue knows what is ready and what is unacked.

A `RangeMap` keeps sorted, non-overlapping, inclusive ranges; neighbours with equal values are one range. Ten
million messages that nobody has touched are one range, and nothing here ever walks single offsets. Taking
from the front and putting at the end are amortised O(1), a change in the middle costs a binary search and a
`memmove`. It knows nothing of messages.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final, Generic, TypeVar, final

Value = TypeVar("Value")

_SPENT_MAX: Final = 512
"""Taken ranges kept before the head of the lists, at least; they go when they are also half of the lists."""


@final
class RangeMap(Generic[Value]):
    """Sorted ranges `first … last` with a value each. `count`, the number of offsets, is for reading only."""

    __slots__ = ("_firsts", "_head", "_lasts", "_values", "count")

    # Three lists side by side instead of one list of triples: bisect then compares plain integers, and a
    # range that shrinks is one assignment. What lies before `_head` was taken from the front and is not
    # there any more.
    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._values: list[Value] = []
        self._head = 0
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[tuple[int, int, Value]]:
        """Every range, lowest first. The map must not change meanwhile."""
        firsts, lasts, values = self._firsts, self._lasts, self._values
        for index in range(self._head, len(firsts)):
            yield firsts[index], lasts[index], values[index]

    @property
    def first(self) -> int:
        """The lowest offset. The map must not be empty."""
        return self._firsts[self._head]

    @property
    def ranges(self) -> int:
        """How many ranges the offsets form."""
        return len(self._firsts) - self._head

    def put(self, first: int, last: int, value: Value) -> None:
        """Give every offset of `first … last` this value, whatever it had before."""
        assert first <= last
        firsts, lasts, values = self._firsts, self._lasts, self._values
        if not firsts or first > lasts[-1]:
            if firsts and lasts[-1] + 1 == first and values[-1] == value:
                lasts[-1] = last
            else:
                firsts.append(first)
                lasts.append(last)
                values.append(value)
            self.count += last - first + 1
            return
        self.take(first, last)
        self._fit(first, last, value)
        self.count += last - first + 1

    def take(self, first: int, last: int) -> list[tuple[int, int, Value]]:
        """Remove what is there of `first … last` and return it; ranges that stick out are split."""
        firsts, lasts, values = self._firsts, self._lasts, self._values
        start, stop = self._overlap(first, last)
        if start == stop:
            return []
        if stop - start == 1 and first <= firsts[start] and lasts[start] <= last:
            taken = [(firsts[start], lasts[start], values[start])]
            self.count -= lasts[start] - firsts[start] + 1
            if start == self._head:
                self._advance()
            else:
                del firsts[start], lasts[start], values[start]
            return taken
        taken = list(zip(firsts[start:stop], lasts[start:stop], values[start:stop], strict=True))
        left: list[tuple[int, int, Value]] = []
        lowest, end, value = taken[0]
        if lowest < first:
            left.append((lowest, first - 1, value))
            taken[0] = (first, end, value)
        lowest, end, value = taken[-1]
        if end > last:
            left.append((last + 1, end, value))
            taken[-1] = (lowest, last, value)
        self._replace(start, stop, left)
        self.count -= _count(taken)
        return taken

    def pop_first(self, count_max: int) -> tuple[int, int, Value] | None:
        """Remove up to `count_max` offsets (at least 1) of the lowest range; None when there is none."""
        if not self.count:
            return None
        head = self._head
        first, last, value = self._firsts[head], self._lasts[head], self._values[head]
        if last - first < count_max:
            self._advance()
        else:
            last = first + count_max - 1
            self._firsts[head] = last + 1
        self.count -= last - first + 1
        return first, last, value

    def pieces(self, first: int, last: int) -> list[tuple[int, int, Value]]:
        """What is there of `first … last`, cut to those bounds. Changes nothing."""
        firsts, lasts, values = self._firsts, self._lasts, self._values
        start, stop = self._overlap(first, last)
        return [(max(first, firsts[index]), min(last, lasts[index]), values[index]) for index in range(start, stop)]

    def clear(self) -> None:
        """Remove everything."""
        self._firsts.clear()
        self._lasts.clear()
        self._values.clear()
        self._head = 0
        self.count = 0

    def _overlap(self, first: int, last: int) -> tuple[int, int]:
        """The indexes of the ranges that share an offset with `first … last`: from, up to."""
        # Ranges do not overlap, so their lasts are sorted as their firsts are.
        start = bisect_left(self._lasts, first, self._head)
        firsts = self._firsts
        if start == len(firsts) or firsts[start] > last:
            return start, start
        if self._lasts[start] >= last:
            return start, start + 1
        return start, bisect_right(firsts, last, start)

    def _fit(self, first: int, last: int, value: Value) -> None:
        """Insert a range where nothing is, joined with equal neighbours. The caller counts it."""
        firsts, lasts, values = self._firsts, self._lasts, self._values
        index = bisect_right(firsts, first, self._head)
        joins_left = index > self._head and lasts[index - 1] + 1 == first and values[index - 1] == value
        joins_right = index < len(firsts) and last + 1 == firsts[index] and values[index] == value
        if joins_left and joins_right:
            lasts[index - 1] = lasts[index]
            del firsts[index], lasts[index], values[index]
        elif joins_left:
            lasts[index - 1] = last
        elif joins_right:
            firsts[index] = first
        elif index == self._head > 0:
            # What a consumer returns usually belongs before everything that is ready: there is room.
            self._head -= 1
            firsts[index - 1], lasts[index - 1], values[index - 1] = first, last, value
        else:
            firsts.insert(index, first)
            lasts.insert(index, last)
            values.insert(index, value)

    def _replace(self, start: int, stop: int, ranges: list[tuple[int, int, Value]]) -> None:
        """Put `ranges` into the place of those with the indexes `start` up to `stop`."""
        self._firsts[start:stop] = [first for first, _, _ in ranges]
        self._lasts[start:stop] = [last for _, last, _ in ranges]
        self._values[start:stop] = [value for _, _, value in ranges]
        self._tidy()

    def _advance(self) -> None:
        """Drop the lowest range."""
        self._head += 1
        self._tidy()

    def _tidy(self) -> None:
        """Give back what lies before the head, when nothing follows or when it is half of the lists."""
        head, size = self._head, len(self._firsts)
        if head == size or (head > _SPENT_MAX and 2 * head > size):
            del self._firsts[:head], self._lasts[:head], self._values[:head]
            self._head = 0


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in ascending order with adjacent ones joined."""
    joined: list[tuple[int, int]] = []
    for first, last in ranges:
        if joined and joined[-1][1] + 1 == first:
            joined[-1] = (joined[-1][0], last)
        else:
            joined.append((first, last))
    return joined


def _count(ranges: Iterable[tuple[int, int, Value]]) -> int:
    return sum(last - first + 1 for first, last, _ in ranges)
