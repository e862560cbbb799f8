"""A meter: a page of numbers for each child, in memory that all share, written by its loop and read by whoever watches.

    word 0 ... WORDS - 1        u64 each, native byte order; what each means is its author's business

A child keeps its page across all its lives: a counter goes on where a killed life left it, and never goes backwards
while its supervisor lives. Reading costs the writer nothing, and works while the writer hangs or is dead. Words are
written one by one and each is whole, so no lock is needed; two words of a page may be a moment apart.
"""

from __future__ import annotations

from typing import Final, final

WORDS: Final = 256
_MASK: Final = (1 << 64) - 1


@final
class Meter:
    """One child's page. Indexes are words; values are integers from 0 to 2**64 - 1, others are cut to that."""

    __slots__ = ("words",)

    def __init__(self, words: memoryview | None = None) -> None:
        self.words = words if words is not None else memoryview(bytearray(WORDS * 8)).cast("Q")

    def add(self, word: int, count: int = 1) -> None:
        """A counter rises."""
        self.words[word] = (self.words[word] + count) & _MASK

    def set(self, word: int, value: int) -> None:
        """A gauge shows something else."""
        self.words[word] = min(max(value, 0), _MASK)

    def get(self, word: int) -> int:
        """What the word says."""
        return self.words[word]

    def read(self) -> list[int]:
        """All words of this moment."""
        return self.words.tolist()

    def clear(self) -> None:
        """Before another child gets the page."""
        for word in range(WORDS):
            self.words[word] = 0
