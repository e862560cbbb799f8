"""The journal's bytes: segment header, chunk, footer, and the checksums over them.

Pure: turns values into bytes and bytes into values, and promises that a decoder returns a value only when its
checksum, magic and salt agree. It knows no file, no order of writes and no rule of recovery. All integers are
little-endian; every structure starts at a multiple of eight bytes. `docs/journal.md` draws the same pictures.

    segment header, 64 bytes
    0        8    10   11   12    16      24          32    36     40          48          56     60    64
    +--------+----+----+----+-----+-------+-----------+-----+------+-----------+-----------+------+-----+
    |POSTHSEG|vers|algo|flag|numb.|base   |generation |salt |chain |created ms |journal id |heads |crc  |
    +--------+----+----+----+-----+-------+-----------+-----+------+-----------+-----------+------+-----+

    chunk header, 56 bytes, then the body
    0     4         8      12     16         24         32          40    44     48        52         56
    +-----+---------+------+------+----------+----------+-----------+-----+------+---------+----------+
    |PHCK |age      |length|count |first pos.|durable   |generation |salt |chain |body crc |header crc|
    +-----+---------+------+------+----------+----------+-----------+-----+------+---------+----------+
    | count x u32 payload length | count x u8 kind | payloads, end to end | zeros to a multiple of 8    |
    +----------------------------+-----------------+----------------------+-----------------------------+

    segment footer, 40 bytes
    0     4       8     12     16         24          32    36    40
    +-----+-------+-----+------+----------+-----------+-----+-----+
    |PHFT |chunks |salt |chain |last pos. |generation |zero |crc  |
    +-----+-------+-----+------+----------+-----------+-----+-----+
"""

from __future__ import annotations

import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from itertools import accumulate, islice, repeat
from typing import Final, NamedTuple, cast, final

from posthouse.transport.errors import DiskFault, JournalCorrupt

Buffer = bytes | bytearray | memoryview
Checksum = Callable[[Buffer, int], int]

VERSION: Final = 2
"""What is written. Version 1 is read as well: its chunks have no age, and a segment of it is gone on with as such."""
VERSIONS_READ: Final = (1, 2)
SEGMENT_MAGIC: Final = b"POSTHSEG"
CHUNK_MAGIC: Final = b"PHCK"
FOOTER_MAGIC: Final = b"PHFT"

_SEGMENT = struct.Struct("<8sHBBIQQIIQQI")
_CHUNK = struct.Struct("<4sIIIQQQIII")
_FOOTER = struct.Struct("<4sIIIQQI")
_CRC = struct.Struct("<I")

SEGMENT_HEADER_BYTES: Final = 64
CHUNK_HEADER_BYTES: Final = 56
FOOTER_BYTES: Final = 40
RECORD_OVERHEAD_BYTES: Final = 5
BODY_BYTES_MAX: Final = 64 * 2**20
"""No chunk is longer, whatever the settings: a reader bounds every length before it allocates."""

IS_CHECKPOINT: Final = 1
"""Segment flag: the head restates everything; replay starts here and older segments are superfluous."""
IS_AFTER_GAP: Final = 2
"""Segment flag: positions between the segment before and this base were lost and written off by salvage."""

CRC32C: Final = 1
ZLIB_CRC32: Final = 2

AGE_UNKNOWN: Final = 0
AGE_MAX: Final = 2**32 - 1
"""The age of a chunk is one more than the milliseconds from the creation of its segment to its writing. At the maximum
(49 days) it only says that it is at least so old.
"""

SMALL_PART_BYTES: Final = 16 * 1024
_ZEROS: Final = (b"", *(bytes(count) for count in range(1, 8)))

try:
    from crc32c import crc32c as _crc32c
except ImportError:  # pragma: no cover - the package is optional
    _crc32c = None  # type: ignore[assignment]

_ALGORITHMS: dict[int, Checksum] = {ZLIB_CRC32: zlib.crc32}
if _crc32c is not None:  # pragma: no branch
    _ALGORITHMS[CRC32C] = _crc32c


def preferred_algorithm() -> int:
    """CRC32C where the machine's instruction for it is reachable, else the standard library's CRC-32."""
    return CRC32C if CRC32C in _ALGORITHMS else ZLIB_CRC32


def known_algorithms() -> tuple[int, ...]:
    """The algorithms that this installation can compute."""
    return tuple(_ALGORITHMS)


def checksum_of(algorithm: int) -> Checksum:
    """The checksum function of a segment; `DiskFault` when this installation does not have it."""
    checksum = _ALGORITHMS.get(algorithm)
    if checksum is not None:
        return checksum
    if algorithm == CRC32C:
        raise DiskFault(
            "the journal was written with CRC32C checksums and the package that computes them is missing; "
            "install it with `pip install crc32c` and start again"
        )
    raise DiskFault(f"the journal uses checksum algorithm {algorithm}, which this version does not know")


class Record(NamedTuple):
    """One record. `payload` is a view into the chunk that was read; keep it and the chunk stays in memory."""

    position: int
    kind: int
    payload: memoryview


