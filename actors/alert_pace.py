"""The pace of notices: at once when it is quiet, few and large when it is not.

Pure. What happens within `GATHER_MS` goes into one notice; after `BURST` of them there is one in `PAUSE_MS`, with
everything that came up meanwhile. Whatever goes on in a broker, its administrator gets no more than that.
"""

from __future__ import annotations

from typing import Final, final

GATHER_MS: Final = 300
BURST: Final = 5
PAUSE_MS: Final = 10_000


@final
class AlertPace:
    """Says when the next notice may leave."""

    def __init__(self) -> None:
        self._waits_since_ms: int | None = None
        self._left = float(BURST)
        self._counted_ms: int | None = None

    def is_due(self, has_news: bool, now_ms: int) -> bool:
        """Whether to tell now; True is one notice."""
        if self._counted_ms is not None:
            self._left = min(float(BURST), self._left + (now_ms - self._counted_ms) / PAUSE_MS)
        self._counted_ms = now_ms
        if not has_news:
            self._waits_since_ms = None
            return False
        if self._waits_since_ms is None:
            self._waits_since_ms = now_ms
        if now_ms - self._waits_since_ms < GATHER_MS or self._left < 1:
            return False
        self._left -= 1
        self._waits_since_ms = None
        return True
