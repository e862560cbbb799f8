"""The records of the delay scheduler's journal: their kinds, what is in them, and their bytes.

    kind         payload
    1 STORE      ┌────────────────┬─────────────────────────────────────────┐
                 │ first_id   u64 │ the batch, MessagePack as received      │
                 └────────────────┴─────────────────────────────────────────┘
    2 FIRE       MessagePack [exchange, stream, first_seq, due_ms, [id, …]]
    3 FIRED      MessagePack [[stream, first_seq, count], …]
    4 FAILED     MessagePack [stream, first_seq, code, text]
    5 RETURNED   MessagePack [stream, first_seq, due_ms]
    6 CANCELLED  MessagePack [id, …]
    7 RESCHEDULED MessagePack [id, due_ms]
    8 MARK       MessagePack [next_id, [stream, last_seq, …], counters]
    9 KEPT       ┌────────────────┬──────────────┬──────────────────────────┐
                 │ n          u32 │ head  (n B)  │ a batch of what is kept  │
                 └────────────────┴──────────────┴──────────────────────────┘
                 head: MessagePack [[id, …], [due_ms, …], [code, text] or nil]
    10 SCHEDULE  MessagePack [schedule_id, key, exchange, routing_key, headers, body, rule, anchor_ms, passed_ms,
                 count, is_paused, failed_id]
    11 OCCURRED  as KEPT; head: MessagePack [id, schedule_id, passed_ms]
    12 STOPPED   MessagePack schedule_id
    13 BURY      MessagePack [stream, first_seq, died_ms, code, text, [id, …]]
    14 BURIED    MessagePack [first_seq, …]

FIRE is the intent: these messages leave, in this order, as one batch under these numbers of a stream of the
scheduler's own. FIRED, FAILED or RETURNED is what became of it; without one it is sent again. SCHEDULE is a schedule
as it is now; every segment begins with all of them. OCCURRED is a message that a schedule made, and that the
schedule's instants are done with up to `passed_ms`: both or neither. BURY is the intent to move what has failed to
the dead letters under these numbers, and BURIED that they have it; every segment begins with the intents of which
that is not yet known. Integers are little endian. Kinds are never used again; fields may be appended. What passes the
journal's checksums and makes no sense is `JournalCorrupt`.
"""

from __future__ import annotations

import enum
import struct
from typing import Any, Final, NamedTuple, TypeVar, final

import msgspec

from posthouse.actors.recurrence import Rule
from posthouse.transport.errors import JournalCorrupt

Bytes = bytes | memoryview

_STORE: Final = struct.Struct("<Q")
_KEPT: Final = struct.Struct("<I")


class Kind(enum.IntEnum):
    """What a record says. The numbers are on disk."""

    STORE = 1
    FIRE = 2
    FIRED = 3
    FAILED = 4
    RETURNED = 5
    CANCELLED = 6
    RESCHEDULED = 7
    MARK = 8
    KEPT = 9
    SCHEDULE = 10
    OCCURRED = 11
    STOPPED = 12
    BURY = 13
    BURIED = 14


class _Record(msgspec.Struct, frozen=True, array_like=True):
    """A record that is one MessagePack array."""


@final
class Fire(_Record, frozen=True):
    """These messages leave for their exchange as one batch, not before `due_ms`."""

    exchange: str
    stream: int
    first_seq: int
    due_ms: int
    ids: list[int]


@final
class Failed(_Record, frozen=True):
    """The batch was refused, and would be refused again."""

    stream: int
    first_seq: int
    code: str
    text: str


@final
class Returned(_Record, frozen=True):
    """The batch was refused for now; its messages wait again, until `due_ms`."""

    stream: int
    first_seq: int
    due_ms: int


@final
class Burial(_Record, frozen=True):
    """Messages that have failed, and came in one batch, go to the dead letters under these numbers."""

    stream: int
    first_seq: int
    died_ms: int
    code: str
    text: str
    ids: list[int]


@final
class Rescheduled(_Record, frozen=True):
    """A message has another time."""

    message_id: int
    due_ms: int


@final
class Counters(msgspec.Struct, array_like=True):
    """Messages since the scheduler was made, through all its lives; `accepted_bytes` are bytes of its journal."""

    accepted: int = 0
    accepted_bytes: int = 0
    fired: int = 0
    cancelled: int = 0
    replaced: int = 0
    retried: int = 0
    dead_lettered: int = 0


@final
class Mark(_Record, frozen=True):
    """What must be known besides the messages. One heads every segment, so that older segments can go."""

    next_id: int
    streams: list[int]
    counters: Counters


@final
class KeptHead(_Record, frozen=True):
    """Which messages a KEPT record holds. `failure` belongs to each of them whose due time is not positive."""

    ids: list[int]
    dues: list[int]
    failure: tuple[str, str] | None = None


@final
class Kept(NamedTuple):
    """A KEPT record taken apart."""

    head: KeptHead
    raw: memoryview


