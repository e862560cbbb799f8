"""All children's meters, in one mapping that forked children share.

Pages belong to children, not to lives; one is cleared and given to another child when its own is no more.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection
from typing import final

from posthouse.supervisor.meter import WORDS, Meter


@final
class Meters:
    """All pages, in one anonymous mapping that forked children share. Untouched pages cost no memory."""

    def __init__(self, pages: int) -> None:
        self._words = memoryview(mmap.mmap(-1, pages * WORDS * 8)).cast("Q")
        self._free = list(range(pages - 1, -1, -1))
        self._taken: dict[str, int] = {}

    def of(self, child_id: str) -> int:
        """The number of this child's page; a cleared one for a child that has none yet."""
        number = self._taken.get(child_id)
        if number is None:
            number = self._taken[child_id] = self._free.pop()
            self.page(number).clear()
        return number

    def keep_only(self, child_ids: Collection[str]) -> None:
        """Take back the pages of children that are no more."""
        if len(self._taken) <= len(child_ids):
            return
        for child_id in [known for known in self._taken if known not in child_ids]:
            self._free.append(self._taken.pop(child_id))

    def page(self, number: int) -> Meter:
        """The page of that number."""
        return Meter(self._words[number * WORDS : (number + 1) * WORDS])
