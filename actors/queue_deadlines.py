"""How long consumers may hold messages without settling them.

Only queues with an ack timeout have one of these, so that no other queue pays for it. The timeout is the same for all
deliveries, so they are due in the order in which they were made.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple, final


class Held(NamedTuple):
    """One delivery. What of it was settled meanwhile is for the queue to see."""

    due_ms: int
    session: int
    consumer: int
    first: int
    last: int
    attempt: int


@final
class AckDeadlines:
    """Deliveries with the time at which they count as failed."""

    __slots__ = ("_held", "_timeout_ms")

    def __init__(self, timeout_ms: int) -> None:
        self._timeout_ms = timeout_ms
        self._held: deque[Held] = deque()

    def delivered(self, session: int, consumer: int, first: int, last: int, attempt: int, now_ms: int) -> None:
        """A consumer was given these."""
        self._held.append(Held(now_ms + self._timeout_ms, session, consumer, first, last, attempt))

    def next_ms(self) -> int | None:
        return self._held[0].due_ms if self._held else None

    def pop_due(self, now_ms: int) -> list[Held]:
        """Deliveries whose time is over, oldest first."""
        due: list[Held] = []
        while self._held and self._held[0].due_ms <= now_ms:
            due.append(self._held.popleft())
        return due
