"""One segment read from end to end: what is intact, where the damage is, what lies beyond it.

Reads only. Promises that a chunk counts as intact when its header and body checksums, its salt, its place in
the chain and its first position all agree, and that one damaged spot never hides what follows: the scan goes
on from the length of an intact header, else from the next magic at a multiple of eight. It draws no
conclusion; whether a fault is a torn tail or corruption is for `journal_recovery`.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal_format import (
    CHUNK_HEADER_BYTES,
    CHUNK_MAGIC,
    FOOTER_BYTES,
    FOOTER_MAGIC,
    SEGMENT_HEADER_BYTES,
    ZLIB_CRC32,
    Checksum,
    ChunkHeader,
    Footer,
    SegmentHeader,
    checksum_of,
    decode_chunk_header,
    decode_footer,
    decode_segment_header,
    known_algorithms,
)
from posthouse.supervisor.journal_segment import SegmentIndex, segment_number

WINDOW_BYTES: Final = 2**20
_BLANK: Final = bytes(WINDOW_BYTES)


@final
class FileWindow:
    """A file seen through one buffer that moves forward with the reader."""

    def __init__(self, disk: Disk, handle: int) -> None:
        self._disk = disk
        self._handle = handle
        self.size = disk.size(handle)
        self._start = 0
        self._view = memoryview(b"")

    def view(self, offset: int, length: int) -> memoryview:
        """The bytes at `offset`, fewer than `length` at the end of the file."""
        start = offset - self._start
        if start < 0 or start + length > len(self._view):
            data = self._disk.pread(self._handle, max(length, WINDOW_BYTES), offset)
            self._start, self._view, start = offset, memoryview(data), 0
        return self._view[start : start + length]

    def blank_from(self, offset: int) -> bool:
        """Whether nothing but zeros follows: preallocated room that was never written."""
        return all(piece == _BLANK[: len(piece)] for _, piece in self._pieces(offset))

    def written_end(self, offset: int) -> int:
        """The offset after the last byte that is not zero; `offset` when all are."""
        end = offset
        for start, piece in self._pieces(offset):
            kept = len(piece.rstrip(b"\0"))
            if kept:
                end = start + kept
        return end

    def next_magic(self, offset: int) -> int | None:
        """The first multiple of eight from `offset` on where a chunk or a footer may begin."""
        for start, piece in self._pieces(offset):
            # A piece is a multiple of eight long, so no aligned magic lies across its end.
            found = [_aligned(piece, magic) for magic in (CHUNK_MAGIC, FOOTER_MAGIC)]
            hits = [place for place in found if place is not None]
            if hits:
                return start + min(hits)
        return None

    def _pieces(self, offset: int) -> Iterator[tuple[int, bytes]]:
        """The rest of the file, a window at a time; shorter when the file is cut meanwhile."""
        while piece := self._disk.pread(self._handle, WINDOW_BYTES, offset):
            yield offset, piece
            offset += len(piece)


def _aligned(data: bytes, magic: bytes) -> int | None:
    place = data.find(magic)
    while place >= 0 and place % 8:
        place = data.find(magic, place + 1)
    return place if place >= 0 else None


class Stray(NamedTuple):
    """An intact chunk behind a damaged spot."""

    offset: int
    chunk: ChunkHeader


@final
@dataclass
class SegmentScan:
    """The findings. `index` holds the unbroken run from the base; its `end` is where the run ends."""

    name: str
    size: int
    index: SegmentIndex
    chain: int
    header_is_intact: bool = True
    damage_offset: int | None = None
    strays: list[Stray] = field(default_factory=list)
    footer: Footer | None = None
    claimed_durable: int = 0
    generation: int = 0
    records: int = 0

    @property
    def header(self) -> SegmentHeader:
        return self.index.header

    @property
    def number(self) -> int:
        return self.index.header.number

    def chain_before(self, disk: Disk, directory: str, position: int) -> int:
        """The chain value at the end of the chunk before `position`, which must begin a chunk of the run."""
        if position > self.index.last:
            return self.chain
        chunk, _ = next(read_chunks(disk, directory, self, position))
        return chunk.chain


def read_segment_header(disk: Disk, directory: str, name: str) -> SegmentHeader | None:
    """The header of a segment file; None when it is damaged or is another segment's."""
    handle = disk.open(f"{directory}/{name}")
    try:
        header = decode_segment_header(disk.pread(handle, SEGMENT_HEADER_BYTES, 0))
    finally:
        disk.close(handle)
    return header if header is not None and header.number == segment_number(name) else None