class SegmentHeader(NamedTuple):
    """What a segment says of itself. `chain` is the chain value of what came before, `crc` starts its own."""

    algorithm: int
    flags: int
    number: int
    base: int
    generation: int
    salt: int
    chain: int
    created_ms: int
    journal_id: int
    head_count: int
    crc: int = 0
    version: int = VERSION

    @property
    def is_checkpoint(self) -> bool:
        return bool(self.flags & IS_CHECKPOINT)

    @property
    def is_after_gap(self) -> bool:
        return bool(self.flags & IS_AFTER_GAP)


class ChunkHeader(NamedTuple):
    """One commit. `durable` is the highest position known to be synced when the chunk was built."""

    body_length: int
    records: int
    first: int
    durable: int
    generation: int
    salt: int
    chain: int
    body_crc: int
    crc: int = 0
    age: int = AGE_UNKNOWN


class Footer(NamedTuple):
    """A segment's last words: it is complete, and this is what it held."""

    chunk_count: int
    salt: int
    chain: int
    last: int
    generation: int


class Body(NamedTuple):
    """Records on their way into a chunk. The buffers are the caller's own wherever they are large.

    `at_ms` is when they were written first, 0 when nobody knows, `generation` by which life; None: now, by this one.
    """

    first: int
    records: int
    buffers: list[Buffer]
    length: int
    at_ms: int | None = None
    generation: int | None = None


def encode_segment_header(header: SegmentHeader) -> tuple[bytes, int]:
    """The 64 bytes and their checksum. Always CRC-32: it is read before the segment's algorithm is known."""
    fixed = _SEGMENT.pack(SEGMENT_MAGIC, header.version, *header[:-2])
    crc = zlib.crc32(fixed)
    return fixed + _CRC.pack(crc), crc


def decode_segment_header(data: Buffer) -> SegmentHeader | None:
    """None when these are not the bytes of a segment header; `DiskFault` when a newer version wrote them."""
    if len(data) < SEGMENT_HEADER_BYTES:
        return None
    (crc,) = _CRC.unpack_from(data, SEGMENT_HEADER_BYTES - 4)
    magic, version, *fields = _SEGMENT.unpack_from(data)
    if magic != SEGMENT_MAGIC or zlib.crc32(memoryview(data)[: SEGMENT_HEADER_BYTES - 4]) != crc:
        return None
    if version not in VERSIONS_READ:
        raise DiskFault(
            f"the journal has format version {version} and this posthouse reads versions up to {VERSION}; "
            "start it with the posthouse that wrote it"
        )
    return SegmentHeader._make((*fields, crc, version))


def age_of(header: SegmentHeader, at_ms: int) -> int:
    """What a chunk written at `at_ms` says of its age. A clock that was set back counts as no time."""
    if header.version < 2 or not at_ms:
        return AGE_UNKNOWN
    return min(max(at_ms - header.created_ms, 0) + 1, AGE_MAX)


def written_ms(header: SegmentHeader, chunk: ChunkHeader) -> int:
    """When the chunk was written, in milliseconds since 1970; 0 where it does not say so."""
    is_known = header.created_ms and chunk.age not in (AGE_UNKNOWN, AGE_MAX)
    return header.created_ms + chunk.age - 1 if is_known else 0


def encode_chunk_header(header: ChunkHeader, checksum: Checksum) -> tuple[bytes, int]:
    """The 56 bytes and their checksum, which is the chain value for what follows."""
    fixed = _CHUNK.pack(CHUNK_MAGIC, header.age, *header[:-2])
    crc = checksum(fixed, 0)
    return fixed + _CRC.pack(crc), crc


def decode_chunk_header(data: memoryview, salt: int | None, checksum: Checksum) -> ChunkHeader | None:
    """None unless magic, checksum, salt and bounds agree. With `salt` None any salt will do."""
    if len(data) < CHUNK_HEADER_BYTES or bytes(data[:4]) != CHUNK_MAGIC:
        return None
    (crc,) = _CRC.unpack_from(data, CHUNK_HEADER_BYTES - 4)
    if checksum(data[: CHUNK_HEADER_BYTES - 4], 0) != crc:
        return None
    _, age, length, count, first, durable, generation, own_salt, chain, body_crc = _CHUNK.unpack_from(data)
    if (salt is not None and own_salt != salt) or not count or not first:
        return None
    if length % 8 or not count * RECORD_OVERHEAD_BYTES <= length <= BODY_BYTES_MAX:
        return None
    return ChunkHeader(length, count, first, durable, generation, own_salt, chain, body_crc, crc, age)


def encode_footer(footer: Footer, checksum: Checksum) -> bytes:
    """The 40 bytes that close a segment."""
    fixed = _FOOTER.pack(FOOTER_MAGIC, *footer, 0)
    return fixed + _CRC.pack(checksum(fixed, 0))


def decode_footer(data: memoryview, salt: int, checksum: Checksum) -> Footer | None:
    """None unless magic, checksum and salt agree."""
    if len(data) < FOOTER_BYTES or bytes(data[:4]) != FOOTER_MAGIC:
        return None
    (crc,) = _CRC.unpack_from(data, FOOTER_BYTES - 4)
    _, *fields, _ = _FOOTER.unpack_from(data)
    footer = Footer(*fields)
    if checksum(data[: FOOTER_BYTES - 4], 0) != crc or footer.salt != salt:
        return None
    return footer


