"""The records of the dead-letter store's journal: their kinds, what is in them, and their bytes.

    kind        payload
    1 BURIED    ┌───────────────┬─────────┬────────────────┬───────────────┐
    2 MOVED     │ first_id  u64 │ n  u32  │ grave (n B)    │ the batch     │
                └───────────────┴─────────┴────────────────┴───────────────┘
                grave: MessagePack [move stream, first sequence, Death, live]
                live: MOVED only, [first, last, …] of the ids that are still there
    3 LEAVING   ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [destination, move stream, first sequence,   │
                │   [first, last, …], redrive]                             │
                └──────────────────────────────────────────────────────────┘
                destination: as `destinations.py` writes it; redrive 0: to the dead-letter exchange of their queue
    4 LEFT      ┌──────────────────────────────────────────────────────────┐
    5 RETURNED  │ MessagePack [first, last, …]                             │
    6 PURGED    └──────────────────────────────────────────────────────────┘
    7 MARK      ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [next_id, [stream, last_seq, …],             │
                │   {destination: [move stream, next sequence]},           │
                │   [buried, redriven, purged, republished], [redrive, …]] │
                └──────────────────────────────────────────────────────────┘
    8 NOTED     ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [[first, last, …], Attempt]                  │
                └──────────────────────────────────────────────────────────┘
                a remark of the store on letters: a move that failed
    9 REDRIVE   ┌──────────────────────────────────────────────────────────┐
                │ MessagePack of a RedriveRecord: a redrive as it stands   │
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
from posthouse.transport.messages_dead import Attempt, Death, Redrive

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
    NOTED = 8
    REDRIVE = 9


@final
class Grave(msgspec.Struct, frozen=True, array_like=True):
    """Where a burial came from and why. `live` is empty in a BURIED record: all of it lives."""

    stream: int
    first_seq: int
    death: Death
    live: list[int] = []


@final
class Leaving(msgspec.Struct, frozen=True, array_like=True):
    """The intent of a move. `key` is the destination's, `redrive` the number of the one it is part of."""

    key: str
    stream: int
    first_seq: int
    ranges: list[int]
    redrive: int = 0


@final
class Noted(msgspec.Struct, frozen=True, array_like=True):
    """A remark on letters."""

    ranges: list[int]
    remark: Attempt


@final
class RedriveRecord(msgspec.Struct, array_like=True):
    """One redrive: what was asked, how far it is, and under which numbers its letters went.

    `up_to` is the last id it may touch, `cursor` the last it has looked at; `sent`, `moved`, `back` and `failed` count
    messages. `streams` maps destinations to flat ranges of numbers. `text` says why it stopped.
    """

    number: int
    asked: Redrive
    matched: int
    up_to: int
    begun_ms: int
    cursor: int = 0
    sent: int = 0
    moved: int = 0
    back: int = 0
    failed: int = 0
    taken_back: int = 0
    text: str = ""
    is_over: bool = False
    is_past_canaries: bool = False
    streams: dict[str, list[int]] = msgspec.field(default_factory=dict)

    def went(self, key: str, first_seq: int, count: int, last_id: int) -> None:
        """Letters were intended for a destination."""
        self.sent += count
        self.cursor = max(self.cursor, last_id)
        ranges = self.streams.setdefault(key, [])
        if ranges and ranges[-1] + 1 == first_seq:
            ranges[-1] = first_seq + count - 1
        else:
            ranges += (first_seq, first_seq + count - 1)


@final
class Counters(msgspec.Struct, array_like=True):
    """Messages since the store was made."""

    buried: int = 0
    redriven: int = 0
    purged: int = 0
    republished: int = 0


@final
class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What the store must know besides its letters. One heads every segment, so that older segments can go."""

    next_id: int
    streams: list[int]
    targets: dict[str, list[int]]
    counters: Counters
    redrives: list[RedriveRecord] = []


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
_noted = msgspec.msgpack.Decoder(Noted)
_redrive = msgspec.msgpack.Decoder(RedriveRecord)
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


def encode_noted(noted: Noted) -> bytes:
    """A NOTED record."""
    return _encode(noted)


def encode_redrive(record: RedriveRecord) -> bytes:
    """A REDRIVE record."""
    return _encode(record)


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


def decode_noted(payload: Bytes) -> Noted:
    """Raises JournalCorrupt."""
    noted = _decoded(_noted, payload)
    pairs_of(noted.ranges)
    return noted


def decode_redrive(payload: Bytes) -> RedriveRecord:
    """Raises JournalCorrupt."""
    return _decoded(_redrive, payload)


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
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalCorrupt(f"a record of the dead letters cannot be read: {error}") from error
