"""The frame: a fixed header of 48 bytes and a MessagePack body, in one ZeroMQ frame.

Everything posthouse says travels in such frames. The header belongs to the link (sessions, sequence
numbers, acknowledgements); the body of a DATA frame is an array of messages. Pure: bytes in, values out.

     0       2     3     4            8                     16
    +-------+-----+-----+------------+---------------------+
    | "PH"  | ver | kind| generation |       session       |
    +-------+-----+-----+------------+---------------------+ 16
    |        sequence               |       received       |
    +-------------------------------+-----------+----------+ 32
    |        settled                | messages  | flags    |
    +-------------------------------+-----------+----------+ 48
    |        body (MessagePack) ...

All integers are little endian. `docs/protocol.md` explains every field.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple, TypeVar, final

import msgspec

from posthouse.transport.errors import ProtocolViolation
from posthouse.transport.limits import Limits

_T = TypeVar("_T")

PROTOCOL_VERSION: Final = 1
HEADER_BYTES: Final = 48
SENT_MASK: Final = 0xFFFF_FFFF
"""In frames other than DATA the field `messages` is the low half of the last DATA sequence sent."""

_HEADER: Final = struct.Struct("<2sBBIQQQQII")
_MAGIC: Final = b"PH"
_ARRAY_SMALL: Final = 16
_ARRAY_MEDIUM: Final = 65_536

PIECES_MAX: Final = 16_384
"""Messages in one DATA frame. A frame of twenty million nils would cost a gigabyte of Python objects."""

RANGES_MAX: Final = 65_536
"""Ranges in one ACK; one that has more to say says the first."""

HELLO_BYTES_MAX: Final = 1_024
"""The body of a HELLO: it is kept as long as its session stands, and anyone can send one."""

CLIENT_NAME_BYTES_MAX: Final = 512
"""What a program calls itself, in UTF-8; with the target it has to fit into a HELLO."""

ORIGIN_BYTES_MAX: Final = 64
"""The name of a program, of its host, and the address a door adds, each: what is longer is cut."""

RESET_BYTES_MAX: Final = 4_096
RESET_TEXT_CHARACTERS_MAX: Final = 1_000
RANGES_BYTES_MAX: Final = 5 + 2 * RANGES_MAX * 9


class Kind(enum.IntEnum):
    """What a frame is for."""

    HELLO = 1
    WELCOME = 2
    RESET = 3
    DATA = 4
    ACK = 5
    PING = 6
    BYE = 7


FLAG_PONG: Final = 1
"""On an ACK: answers a PING; `sequence` repeats the PING's."""

FLAG_GAP: Final = 2
"""On an ACK: a DATA frame came too early; `sequence` is the one that came."""


class Header(NamedTuple):
    """A frame's header. `kind` is a plain int, since an unknown one must be refused, not crash a decoder."""

    kind: int
    generation: int
    session: int
    sequence: int
    received: int
    settled: int
    messages: int
    flags: int


@final
class Hello(msgspec.Struct, frozen=True, array_like=True):
    """Opens a session with `target`. `client_id` is the same for all sessions of one client object.

    `program`, `host` and `pid` are for people who look at connections. `remote` is the address of a client over TCP:
    a door writes it, whatever the client said.
    """

    target: str
    client_id: int
    client_name: str
    program: str = ""
    host: str = ""
    pid: int = 0
    remote: str = ""


@final
class Welcome(msgspec.Struct, frozen=True, array_like=True):
    """Accepts a session and states the limits, which are also the credit: what may be in flight unsettled."""

    limits: Limits


@final
class Reset(msgspec.Struct, frozen=True, array_like=True):
    """Ends a session. `code` unknown_session asks for a new one; every other code is final."""

    code: str
    text: str


UNKNOWN_SESSION: Final = "unknown_session"

_encode = msgspec.msgpack.Encoder().encode
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)
_reset = msgspec.msgpack.Decoder(Reset)
_ranges = msgspec.msgpack.Decoder(list[int])
_pieces = msgspec.msgpack.Decoder(list[msgspec.Raw])


def pack_header(header: Header) -> bytes:
    """The 48 bytes of a header."""
    kind, generation, session, sequence, received, settled, messages, flags = header
    return _HEADER.pack(
        _MAGIC, PROTOCOL_VERSION, kind, generation, session, sequence, received, settled, messages, flags
    )