def decode_body(body: memoryview, first: int, count: int) -> list[Record]:
    """The records of a body whose checksum was right; `JournalCorrupt` when its lengths do not add up.

    One list per chunk, built by the interpreter's C loops alone: lengths and kinds are columns for that
    reason (0.25 µs a record of 100 bytes; a length and kind before each payload cost 0.35 µs).
    """
    bounds = payload_bounds(body, first, count)
    payloads = map(body.__getitem__, map(slice, bounds, islice(bounds, 1, None)))
    fields = zip(range(first, first + count), body[4 * count : 5 * count], payloads, strict=True)
    build = cast("Callable[[type[Record], object], Record]", tuple.__new__)
    return list(map(build, repeat(Record), fields))


def payload_bounds(body: memoryview, first: int, count: int) -> list[int]:
    """Where each payload begins, and behind the last where it ends. Raises JournalCorrupt."""
    lengths = array("I")
    lengths.frombytes(body[: 4 * count])
    if sys.byteorder == "big":  # pragma: no cover - no such machine at hand
        lengths.byteswap()
    bounds = list(accumulate(lengths, initial=RECORD_OVERHEAD_BYTES * count))
    end = bounds[-1]
    if end + -end % 8 != len(body):
        raise JournalCorrupt(
            f"the chunk at position {first} says {end} bytes and has {len(body)}; its checksum is right, so "
            "no disk did this: keep the file and report it",
            ((first, first + count - 1),),
        )
    return bounds


def body_of(segment: SegmentHeader, header: ChunkHeader, data: Buffer) -> Body:
    """A body that was read from one segment, ready to be written into another; its time and life go with it."""
    return Body(header.first, header.records, [data], len(data), written_ms(segment, header), header.generation)


@final
class ChunkBuilder:
    """Gathers records until they are committed. Copies small parts once, at the end, and large ones never.

    All records make one chunk, unless they pass `target` bytes: then the next record begins another, so that
    reading one record back never reads more than that. A record of its own may have up to `limit` bytes.
    """

    __slots__ = (
        "_bodies",
        "_first",
        "_has_large",
        "_kinds",
        "_lengths",
        "_limit",
        "_parts",
        "_size",
        "_target",
    )

    def __init__(self, first: int, target: int, limit: int) -> None:
        self._target = target
        self._limit = limit - RECORD_OVERHEAD_BYTES - 7
        self._bodies: list[Body] = []
        self._start(first)

    @property
    def next_position(self) -> int:
        return self._first + len(self._kinds)

    def is_empty(self) -> bool:
        return not self._kinds

    def add(self, kind: int, parts: tuple[Buffer, ...]) -> int:
        """One more record; returns its position. `ValueError` changes nothing: kind or size out of bounds."""
        length = sum(map(len, parts))
        if not 0 < kind < 256 or length > self._limit:
            raise ValueError(
                f"a record of kind {kind} with {length} bytes: kinds are 1 to 255, the limit is {self._limit} bytes"
            )
        if self._size + length > self._target and self._kinds:
            self._close_chunk()
        self._kinds.append(kind)
        self._lengths.append(length)
        self._parts += parts
        self._size += length + RECORD_OVERHEAD_BYTES
        if length >= SMALL_PART_BYTES:
            self._has_large = True
        return self._first + len(self._kinds) - 1

    def take(self) -> list[Body]:
        """Everything added since the last call, as padded bodies."""
        if self._kinds:
            self._close_chunk()
        bodies = self._bodies
        self._bodies = []
        return bodies

    def restart(self, first: int) -> None:
        """Forget what was added and number from `first`."""
        self._bodies = []
        self._start(first)

    def _start(self, first: int) -> None:
        self._first = first
        self._size = 0
        self._lengths = array("I")
        self._kinds = bytearray()
        self._parts: list[Buffer] = []
        self._has_large = False

    def _close_chunk(self) -> None:
        if sys.byteorder == "big":  # pragma: no cover - no such machine at hand
            self._lengths.byteswap()
        padding = _ZEROS[-self._size % 8]
        pieces = (self._lengths.tobytes(), self._kinds, *self._parts, padding)
        buffers: list[Buffer] = list(_joined(pieces)) if self._has_large else [b"".join(pieces)]
        self._bodies.append(Body(self._first, len(self._kinds), buffers, self._size + len(padding)))
        self._start(self.next_position)


def _joined(parts: tuple[Buffer, ...]) -> Iterator[Buffer]:
    """Large parts as they are; each run of small ones joined, because every buffer of a write costs."""
    run: list[Buffer] = []
    for part in parts:
        if len(part) < SMALL_PART_BYTES:
            run.append(part)
            continue
        if run:
            yield b"".join(run)
            run = []
        yield part
    # The padding comes last and is small, so there is always a run to end with.
    yield b"".join(run)
