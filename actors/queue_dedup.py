"""The ids by which publishers ask a queue to take a message only once, each with the time it was seen.

An id counts for ten minutes or until 100,000 newer ones came, whichever is first. Times are milliseconds and
come from outside. Ids that the journal gives back carry the publisher's own time, which may be ahead of
ours: a time in the future is taken for now when it is first compared, so that a wrong clock cannot lengthen
the window for ever.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, final

WINDOW_MS: Final = 10 * 60 * 1000
IDS_MAX: Final = 100_000


@final
class DedupWindow:
    """Ids seen lately, oldest first."""

    __slots__ = ("_ids_max", "_seen_ms")

    def __init__(self, ids_max: int = IDS_MAX) -> None:
        self._seen_ms: OrderedDict[str, int] = OrderedDict()
        self._ids_max = ids_max

    def __len__(self) -> int:
        return len(self._seen_ms)

    def has(self, dedup_id: str, now_ms: int) -> bool:
        """Was this id seen within the window? Forgets what has left it."""
        seen_ms = self._seen_ms
        oldest_ms = now_ms - WINDOW_MS
        while seen_ms and next(iter(seen_ms.values())) <= oldest_ms:
            seen_ms.popitem(last=False)
        seen = seen_ms.get(dedup_id)
        if seen is None:
            return False
        if seen > now_ms:
            seen = seen_ms[dedup_id] = now_ms
        return seen > oldest_ms

    def add(self, dedup_id: str, seen_at_ms: int) -> None:
        """This id was seen at that time; an earlier time than the one known changes nothing."""
        seen_ms = self._seen_ms
        seen_ms[dedup_id] = max(seen_at_ms, seen_ms.get(dedup_id, seen_at_ms))
        seen_ms.move_to_end(dedup_id)
        if len(seen_ms) > self._ids_max:
            seen_ms.popitem(last=False)

    def items(self) -> Mapping[str, int]:
        """Id → time, oldest first, as a mark keeps it. A copy."""
        return dict(self._seen_ms)
