"""Since when nobody has used a queue, and whether that is too long.

Only queues that expire have one of these. A queue is in use while it has a consumer, while somebody holds one of its
messages and while messages of it are on their way to the dead letters; and it is used by every get and every
declaration. Times are those of a clock that never steps. It must not know what follows.
"""

from __future__ import annotations

from typing import Final, final

REMIND_MS: Final = 1_000
"""The registry is told again while the queue is still there: it may have died before it acted."""


@final
class Idleness:
    """Begins anew with every life of the queue: nobody could use it while it was down."""

    __slots__ = ("_expires_ms", "_said_ms", "_since_ms")

    def __init__(self, expires_ms: int, now_ms: int) -> None:
        self._expires_ms = expires_ms
        self._since_ms = now_ms
        self._said_ms: int | None = None

    def used(self, now_ms: int) -> None:
        """Somebody uses the queue now."""
        self._since_ms = now_ms
        self._said_ms = None

    def is_over(self, now_ms: int) -> bool:
        """Has nobody used the queue for so long that it is to go?"""
        return now_ms - self._since_ms >= self._expires_ms

    def is_to_be_said(self, now_ms: int) -> bool:
        """Is it time to tell the registry, for the first time or again? If so, that counts as done."""
        if now_ms < self.next_ms():
            return False
        self._said_ms = now_ms
        return True

    def next_ms(self) -> int:
        """When to look again, at the latest."""
        return self._since_ms + self._expires_ms if self._said_ms is None else self._said_ms + REMIND_MS
