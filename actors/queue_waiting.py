"""What of a queue waits for its time: offsets that come back later, and times at which offsets expire.

Two indexes by time. Costs are per range, and the one that looks for what is due touches nothing that is not. Times are
milliseconds of the queue's clock and come from outside. It must not know why something waits or who asked.
"""

from __future__ import annotations

import heapq
from typing import Final, final

from posthouse.actors.offsets import RangeMap

OVERDUE_MAX: Final = 10_000
"""Ranges that consumers hold beyond their time, before those that were settled meanwhile are looked for."""


@final
class Waiting:
    """Offsets that are in their place again at a time. Values are how often each was delivered, and the time."""

    __slots__ = ("_heap", "ranges")

    def __init__(self) -> None:
        self.ranges: RangeMap[tuple[int, int]] = RangeMap()
        # Entries of ranges that were taken meanwhile stay until their time: they find nothing then.
        self._heap: list[tuple[int, int, int]] = []

    def __len__(self) -> int:
        return self.ranges.count

    def put(self, first: int, last: int, times: int, due_ms: int) -> None:
        """These offsets, which are nowhere else, wait."""
        self.ranges.put(first, last, (times, due_ms))
        heapq.heappush(self._heap, (due_ms, first, last))

    def take(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """These wait no longer: ranges, each with the times it was delivered."""
        taken = self.ranges.take(first, last) if self.ranges else []
        return [(low, high, times) for low, high, (times, _) in taken]

    def next_ms(self) -> int | None:
        """When to look again, at the latest."""
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now_ms: int) -> list[tuple[int, int, int]]:
        """The ranges whose time has come, each with the times it was delivered."""
        due: list[tuple[int, int, int]] = []
        while self._heap and self._heap[0][0] <= now_ms:
            _, first, last = heapq.heappop(self._heap)
            if not self.ranges:
                continue
            for low, high, (times, due_ms) in self.ranges.take(first, last):
                if due_ms <= now_ms:
                    due.append((low, high, times))
                else:
                    # It came back earlier, failed again, and waits under an entry of its own.
                    self.ranges.put(low, high, (times, due_ms))
        return due

    def clear(self) -> list[tuple[int, int, int]]:
        """Everything that waits, which then does no longer."""
        everything = [(first, last, times) for first, last, (times, _) in self.ranges]
        self.ranges.clear()
        self._heap.clear()
        return everything


@final
class Expiries:
    """When offsets expire. Those that are gone by then are passed over by whoever asks."""

    __slots__ = ("_heap", "_overdue")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, int]] = []
        self._overdue: list[tuple[int, int]] = []

    def __bool__(self) -> bool:
        return bool(self._heap or self._overdue)

    def overdue(self, first: int, last: int) -> None:
        """Their time is over, but a consumer holds them: that is for it to end."""
        self._overdue.append((first, last))
        if len(self._overdue) > OVERDUE_MAX:
            self.returned()

    def returned(self) -> None:
        """Something came back from a consumer: look at what is overdue at the next occasion."""
        for first, last in self._overdue:
            self.put(first, last, 0)
        self._overdue.clear()

    def put(self, first: int, last: int, expires_ms: int) -> None:
        heapq.heappush(self._heap, (expires_ms, first, last))

    def next_ms(self) -> int | None:
        return self._heap[0][0] if self._heap else None

    def pieces(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """What expires of a range, and when; walks over all that expires."""
        found = [
            (max(low, first), min(high, last), time) for time, low, high in self._heap if low <= last and high >= first
        ]
        return found + [
            (max(low, first), min(high, last), 0) for low, high in self._overdue if low <= last and high >= first
        ]

    def pop_due(self, now_ms: int) -> list[tuple[int, int]]:
        """Ranges whose time is over."""
        due: list[tuple[int, int]] = []
        while self._heap and self._heap[0][0] <= now_ms:
            _, first, last = heapq.heappop(self._heap)
            due.append((first, last))
        return due