def unpack_header(frame: bytes | memoryview) -> Header:
    """The header of a frame. Raises ProtocolViolation for anything that is not one of ours."""
    if len(frame) < HEADER_BYTES:
        raise ProtocolViolation(f"a frame of {len(frame)} bytes is shorter than a header of {HEADER_BYTES}")
    magic, version, *rest = _HEADER.unpack_from(frame)
    if magic != _MAGIC:
        raise ProtocolViolation(f"a frame starts with {magic!r}, not with {_MAGIC!r}: the peer is not posthouse")
    if version != PROTOCOL_VERSION:
        raise ProtocolViolation(
            f"the peer speaks protocol version {version}, this side speaks {PROTOCOL_VERSION}: "
            "install the same major version of posthouse on both sides"
        )
    return Header(*rest)


def glance(frame: bytes | memoryview) -> tuple[int, int, int]:
    """Session, generation and kind of a frame that was refused, zeros where it is no frame of any version.

    These fields stand at the same place in every version, so that ends of different versions can part.
    """
    if len(frame) < HEADER_BYTES or bytes(frame[:2]) != _MAGIC:
        return 0, 0, 0
    _, _, kind, generation, session, *_ = _HEADER.unpack_from(frame)
    return session, generation, kind


def pack_array_head(count: int) -> bytes:
    """The MessagePack head of an array of `count` elements."""
    if count < _ARRAY_SMALL:
        return bytes((0x90 | count,))
    if count < _ARRAY_MEDIUM:
        return b"\xdc" + count.to_bytes(2, "big")
    return b"\xdd" + count.to_bytes(4, "big")


def pack_body(value: Hello | Welcome | Reset | list[int]) -> bytes:
    """The body of a frame other than DATA."""
    return _encode(value)


def unpack_hello(frame: bytes | memoryview) -> Hello:
    """Raises ProtocolViolation."""
    return _unpack(_hello, frame, HELLO_BYTES_MAX)


def unpack_welcome(frame: bytes | memoryview) -> Welcome:
    """Raises ProtocolViolation, also for a limit below 1: nothing could be sent, or PINGs without end."""
    welcome = _unpack(_welcome, frame, HELLO_BYTES_MAX)
    for name, value in msgspec.structs.asdict(welcome.limits).items():
        if value < 1:
            raise ProtocolViolation(f"the peer announces {name} {value}, a limit is at least 1")
    return welcome


def unpack_reset(frame: bytes | memoryview) -> Reset:
    """Raises ProtocolViolation."""
    return _unpack(_reset, frame, RESET_BYTES_MAX)


def unpack_ranges(frame: bytes | memoryview) -> list[int]:
    """The ranges of an ACK, flat `[first, last, …]`; none when there is no body. Raises ProtocolViolation."""
    return [] if len(frame) == HEADER_BYTES else _unpack(_ranges, frame, RANGES_BYTES_MAX)


def unpack_pieces(frame: bytes | memoryview) -> list[msgspec.Raw]:
    """The encoded messages of a DATA frame; they share the frame's memory. Raises ProtocolViolation."""
    count = _array_count(frame)
    if count > PIECES_MAX:
        raise ProtocolViolation(f"a frame of {count} messages is over the limit of {PIECES_MAX}")
    return _unpack(_pieces, frame, len(frame))


def _array_count(frame: bytes | memoryview) -> int:
    """How many elements the body's array says it has, before anything is made of them; 0 where it is none."""
    head = frame[HEADER_BYTES] if len(frame) > HEADER_BYTES else 0
    if head == 0xDC:
        return int.from_bytes(frame[HEADER_BYTES + 1 : HEADER_BYTES + 3], "big")
    if head == 0xDD:
        return int.from_bytes(frame[HEADER_BYTES + 1 : HEADER_BYTES + 5], "big")
    return 0


def _unpack(decoder: msgspec.msgpack.Decoder[_T], frame: bytes | memoryview, bytes_max: int) -> _T:
    if len(frame) - HEADER_BYTES > bytes_max:
        raise ProtocolViolation(f"a body of {len(frame) - HEADER_BYTES} bytes is over the limit of {bytes_max}")
    try:
        return decoder.decode(memoryview(frame)[HEADER_BYTES:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        # msgspec says invalid UTF-8 and too deep nesting in Python's own words; both are the peer's fault.
        raise ProtocolViolation(f"a frame's body cannot be read: {error}") from error
