"""The sidecar: a 4 KiB file beside the segments with the last durable position and the oldest segment.

The journal could be recovered without it, less sharply. Promises: the durable mark is never ahead of the
truth, right after a process crash, and at worst stale after a power cut, because it is written after each
sync and not synced itself; the trim mark is synced before the first segment it speaks of is removed. Every
slot exists twice and one at a time is written, so a torn write spoils only the newer one.

    0            512          1024         1536         4096
    +------------+------------+------------+------------+-----+
    |durable A   |durable B   |trim A      |trim B      |zeros|
    +------------+------------+------------+------------+-----+

    slot, 48 bytes
    0     4     8         16          24          32       40    44    48
    +-----+-----+---------+-----------+-----------+--------+-----+-----+
    |PHSC |zero |sequence |generation |journal id |position|numb.|crc  |
    +-----+-----+---------+-----------+-----------+--------+-----+-----+
"""

from __future__ import annotations

import struct
import zlib
from typing import Final, NamedTuple, final

from posthouse.supervisor.disk import Disk, write_fully

SIDECAR_NAME: Final = "sidecar"
SIDECAR_BYTES: Final = 4096

_MAGIC: Final = b"PHSC"
_SLOT = struct.Struct("<4sIQQQQI")
_CRC = struct.Struct("<I")
_SLOT_BYTES: Final = _SLOT.size + _CRC.size
_DURABLE_OFFSETS: Final = (0, 512)
_TRIM_OFFSETS: Final = (1024, 1536)


class Mark(NamedTuple):
    """One slot. For the durable mark `number` is 0; for the trim mark it is the oldest segment wanted."""

    sequence: int
    generation: int
    journal_id: int
    position: int
    number: int


class Marks(NamedTuple):
    """What a sidecar says; None for a mark of which no slot is readable."""

    durable: Mark | None
    trim: Mark | None


def encode_mark(mark: Mark) -> bytes:
    """The 48 bytes of one slot, under CRC-32 whatever the segments use."""
    fixed = _SLOT.pack(_MAGIC, 0, *mark)
    return fixed + _CRC.pack(zlib.crc32(fixed))


def decode_marks(data: bytes) -> Marks:
    """The newer intact slot of each pair."""
    return Marks(_newest(data, _DURABLE_OFFSETS), _newest(data, _TRIM_OFFSETS))


def read_marks(disk: Disk, directory: str) -> Marks:
    """The marks of the journal in `directory`; both None when there is no sidecar."""
    path = f"{directory}/{SIDECAR_NAME}"
    if not disk.exists(path):
        return Marks(None, None)
    handle = disk.open(path)
    try:
        return decode_marks(disk.pread(handle, SIDECAR_BYTES, 0))
    finally:
        disk.close(handle)


def _newest(data: bytes, offsets: tuple[int, ...]) -> Mark | None:
    newest: Mark | None = None
    for offset in offsets:
        slot = data[offset : offset + _SLOT_BYTES]
        if len(slot) < _SLOT_BYTES or _CRC.pack(zlib.crc32(slot[:-4])) != slot[-4:]:
            continue
        magic, _, *fields = _SLOT.unpack_from(slot)
        if magic == _MAGIC and (newest is None or fields[0] > newest.sequence):
            newest = Mark(*fields)
    return newest


@final
class Sidecar:
    """The writer. `journal_id` and `generation` go into every slot."""

    def __init__(self, disk: Disk, directory: str, journal_id: int, generation: int) -> None:
        self._disk = disk
        self._journal_id = journal_id
        self._generation = generation
        path = f"{directory}/{SIDECAR_NAME}"
        self._handle = disk.open(path, writable=True) if disk.exists(path) else disk.create(path)
        try:
            marks = decode_marks(disk.pread(self._handle, SIDECAR_BYTES, 0))
            if disk.size(self._handle) < SIDECAR_BYTES:
                # Its block is taken now, so that a full disk never stands between a sync and its mark.
                size = disk.size(self._handle)
                write_fully(disk, self._handle, [bytes(SIDECAR_BYTES - size)], size)
        except OSError:
            disk.close(self._handle)
            raise
        self._sequence = max((mark.sequence for mark in marks if mark is not None), default=0)

    def mark_durable(self, position: int) -> None:
        """Called after every sync; one small write, not synced."""
        self._write(_DURABLE_OFFSETS[self._sequence & 1], position, 0)

    def mark_trim(self, position: int, number: int) -> None:
        """Durable on return: segments below `number`, positions below `position`, may vanish from now on.

        One slot is synced before the other is touched. A torn write then leaves a mark that was durable, and
        a decayed slot leaves the same mark; an older one would make removed segments look lost.
        """
        for offset in _TRIM_OFFSETS:
            self._write(offset, position, number)
            self._disk.fdatasync(self._handle)

    def close(self) -> None:
        self._disk.close(self._handle)

    def _write(self, offset: int, position: int, number: int) -> None:
        self._sequence += 1
        mark = Mark(self._sequence, self._generation, self._journal_id, position, number)
        write_fully(self._disk, self._handle, [encode_mark(mark)], offset)
