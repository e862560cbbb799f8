"""The timetable: which message is due when, for millions of them, in a few bytes each.

A message far away stands in a bucket of its time, sixteen bytes in two arrays; buckets of nine hours are split into
some of half an hour, those into two minutes, those into eight seconds, and the last into a heap as their time comes
near. The first of these stand in the *line*, and their bodies are fetched from disk. So taking in a message is O(1),
and the next one due is found in O(log n) of the few that are near. The entry of a message that was cancelled or moved
stays where it stood until it is met, or until it is one of too many in its bucket: what still stands is asked of
`is_current`. A message that moves back to a time it had before would stand there twice, so those entries are known.
Times are absolute, milliseconds since 1970. No clock here.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterator, Sequence
from typing import Final, final

SHIFTS: Final = (25, 21, 17, 13)
"""Widths of the buckets as powers of two, in milliseconds: 9.3 h, 35 min, 131 s, 8.2 s."""

ID_BITS: Final = 48
ID_MASK: Final = (1 << ID_BITS) - 1
STALE_MIN: Final = 64
"""Fewer stale entries than these are never worth closing their gaps."""


@final
class _Bucket:
    __slots__ = ("dues", "ids", "stale")

    def __init__(self) -> None:
        self.dues = array("q")
        self.ids = array("q")
        self.stale = 0


@final
class _Level:
    """The buckets of one width. Those with keys below `opened` were split into the level below."""

    __slots__ = ("buckets", "keys", "opened", "shift")

    def __init__(self, shift: int) -> None:
        self.shift = shift
        self.opened = 0
        self.buckets: dict[int, _Bucket] = {}
        self.keys: list[int] = []

    def add(self, key: int, due: int, message_id: int) -> None:
        bucket = self.buckets.get(key)
        if bucket is None:
            bucket = self.buckets[key] = _Bucket()
            heapq.heappush(self.keys, key)
        bucket.dues.append(due)
        bucket.ids.append(message_id)

    def pop_below(self, key: int) -> Iterator[_Bucket]:
        while self.keys and self.keys[0] < key:
            yield self.buckets.pop(heapq.heappop(self.keys))


@final
class Timetable:
    """Due times. `is_current(id, due)`: this entry still stands for a message that waits."""

    __slots__ = ("_head", "_is_current", "_left", "_levels", "_line")

    def __init__(self, is_current: Callable[[int, int], bool]) -> None:
        self._is_current = is_current
        self._levels = tuple(_Level(shift) for shift in SHIFTS)
        self._head: list[int] = []
        self._line: list[int] = []
        self._left: set[int] = set()

    def add(self, message_id: int, due: int) -> bool:
        """A message is due then. True when it is so near that its body will be wanted soon."""
        for level in self._levels:
            key = due >> level.shift
            if key >= level.opened:
                level.add(key, due, message_id)
                return False
        heapq.heappush(self._head, due << ID_BITS | message_id)
        return True

    def add_many(self, first_id: int, dues: Sequence[int]) -> list[int]:
        """Message `first_id + i` is due at `dues[i]`; returns the indexes of those that are near."""
        near: list[int] = []
        add = self.add
        for index, due in enumerate(dues):
            if add(first_id + index, due):
                near.append(index)
        return near

    def move(self, message_id: int, before: int, due: int) -> None:
        """A message that was due at `before` (0: at no time) is due at `due`, and `is_current` says so already."""
        entry = due << ID_BITS | message_id
        if entry in self._left:
            self._left.remove(entry)
            self._stands_again(due)
        else:
            self.add(message_id, due)
        if before:
            self._left.add(before << ID_BITS | message_id)
            self.left(before)

    def _stands_again(self, due: int) -> None:
        for level in self._levels:
            key = due >> level.shift
            if key >= level.opened:
                bucket = level.buckets[key]
                bucket.stale = max(0, bucket.stale - 1)  # A bucket that was split has forgotten how many there were.
                return

    def dropped(self, message_id: int, due: int) -> None:
        """A stale entry that was taken is nowhere any more."""
        self._left.discard(due << ID_BITS | message_id)

    def left(self, due: int) -> None:
        """A message that was due then is not any more: one entry has become stale."""
        for level in self._levels:
            key = due >> level.shift
            if key >= level.opened:
                bucket = level.buckets[key]
                bucket.stale += 1
                if bucket.stale > STALE_MIN and 2 * bucket.stale > len(bucket.ids):
                    self._close_gaps(level, key, bucket)
                return

    def _close_gaps(self, level: _Level, key: int, bucket: _Bucket) -> None:
        """An emptied bucket stays: its key is in the heap, and its time will come."""
        kept = _Bucket()
        for due, message_id in zip(bucket.dues, bucket.ids, strict=True):
            if self._is_current(message_id, due):
                kept.dues.append(due)
                kept.ids.append(message_id)
            else:
                self.dropped(message_id, due)
        level.buckets[key] = kept

    def open_until(self, horizon_ms: int) -> None:
        """Bring everything due up to the horizon, and whatever shares its last bucket, into the heap."""
        if horizon_ms >> SHIFTS[-1] < self._levels[-1].opened:
            return
        for level, below in zip(self._levels, (*self._levels[1:], None), strict=True):
            opened = (horizon_ms >> level.shift) + 1
            if opened > level.opened:
                level.opened = opened
                for bucket in level.pop_below(opened):
                    if below is None:
                        # In one go: a hundred thousand entries pushed one by one would hold up what is due meanwhile.
                        pairs = zip(bucket.dues, bucket.ids, strict=True)
                        self._head += [due << ID_BITS | message_id for due, message_id in pairs]
                        heapq.heapify(self._head)
                    else:
                        for due, message_id in zip(bucket.dues, bucket.ids, strict=True):
                            below.add(due >> below.shift, due, message_id)

    def next_near(self) -> int:
        """When the first of the near messages is due; 0 when none is near."""
        firsts = [heap[0] for heap in (self._first(self._line), self._first(self._head)) if heap]
        return min(firsts) >> ID_BITS if firsts else 0

    def _first(self, heap: list[int]) -> list[int]:
        """The heap, without stale entries at its top."""
        while heap and not self._is_current(heap[0] & ID_MASK, heap[0] >> ID_BITS):
            self._left.discard(heapq.heappop(heap))
        return heap

    def next_due(self) -> int:
        """When the first of all messages is due, exactly if it is near, else not later than that; 0 when none is."""
        near = self.next_near()
        if near:
            return near
        for level in reversed(self._levels):
            if level.keys:
                return level.keys[0] << level.shift
        return 0

    def count_due(self, until_ms: int, count_max: int) -> int:
        """How many near entries are due up to then, stale ones too; stops at `count_max`."""
        limit = (until_ms + 1) << ID_BITS
        found = 0
        for heap in (self._line, self._head):
            # Below an entry that is not due nothing is: only those that are, and one beyond each, are looked at.
            open_indexes = [0]
            while open_indexes and found < count_max:
                index = open_indexes.pop()
                if index < len(heap) and heap[index] < limit:
                    found += 1
                    open_indexes += (2 * index + 1, 2 * index + 2)
        return found

    @property
    def lined_up(self) -> int:
        """How many entries stand in the line."""
        return len(self._line)

    def line_up(self, count_max: int) -> list[int]:
        """Move the first near messages into the line; returns their ids, so that their bodies can be fetched."""
        lined_up: list[int] = []
        head = self._head
        while head and len(lined_up) < count_max:
            entry = heapq.heappop(head)
            if self._is_current(entry & ID_MASK, entry >> ID_BITS):
                heapq.heappush(self._line, entry)
                lined_up.append(entry & ID_MASK)
            else:
                self._left.discard(entry)
        return lined_up

    def take_due(self, until_ms: int, count_max: int) -> list[tuple[int, int]]:
        """Take the messages due up to then, as `(id, due)`, earliest first."""
        taken: list[tuple[int, int]] = []
        line, head = self._line, self._head
        limit = (until_ms + 1) << ID_BITS
        while len(taken) < count_max:
            heap = head if not line or (head and head[0] < line[0]) else line
            if not heap or heap[0] >= limit:
                break
            entry = heapq.heappop(heap)
            message_id, due = entry & ID_MASK, entry >> ID_BITS
            if self._is_current(message_id, due):
                taken.append((message_id, due))
            else:
                self._left.discard(entry)
        return taken

    def in_order(self) -> Iterator[tuple[int, int]]:
        """All entries as `(id, due)`, earliest first, stale ones too; nothing may change meanwhile."""
        for entry in sorted(self._line + self._head):
            yield entry & ID_MASK, entry >> ID_BITS
        for level in reversed(self._levels):
            for key in sorted(level.keys):
                bucket = level.buckets[key]
                yield from ((message_id, due) for due, message_id in sorted(zip(bucket.dues, bucket.ids, strict=True)))
