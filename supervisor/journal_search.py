"""Which commits of a segment hold what is looked for, found without taking the segment apart.

A file is read in pieces and searched as it is; only the chunk around a hit is checked and decoded, which is many times
quicker than decoding everything. Files are read and not mapped: one that its writer cuts meanwhile would end a process
that has it mapped.

It promises every intact chunk with a hit in it; of damage elsewhere it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol, final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal_format import (
    CHUNK_HEADER_BYTES,
    CHUNK_MAGIC,
    SEGMENT_HEADER_BYTES,
    ChunkHeader,
    SegmentHeader,
    checksum_of,
    decode_chunk_header,
)

PIECE_BYTES: Final = 2**20
NEAR_BYTES: Final = 64 * 1024
"""How far behind the last chunk a hit may be for the chunks in between to be walked through one by one."""


class Needle(Protocol):
    """What is looked for."""

    @property
    def length_max(self) -> int:
        """So many bytes from its beginning tell whether it is one."""

    def find(self, data: bytes, start: int) -> int:
        """Where the first one from `start` on begins, -1 for nowhere."""


@final
class Found(NamedTuple):
    """A chunk, and where it begins in its file."""

    offset: int
    chunk: ChunkHeader
    body: memoryview

    @property
    def end(self) -> int:
        return self.offset + CHUNK_HEADER_BYTES + self.chunk.body_length


@final
class SegmentSearch:
    """One search of one open file."""

    def __init__(self, disk: Disk, handle: int, header: SegmentHeader, needle: Needle) -> None:
        self._disk = disk
        self._handle = handle
        self._size = disk.size(handle)
        self._header = header
        self._checksum = checksum_of(header.algorithm)
        self._needle = needle
        self._start = 0
        self._piece = b""

    def chunks(self) -> Iterator[Found]:
        """The chunks with a hit, in the order of the file."""
        known = offset = SEGMENT_HEADER_BYTES
        while (hit := self._hit(offset)) is not None:
            found = self._walk(known, hit) if hit - known <= NEAR_BYTES else None
            found = found or self._around(hit)
            offset = hit + 1
            if found is not None:
                yield found
                known = offset = found.end

    def _hit(self, offset: int) -> int | None:
        """The first place from `offset` on where what is looked for begins."""
        overlap = self._needle.length_max
        while offset < self._size:
            at = offset - self._start
            if not 0 <= at < len(self._piece) - overlap:
                self._start, self._piece, at = offset, self._disk.pread(self._handle, PIECE_BYTES, offset), 0
            place = self._needle.find(self._piece, at)
            if place >= 0:
                return self._start + place
            if len(self._piece) <= overlap or self._start + len(self._piece) >= self._size:
                return None
            offset = self._start + len(self._piece) - overlap
        return None

    def _walk(self, offset: int, hit: int) -> Found | None:
        """The chunk around the hit, by way of those before it from `offset` on."""
        while offset < hit and (found := self._chunk(offset, hit)) is not None:
            if hit < found.end:
                return found if found.body else None
            offset = found.end
        return None

    def _around(self, hit: int) -> Found | None:
        """The chunk around the hit, by the nearest head before it. A body may hold what looks like one."""
        end, length = hit, NEAR_BYTES
        while end > SEGMENT_HEADER_BYTES:
            start = max(SEGMENT_HEADER_BYTES, end - length)
            piece = self._disk.pread(self._handle, end - start + len(CHUNK_MAGIC) - 1, start)
            place = piece.rfind(CHUNK_MAGIC)
            while place >= 0:
                found = self._chunk(start + place, hit)
                if found is not None:
                    return found if hit < found.end and found.body else None
                place = piece.rfind(CHUNK_MAGIC, 0, place)
            end, length = start, min(length * 4, PIECE_BYTES)
        return None

    def _chunk(self, offset: int, hit: int) -> Found | None:
        """The chunk that begins there, if one does. Its body is read if the hit is in it, and empty if damaged."""
        if offset % 8:
            return None
        head = memoryview(self._disk.pread(self._handle, CHUNK_HEADER_BYTES, offset))
        chunk = decode_chunk_header(head, self._header.salt, self._checksum)
        if chunk is None:
            return None
        found = Found(offset, chunk, memoryview(b""))
        if hit >= found.end:
            return found
        body = memoryview(self._disk.pread(self._handle, chunk.body_length, offset + CHUNK_HEADER_BYTES))
        is_intact = len(body) == chunk.body_length and self._checksum(body, 0) == chunk.body_crc
        return Found(offset, chunk, body) if is_intact else found
