"""Reading records back: a stream of chunks for replay, and single records for bodies that left the memory.

Promises that every chunk handed out had intact checksums at the moment it was read; damage that came after
the opening is `JournalCorrupt` with the positions of that chunk. Reads only what the index names. It keeps
one file open and the last chunk in memory, because readers of a backlog go forward.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Final, final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal_chunk import Chunk
from posthouse.supervisor.journal_format import (
    CHUNK_HEADER_BYTES,
    Record,
    checksum_of,
    decode_chunk_header,
)
from posthouse.supervisor.journal_segment import SegmentIndex, segment_name
from posthouse.transport.errors import JournalCorrupt

READ_BYTES: Final = 2**20


def intact_chunk(data: memoryview, index: SegmentIndex, chunk: int) -> Chunk:
    """One chunk from its bytes, header included; `JournalCorrupt` unless all is intact."""
    checksum = checksum_of(index.header.algorithm)
    header = decode_chunk_header(data[:CHUNK_HEADER_BYTES], index.header.salt, checksum)
    body = data[CHUNK_HEADER_BYTES:]
    first = index.firsts[chunk]
    if (
        header is not None
        and header.first == first
        and header.body_length == len(body)
        and checksum(body, 0) == header.body_crc
    ):
        return Chunk(first, header.records, body)
    last = index.firsts[chunk + 1] - 1 if chunk + 1 < len(index.firsts) else index.last
    raise JournalCorrupt(
        f"{segment_name(index.header.number)} decayed at byte {index.offsets[chunk]} after it was opened: "
        f"positions {first}-{last} are lost. Stop the broker and run `posthouse journal verify`",
        ((first, last),),
    )


def stream_segment(disk: Disk, directory: str, index: SegmentIndex, start: int, stop: int) -> Iterator[list[Chunk]]:
    """The chunks that hold positions in [start, stop), whole: a list for each piece of about a mebibyte."""
    chunk = max(index.chunk_of(start), 0)
    count = index.chunk_of(stop - 1) + 1
    if chunk >= count:
        return
    handle = disk.open(f"{directory}/{segment_name(index.header.number)}")
    try:
        while chunk < count:
            base, length = index.extent(chunk)
            until = min(max(bisect_right(index.offsets, base + READ_BYTES) - 1, chunk + 1), count)
            offset, length = index.extent(until - 1)
            piece = memoryview(disk.pread(handle, offset + length - base, base))
            chunks: list[Chunk] = []
            for place in range(chunk, until):
                offset, length = index.extent(place)
                chunks.append(intact_chunk(piece[offset - base : offset - base + length], index, place))
            yield chunks
            chunk = until
    finally:
        disk.close(handle)


@final
class RecordReader:
    """Single records, by position. `forget` must be told of segments that go away."""

    def __init__(self, disk: Disk, directory: str) -> None:
        self._disk = disk
        self._directory = directory
        self._number = 0
        self._handle = -1
        self._records: list[Record] = []
        self._first = 0
        self._last = -1

    def read(self, segments: Sequence[SegmentIndex], position: int) -> Record:
        """The record at `position`; `LookupError` when no segment of `segments` holds it."""
        if self._first <= position <= self._last:
            return self._records[position - self._first]
        place = bisect_right(segments, position, key=_base) - 1
        index = segments[place] if place >= 0 else None
        if index is None or position > index.last or not index.firsts:
            raise LookupError(f"the journal in {self._directory} holds no record at position {position}")
        chunk = index.chunk_of(position)
        offset, length = index.extent(chunk)
        handle = self._open(index.header.number)
        data = memoryview(self._disk.pread(handle, length, offset))
        self._records = intact_chunk(data, index, chunk).decoded()
        self._first = self._records[0].position
        self._last = self._records[-1].position
        return self._records[position - self._first]

    def forget(self, number: int) -> None:
        """Let go of a segment that is removed or cut, and of the chunk in memory."""
        self._records, self._first, self._last = [], 0, -1
        if number == self._number:
            self.close()

    def close(self) -> None:
        if self._handle >= 0:
            self._disk.close(self._handle)
            self._handle = -1
            self._number = 0

    def _open(self, number: int) -> int:
        if number != self._number:
            self.close()
            self._handle = self._disk.open(f"{self._directory}/{segment_name(number)}")
            self._number = number
        return self._handle


def _base(index: SegmentIndex) -> int:
    return index.header.base
