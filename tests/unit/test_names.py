"""Names, routing keys and headers: what passes, what is refused, and what the refusal says."""

from __future__ import annotations

import enum
import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import HEADERS_BYTES_MAX, HEADERS_DEPTH_MAX
from posthouse.transport.messages import NIL
from posthouse.transport.names import (
    SHOWN_CHARACTERS_MAX,
    actor_of_exchange,
    actor_of_queue,
    check_headers,
    check_name,
    check_routing_key,
    decode_headers,
    encode_headers,
    shown,
)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize("name", ["a", "orders.eu", "a b", "Zürich", "日本", "🚚", "#", "*", "é" * 127, "x" * 255])
def test_a_name_of_printable_characters_passes(name: str) -> None:
    assert check_name("queue", name) == name


@pytest.mark.parametrize("name", ["a\n", "\x00", "\x1f", "a\x7fb", "a\x80", "\x9f", "\u0085", "\x1b[2J"])
def test_a_name_with_a_control_character_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match=r"queue name .* has a control character \(U\+00"):
        check_name("queue", name)


def test_the_refusal_says_which_control_character_stands_where() -> None:
    with pytest.raises(InvalidArgument, match=r"'ab\\tc' has a control character \(U\+0009 at position 2\)"):
        check_name("queue", "ab\tc")


@pytest.mark.parametrize(("name", "size"), [("x" * 256, 256), ("é" * 128, 256), ("🚚" * 64, 256)])
def test_a_name_is_limited_in_bytes_not_in_characters(name: str, size: int) -> None:
    with pytest.raises(InvalidArgument, match=f"has {size} bytes, the limit is 255"):
        check_name("queue", name)


@pytest.mark.parametrize("name", [None, 1, b"q", ["q"], Colour.RED])
def test_a_name_must_be_a_plain_string(name: object) -> None:
    with pytest.raises(InvalidArgument, match="a name of a queue must be a string"):
        check_name("queue", name)


def test_an_empty_name_passes_only_where_the_caller_allows_it() -> None:
    assert check_name("exchange", "", may_be_empty=True) == ""
    with pytest.raises(InvalidArgument, match="a name of an exchange must not be empty"):
        check_name("exchange", "")


@pytest.mark.parametrize("text", ["\ud800", "a\udfff"])
def test_a_lone_surrogate_is_refused_everywhere(text: str) -> None:
    with pytest.raises(InvalidArgument, match="lone surrogate"):
        check_name("queue", text)
    with pytest.raises(InvalidArgument, match="lone surrogate"):
        check_routing_key(text)
    with pytest.raises(InvalidArgument, match="lone surrogate"):
        check_headers({text: 1})
    with pytest.raises(InvalidArgument, match="not valid Unicode"):
        check_headers({"a": [text]})


@pytest.mark.parametrize("key", ["", "a.b", "\x00\n\x9f", "é" * 127, "." * 255])
def test_a_routing_key_may_hold_any_characters(key: str) -> None:
    assert check_routing_key(key) == key


def test_a_routing_key_is_a_string_of_at_most_255_bytes() -> None:
    with pytest.raises(InvalidArgument, match=r"the routing key 'é+…?.* has 256 bytes, the limit is 255"):
        check_routing_key("é" * 128)
    with pytest.raises(InvalidArgument, match=r"a routing key must be a string, not 5 \(int\)"):
        check_routing_key(5)


def test_headers_of_every_allowed_kind_come_back_as_they_were() -> None:
    headers = {
        "": None,
        "flag": True,
        "low": -(1 << 63),
        "high": (1 << 63) - 1,
        "ratio": 0.5,
        "endless": math.inf,
        "text": "é",
        "bytes": b"\xff",
        "list": [1, ["x", None], {}],
        "map": {"a": {"b": [False]}},
    }
    assert check_headers(headers) is headers
    assert decode_headers(encode_headers(headers)) == headers


def test_not_a_number_is_a_float_like_any_other() -> None:
    decoded = decode_headers(encode_headers({"a": math.nan}))
    assert decoded is not None
    assert math.isnan(decoded["a"])


def test_no_headers_are_nil() -> None:
    assert check_headers(None) is None
    assert encode_headers(None) == NIL
    assert decode_headers(NIL) is None
    assert decode_headers(encode_headers({})) == {}


@pytest.mark.parametrize("headers", [[], "x", 1, [("a", 1)], b""])
def test_headers_must_be_a_dict(headers: object) -> None:
    with pytest.raises(InvalidArgument, match="headers must be a dict or None"):
        check_headers(headers)