@final
class Schedule(msgspec.Struct, array_like=True):
    """A recurring schedule: what it repeats, when, and how far it has come.

    Its instants up to `passed_ms` are done with; `count` messages came to be. `failed_id` is the last that was refused.
    """

    schedule_id: int
    key: str
    exchange: str
    routing_key: str
    headers: bytes
    body: bytes
    rule: Rule
    anchor_ms: int
    passed_ms: int
    count: int = 0
    is_paused: bool = False
    failed_id: int = 0


@final
class Occurred(_Record, frozen=True):
    """A schedule made a message; the batch of an OCCURRED record holds it. Its instants up to `passed_ms` are done."""

    message_id: int
    schedule_id: int
    passed_ms: int


_encode = msgspec.msgpack.Encoder().encode
_fire = msgspec.msgpack.Decoder(Fire)
_fired = msgspec.msgpack.Decoder(list[tuple[int, int, int]])
_failed = msgspec.msgpack.Decoder(Failed)
_returned = msgspec.msgpack.Decoder(Returned)
_ids = msgspec.msgpack.Decoder(list[int])
_burial = msgspec.msgpack.Decoder(Burial)
_rescheduled = msgspec.msgpack.Decoder(Rescheduled)
_mark = msgspec.msgpack.Decoder(Mark)
_kept = msgspec.msgpack.Decoder(KeptHead)

_schedule = msgspec.msgpack.Decoder(Schedule)
_occurred = msgspec.msgpack.Decoder(Occurred)
_stopped = msgspec.msgpack.Decoder(int)

_T = TypeVar("_T")


def encode(record: Any) -> bytes:
    """Any record but STORE, KEPT and OCCURRED."""
    return _encode(record)


def encode_store(first_id: int, raw: Bytes) -> tuple[bytes, Bytes]:
    """The parts of a STORE record; the batch is not copied."""
    return _STORE.pack(first_id), raw


def encode_kept(head: KeptHead, raw: Bytes) -> tuple[bytes, bytes, Bytes]:
    """The parts of a KEPT record; the batch is not copied."""
    packed = _encode(head)
    return _KEPT.pack(len(packed)), packed, raw


def encode_occurred(head: Occurred, raw: Bytes) -> tuple[bytes, bytes, Bytes]:
    """The parts of an OCCURRED record."""
    packed = _encode(head)
    return _KEPT.pack(len(packed)), packed, raw


def decode_store(payload: Bytes) -> tuple[int, memoryview]:
    """First id and batch of a STORE record. Raises JournalCorrupt, as all of these."""
    if len(payload) < _STORE.size:
        raise JournalCorrupt(f"a STORE record has only {len(payload)} bytes")
    return _STORE.unpack_from(payload)[0], memoryview(payload)[_STORE.size :]


def decode_kept(payload: Bytes) -> Kept:
    packed, raw = _split(payload)
    head = _decoded(_kept, packed)
    if len(head.ids) != len(head.dues):
        raise JournalCorrupt(f"a KEPT record has {len(head.ids)} ids and {len(head.dues)} times")
    return Kept(head, raw)


def decode_occurred(payload: Bytes) -> tuple[Occurred, memoryview]:
    packed, raw = _split(payload)
    return _decoded(_occurred, packed), raw


def decode_schedule(payload: Bytes) -> Schedule:
    return _decoded(_schedule, payload)


def decode_stopped(payload: Bytes) -> int:
    return _decoded(_stopped, payload)


def _split(payload: Bytes) -> tuple[memoryview, memoryview]:
    """Head and batch of a KEPT or OCCURRED record."""
    if len(payload) < _KEPT.size:
        raise JournalCorrupt(f"a KEPT or OCCURRED record has only {len(payload)} bytes")
    (size,) = _KEPT.unpack_from(payload)
    view = memoryview(payload)[_KEPT.size :]
    return view[:size], view[size:]


def decode_fire(payload: Bytes) -> Fire:
    return _decoded(_fire, payload)


def decode_fired(payload: Bytes) -> list[tuple[int, int, int]]:
    return _decoded(_fired, payload)


def decode_failed(payload: Bytes) -> Failed:
    return _decoded(_failed, payload)


def decode_returned(payload: Bytes) -> Returned:
    return _decoded(_returned, payload)


def decode_ids(payload: Bytes) -> list[int]:
    return _decoded(_ids, payload)


def decode_burial(payload: Bytes) -> Burial:
    burial = _decoded(_burial, payload)
    if not burial.ids:
        raise JournalCorrupt("a BURY record names no message")
    return burial


def decode_rescheduled(payload: Bytes) -> Rescheduled:
    return _decoded(_rescheduled, payload)


def decode_mark(payload: Bytes) -> Mark:
    mark = _decoded(_mark, payload)
    if len(mark.streams) % 2:
        raise JournalCorrupt(f"a MARK record has {len(mark.streams)} numbers where it keeps pairs")
    return mark


def _decoded(decoder: msgspec.msgpack.Decoder[_T], payload: Bytes) -> _T:
    try:
        return decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise JournalCorrupt(f"a record of the delay scheduler's journal cannot be read: {error}") from error