def scan_segment(disk: Disk, directory: str, name: str, stop: int | None) -> SegmentScan:
    """Read the segment up to position `stop`, which the next segment begins with, or to its end.

    A segment whose own header is damaged is read with the salt that its first intact chunk shows, and every
    chunk of it is a stray.
    """
    handle = disk.open(f"{directory}/{name}")
    try:
        window = FileWindow(disk, handle)
        header = decode_segment_header(window.view(0, SEGMENT_HEADER_BYTES))
        if header is None or header.number != segment_number(name):
            header = _guess_header(window, segment_number(name) or 0)
            scan = SegmentScan(name, window.size, SegmentIndex(header), 0, False, 0)
        else:
            scan = SegmentScan(name, window.size, SegmentIndex(header), header.crc)
        scan.generation = header.generation
        _scan(window, scan, checksum_of(header.algorithm), stop)
        return scan
    finally:
        disk.close(handle)


def _scan(window: FileWindow, scan: SegmentScan, checksum: Checksum, stop: int | None) -> None:
    index = scan.index
    salt = scan.header.salt
    offset: int | None = SEGMENT_HEADER_BYTES
    while offset is not None and offset < window.size:
        if stop is not None and scan.damage_offset is None and index.last + 1 >= stop:
            scan.footer = decode_footer(window.view(offset, FOOTER_BYTES), salt, checksum)
            return
        chunk = decode_chunk_header(window.view(offset, CHUNK_HEADER_BYTES), salt, checksum)
        if chunk is None:
            if _finish(window, scan, checksum, offset):
                return
            offset = window.next_magic(offset + 8)
            continue
        end = offset + CHUNK_HEADER_BYTES + chunk.body_length
        body = window.view(offset + CHUNK_HEADER_BYTES, chunk.body_length)
        is_intact = len(body) == chunk.body_length and checksum(body, 0) == chunk.body_crc
        if chunk.durable > scan.claimed_durable:
            scan.claimed_durable = chunk.durable
        if chunk.generation > scan.generation:
            scan.generation = chunk.generation
        if is_intact and scan.damage_offset is None and chunk.first == index.last + 1 and chunk.chain == scan.chain:
            index.add(chunk.first, chunk.records, offset, end)
            scan.chain = chunk.crc
            scan.records += chunk.records
        else:
            if scan.damage_offset is None:
                scan.damage_offset = offset
            reached = scan.strays[-1].chunk.first + scan.strays[-1].chunk.records if scan.strays else 0
            if is_intact and chunk.first >= max(reached, index.last + 1):
                scan.strays.append(Stray(offset, chunk))
        offset = end if end <= window.size else window.next_magic(offset + 8)


def _finish(window: FileWindow, scan: SegmentScan, checksum: Checksum, offset: int) -> bool:
    """Whether the segment ends at `offset`, by a footer or by being blank from there; notes damage if not."""
    footer = decode_footer(window.view(offset, FOOTER_BYTES), scan.header.salt, checksum)
    if footer is not None:
        scan.footer = footer
        # A footer is written when everything before it is synced.
        scan.claimed_durable = max(scan.claimed_durable, footer.last)
        scan.generation = max(scan.generation, footer.generation)
        if scan.damage_offset is None and (footer.last != scan.index.last or footer.chain != scan.chain):
            scan.damage_offset = offset
        return True
    if window.blank_from(offset):
        return True
    if scan.damage_offset is None:
        scan.damage_offset = offset
    return False


def _guess_header(window: FileWindow, number: int) -> SegmentHeader:
    """A stand-in for a lost header: salt and algorithm of the first chunk that is intact under either."""
    algorithms = [(algorithm, checksum_of(algorithm)) for algorithm in known_algorithms()]
    offset = window.next_magic(0)
    while offset is not None:
        for algorithm, checksum in algorithms:
            chunk = decode_chunk_header(window.view(offset, CHUNK_HEADER_BYTES), None, checksum)
            if chunk is not None:
                return SegmentHeader(algorithm, 0, number, 1, chunk.generation, chunk.salt, 0, 0, 0, 0)
        offset = window.next_magic(offset + 8)
    return SegmentHeader(ZLIB_CRC32, 0, number, 1, 0, 0, 0, 0, 0, 0)


def read_chunks(
    disk: Disk, directory: str, scan: SegmentScan, position: int
) -> Iterator[tuple[ChunkHeader, memoryview]]:
    """The intact chunks from the one that holds `position`: the unbroken run first, then the strays."""
    index = scan.index
    checksum = checksum_of(scan.header.algorithm)
    run = index.offsets[max(index.chunk_of(position), 0) :] if position <= index.last else ()
    handle = disk.open(f"{directory}/{scan.name}")
    try:
        window = FileWindow(disk, handle)
        for offset in (*run, *(stray.offset for stray in scan.strays)):
            head = window.view(offset, CHUNK_HEADER_BYTES)
            chunk = decode_chunk_header(head, scan.header.salt, checksum)
            if chunk is None:
                raise OSError(errno.EIO, "a chunk that was intact a moment ago is not any more", scan.name)
            yield chunk, window.view(offset + CHUNK_HEADER_BYTES, chunk.body_length)
    finally:
        disk.close(handle)
