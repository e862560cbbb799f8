"""The beacon: one cache line of shared memory per child, in which its loop says what it is doing since when.

    0                 8           16               24          64
    +-----------------+-----------+----------------+-----------+
    | busy_since_ns   | loops     | operation      | unused    |      u64 each, native byte order
    +-----------------+-----------+----------------+-----------+

The child writes, the supervisor only reads; each word is written whole, so no lock is needed. The clock is
the system's monotonic one, the same in every process. The beacon sees a loop that does not return. It does
not see a process that was stopped while idle: until it is continued it is as quiet as one without work, which
is why peers ask each other, too.
"""

from __future__ import annotations

import mmap
import time
from typing import final

from posthouse.supervisor.hang_watch import Reading

SLOT_BYTES = 64
_WORDS = SLOT_BYTES // 8
_BUSY_SINCE, _LOOPS, _OPERATION = 0, 1, 2


@final
class BeaconSlot:
    """One child's slot."""

    def __init__(self, words: memoryview) -> None:
        self._words = words

    def busy(self, operation: int = 0) -> None:
        """The loop turns to a piece of work; `operation` is any number that means something to its author."""
        self._words[_OPERATION] = operation
        self._words[_BUSY_SINCE] = time.monotonic_ns()

    def idle(self) -> None:
        """The loop is about to wait for work."""
        words = self._words
        words[_BUSY_SINCE] = 0
        words[_LOOPS] += 1

    def read(self) -> Reading:
        """For the supervisor."""
        words = self._words
        return Reading(words[_BUSY_SINCE], words[_LOOPS], words[_OPERATION])

    def clear(self) -> None:
        """Before a new life gets the slot."""
        for word in range(_WORDS):
            self._words[word] = 0


@final
class Beacons:
    """All slots, in one anonymous mapping that forked children share. Untouched slots cost no memory."""

    def __init__(self, slots: int) -> None:
        self._words = memoryview(mmap.mmap(-1, slots * SLOT_BYTES)).cast("Q")
        self._free = list(range(slots - 1, -1, -1))

    def take(self) -> int:
        """The index of a cleared slot that nobody has. There are as many slots as the tree may have
        children."""
        index = self._free.pop()
        self.slot(index).clear()
        return index

    def give_back(self, index: int) -> None:
        """The life that had it is dead and reaped."""
        self._free.append(index)

    def slot(self, index: int) -> BeaconSlot:
        """The slot of that index."""
        return BeaconSlot(self._words[index * _WORDS : (index + 1) * _WORDS])