@pytest.mark.parametrize("name", [1, None, b"a", (1, 2)])
def test_header_names_must_be_strings_at_every_depth(name: object) -> None:
    for headers in ({name: 1}, {"a": {name: 1}}, {"a": [{name: 1}]}):
        with pytest.raises(InvalidArgument, match="a header name must be a string"):
            check_headers(headers)


def test_a_header_name_has_at_most_255_bytes() -> None:
    assert check_headers({"x" * 255: 1}) is not None
    with pytest.raises(InvalidArgument, match=r"the header name 'xxx.* has 256 bytes"):
        check_headers({"x" * 256: 1})


@pytest.mark.parametrize(
    "value", [(1,), {1}, bytearray(b"x"), datetime(2026, 1, 1, tzinfo=UTC), object(), Colour.RED, 1j]
)
def test_a_value_of_another_type_is_refused_by_the_name_of_its_header(value: object) -> None:
    for headers in ({"a": value}, {"a": [1, {"b": value}]}):
        with pytest.raises(InvalidArgument, match=r"header 'a' is .* allowed are None, bool, int,"):
            check_headers(headers)


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1, 1 << 20_000], ids=["high", "low", "huge"])
def test_an_integer_must_fit_in_64_bits(value: int) -> None:
    with pytest.raises(InvalidArgument, match="does not fit in 64 bits"):
        check_headers({"a": value})


def test_values_may_be_nested_eight_deep_and_no_deeper() -> None:
    assert check_headers({"a": nested(HEADERS_DEPTH_MAX)}) is not None
    with pytest.raises(InvalidArgument, match="header 'a' is nested more than 8 deep"):
        check_headers({"a": nested(HEADERS_DEPTH_MAX + 1)})


def test_a_list_that_holds_itself_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidArgument, match="nested more than 8 deep"):
        check_headers({"a": circle})


def test_a_list_that_multiplies_is_refused_without_walking_it() -> None:
    value: list[Any] = [0] * 1000
    for _ in range(HEADERS_DEPTH_MAX - 1):
        value = [value] * 1000
    with pytest.raises(InvalidArgument, match="over the limit of 65536 bytes"):
        check_headers({"a": value})


def test_headers_are_limited_in_encoded_bytes() -> None:
    frame = len(memoryview(encode_headers({"a": "x" * 60_000}))) - 60_000
    assert check_headers({"a": "x" * (HEADERS_BYTES_MAX - frame)}) is not None
    with pytest.raises(InvalidArgument, match=f"have {HEADERS_BYTES_MAX + 1} bytes, the limit is 65536"):
        check_headers({"a": "x" * (HEADERS_BYTES_MAX - frame + 1)})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc1",
        b"\x91\x01",
        b"\x81\x01\x02",
        b"\x80\x80",
        b"\x81\xa1a",
        b"\x81\xa1a\xa1\xff",
        b"\x81\xa1a" + b"\x91" * 60_000 + b"\xc0",
        b"\x81\xa1a\xc7\x0c\xff" + b"\xff" * 12,
        b"\x81\xa1a\x81\x81\x01\x02\x03",
        b"\x81\xa1a\xdd\xff\xff\xff\xff",
    ],
)
def test_bytes_that_are_no_map_of_strings_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidArgument, match="the headers are not a MessagePack map"):
        decode_headers(msgspec.Raw(raw))


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x81\xa1a\xd4\x05a", "allowed are"),
        (b"\x81\xa1a\xd6\xff\x00\x00\x00\x01", "allowed are"),
        (b"\x81\xa1a\xcf" + b"\xff" * 8, "64 bits"),
        (b"\x81\xa1a\x81\x91\x01\x02", "header name"),
        (b"\x81\xa1a\xc5\xff\xff" + b"x" * 65_535, "the limit is 65536"),
    ],
)
def test_headers_of_a_peer_are_held_to_the_same_rules(raw: bytes, text: str) -> None:
    with pytest.raises(InvalidArgument, match=text):
        decode_headers(msgspec.Raw(raw))


def test_actors_are_named_after_what_they_are() -> None:
    assert actor_of_queue("a") == "queue:a"
    assert actor_of_exchange("") == "exchange:"


def test_what_is_shown_of_a_value_is_short() -> None:
    for value in (
        "x" * 10_000,
        10**4000,
        10**5000,
        [10**5000],
        list(range(1000)),
        {"a": "b" * 500},
        b"y" * 5000,
    ):
        assert len(shown(value)) <= SHOWN_CHARACTERS_MAX


def test_a_short_value_is_shown_as_it_is() -> None:
    assert shown("UA.EWR.IAH") == "'UA.EWR.IAH'"
