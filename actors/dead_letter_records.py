"""The records of the dead-letter store's journal: their kinds, what is in them, and their bytes.

    kind        payload
    1 BURIED    ┌───────────────┬─────────┬────────────────┬───────────────┐
    2 MOVED     │ first_id  u64 │ n  u32  │ grave (n B)    │ the batch     │
                └───────────────┴─────────┴────────────────┴───────────────┘
                grave: MessagePack [move stream, first sequence, Death, live]
                live: MOVED only, [first, last, …] of the ids that are still there
    3 LEAVING   ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [queue, move stream, first sequence,         │
                │   [first, last, …]]                                      │
                └──────────────────────────────────────────────────────────┘
    4 LEFT      ┌──────────────────────────────────────────────────────────┐
    5 RETURNED  │ MessagePack [first, last, …]                             │
    6 PURGED    └──────────────────────────────────────────────────────────┘
    7 MARK      ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [next_id, [stream, last_seq, …],             │
                │   {queue: [move stream, next sequence]},                 │
                │   [buried, redriven, purged]]                            │
                └──────────────────────────────────────────────────────────┘

Integers are little endian, ranges of ids inclusive. Kinds are never used again; trailing fields may be added. The batch
is the `Batch` that its publisher sent, sliced to the messages that died together.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import Final, NamedTuple, TypeVar, final

import msgspec

from posthouse.actors.stored_batch import Bytes
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages_dead import Death

_HEAD: Final = struct.Struct("<QI")


class Kind(enum.IntEnum):
    """What a record says. The numbers are on disk."""

    BURIED = 1
    MOVED = 2
    LEAVING = 3
    LEFT = 4
    RETURNED = 5
    PURGED = 6
    MARK = 7


@final
class Grave(msgspec.Struct, frozen=True, array_like=True):
    """Where a burial came from and why. `live` is empty in a BURIED record: all of it lives."""

    stream: int
    first_seq: int
    death: Death
    live: list[int] = []


@final
class Leaving(msgspec.Struct, frozen=True, array_like=True):
    """The intent of a move to a queue."""

    queue: str
    stream: int
    first_seq: int
    ranges: list[int]


@final
class Counters(msgspec.Struct, array_like=True):
    """Messages since the store was made."""

    buried: int = 0
    redriven: int = 0
    purged: int = 0


@final
class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What the store must know besides its letters. One heads every segment, so that older segments can go."""

    next_id: int
    streams: list[int]
    targets: dict[str, list[int]]
    counters: Counters


@final
class Buried(NamedTuple):
    """A BURIED or MOVED record taken apart."""

    first_id: int
    grave: Grave
    raw: memoryview


_encode = msgspec.msgpack.Encoder().encode
_grave = msgspec.msgpack.Decoder(Grave)
_leaving = msgspec.msgpack.Decoder(Leaving)
_numbers = msgspec.msgpack.Decoder(list[int])
_mark = msgspec.msgpack.Decoder(Mark)
_T = TypeVar("_T")


def encode_buried(first_id: int, grave: Grave, raw: Bytes) -> tuple[bytes, bytes, Bytes]:
    """The parts of a BURIED or MOVED record; the batch is not copied."""
    packed = _encode(grave)
    return _HEAD.pack(first_id, len(packed)), packed, raw


def encode_leaving(leaving: Leaving) -> bytes:
    """A LEAVING record."""
    return _encode(leaving)


def encode_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """A LEFT, RETURNED or PURGED record."""
    return _encode([number for pair in ranges for number in pair])


def encode_mark(mark: Mark) -> bytes:
    """A MARK record."""
    return _encode(mark)


def decode_buried(payload: Bytes) -> Buried:
    """Raises JournalCorrupt."""
    if len(payload) < _HEAD.size:
        raise JournalCorrupt(f"a BURIED record has only {len(payload)} bytes")
    first_id, size = _HEAD.unpack_from(payload)
    view = memoryview(payload)[_HEAD.size :]
    return Buried(first_id, _decoded(_grave, view[:size]), view[size:])


def decode_leaving(payload: Bytes) -> Leaving:
    """Raises JournalCorrupt."""
    leaving = _decoded(_leaving, payload)
    pairs_of(leaving.ranges)
    return leaving


def decode_ranges(payload: Bytes) -> list[tuple[int, int]]:
    """Raises JournalCorrupt."""
    return pairs_of(_decoded(_numbers, payload))


def decode_mark(payload: Bytes) -> Mark:
    """Raises JournalCorrupt."""
    return _decoded(_mark, payload)


def pairs_of(flat: list[int]) -> list[tuple[int, int]]:
    """Flat ranges as pairs. Raises JournalCorrupt."""
    pairs = list(zip(flat[::2], flat[1::2], strict=False))
    if len(flat) % 2 or any(first > last for first, last in pairs):
        raise JournalCorrupt(f"a record of the dead letters holds no ranges: {flat[:8]}")
    return pairs


def _decoded(decoder: msgspec.msgpack.Decoder[_T], payload: Bytes) -> _T:
    try:
        return decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"a record of the dead letters cannot be read: {error}") from error
