"""One segment file: its name, its index of chunks, and the writer of the one that is still open.

A segment comes into being under a temporary name, complete with header and head, is synced, renamed, and its
directory synced; so a file that bears a segment's name is whole up to the end of its head. The writer
promises that its own state changes only after the disk has taken the bytes. It knows no other segment, no
durable mark and no rule for failures: every `OSError` reaches the caller.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, final

from posthouse.supervisor.disk import Buffer, Disk, is_full, write_fully
from posthouse.supervisor.journal_format import (
    AGE_MAX,
    BODY_BYTES_MAX,
    CHUNK_HEADER_BYTES,
    SEGMENT_HEADER_BYTES,
    Body,
    ChunkHeader,
    Footer,
    SegmentHeader,
    age_of,
    checksum_of,
    encode_chunk_header,
    encode_footer,
    encode_segment_header,
    preferred_algorithm,
)

_NAME = re.compile(r"([0-9]{10})\.seg")
TEMPORARY_SUFFIX: Final = ".tmp"
BLOCK_BYTES: Final = 4096


def segment_name(number: int) -> str:
    """The file name of segment `number`."""
    return f"{number:010d}.seg"


def segment_number(name: str) -> int | None:
    """The inverse; None for every other file name."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match else None


def is_temporary(name: str) -> bool:
    """Whether the name is that of a segment whose creation did not finish."""
    return name.endswith(TEMPORARY_SUFFIX) and segment_number(name.removesuffix(TEMPORARY_SUFFIX)) is not None


@final
class SegmentIndex:
    """Where each chunk of a segment lies: sixteen bytes a chunk. `last` is a position, `end` an offset."""

    __slots__ = ("end", "firsts", "header", "last", "offsets")

    def __init__(self, header: SegmentHeader) -> None:
        self.header = header
        self.firsts = array("Q")
        self.offsets = array("Q")
        self.last = header.base - 1
        self.end = SEGMENT_HEADER_BYTES

    def add(self, first: int, records: int, offset: int, end: int) -> None:
        """One chunk more at the end."""
        self.firsts.append(first)
        self.offsets.append(offset)
        self.last = first + records - 1
        self.end = end

    def chunk_of(self, position: int) -> int:
        """The number of the chunk that would hold `position`; -1 before the first."""
        return bisect_right(self.firsts, position) - 1

    def extent(self, chunk: int) -> tuple[int, int]:
        """Offset and length of a chunk, header included."""
        offset = self.offsets[chunk]
        end = self.offsets[chunk + 1] if chunk + 1 < len(self.offsets) else self.end
        return offset, end - offset

    def cut(self, base: int) -> None:
        """Forget the chunks from position `base` on: a later segment holds those positions."""
        keep = self.chunk_of(base - 1) + 1
        if keep < len(self.firsts):
            self.end = self.offsets[keep]
            del self.firsts[keep:], self.offsets[keep:]
        self.last = base - 1


@final
@dataclass(frozen=True)
class JournalSettings:
    """Bounds of one journal. The defaults suit a queue.

    A first segment of 64 KiB keeps a thousand small queues at 64 MiB of disk in all (a journal that was only
    opened takes two blocks); doubling reaches 64 MiB after ten rotations, where a rotation costs nothing.
    `chunk_bytes_target` is where a commit is split; `chunk_bytes_max` bounds a single record.
    """

    segment_bytes_first: int = 64 * 1024
    segment_bytes_max: int = 64 * 2**20
    chunk_bytes_target: int = 2**20
    chunk_bytes_max: int = 32 * 2**20
    unsynced_bytes_max: int = 8 * 2**20
    reserve_bytes: int = 64 * 1024
    preallocate: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.segment_bytes_first <= self.segment_bytes_max:
            raise ValueError("segment_bytes_first must be positive and at most segment_bytes_max")
        if not 0 < self.chunk_bytes_target <= self.chunk_bytes_max <= BODY_BYTES_MAX:
            raise ValueError(f"0 < chunk_bytes_target <= chunk_bytes_max <= {BODY_BYTES_MAX} must hold")


@final
@dataclass(frozen=True)
class SegmentPlan:
    """What a new segment is to be. `target_bytes` is where it counts as full and how much is preallocated; `now_ms`
    dates its chunks.
    """

    directory: str
    header: SegmentHeader
    target_bytes: int
    preallocate: bool
    generation: int
    now_ms: Callable[[], int]


