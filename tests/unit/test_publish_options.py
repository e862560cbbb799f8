"""What a program may say about a message, and what it is told when it says something else."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.publisher import check_body, make_key, make_options
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import Limits
from posthouse.transport.messages import NIL, Durability, Options

LIMITS = Limits(body_bytes_max=10)


@pytest.mark.parametrize("body", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes")])
def test_a_body_is_any_kind_of_bytes(body: object) -> None:
    assert check_body(body, LIMITS) == b"bytes"


def test_a_text_is_no_body_and_the_refusal_says_what_to_do() -> None:
    with pytest.raises(InvalidArgument, match="encode it first"):
        check_body("text", LIMITS)
    with pytest.raises(InvalidArgument, match=r"not int$"):
        check_body(7, LIMITS)


def test_a_body_over_the_limit_is_refused_with_the_name_of_the_limit() -> None:
    assert len(check_body(b"x" * 10, LIMITS)) == 10
    with pytest.raises(InvalidArgument, match="body_bytes_max"):
        check_body(b"x" * 11, LIMITS)


def test_nothing_asked_is_no_options() -> None:
    assert make_options({}) is None
    assert make_options({"durability": "sync", "content_type": None, "ttl_s": None, "message_id": "a"}) is None


def test_options_are_what_was_asked() -> None:
    asked = {
        "durability": "os",
        "content_type": "text/plain",
        "reply_to": "answers",
        "dedup_id": "order 1",
        "ttl_s": 1.5,
        "priority": 9,
    }
    assert make_options(asked) == Options(
        durability=Durability.OS,
        content_type="text/plain",
        reply_to="answers",
        dedup_id="order 1",
        ttl_ms=1_500,
        priority=9,
    )
    assert make_options({"priority": 0}) is None
    assert make_options({"priority": None}) is None
    assert make_options({"durability": "memory"}) == Options(durability=Durability.MEMORY)


@pytest.mark.parametrize(
    "given",
    [
        {"durability": "disk"},
        {"durability": 1},
        {"colour": "red"},
        {"ttl_s": 0},
        {"ttl_s": float("nan")},
        {"ttl_s": -1},
        {"priority": -1},
        {"priority": 10},
        {"priority": True},
        {"priority": 3.0},
        {"priority": "high"},
        {"dedup_id": ""},
        {"dedup_id": "é" * 128},
        {"content_type": 7},
        {"message_id": b"bytes"},
        {"correlation_id": ""},
    ],
    ids=str,
)
def test_what_the_protocol_does_not_have_is_refused_and_never_ignored(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(given))):
        make_options(given)


def test_a_durability_that_cannot_even_be_looked_up_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="durability"):
        make_options({"durability": ["sync"]})


def test_a_text_that_is_no_unicode_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="reply_to"):
        make_options({"reply_to": "\ud800"})


def test_a_key_holds_the_encoded_headers() -> None:
    assert make_key("k", None, {}) == ("k", NIL, None)
    assert make_key("k", {}, {"durability": "os"}) == ("k", NIL, Options(durability=Durability.OS))
    routing_key, headers, _ = make_key("k", {"a": [1, None]}, {})
    assert (routing_key, bytes(headers)) == ("k", messages.encode({"a": [1, None]}))


def test_a_wrong_key_or_wrong_headers_are_refused() -> None:
    headers: list[Any] = [{1: 2}, {"a": object()}, "a"]
    for wrong in headers:
        with pytest.raises(InvalidArgument):
            make_key("k", wrong, {})
    with pytest.raises(InvalidArgument):
        make_key("x" * 256, None, {})
