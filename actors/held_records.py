"""The records of an exchange's journal: their kinds, what is in them, and their bytes.

    kind        payload
    1 HELD      ┌─────────────┬──────────────┬────────────┬──────────────────────────────────────┐
    6 KEPT      │ number  u64 │ held_ms  u64 │ start  u32 │ the batch, MessagePack as received   │
                └─────────────┴──────────────┴────────────┴──────────────────────────────────────┘
                KEPT: copied forward; messages before `start` have left. Its moves are stated again after it
    2 LEAVING   ┌─────────────────────────────────────────────────────────────────────────────────┐
                │ MessagePack [[number, start, stop, …], [[queue, serial, stream, first_seq], …], │
                │   reason, moved_ms, has_landed]                                                 │
                └─────────────────────────────────────────────────────────────────────────────────┘
                messages `start` up to `stop` of batch `number` move to every queue listed ("": the dead
                letters), numbered from `first_seq` on that queue's stream in the order of the list
    3 LANDED    MessagePack [stream, first_seq, last_seq, …]: stored at the other end
    4 ABANDONED MessagePack [stream, …]: the queue was deleted; what had not landed is held again
    5 MARK      ┌─────────────────────────────────────────────────────────────────────────────────┐
                │ MessagePack [next_number, [[queue, serial, stream, next_seq], …],               │
                │   [[stream, first, last, …], …], [held, released, dead]]                        │
                └─────────────────────────────────────────────────────────────────────────────────┘

Integers are little endian. Kinds are never used again; trailing fields may be added to the MessagePack ones. Checksums
are the journal's business: bytes that pass them and still make no sense are damage or a newer version, and are refused
as `JournalCorrupt`.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple, TypeVar, final

import msgspec

from posthouse.actors.stored_batch import Bytes
from posthouse.transport.errors import JournalCorrupt

_HELD: Final = struct.Struct("<QQI")


class Kind(enum.IntEnum):
    """What a record says. The numbers are on disk."""

    HELD = 1
    LEAVING = 2
    LANDED = 3
    ABANDONED = 4
    MARK = 5
    KEPT = 6


@final
class HeldRecord(NamedTuple):
    """A HELD or KEPT record taken apart."""

    number: int
    held_ms: int
    start: int
    raw: memoryview


@final
class RoadRecord(msgspec.Struct, frozen=True, array_like=True):
    """One stream of moves. `serial` tells a queue from an earlier one of its name; `seq`: next or first number."""

    queue: str
    serial: int
    stream: int
    seq: int


@final
class LeavingRecord(msgspec.Struct, frozen=True, array_like=True):
    """Pieces, flat `[number, start, stop, …]`, that leave by all of the roads. `reason`: of dead letters, else ""."""

    pieces: list[int]
    roads: list[RoadRecord]
    reason: str = ""
    moved_ms: int = 0
    has_landed: bool = False


@final
class Counters(msgspec.Struct, array_like=True):
    """Messages since the exchange was made, through all its lives. Dead: moved to the dead letters."""

    held: int = 0
    released: int = 0
    dead: int = 0


@final
class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What is to be known besides what is held. One heads every segment, so that older segments can go."""

    next_number: int
    roads: list[RoadRecord]
    seen: list[list[int]]
    counters: Counters


Record = TypeVar("Record", LeavingRecord, Mark)

_encode = msgspec.msgpack.Encoder().encode
_numbers = msgspec.msgpack.Decoder(list[int])


def encode_held(number: int, held_ms: int, start: int, raw: Bytes) -> tuple[bytes, Bytes]:
    """The parts of a HELD or KEPT record; the batch is not copied."""
    return _HELD.pack(number, held_ms, start), raw


def encode(record: LeavingRecord | Mark) -> bytes:
    """A LEAVING or MARK record."""
    return _encode(record)


def encode_numbers(numbers: list[int]) -> bytes:
    """A LANDED or ABANDONED record."""
    return _encode(numbers)


def decode_held(payload: Bytes) -> HeldRecord:
    """Raises JournalCorrupt."""
    if len(payload) < _HELD.size:
        raise JournalCorrupt(f"a HELD record has only {len(payload)} bytes")
    number, held_ms, start = _HELD.unpack_from(payload)
    return HeldRecord(number, held_ms, start, memoryview(payload)[_HELD.size :])


def decode(payload: Bytes, kind: type[Record]) -> Record:
    """A LEAVING or MARK record. Raises JournalCorrupt."""
    try:
        record = msgspec.msgpack.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalCorrupt(f"a record of the exchange's journal cannot be read: {error}") from error
    if isinstance(record, LeavingRecord):
        _check_groups(record.pieces, 3)
    return record


def decode_numbers(payload: Bytes, group: int) -> list[int]:
    """The numbers of a LANDED (in threes) or ABANDONED (each by itself) record. Raises JournalCorrupt."""
    try:
        numbers = _numbers.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalCorrupt(f"a record of the exchange's journal cannot be read: {error}") from error
    return _check_groups(numbers, group)


def _check_groups(numbers: list[int], group: int) -> list[int]:
    if len(numbers) % group:
        raise JournalCorrupt(f"a record of the exchange's journal has {len(numbers)} numbers, not groups of {group}")
    return numbers
