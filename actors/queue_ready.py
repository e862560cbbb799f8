"""What is ready in a queue with priorities: one set of offsets for each priority, in the shape of the one set.

`PriorityReady` stands where a plain queue has its `RangeMap`, so the queue's core does not know which it has. The first
offset is the lowest of the highest priority: higher leaves first, and within a priority the order is that of the
offsets. What comes back goes to its place within its priority. What leaves a queue that is too long goes from the other
end: the lowest offset of the lowest priority. A batch has one priority, and ranges are cut where it changes, so the
costs are per batch and per range. It must not know who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, final

from posthouse.actors.offsets import RangeMap
from posthouse.transport.limits import PRIORITIES

Piece: TypeAlias = tuple[int, int, int]
"""First offset, last offset, times delivered."""

BatchAt: TypeAlias = Callable[[int], tuple[int, int]]
"""The last offset and the priority of the batch that a living offset is in."""


@final
class PriorityReady:
    """Ready offsets by priority, with how often each was delivered. `count` is for reading only."""

    __slots__ = ("_batch_at", "_sets", "count")

    def __init__(self, batch_at: BatchAt) -> None:
        self._batch_at = batch_at
        self._sets: Final = tuple(RangeMap[int]() for _ in range(PRIORITIES))
        self.count = 0

    def __bool__(self) -> bool:
        return self.count > 0

    def __iter__(self) -> Iterator[Piece]:
        """Every range in the order in which it would leave. The sets must not change meanwhile."""
        for offsets in reversed(self._sets):
            yield from offsets

    @property
    def first(self) -> int:
        """The offset that leaves next. There must be one."""
        return self._highest().first

    @property
    def firsts(self) -> list[int]:
        """The lowest offset of each priority that has any."""
        return [offsets.first for offsets in self._sets if offsets.count]

    @property
    def counts(self) -> tuple[int, ...]:
        """How many there are of each priority, lowest priority first."""
        return tuple(offsets.count for offsets in self._sets)

    def put(self, first: int, last: int, times: int) -> None:
        """These living offsets are ready, each in the set of its batch's priority."""
        low = first
        while low <= last:
            end, priority = self._batch_at(low)
            high = end if end < last else last
            offsets = self._sets[priority]
            before = offsets.count
            offsets.put(low, high, times)
            self.count += offsets.count - before
            low = high + 1

    def take(self, first: int, last: int) -> list[Piece]:
        """Remove what is there of `first … last` and return it, lowest offset first."""
        taken: list[Piece] = []
        for offsets in self._sets:
            if offsets.count:
                taken += offsets.take(first, last)
        self.count -= sum(high - low + 1 for low, high, _ in taken)
        taken.sort()
        return taken

    def pop_first(self, count_max: int) -> Piece | None:
        """Remove up to `count_max` of what leaves next, of one priority; None when there is nothing."""
        return self._pop(self._highest(), count_max) if self.count else None

    def pieces(self, first: int, last: int) -> list[Piece]:
        """What is there of `first … last`, lowest offset first. Changes nothing."""
        return sorted(piece for offsets in self._sets for piece in offsets.pieces(first, last))

    def clear(self) -> None:
        """Remove everything."""
        for offsets in self._sets:
            offsets.clear()
        self.count = 0

    @property
    def least(self) -> int:
        """The offset that is dropped first where there are too many. There must be one."""
        return self._lowest().first

    def pop_least(self, count_max: int) -> Piece | None:
        """Remove up to `count_max` of what is dropped first, of one priority; None when there is nothing."""
        return self._pop(self._lowest(), count_max) if self.count else None

    def _highest(self) -> RangeMap[int]:
        return next(offsets for offsets in reversed(self._sets) if offsets.count)

    def _lowest(self) -> RangeMap[int]:
        return next(offsets for offsets in self._sets if offsets.count)

    def _pop(self, offsets: RangeMap[int], count_max: int) -> Piece | None:
        piece = offsets.pop_first(count_max)
        assert piece is not None
        self.count -= piece[1] - piece[0] + 1
        return piece


@final
class LeastFirst:
    """The same offsets from the end at which a queue that is too long loses them."""

    __slots__ = ("_ready",)

    def __init__(self, ready: PriorityReady) -> None:
        self._ready = ready

    @property
    def count(self) -> int:
        return self._ready.count

    @property
    def first(self) -> int:
        return self._ready.least

    def pop_first(self, count_max: int) -> Piece | None:
        return self._ready.pop_least(count_max)


Ready: TypeAlias = RangeMap[int] | PriorityReady
"""What is ready in a queue of either kind."""

Least: TypeAlias = RangeMap[int] | LeastFirst
"""The same, from the end at which a queue that is too long loses messages."""
