"""The deadlines of the calls in a queue: which of them nobody waits for any more.

It keeps the deadline of each stored batch of calls, earliest first, and knows nothing of who holds what. A batch that
is settled before its deadline stays listed until then, or until half of the list is such; so its size is bounded by
the calls that live. A queue without calls pays one look a round.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final, final

from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.stored_batch import StoredBatch

_SPENT_MAX: Final = 1_024
"""Entries that are kept at least before dead ones are looked for."""


@final
class CallDeadlines:
    """Deadlines of batches, by the wall clock in milliseconds."""

    __slots__ = ("_heap", "_overdue", "_tidy_at", "is_used")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []
        self._overdue: list[StoredBatch] = []
        self._tidy_at = _SPENT_MAX
        self.is_used = False
        """There has been a call. A queue of plain messages looks at nothing else here."""

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, entry: StoredBatch) -> None:
        """A batch is in the queue; only one of calls has a deadline."""
        if entry.deadline_ms is not None:
            self.is_used = True
            heappush(self._heap, (entry.deadline_ms, entry.first_offset))

    def due(self, now_ms: int, backlog: Backlog) -> list[StoredBatch]:
        """The living batches whose deadline has passed. Each is returned once."""
        heap = self._heap
        if not heap:
            return []
        found: list[StoredBatch] = []
        while heap and heap[0][0] <= now_ms:
            entry = backlog.get(heappop(heap)[1])
            if entry is not None and entry.deadline_ms is not None:
                found.append(entry)
        if len(heap) > self._tidy_at:
            heap[:] = {place for place in heap if backlog.get(place[1]) is not None}
            heapify(heap)
            self._tidy_at = max(_SPENT_MAX, 2 * len(heap))
        return found

    def overdue(self, entry: StoredBatch) -> None:
        """Some of it is with a consumer: it is looked at again when that gives something back."""
        self._overdue.append(entry)
        if len(self._overdue) > _SPENT_MAX:
            self.returned()

    def returned(self) -> None:
        """Something came back from a consumer; calls may be late by now."""
        for entry in self._overdue:
            if entry.live:
                self.add(entry)
        self._overdue.clear()