@final
class SegmentWriter:
    """The open segment. Built by `create` (then `publish` gives it its name) or by `resume`."""

    def __init__(self, disk: Disk, plan: SegmentPlan, handle: int, index: SegmentIndex, chain: int) -> None:
        self._disk = disk
        self._plan = plan
        self.handle = handle
        self.index = index
        self.chain = chain
        self.target_bytes = plan.target_bytes
        self.is_old = False
        """Its chunks will soon be too old to say when they were written: time for another segment."""
        self._allocated = disk.size(handle)
        self._is_dirty = False
        self._checksum = checksum_of(plan.header.algorithm)

    @classmethod
    def create(cls, disk: Disk, plan: SegmentPlan, head: Sequence[Body]) -> SegmentWriter:
        """Header and head under the temporary name, synced. Leaves no file behind when it fails."""
        encoded, crc = encode_segment_header(plan.header)
        header = plan.header._replace(crc=crc)
        plan = replace(plan, header=header)
        path = f"{plan.directory}/{segment_name(header.number)}{TEMPORARY_SUFFIX}"
        handle = disk.create(path)
        try:
            write_fully(disk, handle, [encoded], 0)
            writer = cls(disk, replace(plan, preallocate=False), handle, SegmentIndex(header), crc)
            if head:
                writer.write(head, header.base - 1)
            disk.fsync(handle)
        except OSError:
            disk.close(handle)
            disk.unlink(path)
            raise
        writer._plan = plan
        return writer

    @classmethod
    def resume(cls, disk: Disk, plan: SegmentPlan, index: SegmentIndex, chain: int) -> SegmentWriter:
        """Go on in a segment that an earlier life left clean."""
        handle = disk.open(f"{plan.directory}/{segment_name(plan.header.number)}", writable=True)
        return cls(disk, plan, handle, index, chain)

    def publish(self) -> None:
        """Give the segment its name. Durable on return, and from then on what it holds counts."""
        path = f"{self._plan.directory}/{segment_name(self._plan.header.number)}"
        try:
            self._disk.rename(path + TEMPORARY_SUFFIX, path)
            self._disk.fsync_dir(self._plan.directory)
        except OSError:
            self.close()
            raise

    def write(self, bodies: Sequence[Body], durable: int) -> None:
        """Append one chunk for each body, in one vectored write. Not synced."""
        header = self._plan.header
        checksum = self._checksum
        own = self._plan.generation
        offset = self.index.end
        chain = self.chain
        buffers: list[Buffer] = []
        extents: list[tuple[int, int]] = []
        now_age = age_of(header, self._plan.now_ms())
        self.is_old = now_age > AGE_MAX // 2
        for first, records, body, length, at_ms, earlier in bodies:
            crc = 0
            for buffer in body:
                crc = checksum(buffer, crc)
            age = now_age if at_ms is None else age_of(header, at_ms)
            generation = own if earlier is None else earlier
            encoded, chain = encode_chunk_header(
                ChunkHeader(length, records, first, durable, generation, header.salt, chain, crc, age=age), checksum
            )
            buffers.append(encoded)
            buffers += body
            extents.append((offset, offset + CHUNK_HEADER_BYTES + length))
            offset = extents[-1][1]
        if offset > self._allocated and self._plan.preallocate:
            self._allocate(offset)
        self._is_dirty = True
        write_fully(self._disk, self.handle, buffers, self.index.end)
        self._is_dirty = False
        for body_of_chunk, (start, end) in zip(bodies, extents, strict=True):
            self.index.add(body_of_chunk.first, body_of_chunk.records, start, end)
        self.chain = chain
        if offset > self._allocated:
            self._allocated = offset

    def undo(self) -> None:
        """Remove what a failed write may have left, durably: a refused commit must not come back.

        Nothing to do when the blocks were refused before the write, which keeps the preallocation.
        """
        if self._is_dirty:
            self._disk.ftruncate(self.handle, self.index.end)
            self._allocated = self.index.end
            self._disk.fdatasync(self.handle)
            self._is_dirty = False

    def seal(self) -> None:
        """Close the segment with its footer, durably, and give unused blocks back."""
        index, salt = self.index, self._plan.header.salt
        footer = Footer(len(index.firsts), salt, self.chain, index.last, self._plan.generation)
        encoded = encode_footer(footer, self._checksum)
        end = index.end + write_fully(self._disk, self.handle, [encoded], index.end)
        if end < self._allocated:
            self._disk.ftruncate(self.handle, end)
        self._disk.fdatasync(self.handle)

    def close(self) -> None:
        self._disk.close(self.handle)

    def _allocate(self, needed: int) -> None:
        """Blocks before bytes: on a full disk the refusal comes before anything of the commit is written."""
        exact = -(-needed // BLOCK_BYTES) * BLOCK_BYTES
        wanted = max(self.target_bytes, exact)
        try:
            self._disk.fallocate(self.handle, self._allocated, wanted - self._allocated)
        except OSError as fault:
            if not is_full(fault) or wanted == exact:
                raise
            # No room for a whole segment may still be room for this commit.
            self._disk.fallocate(self.handle, self._allocated, exact - self._allocated)
            wanted = exact
        self._allocated = wanted


@final
@dataclass(frozen=True)
class SegmentMaker:
    """Makes the segments of one life of one journal: what all their headers share is here."""

    disk: Disk
    directory: str
    settings: JournalSettings
    generation: int
    journal_id: int
    now_ms: Callable[[], int]

    def create(
        self, after: SegmentIndex | None, chain: int, base: int, head: Sequence[Body] = (), flags: int = 0
    ) -> SegmentWriter:
        """A segment that follows `after`, not yet published. `chain` is the chain value before `base`."""
        header = SegmentHeader(
            algorithm=preferred_algorithm(),
            flags=flags,
            number=after.header.number + 1 if after is not None else 1,
            base=base,
            generation=self.generation,
            salt=int.from_bytes(self.disk.random_bytes(4), "little"),
            chain=chain,
            # What is written here once more says when it was written first, and no age is negative.
            created_ms=min([self.now_ms(), *(body.at_ms for body in head if body.at_ms)]),
            journal_id=self.journal_id,
            head_count=sum(body.records for body in head),
        )
        writer = SegmentWriter.create(self.disk, self.plan(header, 0), head)
        writer.target_bytes = self._target_bytes(after, writer.index.end)
        return writer

    def plan(self, header: SegmentHeader, filled: int) -> SegmentPlan:
        """The plan for going on in a segment of which `filled` bytes are used."""
        target = max(self.settings.segment_bytes_first, filled)
        return SegmentPlan(self.directory, header, target, self.settings.preallocate, self.generation, self.now_ms)

    def _target_bytes(self, after: SegmentIndex | None, filled: int) -> int:
        """Twice what the last segment came to hold, so busy journals grow and quiet ones shrink back."""
        settings = self.settings
        doubled = max(2 * after.end, settings.segment_bytes_first) if after is not None else 0
        target = min(max(doubled, settings.segment_bytes_first), settings.segment_bytes_max)
        return max(target, 2 * filled if filled > target else target)
