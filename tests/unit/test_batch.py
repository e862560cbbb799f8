"""The batch, by example: what is refused, and that slices say the same as the whole."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import msgspec
import pytest

from posthouse.transport import batch as batch_module
from posthouse.transport.batch import (
    check_batch,
    due_of,
    durability_of,
    headers_of,
    lengths_of,
    pack_due,
    pack_lengths,
    properties_of,
    slice_batch,
)
from posthouse.transport.errors import InvalidArgument, ProtocolViolation
from posthouse.transport.limits import BATCH_MESSAGES_MAX, HEADERS_BYTES_MAX, NAME_BYTES_MAX, Limits
from posthouse.transport.messages import NIL, Batch, Durability, Options, encode

LIMITS: Final = Limits(body_bytes_max=10)


def batch_of(*bodies: bytes, **changes: Any) -> Batch:
    """A batch of these bodies; `changes` make it contradict itself."""
    fields: dict[str, Any] = {
        "exchange": "orders",
        "routing_key": "eu.berlin",
        "stream": 77,
        "first_seq": 41,
        "count": len(bodies),
        "published_ms": 1_700_000_000_000,
        "headers": NIL,
        "lengths": pack_lengths([len(body) for body in bodies]),
        "bodies": memoryview(b"".join(bodies)),
    }
    return Batch(**{**fields, **changes})


def bodies_of(batch: Batch) -> list[bytes]:
    taken, at = [], 0
    for length in lengths_of(batch):
        taken.append(bytes(batch.bodies[at : at + length]))
        at += length
    assert at == batch.bodies.nbytes
    return taken


def test_lengths_are_packed_as_little_endian_u32() -> None:
    packed = pack_lengths([1, 256, 65_536])
    assert bytes(packed) == b"\x01\0\0\0" + b"\0\x01\0\0" + b"\0\0\x01\0"
    assert packed.nbytes == 12
    assert list(lengths_of(batch_of(b"a", b"", b"bcd"))) == [1, 0, 3]


def test_a_big_endian_machine_turns_the_bytes_in_both_directions(monkeypatch: pytest.MonkeyPatch) -> None:
    little = bytes(pack_lengths([1, 2]))
    monkeypatch.setattr(batch_module, "sys", SimpleNamespace(byteorder="big"))
    assert bytes(pack_lengths([1, 2])) == bytes(byte for at in (3, 7) for byte in little[at - 3 : at + 1][::-1])
    assert list(lengths_of(batch_of(b"a", b"bc"))) == [1, 2]


def test_lengths_are_read_at_any_place_in_a_frame() -> None:
    frame = memoryview(b"?" + bytes(pack_lengths([3, 5])))
    assert list(lengths_of(batch_of(b"", lengths=frame[1:]))) == [3, 5]


@pytest.mark.parametrize("bodies", [(b"",), (b"abc", b"", b"d"), (b"x" * 10,) * 20])
def test_an_honest_batch_is_accepted(bodies: tuple[bytes, ...]) -> None:
    check_batch(batch_of(*bodies), LIMITS)
    check_batch(batch_of(b"a", routing_key="é" * 127, headers=msgspec.Raw(encode({"a": 1}))), LIMITS)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"count": 0, "lengths": memoryview(b"")}, "a batch of 0 messages"),
        ({"count": -1}, "a batch of -1 messages"),
        ({"count": 3}, "a batch of 3 messages carries 8 bytes of lengths"),
        ({"lengths": memoryview(b"\1\0\0\0\1\0\0")}, "carries 7 bytes of lengths"),
        (
            {"count": BATCH_MESSAGES_MAX + 1, "lengths": memoryview(bytes(4 * BATCH_MESSAGES_MAX + 4))},
            "a batch of 65536 messages",
        ),
        ({"first_seq": 0}, "out of range"),
        ({"first_seq": 1 << 62}, "out of range"),
        ({"stream": -1}, "negative stream"),
        ({"bodies": memoryview(b"abcd")}, "says 5 bytes of bodies and carries 4"),
    ],
)
def test_what_only_broken_software_sends_is_a_violation(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ProtocolViolation, match=says):
        check_batch(batch_of(b"abc", b"de", **changes), LIMITS)


def test_the_largest_batch_is_accepted() -> None:
    lengths = memoryview(bytes(4 * BATCH_MESSAGES_MAX))
    check_batch(batch_of(count=BATCH_MESSAGES_MAX, lengths=lengths), LIMITS)


def test_a_body_over_the_limit_is_refused_with_what_to_do() -> None:
    with pytest.raises(InvalidArgument, match=r"a body of 11 bytes is over the limit of 10; split it"):
        check_batch(batch_of(b"a", b"x" * 11), LIMITS)


def test_a_routing_key_is_measured_in_bytes() -> None:
    check_batch(batch_of(b"", routing_key="k" * NAME_BYTES_MAX), LIMITS)
    with pytest.raises(InvalidArgument, match="the routing key has 256 bytes, the limit is 255"):
        check_batch(batch_of(b"", routing_key="é" * 128), LIMITS)


def test_headers_have_a_limit() -> None:
    headers = msgspec.Raw(encode({"k": "x" * HEADERS_BYTES_MAX}))
    with pytest.raises(InvalidArgument, match="headers are over the limit of 65536 bytes"):
        check_batch(batch_of(b"", headers=headers), LIMITS)


def test_headers_are_a_map_or_nothing() -> None:
    assert headers_of(batch_of(b"")) is None
    assert headers_of(batch_of(b"", headers=msgspec.Raw(encode({"a": [1, None]})))) == {"a": [1, None]}
    with pytest.raises(msgspec.DecodeError):
        headers_of(batch_of(b"", headers=msgspec.Raw(encode([1]))))


def test_properties_are_one_pair_or_nothing_per_message() -> None:
    assert properties_of(batch_of(b"")) is None
    packed = memoryview(encode([["m-1", "c-1"], None, ["m-2", None]]))
    assert properties_of(batch_of(b"", b"", b"", properties=packed)) == [("m-1", "c-1"), None, ("m-2", None)]


def test_a_slice_is_a_batch_of_its_own_that_shares_the_bodies() -> None:
    bodies = (b"a", b"", b"bcd", b"ef")
    packed = memoryview(encode([["m-0", None], None, ["m-2", "c"], ["m-3", None]]))
    options = Options(priority=3)
    whole = batch_of(*bodies, properties=packed, options=options)
    for start in range(4):
        for stop in range(start + 1, 5):
            part = slice_batch(whole, start, stop)
            check_batch(part, LIMITS)
            assert bodies_of(part) == list(bodies[start:stop])
            assert (part.count, part.first_seq) == (stop - start, 41 + start)
            assert properties_of(part) == (properties_of(whole) or [])[start:stop]
            assert (part.exchange, part.routing_key, part.stream) == ("orders", "eu.berlin", 77)
            assert (part.published_ms, part.headers, part.options) == (whole.published_ms, NIL, options)
            assert part.bodies.obj is whole.bodies.obj


def test_the_slice_of_everything_is_the_batch_itself() -> None:
    whole = batch_of(b"a", b"b")
    assert slice_batch(whole, 0, 2) is whole
    assert slice_batch(whole, 1, 2).properties is None


def test_a_slice_of_a_slice_is_the_slice_of_the_whole() -> None:
    whole = batch_of(b"a", b"bb", b"ccc", b"dddd")
    assert bodies_of(slice_batch(slice_batch(whole, 1, 4), 1, 3)) == [b"ccc", b"dddd"]
    assert slice_batch(slice_batch(whole, 1, 4), 1, 3).first_seq == 43


def test_who_asks_for_nothing_gets_the_safest_level() -> None:
    assert durability_of(batch_of(b"")) == Durability.SYNC
    assert durability_of(batch_of(b"", options=Options())) == Durability.SYNC
    assert durability_of(batch_of(b"", options=Options(durability=Durability.MEMORY))) == Durability.MEMORY


def test_times_are_packed_as_little_endian_u64_and_a_slice_takes_its_own() -> None:
    packed = pack_due([1, 1 << 40])
    assert bytes(packed) == b"\x01" + b"\0" * 7 + b"\0\0\0\0\0\x01\0\0"
    batch = batch_of(b"a", b"b", due=packed, options=Options(deliver_at_ms=0))
    assert list(due_of(batch)) == [1, 1 << 40]
    assert list(due_of(slice_batch(batch, 1, 2))) == [1 << 40]


def test_one_time_for_all_is_that_of_each() -> None:
    assert list(due_of(batch_of(b"a", b"b", options=Options(deliver_at_ms=5)))) == [5, 5]


def test_a_big_endian_machine_turns_times_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_module, "sys", SimpleNamespace(byteorder="big"))
    packed = pack_due([1])
    assert bytes(packed) == b"\0" * 7 + b"\x01"
    assert list(due_of(batch_of(b"a", due=packed, options=Options(deliver_at_ms=0)))) == [1]
