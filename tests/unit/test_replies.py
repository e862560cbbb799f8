"""Replies: who waits for which, what comes too late, and how an error travels."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.replies import Replies, failure_headers, failure_of
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch
from posthouse.transport.messages_calls import reply_key
from posthouse.transport.names import check_headers, check_name, check_routing_key
from tests.support.call_bench import played_batch, taken
from tests.support.recording_broker import messages_of


def reply(correlation_id: str | None, *bodies: bytes) -> Batch:
    return played_batch(*bodies, key=reply_key(5), correlation_id=correlation_id)


def test_a_reply_reaches_whoever_waits_for_its_correlation_id() -> None:
    replies = Replies(5)
    first, second = replies.expect(), replies.expect()
    assert first.correlation_id != second.correlation_id
    assert taken(replies, reply(second.correlation_id, b"two")) == 0
    assert first.reply is None
    assert second.reply is not None
    assert second.reply.body == b"two"


def test_the_first_reply_counts_and_others_are_late() -> None:
    replies = Replies(5)
    awaited = replies.expect()
    assert taken(replies, reply(awaited.correlation_id, b"1", b"2"), reply(awaited.correlation_id, b"3")) == 2
    assert awaited.reply is not None
    assert awaited.reply.body == b"1"


def test_a_reply_that_nobody_waits_for_is_late() -> None:
    replies = Replies(5)
    awaited = replies.expect()
    replies.forget(awaited)
    replies.forget(awaited)
    assert taken(replies, reply(awaited.correlation_id, b"1"), reply("unheard of", b"2"), reply(None, b"3")) == 3
    assert awaited.reply is None


def test_nobody_can_settle_a_reply() -> None:
    replies = Replies(5)
    awaited = replies.expect()
    replies.take(reply(awaited.correlation_id, b"1"))
    assert awaited.reply is not None
    with pytest.raises(InvalidArgument):
        awaited.reply.ack()


def test_the_address_of_replies_is_a_routing_key_and_the_name_of_no_queue() -> None:
    address = Replies((1 << 62) - 1).address
    assert check_routing_key(address) == address
    with pytest.raises(InvalidArgument):
        check_name("queue", address)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (("ValueError", "bad", None), ("ValueError", "bad", None)),
        (("E", "", "Traceback…"), ("E", "", "Traceback…")),
        (("E" * 300, "ü" * 8_000, "é" * 40_000 + "end"), ("E" * 255, "ü" * 4_096, "é" * 16_382 + "end")),
        (("E", "lone \ud800", None), ("E", "lone \\ud800", None)),
    ],
)
def test_an_error_travels_in_headers_that_fit(said: Any, told: Any) -> None:
    headers = check_headers(failure_headers(*said))
    [message] = messages_of(b"", headers=headers)
    failure = failure_of(message)
    assert failure is not None
    assert (failure.error_type, failure.error_text, failure.traceback) == told


def test_a_reply_without_these_headers_is_no_failure() -> None:
    [message] = messages_of(b"", headers={"error": "of mine"})
    assert failure_of(message) is None


def test_a_failure_of_another_program_may_be_of_other_types() -> None:
    [message] = messages_of(b"", headers={"posthouse-error": 7, "posthouse-error-text": None})
    assert str(failure_of(message)) == "7: None"
