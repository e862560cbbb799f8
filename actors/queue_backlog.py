"""The batches of a queue that still hold a living message, in the order of their offsets.

It finds the batch of an offset, counts down what is settled, knows the lowest journal position that is still needed,
and drops bytes from memory that the journal can give back. Every cost is per batch. What is folded (`queue_fold.py`) is
unfolded where one of its messages is asked for. It must not know who holds a message or why it is settled. Offsets
handed in must be alive; the queue's ranges see to that.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, TypeAlias, final

from posthouse.actors.queue_fold import Fold
from posthouse.actors.stored_batch import Bytes, StoredBatch
from posthouse.transport.messages import Batch

_SPENT_MAX: Final = 512
"""Places of dead batches that are kept at least; beyond it they go when they are half of all places."""

_Place: TypeAlias = StoredBatch | Fold | None


@final
class Backlog:
    """Living batches. The counts are for reading: messages, bytes of bodies, bytes in memory."""

    __slots__ = (
        "_batches",
        "_first_offsets",
        "_folded",
        "_gaps",
        "_head",
        "_home",
        "_placed",
        "_restored",
        "_sheddable",
        "body_bytes",
        "bytes_in_memory",
        "live",
    )

    def __init__(self) -> None:
        self.live = 0
        self.body_bytes = 0
        self.bytes_in_memory = 0
        # Two lists side by side for bisect. Dead batches before `_head` and the `_gaps` behind it are None. `_folded`
        # is by how many the batches are more than their places.
        self._first_offsets: list[int] = []
        self._batches: list[_Place] = []
        self._head = 0
        self._gaps = 0
        self._folded = 0
        # By journal position, lowest first. An OrderedDict, because the first key of a plain dict that loses
        # its keys from the front is found by walking over all that were there before.
        self._placed: OrderedDict[int, StoredBatch | Fold] = OrderedDict()
        # What was unfolded keeps its order by position in its fold, which stays where it is among the others.
        self._home: dict[int, Fold] = {}
        # Journaled batches whose bytes are in memory, by first offset, furthest from delivery last. Those
        # that were read back were needed for a delivery, so they are shed after all the others.
        self._sheddable: dict[int, StoredBatch] = {}
        self._restored: dict[int, StoredBatch] = {}

    def __len__(self) -> int:
        return len(self._batches) - self._head - self._gaps + self._folded

    def __iter__(self) -> Iterator[StoredBatch]:
        """Every living batch, lowest offset first."""
        return self._each(self._batches[self._head :])

    def add(self, entry: StoredBatch) -> None:
        """Take in a batch. At the end, unless it was moved by the journal and comes back in its old place."""
        offsets = self._first_offsets
        if not offsets or entry.first_offset > offsets[-1]:
            offsets.append(entry.first_offset)
            self._batches.append(entry)
        else:
            index = bisect_right(offsets, entry.first_offset, self._head)
            offsets.insert(index, entry.first_offset)
            self._batches.insert(index, entry)
        self.live += entry.live
        self.body_bytes += entry.live_bytes
        self.bytes_in_memory += entry.footprint

    @property
    def last_first_offset(self) -> int:
        """Of the batches that were ever added and are not forgotten yet; 0 without any."""
        last = self._batches[-1] if self._batches else None
        return last.last_offset if type(last) is Fold else self._first_offsets[-1] if self._first_offsets else 0

    def fold(self, fold: Fold) -> None:
        """`extend` for what is folded."""
        self._first_offsets.append(fold.first_offset)
        self._batches.append(fold)
        self._placed[fold.position] = fold
        self._folded += fold.count - 1
        self.live += fold.count
        self.body_bytes += fold.body_bytes

    def extend(self, run: list[StoredBatch]) -> None:
        """`add` and `place` for batches that the journal holds, all behind what is there, each with its position."""
        self._first_offsets += [entry.first_offset for entry in run]
        self._batches += run
        self.live += sum([entry.live for entry in run])
        self.body_bytes += sum([entry.live_bytes for entry in run])
        self.bytes_in_memory += sum([entry.footprint for entry in run])
        self._sheddable.update([(entry.first_offset, entry) for entry in run])
        self._placed.update([(entry.position, entry) for entry in run if entry.position is not None])

    def find(self, offset: int) -> StoredBatch:
        """The batch of a living offset."""
        index = bisect_right(self._first_offsets, offset, self._head) - 1
        entry = self._batches[index]
        if type(entry) is Fold:
            return self._unfold(index, entry)[offset - entry.first_offset]
        assert type(entry) is StoredBatch
        return entry

    def get(self, first_offset: int) -> StoredBatch | None:
        """The living batch that starts at exactly this offset, if there is one."""
        index = bisect_right(self._first_offsets, first_offset, self._head) - 1
        if index < self._head:
            return None
        entry = self._batches[index]
        if type(entry) is Fold:
            is_there = first_offset <= entry.last_offset
            return self._unfold(index, entry)[first_offset - entry.first_offset] if is_there else None
        return entry if type(entry) is StoredBatch and entry.first_offset == first_offset else None

    def since(self, offset: int) -> Iterator[StoredBatch]:
        """Every living batch that has, or may have, an offset from this one on, lowest first."""
        index = max(self._head, bisect_right(self._first_offsets, offset, self._head) - 1)
        return self._each(self._batches[index:])

    def settle(self, first: int, last: int) -> None:
        """These messages live no longer, and all did; a batch without living messages is forgotten."""
        index = bisect_right(self._first_offsets, first, self._head) - 1
        while True:
            entry = self._batches[index]
            if type(entry) is Fold and first == entry.first_offset and entry.last_offset <= last:
                first = entry.last_offset + 1
                self._forget_fold(index, entry)
                if last < first:
                    break
                index += 1
                continue
            if type(entry) is Fold:
                self._unfold(index, entry)
                index += first - entry.first_offset
                entry = self._batches[index]
            assert type(entry) is StoredBatch
            end = entry.last_offset
            self._set_live(entry, entry.live - ((last if last < end else end) - first + 1))
            if not entry.live:
                self._forget(index, entry)
            if last <= end:
                break
            first = end + 1
            index += 1
        self._tidy()

    def revive(self, entry: StoredBatch, live: int) -> None:
        """Exactly `live` messages of this batch live: what the journal says of a batch it moved."""
        self._set_live(entry, live)

    # ---- the journal ----

    def place(self, entry: StoredBatch, position: int) -> None:
        """The journal holds this batch, with its offsets, at `position`, which is higher than any before."""
        if entry.position is not None:
            self._unplace(entry.position)
        else:
            self._sheddable[entry.first_offset] = entry
        entry.position = position
        self._placed[position] = entry

    def lowest_position(self) -> int | None:
        """The lowest journal position that a living batch needs."""
        for position, entry in self._placed.items():
            return next(iter(entry.alive)) if type(entry) is Fold and entry.alive else position
        return None

    def placed_below(self, position: int) -> list[StoredBatch]:
        """The living batches that pin the journal below `position`, lowest position first."""
        found: list[StoredBatch] = []
        for at, entry in self._placed.items():
            if at >= position:
                break
            if type(entry) is Fold:
                found += [one for one in self._of_fold(entry) if one.position is not None and one.position < position]
            else:
                assert type(entry) is StoredBatch
                found.append(entry)
        return found

    # ---- memory ----

    def shed(self, limit_bytes: int) -> None:
        """Drop bytes that the journal holds, furthest from delivery first, down to `limit_bytes`."""
        while self.bytes_in_memory > limit_bytes:
            held = self._sheddable or self._restored
            if not held:
                break
            entry = held.popitem()[1]
            entry.batch = entry.raw = None
            self.bytes_in_memory -= entry.footprint

    def restore(self, entry: StoredBatch, batch: Batch, raw: Bytes) -> None:
        """The journal gave the bytes of a shed batch back. They count only while the batch lives."""
        if entry.raw is None and entry.live:
            self._restored[entry.first_offset] = entry
            self.bytes_in_memory += entry.footprint
        entry.batch, entry.raw = batch, raw

    def _set_live(self, entry: StoredBatch, live: int) -> None:
        self.live += live - entry.live
        entry.live = live
        live_bytes = entry.body_bytes * live // entry.count
        self.body_bytes += live_bytes - entry.live_bytes
        entry.live_bytes = live_bytes

    def _forget(self, index: int, entry: StoredBatch) -> None:
        # The entry keeps its bytes: a delivery that is settled as it leaves still refers to them.
        self._batches[index] = None
        if entry.raw is not None:
            self.bytes_in_memory -= entry.footprint
        if entry.position is not None:
            self._unplace(entry.position)
            if self._sheddable.pop(entry.first_offset, None) is None:
                self._restored.pop(entry.first_offset, None)
        self._vacate(index)

    def _vacate(self, index: int) -> None:
        if index == self._head:
            self._head += 1
        else:
            self._gaps += 1

    # ---- folds ----

    def _unfold(self, index: int, fold: Fold) -> list[StoredBatch]:
        """Give each message of the fold at `index` a place of its own."""
        entries = fold.unfold()
        self._first_offsets[index : index + 1] = range(fold.first_offset, fold.last_offset + 1)
        self._batches[index : index + 1] = entries
        self._home.update(dict.fromkeys(range(fold.position, fold.position + fold.count), fold))
        self._folded -= fold.count - 1
        return entries

    def _forget_fold(self, index: int, fold: Fold) -> None:
        """`_forget` for all of a fold."""
        fold.forget()
        self._batches[index] = None
        del self._placed[fold.position]
        self._folded -= fold.count - 1
        self.live -= fold.count
        self.body_bytes -= fold.body_bytes
        self._vacate(index)

    def _of_fold(self, fold: Fold) -> list[StoredBatch]:
        """What lives of a fold, which may be unfolded already."""
        if fold.alive is None:
            self._unfold(bisect_right(self._first_offsets, fold.first_offset, self._head) - 1, fold)
        return list((fold.alive or {}).values())

    def _each(self, places: list[_Place]) -> Iterator[StoredBatch]:
        for entry in places:
            if type(entry) is Fold:
                yield from self._of_fold(entry)
            elif type(entry) is StoredBatch:
                yield entry

    def _unplace(self, position: int) -> None:
        """Nothing at this position of the journal is needed any more."""
        fold = self._home.pop(position, None)
        if fold is None:
            del self._placed[position]
            return
        alive = fold.alive
        assert alive is not None
        del alive[position]
        if not alive:
            del self._placed[fold.position]

    def _tidy(self) -> None:
        """Move the head over gaps, and close the gaps when they are half of all places."""
        batches, head = self._batches, self._head
        while self._gaps and batches[head] is None:
            head += 1
            self._gaps -= 1
        self._head = head
        spent = head + self._gaps
        if spent == len(batches) or (spent > _SPENT_MAX and 2 * spent > len(batches)):
            alive: list[_Place] = [entry for entry in batches[head:] if entry is not None]
            self._first_offsets[:] = [entry.first_offset for entry in alive if entry is not None]
            self._batches[:] = alive
            self._head = self._gaps = 0
