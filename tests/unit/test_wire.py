"""The frame: golden bytes in both directions, and what every unpacker refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from posthouse.transport import wire
from posthouse.transport.errors import ProtocolViolation
from posthouse.transport.limits import Limits
from posthouse.transport.wire import FLAG_GAP, FLAG_PONG, HEADER_BYTES, Header, Hello, Kind, Reset, Welcome

GOLDEN: Final = Path(__file__).parent.parent / "golden"
NAMES: Final = sorted(path.stem for path in GOLDEN.glob("wire_*.bin"))
SESSION: Final = 0x0123456789ABCDEF


def golden(name: str) -> tuple[bytes, Header, Any]:
    """The bytes of a golden frame, and what the file beside it says is in them."""
    said = json.loads((GOLDEN / f"{name}.json").read_text())
    return (GOLDEN / f"{name}.bin").read_bytes(), Header(**said["header"]), plain(said["body"])


def plain(value: Any) -> Any:
    """JSON knows no bytes; the files write them as {"bytes": hex}."""
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, dict) and list(value) == ["bytes"]:
        return bytes.fromhex(value["bytes"])
    return value


def frame_of(kind: Kind, body: bytes = b"") -> bytes:
    return wire.pack_header(Header(kind, 3, SESSION, 0, 0, 0, 0, 0)) + body


def test_there_is_a_golden_frame_of_every_kind() -> None:
    assert {golden(name)[1].kind for name in NAMES} == set(Kind)


@pytest.mark.parametrize("name", NAMES)
def test_golden_frames_are_read_as_what_they_say(name: str) -> None:
    frame, header, body = golden(name)
    assert wire.unpack_header(frame) == wire.unpack_header(memoryview(frame)) == header
    assert (msgspec.msgpack.decode(frame[HEADER_BYTES:]) if frame[HEADER_BYTES:] else None) == body
    assert wire.glance(frame) == (header.session, header.generation, header.kind)


@pytest.mark.parametrize("name", NAMES)
def test_golden_frames_are_written_byte_for_byte(name: str) -> None:
    frame, header, body = golden(name)
    assert wire.pack_header(header) + (b"" if body is None else msgspec.msgpack.encode(body)) == frame


def test_the_typed_bodies_are_the_golden_ones() -> None:
    assert wire.unpack_hello(golden("wire_hello")[0]) == Hello("queue:orders", 77, "shop")
    hello = Hello("queue:orders", 77, "shop", "shop.py", "alpha", 4_711, "192.0.2.7")
    assert wire.unpack_hello(golden("wire_hello_origin")[0]) == hello
    assert golden("wire_hello_origin")[0].endswith(wire.pack_body(hello))
    assert wire.unpack_welcome(golden("wire_welcome")[0]) == Welcome(Limits())
    assert golden("wire_welcome")[0].endswith(wire.pack_body(Welcome(Limits())))
    reset = Reset("unknown_session", "no such session in this life")
    assert wire.unpack_reset(golden("wire_reset")[0]) == reset
    assert golden("wire_reset")[0].endswith(wire.pack_body(reset))
    assert wire.unpack_ranges(golden("wire_ack_ranges")[0]) == [9, 9, 12, 200]
    assert wire.unpack_ranges(golden("wire_ack")[0]) == []
    (piece,) = wire.unpack_pieces(golden("wire_data")[0])
    assert msgspec.msgpack.decode(piece)[0] == 1


def test_flags_are_bits() -> None:
    assert golden("wire_ack_pong")[1].flags == FLAG_PONG == 1
    assert golden("wire_ack_gap")[1].flags == FLAG_GAP == 2


def test_the_first_bytes_are_where_the_drawing_shows_them() -> None:
    frame = golden("wire_data")[0]
    assert frame[:4] == b"PH\x01\x04"
    assert frame[4:8] == (3).to_bytes(4, "little")
    assert frame[8:16] == SESSION.to_bytes(8, "little")
    assert [int.from_bytes(frame[at : at + 8], "little") for at in (16, 24, 32)] == [5, 9, 7]
    assert [int.from_bytes(frame[at : at + 4], "little") for at in (40, 44)] == [2, 0]


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (b"", "a frame of 0 bytes is shorter"),
        (b"PH\x01" + bytes(44), "a frame of 47 bytes is shorter"),
        (b"HP\x01\x04" + bytes(44), "the peer is not posthouse"),
        (b"PH\x02\x04" + bytes(44), "speaks protocol version 2, this side speaks 1"),
    ],
)
def test_a_header_of_another_make_is_refused(frame: bytes, says: str) -> None:
    with pytest.raises(ProtocolViolation, match=says):
        wire.unpack_header(frame)


def test_an_unknown_kind_is_read_as_a_number_for_the_link_to_refuse() -> None:
    assert wire.unpack_header(b"PH\x01\xfe" + bytes(44)).kind == 0xFE


def test_a_glance_sees_who_speaks_in_any_version_and_nothing_in_noise() -> None:
    frame = bytearray(golden("wire_hello")[0])
    frame[2] = 9
    assert wire.glance(bytes(frame)) == (SESSION, 3, Kind.HELLO)
    assert wire.glance(memoryview(frame)) == (SESSION, 3, Kind.HELLO)
    assert wire.glance(bytes(frame[:47])) == (0, 0, 0)
    assert wire.glance(b"HTTP" + bytes(44)) == (0, 0, 0)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 65_535, 65_536, 100_000])
def test_array_heads_are_those_of_messagepack(count: int) -> None:
    assert msgspec.msgpack.encode([None] * count) == wire.pack_array_head(count) + b"\xc0" * count


@pytest.mark.parametrize("count", [0, 15, 16, wire.PIECES_MAX])
def test_a_frame_carries_so_many_messages(count: int) -> None:
    frame = frame_of(Kind.DATA, msgspec.msgpack.encode([7] * count))
    assert [bytes(piece) for piece in wire.unpack_pieces(frame)] == [b"\x07"] * count


@pytest.mark.parametrize("head", [b"\xdc\x40\x01", b"\xdc\xff\xff", b"\xdd\x00\x00\x40\x01", b"\xdd\xff\xff\xff\xff"])
def test_too_many_messages_are_refused_before_anything_is_made_of_them(head: bytes) -> None:
    with pytest.raises(ProtocolViolation, match=r"is over the limit of 16384"):
        wire.unpack_pieces(frame_of(Kind.DATA, head + b"\xc0" * 70_000))


def test_pieces_share_the_memory_of_their_frame() -> None:
    frame = bytearray(frame_of(Kind.DATA, msgspec.msgpack.encode([7])))
    (piece,) = wire.unpack_pieces(memoryview(frame))
    frame[-1] = 8
    assert bytes(piece) == b"\x08"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        b"\xc1",
        b"\x91",
        b"\x93\xa1q\x01\xa1n\x00",
        b"\x93\xa2\xff\xfe\x01\xa0",
        b"\x93\xdb\xff\xff\xff\xff",
        b"\x91" * 5_000,
        msgspec.msgpack.encode([1, 2, 3]),
    ],
)
def test_a_body_that_is_no_hello_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        wire.unpack_hello(frame_of(Kind.HELLO, body))


def test_a_nest_deeper_than_python_can_follow_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match="cannot be read"):
        wire.unpack_pieces(frame_of(Kind.DATA, b"\x91" * 200_000 + b"\xc0"))


def test_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(ProtocolViolation, match=r"(?i)utf-8"):
        wire.unpack_reset(frame_of(Kind.RESET, b"\x92\xa1x\xa2\xff\xfe"))


def test_fields_that_a_later_version_adds_are_passed_over() -> None:
    body = msgspec.msgpack.encode(["queue:q", 1, "n", "p", "h", 2, "r", "later", {"and": "more"}])
    assert wire.unpack_hello(frame_of(Kind.HELLO, body)) == Hello("queue:q", 1, "n", "p", "h", 2, "r")
    limits = [16, 20, 10, 30, 500, "later"]
    welcome = wire.unpack_welcome(frame_of(Kind.WELCOME, msgspec.msgpack.encode([limits])))
    assert welcome.limits.ping_interval_ms == 500


def test_bodies_that_are_kept_or_counted_have_a_limit() -> None:
    long = "x" * 5_000
    with pytest.raises(ProtocolViolation, match=f"is over the limit of {wire.HELLO_BYTES_MAX}"):
        wire.unpack_hello(frame_of(Kind.HELLO, wire.pack_body(Hello("queue:q", 1, long))))
    with pytest.raises(ProtocolViolation, match=f"is over the limit of {wire.RESET_BYTES_MAX}"):
        wire.unpack_reset(frame_of(Kind.RESET, wire.pack_body(Reset("code", long))))
    with pytest.raises(ProtocolViolation, match=f"is over the limit of {wire.RANGES_BYTES_MAX}"):
        wire.unpack_ranges(frame_of(Kind.ACK, bytes(wire.RANGES_BYTES_MAX + 1)))


def test_the_longest_ranges_and_reset_that_are_said_can_be_read() -> None:
    ranges = [2**63 + number for number in range(2 * wire.RANGES_MAX)]
    assert wire.unpack_ranges(frame_of(Kind.ACK, wire.pack_body(ranges))) == ranges
    reset = Reset("protocol_violation", "\N{EARTH GLOBE EUROPE-AFRICA}" * wire.RESET_TEXT_CHARACTERS_MAX)
    assert wire.unpack_reset(frame_of(Kind.RESET, wire.pack_body(reset))) == reset


@pytest.mark.parametrize("name", Limits.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1])
def test_a_limit_below_one_is_refused(name: str, value: int) -> None:
    body = wire.pack_body(Welcome(msgspec.structs.replace(Limits(), **{name: value})))
    with pytest.raises(ProtocolViolation, match=f"the peer announces {name} {value}"):
        wire.unpack_welcome(frame_of(Kind.WELCOME, body))
