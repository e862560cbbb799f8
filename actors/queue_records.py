"""The records of a queue's journal: their kinds, what is in them, and their bytes.

    kind        payload
    1 STORE     ┌───────────────────┬──────────────────────────────────────┐
                │ first_offset  u64 │ the batch, MessagePack as received   │
                └───────────────────┴──────────────────────────────────────┘
    2 DELIVERED ┌──────────────────────────────────────────────────────────┐
    3 SETTLED   │ MessagePack [first, last, first, last, …]                │
    6 REJECTED  └──────────────────────────────────────────────────────────┘
    7 PURGED
    4 MARK      ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [next_offset, [stream, last_seq, …],         │
                │   {dedup_id: seen_ms, …}, [stored, delivered,            │
                │   redelivered, acked, rejected, duplicates,              │
                │   dead_lettered, expired, dropped, late_calls],          │
                │   move stream, next move sequence, paused]               │
                └──────────────────────────────────────────────────────────┘
    5 MOVED     ┌───────────────────┬──────────┬─────────────┬─────────────┐
                │ first_offset  u64 │ n  u32   │ live (n B)  │ the batch   │
                └───────────────────┴──────────┴─────────────┴─────────────┘
                live: MessagePack [first, last, times_delivered, …] of what lives; the rest is settled
    8 RETRY     ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [due_ms, [Attempt, …], [first, last, …],     │
                │   excused]                                               │
                └──────────────────────────────────────────────────────────┘
                due_ms 0: in their place at once; the attempts are those that failed; excused, left out when 0: how
                many of all that failed do not count to the limit of attempts
    9 LEAVING   ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [move stream, first sequence, first, last,   │
                │   Death]                                                 │
                └──────────────────────────────────────────────────────────┘
    10 LEFT     as SETTLED: the dead letters have them
    11 EXPIRES  ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [expires_ms, first, last]                    │
                └──────────────────────────────────────────────────────────┘
    12 EXPIRED  as SETTLED: their time was over
    13 DROPPED  as SETTLED: the queue was too long
    14 GIVEN    ┌──────────────────────────────────────────────────────────┐
    15 TAKEN    │ MessagePack [[client name, consumer,                     │
                │   [first, last, …]], …]                                  │
                └──────────────────────────────────────────────────────────┘
                GIVEN as DELIVERED, TAKEN as SETTLED (to a consumer with auto-ack), and to whom. DELIVERED itself is
                not written any more.
    20 LATE     as SETTLED: calls whose deadline passed
    21 PAUSED   ┌──────────────────────────────────────────────────────────┐
                │ MessagePack true: nothing is delivered from now on;      │
                │   false: it is again                                     │
                └──────────────────────────────────────────────────────────┘

    22 SUMMARY  ┌──────────────────────────────────────────────────────────┐
                │ MessagePack [first_offset, [stream, last_seq, …],        │
                │   bytes of each body (u32 each), published_ms of each    │
                │   (u64 each)]                                            │
                └──────────────────────────────────────────────────────────┘
                of the STORE records right before it, each of one message and without a gap; it says nothing new

Integers are little endian, ranges inclusive. Kinds are never used again; trailing fields may be added to a
mark. SETTLED, TAKEN, REJECTED, PURGED, LEFT, EXPIRED, DROPPED and LATE differ only in the counter they move.
Checksums are the journal's business: bytes that pass them and still make no sense are damage or a newer version,
and are refused as `JournalCorrupt`.
"""

from __future__ import annotations

import enum
import operator
import struct
from collections.abc import Iterable
from itertools import islice, repeat
from typing import Final, NamedTuple, TypeVar, final

import msgspec

from posthouse.actors.offsets import merged
from posthouse.actors.stored_batch import Bytes
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages_dead import Attempt, Death

_STORE: Final = struct.Struct("<Q")
_MOVED: Final = struct.Struct("<QI")
STORE_BYTES: Final = _STORE.size
"""What a STORE record is longer than its batch."""


class Kind(enum.IntEnum):
    """What a record says. The numbers are on disk."""

    STORE = 1
    DELIVERED = 2
    SETTLED = 3
    MARK = 4
    MOVED = 5
    REJECTED = 6
    PURGED = 7
    RETRY = 8
    LEAVING = 9
    LEFT = 10
    EXPIRES = 11
    EXPIRED = 12
    DROPPED = 13
    GIVEN = 14
    TAKEN = 15
    LATE = 20
    PAUSED = 21
    SUMMARY = 22


