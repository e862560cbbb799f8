"""Deadlines: at most one moment per key, handed out in order of time.

Pure: it never asks for the time. A deadline that is moved or dropped leaves its entry in the heap until it
comes up or until dead entries outnumber the living, so memory stays in proportion to the keys.
"""

from __future__ import annotations

import heapq
from typing import final

_SLACK = 64


@final
class Deadlines:
    """Deadlines in milliseconds of any one clock."""

    def __init__(self) -> None:
        self._at: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []

    def arm(self, key: str, at_ms: int) -> None:
        """Set the deadline of `key`; an earlier one is replaced."""
        self._at[key] = at_ms
        heapq.heappush(self._heap, (at_ms, key))
        if len(self._heap) > 2 * len(self._at) + _SLACK:
            self._heap = [(at, name) for name, at in self._at.items()]
            heapq.heapify(self._heap)

    def disarm(self, key: str) -> None:
        """Drop the deadline of `key`, if there is one."""
        self._at.pop(key, None)

    def next_ms(self) -> int | None:
        """The earliest deadline, None if there is none."""
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def take_due(self, now_ms: int) -> list[str]:
        """Remove and return the keys whose deadline has come, earliest first."""
        due = []
        while (at := self.next_ms()) is not None and at <= now_ms:
            key = heapq.heappop(self._heap)[1]
            del self._at[key]
            due.append(key)
        return due
