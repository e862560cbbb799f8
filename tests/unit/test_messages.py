"""The vocabulary: one golden sample of every message, in both directions, and what a decoder refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import pytest

from posthouse.transport import messages
from posthouse.transport.messages import (
    NIL,
    Batch,
    Cancel,
    Consume,
    Message,
)
from tests.support.wire_samples import BATCH, SAMPLES, VALUES

GOLDEN: Final = Path(__file__).parent.parent / "golden" / "wire_messages.json"


def golden() -> dict[str, str]:
    """Hexadecimal MessagePack by the name of the message or value."""
    said: dict[str, str] = json.loads(GOLDEN.read_text())
    return said


def comparable(value: Any) -> Any:
    """Plain values in which memory views and raw pieces can be compared."""
    return msgspec.msgpack.decode(messages.encode(value))


@pytest.mark.parametrize("sample", [*SAMPLES, *VALUES], ids=lambda sample: type(sample).__name__)
def test_every_message_is_written_as_its_golden_sample(sample: Any) -> None:
    assert messages.encode(sample).hex() == golden()[type(sample).__name__]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_every_golden_sample_is_read_as_its_message(sample: Message) -> None:
    data = bytes.fromhex(golden()[type(sample).__name__])
    for form in (data, memoryview(data), msgspec.Raw(data)):
        message = messages.decode(form)
        assert type(message) is type(sample)
        assert comparable(message) == comparable(sample)


def test_values_in_answers_are_read_as_what_they_were() -> None:
    for value in VALUES:
        data = bytes.fromhex(golden()[type(value).__name__])
        assert msgspec.msgpack.decode(data, type=type(value)) == value


def test_every_member_of_the_vocabulary_has_one_sample_and_a_number_of_its_own() -> None:
    members = get_args(Message)
    assert [type(sample) for sample in SAMPLES] == list(members)
    tags = [member.__struct_config__.tag for member in members]
    assert len(set(tags)) == len(tags)
    assert all(isinstance(tag, int) and 0 < tag < 128 for tag in tags), "one byte in MessagePack"
    assert set(golden()) == {type(sample).__name__ for sample in (*SAMPLES, *VALUES)}


def test_a_message_is_an_array_that_starts_with_its_number() -> None:
    for sample in SAMPLES:
        plain = msgspec.msgpack.decode(messages.encode(sample))
        assert plain[0] == type(sample).__struct_config__.tag
        assert len(plain) == 1 + len(type(sample).__struct_fields__)


def test_missing_trailing_fields_have_their_defaults_and_later_ones_are_passed_over() -> None:
    assert messages.decode(msgspec.msgpack.encode([10, 1, 9])) == Consume(1, 9, 256, False, False)
    assert messages.decode(msgspec.msgpack.encode([11, 2, 9, "later", {}])) == Cancel(2, 9)


def test_a_body_shares_the_memory_of_the_frame_it_came_in() -> None:
    data = bytearray(messages.encode(BATCH))
    batch = messages.decode(memoryview(data))
    assert isinstance(batch, Batch)
    at = data.index(b"helloabc")
    data[at : at + 8] = b"HELLOABC"
    assert bytes(batch.bodies) == b"HELLOABC"


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc0", b"\x90", b"\x91\x7f", b"\x92\x0b\x01", b"\x93\x0b\xa1x\x09", b"\x93\x0b\x02\x09\x00"],
    ids=["nothing", "nil", "no number", "unknown number", "field missing", "wrong type", "trailing bytes"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        messages.decode(data)


@pytest.mark.parametrize("text", [b"\xff", b"\xed\xa0\x80", b"\xc3"], ids=["byte", "surrogate", "half"])
def test_text_that_is_no_utf8_is_refused_like_anything_else(text: bytes) -> None:
    """An actor catches DecodeError and no other; UnicodeDecodeError is Python's, and would end its process."""
    name = bytes((0xA0 | len(text),)) + text
    with pytest.raises(msgspec.DecodeError):
        messages.decode(b"\x93\x2a\x01" + name)


def test_a_nest_deeper_than_python_can_follow_is_refused_like_anything_else() -> None:
    explain = b"\x95\x28\x01\xa1x\xa1k\x81\xa1a"
    with pytest.raises(msgspec.DecodeError):
        messages.decode(explain + b"\x91" * 200_000 + b"\xc0")


def test_nil_is_nil() -> None:
    assert msgspec.msgpack.decode(NIL) is None