@final
class Counters(msgspec.Struct, array_like=True):
    """Messages since the queue was made, through all its lives."""

    stored: int = 0
    delivered: int = 0
    redelivered: int = 0
    acked: int = 0
    rejected: int = 0
    duplicates: int = 0
    dead_lettered: int = 0
    expired: int = 0
    dropped: int = 0
    late_calls: int = 0


@final
class Mark(msgspec.Struct, frozen=True, array_like=True):
    """What a queue must know besides its messages. One heads every segment, so that older segments can go."""

    next_offset: int
    streams: list[int]
    dedup_ids: dict[str, int]
    counters: Counters
    move_stream: int = 0
    move_seq: int = 1
    is_paused: bool = False


@final
class RetryRecord(msgspec.Struct, frozen=True, array_like=True):
    """Ranges that are in their place at `due_ms`, and the attempts of them that failed; `excused` of all such."""

    due_ms: int
    attempts: tuple[Attempt, ...]
    ranges: list[int]
    excused: int = 0


@final
class LeavingRecord(msgspec.Struct, frozen=True, array_like=True):
    """The intent of a move to the dead letters."""

    stream: int
    first_seq: int
    first: int
    last: int
    death: Death


@final
class ExpiresRecord(msgspec.Struct, frozen=True, array_like=True):
    """When a range expires."""

    expires_ms: int
    first: int
    last: int


@final
class Receiver(msgspec.Struct, frozen=True, array_like=True):
    """What one consumer got in one round, as flat ranges. `consumer` is its number in its session, 0 for `get`."""

    client_name: str
    consumer: int
    ranges: list[int]


@final
class Summary(msgspec.Struct, frozen=True, array_like=True):
    """What a queue must know of messages that were stored one by one before it needs them one by one."""

    first_offset: int
    last_seqs: list[int]
    """Each stream and its highest sequence number, the one that was quiet longest first."""
    body_bytes: bytes
    published_ms: bytes

    @property
    def count(self) -> int:
        return len(self.body_bytes) // 4

    @property
    def last_offset(self) -> int:
        return self.first_offset + self.count - 1

    def is_of(self, body: memoryview, first: int, last: int) -> bool:
        """Whether the first and the last of the STORE records that it speaks of begin there."""
        (first_offset,), (last_offset,) = _STORE.unpack_from(body, first), _STORE.unpack_from(body, last)
        return (first_offset, last_offset) == (self.first_offset, self.last_offset)


@final
class Moved(NamedTuple):
    """A MOVED record taken apart."""

    first_offset: int
    live: list[int]
    raw: memoryview


_encode = msgspec.msgpack.Encoder().encode
_numbers = msgspec.msgpack.Decoder(list[int])
_mark = msgspec.msgpack.Decoder(Mark)
_retry = msgspec.msgpack.Decoder(RetryRecord)
_leaving = msgspec.msgpack.Decoder(LeavingRecord)
_expires = msgspec.msgpack.Decoder(ExpiresRecord)
_receivers = msgspec.msgpack.Decoder(list[Receiver])
_summary = msgspec.msgpack.Decoder(Summary)
_paused = msgspec.msgpack.Decoder(bool)


def encode_store(first_offset: int, raw: Bytes) -> tuple[bytes, Bytes]:
    """The parts of a STORE record; the batch is not copied."""
    return _STORE.pack(first_offset), raw


def encode_ranges(ranges: Iterable[tuple[int, int]]) -> bytes:
    """A DELIVERED, SETTLED, REJECTED, PURGED or LATE record; ranges that follow one another are joined."""
    return _encode([offset for pair in merged(ranges) for offset in pair])


def encode_receivers(receivers: list[tuple[str, int, list[int]]]) -> bytes:
    """A GIVEN or TAKEN record: client name, consumer and flat ranges of each."""
    return _encode(receivers)


def encode_mark(mark: Mark) -> bytes:
    """A MARK record."""
    return _encode(mark if mark.is_paused else msgspec.structs.astuple(mark)[:-1])


def encode_moved(first_offset: int, live: list[int], raw: Bytes) -> tuple[bytes, bytes, Bytes]:
    """The parts of a MOVED record; the batch is not copied. `live` is flat: first, last, times, …"""
    packed = _encode(live)
    return _MOVED.pack(first_offset, len(packed)), packed, raw


def decode_store(payload: Bytes) -> tuple[int, memoryview]:
    """First offset and batch of a STORE record. Raises JournalCorrupt."""
    if len(payload) < _STORE.size:
        raise JournalCorrupt(f"a STORE record has only {len(payload)} bytes")
    view = payload if type(payload) is memoryview else memoryview(payload)
    return _STORE.unpack_from(view)[0], view[_STORE.size :]


