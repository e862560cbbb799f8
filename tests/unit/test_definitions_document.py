"""Definitions as a document: written and read back as they were, and refused with the path to what is wrong."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from posthouse.definitions_document import content_of, document_of
from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec
from posthouse.transport.messages_definitions import Definitions
from posthouse.transport.messages_recurring import RecurringInfo

EXCHANGE = ExchangeSpec(name="flights", kind="topic", unrouted="hold", hold_for_ms=5, serial=3)
QUEUE = QueueSpec(
    name="ewr",
    serial=4,
    retry=RetrySpec(kind="fixed", max_attempts=2),
    ttl_ms=9,
    max_length=7,
    overflow="dead-letter",
    dead_letter_exchange="graves",
    priority=True,
    breaker=BreakerSpec(window=5),
)
ODD: dict[str, Any] = {
    "b": b"\xff", "i": math.inf, "$bytes": "text", "m": {"$map": 1}, "n": None, "l": [1, -2.5, b"", {"x": True}],
}  # fmt: skip
BINDING = BindingSpec(source="flights", destination="ewr", key="*.EWR.#", arguments=ODD)
SCHEDULE = RecurringInfo(
    schedule_id=17, key="nightly", exchange="flights", routing_key="UA", size=2, cron="30 2 * * *",
    zone="Europe/Berlin", max_count=3, count=2, next_ms=(5,), is_paused=True, headers=ODD, body=b"go",
)  # fmt: skip


def _read(document: dict[str, Any]) -> Any:
    """Through JSON, as in a file."""
    return content_of(json.loads(json.dumps(document, allow_nan=False)))


def _document(**parts: Any) -> dict[str, Any]:
    return {"format": "posthouse-definitions", "version": 1, **parts}


def test_what_is_written_is_read_as_it_was_without_what_belongs_to_one_broker() -> None:
    written = document_of(Definitions(exchanges=(EXCHANGE,), queues=(QUEUE,), bindings=(BINDING,)), [SCHEDULE])
    content = _read(written)
    assert content.definitions.exchanges == (
        ExchangeSpec(name="flights", kind="topic", unrouted="hold", hold_for_ms=5),
    )
    (queue,) = content.definitions.queues
    assert (queue.serial, queue.retry, queue.breaker) == (0, QUEUE.retry, QUEUE.breaker)
    assert (queue.ttl_ms, queue.overflow, queue.dead_letter_exchange, queue.priority) == (
        9,
        "dead-letter",
        "graves",
        True,
    )
    assert content.definitions.bindings == (BINDING,)
    (schedule,) = content.schedules
    assert (schedule.headers, schedule.body, schedule.cron, schedule.zone) == (
        ODD,
        b"go",
        "30 2 * * *",
        "Europe/Berlin",
    )
    assert (schedule.max_count, schedule.is_paused, schedule.schedule_id, schedule.count) == (3, True, 0, 0)
    assert document_of(content.definitions, content.schedules) == written


def test_an_exchange_that_does_not_say_what_becomes_of_the_unrouted_holds_it_as_for_clients() -> None:
    exchanges = [
        {"name": "a", "kind": "topic"},
        {"name": "b", "kind": "topic", "auto_delete": True},
        {"name": "c", "kind": "topic", "alternate": "a"},
        {"name": "d", "kind": "topic", "unrouted": "drop"},
    ]
    content = content_of(_document(exchanges=exchanges))
    assert [one.unrouted for one in content.definitions.exchanges] == ["hold", "return", "alternate", "drop"]


def test_a_body_that_is_no_text_is_written_in_base64() -> None:
    written = document_of(Definitions(), [RecurringInfo(schedule_id=1, key="k", exchange="", routing_key="q", size=1,
                                                        every_ms=100, body=b"\xff")])  # fmt: skip
    assert written["schedules"][0]["body_base64"] == "/w=="
    assert _read(written).schedules[0].body == b"\xff"


def test_what_goes_with_a_connection_is_left_out_with_its_bindings() -> None:
    queues = (QueueSpec(name="mine", exclusive=True, owner=5), QueueSpec(name="posthouse.queue-1-2"), QUEUE)
    bindings = tuple(BindingSpec(source="flights", destination=queue.name) for queue in queues)
    events = ExchangeSpec(name="posthouse.events", kind="topic")
    written = document_of(Definitions(exchanges=(events,), queues=queues, bindings=bindings), [])
    assert written["exchanges"] == []
    assert [queue["name"] for queue in written["queues"]] == ["ewr"]
    assert [binding["destination"] for binding in written["bindings"]] == ["ewr"]


def test_two_exports_are_equal_in_whatever_order_the_broker_tells() -> None:
    queues = tuple(QueueSpec(name=name) for name in "ba")
    bindings = tuple(BindingSpec(source="", destination=name, key=key) for name in "ba" for key in "yx")
    one = document_of(Definitions(queues=queues, bindings=bindings), [])
    other = document_of(Definitions(queues=queues[::-1], bindings=bindings[::-1]), [])
    assert json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ([], "Expected `object`"),
        ({}, "format"),
        ({"format": "rabbitmq", "version": 1}, "'rabbitmq', not 'posthouse-definitions'"),
        ({"format": "posthouse-definitions", "version": 2}, "version 2"),
        (_document(users=[]), "unknown field `users`"),
        (_document(queues=[{"name": "q", "ttl": 5}]), r"unknown field `ttl` - at `\$.queues\[0\]`"),
        (_document(queues=[{"name": "q", "owner": 5}]), "unknown field `owner`"),
        (_document(queues=[{"name": "q", "retry": {"kind": 5}}]), r"at `\$.queues\[0\].retry.kind`"),
        (_document(exchanges=[{"name": "e"}]), "missing required field `kind`"),
        (_document(bindings=[{"source": "a", "destination": "b", "arguments": {"x": {"$when": 1}}}]), r"'\$when'"),
        (_document(bindings=[{"source": "a", "destination": "b", "arguments": {"x": {"$bytes": "?"}}}]), "no base64"),
        (_document(schedules=[{"key": "k", "exchange": ""}]), "body or body_base64"),
        (_document(schedules=[{"key": "k", "exchange": "", "body": "b", "body_base64": ""}]), "one of them"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(document: Any, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        content_of(document)
