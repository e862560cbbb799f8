"""A message as a consumer holds it: what it was published with, and that it is settled once."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from posthouse.failure import Failure
from posthouse.message import Message, Slice
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch, Options, Outcome
from tests.support.actor_bench import batch


class Notes:
    """A settler that writes down what it is told."""

    def __init__(self) -> None:
        self.taken: list[tuple[int, Outcome, bool, str, Failure | None]] = []

    def settle(
        self, message: Message, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None
    ) -> None:
        self.taken.append((message.offset, outcome, requeue, reason, failure))


def held(source: Batch, *, attempt: int = 1, settler: Notes | None = None) -> list[Message]:
    return Slice(source, 11, attempt, 4).messages(settler)


def with_properties(*properties: Any) -> Batch:
    source = batch(*[b"x"] * len(properties), stream=255, first_seq=6)
    return msgspec.structs.replace(source, properties=memoryview(messages.encode(list(properties))))


def test_a_message_tells_what_it_was_published_with() -> None:
    options = Options(content_type="text/plain", reply_to="answers")
    source = batch(b"one", b"", b"three", exchange="ex", routing_key="k", headers={"a": 1}, options=options)
    found = held(source, attempt=2)
    assert [(message.body, message.offset) for message in found] == [(b"one", 11), (b"", 12), (b"three", 13)]
    message = found[2]
    assert (message.exchange, message.routing_key, message.headers) == ("ex", "k", {"a": 1})
    assert (message.content_type, message.reply_to, message.attempt, message.epoch) == ("text/plain", "answers", 2, 4)
    assert message.redelivered
    assert message.headers is found[0].headers
    assert message.published_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


def test_what_was_not_said_is_empty() -> None:
    (message,) = held(batch(b"x"))
    assert (message.headers, message.content_type, message.reply_to, message.correlation_id) == ({}, None, None, None)
    assert not message.redelivered


def test_the_identifier_is_the_publishers_or_one_made_of_stream_and_number() -> None:
    first, second, third = held(with_properties(["mine", "reply"], None, [None, "only"]))
    assert (first.message_id, first.correlation_id) == ("mine", "reply")
    assert (second.message_id, second.correlation_id) == ("ff-7", None)
    assert (third.message_id, third.correlation_id) == ("ff-8", "only")
    assert held(batch(b"x", stream=16, first_seq=3))[0].message_id == "10-3"


def test_each_way_of_settling_says_what_it_means() -> None:
    notes = Notes()
    found = held(batch(*[b"x"] * 9), settler=notes)
    found[0].ack()
    found[1].nack()
    found[2].nack(requeue=False)
    found[3].reject()
    found[4].reject("bad")
    found[5].reject(error=ValueError("no number"))
    found[6].reject("bad", error=ValueError("no number"))
    found[7].nack(retry_after_s=1.5)
    found[8].nack(error=ValueError("no number"), retry_after_s=0)
    error = (("type", "ValueError"), ("message", "no number"))
    assert notes.taken == [
        (11, Outcome.ACK, False, "", None),
        (12, Outcome.NACK, True, "", None),
        (13, Outcome.NACK, False, "", None),
        (14, Outcome.REJECT, False, "", None),
        (15, Outcome.REJECT, False, "bad", None),
        (16, Outcome.REJECT, False, "", Failure(None, error)),
        (17, Outcome.REJECT, False, "bad", Failure(None, error)),
        (18, Outcome.NACK, True, "", Failure(1_500)),
        (19, Outcome.NACK, True, "", Failure(0, error)),
    ]


@pytest.mark.parametrize("retry_after_s", [-1, float("nan"), float("inf"), 1e12, "soon", True])
def test_a_wish_that_is_no_time_is_refused_and_the_message_still_to_be_settled(retry_after_s: Any) -> None:
    notes = Notes()
    (message,) = held(batch(b"x"), settler=notes)
    with pytest.raises(InvalidArgument, match="retry_after_s"):
        message.nack(retry_after_s=retry_after_s)
    assert notes.taken == []
    message.ack()
    assert len(notes.taken) == 1


def test_a_message_is_settled_once() -> None:
    (message,) = held(batch(b"x"), settler=Notes())
    message.ack()
    with pytest.raises(InvalidArgument, match="settled already"):
        message.nack()


def test_a_message_that_was_only_looked_at_cannot_be_settled() -> None:
    (message,) = held(batch(b"x"))
    with pytest.raises(InvalidArgument, match="only looked at"):
        message.ack()


def test_a_message_shows_the_beginning_of_a_long_body() -> None:
    short, long = held(batch(b"short", b"y" * 100, routing_key="k"))
    assert repr(short) == "Message(b'short', key='k', offset=11, attempt=1)"
    assert repr(long) == f"Message({b'y' * 37 + b'...'!r}, key='k', offset=12, attempt=1)"