def decode_stores(body: memoryview, bounds: list[int], offsets: list[int], raws: list[memoryview]) -> None:
    """Add first offset and batch of each STORE record that lies between two bounds. Raises JournalCorrupt."""
    starts = [bound + _STORE.size for bound in bounds]
    if any(map(operator.gt, starts, islice(bounds, 1, None))):
        raise JournalCorrupt(f"a STORE record has less than {_STORE.size} bytes")
    offsets += [offset for (offset,) in map(_STORE.unpack_from, repeat(body), islice(bounds, len(bounds) - 1))]
    raws += map(body.__getitem__, map(slice, starts, islice(bounds, 1, None)))


def decode_ranges(payload: Bytes) -> list[int]:
    """The flat ranges of a record. Raises JournalCorrupt."""
    return _checked(_decoded(_numbers, payload), 2)


def decode_receivers(payload: Bytes) -> list[Receiver]:
    """Who got what. Raises JournalCorrupt."""
    receivers = _decoded(_receivers, payload)
    for receiver in receivers:
        _checked(receiver.ranges, 2)
    return receivers


def decode_mark(payload: Bytes) -> Mark:
    """The contents of a MARK record. Raises JournalCorrupt."""
    mark = _decoded(_mark, payload)
    if len(mark.streams) % 2:
        raise JournalCorrupt(f"a MARK record has {len(mark.streams)} numbers where it keeps pairs")
    return mark


def encode_retry(
    due_ms: int, attempts: tuple[Attempt, ...], ranges: Iterable[tuple[int, int]], excused: int = 0
) -> bytes:
    """A RETRY record."""
    flat = [offset for pair in merged(sorted(ranges)) for offset in pair]
    return _encode((due_ms, attempts, flat, excused) if excused else (due_ms, attempts, flat))


def encode_paused(is_paused: bool) -> bytes:
    """A PAUSED record."""
    return _encode(is_paused)


def decode_paused(payload: Bytes) -> bool:
    """The contents of a PAUSED record. Raises JournalCorrupt."""
    return _decoded(_paused, payload)


def encode_summary(summary: Summary) -> bytes:
    """A SUMMARY record."""
    return _encode(summary)


def decode_summary(payload: Bytes) -> Summary:
    """The contents of a SUMMARY record. Raises JournalCorrupt."""
    summary = _decoded(_summary, payload)
    if not summary.count or len(summary.published_ms) != 8 * summary.count or len(summary.last_seqs) % 2:
        raise JournalCorrupt(f"a SUMMARY record of {summary.count} messages contradicts itself")
    return summary


def encode_leaving(record: LeavingRecord) -> bytes:
    """A LEAVING record."""
    return _encode(record)


def encode_expires(record: ExpiresRecord) -> bytes:
    """An EXPIRES record."""
    return _encode(record)


def decode_retry(payload: Bytes) -> RetryRecord:
    """The contents of a RETRY record. Raises JournalCorrupt."""
    record = _decoded(_retry, payload)
    _checked(record.ranges, 2)
    return record


def decode_leaving(payload: Bytes) -> LeavingRecord:
    """The contents of a LEAVING record. Raises JournalCorrupt."""
    record = _decoded(_leaving, payload)
    _checked([record.first, record.last], 2)
    return record


def decode_expires(payload: Bytes) -> ExpiresRecord:
    """The contents of an EXPIRES record. Raises JournalCorrupt."""
    record = _decoded(_expires, payload)
    _checked([record.first, record.last], 2)
    return record


def decode_moved(payload: Bytes) -> Moved:
    """The contents of a MOVED record. Raises JournalCorrupt."""
    if len(payload) < _MOVED.size:
        raise JournalCorrupt(f"a MOVED record has only {len(payload)} bytes")
    first_offset, size = _MOVED.unpack_from(payload)
    view = memoryview(payload)[_MOVED.size :]
    return Moved(first_offset, _checked(_decoded(_numbers, view[:size]), 3), view[size:])


_T = TypeVar("_T")


def _decoded(decoder: msgspec.msgpack.Decoder[_T], payload: Bytes) -> _T:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalCorrupt(f"a record of the queue's journal cannot be read: {error}") from error


def _checked(numbers: list[int], group: int) -> list[int]:
    """Numbers in groups that start with a first and a last offset."""
    if len(numbers) % group or any(
        first > last for first, last in zip(numbers[::group], numbers[1::group], strict=True)
    ):
        raise JournalCorrupt(f"a record of the queue's journal holds no ranges: {numbers[:8]}")
    return numbers
