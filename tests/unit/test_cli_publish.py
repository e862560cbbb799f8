"""Publishing: bodies from the command line and from standard input, options, and receipts."""

from __future__ import annotations

import json
import os

import pytest

from posthouse.receipt import PublishReceipt
from posthouse.transport.errors import PublishError, Unroutable
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker, RecordingPublisher

REACHED = PublishReceipt(queues=["ewr", "united"], durability="sync")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    broker = RecordingBroker()
    broker.answers["publish"] = REACHED
    return CommandLine(monkeypatch, broker)


def test_one_message_is_published_and_its_queues_are_said(run: CommandLine) -> None:
    ran = run("publish", "flights", "hello é", "--key", "UA.EWR.IAH")
    assert (ran.code, ran.out) == (0, "published to ewr, united (sync)\n")
    assert run.broker.calls == [
        ("publish", {"exchange": "flights", "body": "hello é".encode(), "routing_key": "UA.EWR.IAH"})
    ]


def test_only_what_was_asked_for_is_asked_of_the_client(run: CommandLine) -> None:
    run(
        *("publish", "x", "body", "-k", "k", "-H", "carrier=UA", "-H", "hour:=7", "--durability", "os"),
        *("--content-type", "text/plain", "--message-id", "m1", "--dedup-id", "d1", "--ttl", "2m"),
    )
    assert run.broker.calls == [
        (
            "publish",
            {
                "exchange": "x",
                "body": b"body",
                "routing_key": "k",
                "headers": {"carrier": "UA", "hour": 7},
                "durability": "os",
                "content_type": "text/plain",
                "message_id": "m1",
                "dedup_id": "d1",
                "ttl_s": 120.0,
            },
        )
    ]


def test_a_dash_reads_all_of_standard_input_as_it_is(run: CommandLine) -> None:
    run("publish", "x", "-", stdin=b"\x00\xff\nmore\n")
    assert run.broker.calls[0][1]["body"] == b"\x00\xff\nmore\n"


def test_an_argument_that_is_not_utf_8_is_published_byte_by_byte(run: CommandLine) -> None:
    run("publish", "x", os.fsdecode(b"\xff\x80"))
    assert run.broker.calls[0][1]["body"] == b"\xff\x80"


def test_an_empty_body_may_be_given(run: CommandLine) -> None:
    assert run("publish", "x", "").code == 0
    assert run.broker.calls[0][1]["body"] == b""


@pytest.mark.parametrize(
    ("receipt", "said"),
    [
        (PublishReceipt(queues=[], durability="sync"), "published, but no queue wanted it\n"),
        (
            PublishReceipt(queues=["ewr"], durability="sync", duplicate=True),
            "a duplicate: ewr had it already\n",
        ),
        (PublishReceipt(queues=["ewr"], durability="memory"), "published to ewr (memory)\n"),
    ],
)
def test_the_receipt_is_told_in_words(run: CommandLine, receipt: PublishReceipt, said: str) -> None:
    run.broker.answers["publish"] = receipt
    assert run("publish", "x", "body").out == said


def test_the_receipt_may_be_had_as_json(run: CommandLine) -> None:
    assert json.loads(run("publish", "x", "body", "--json").out) == {
        "queues": ["ewr", "united"],
        "durability": "sync",
        "duplicate": False,
        "held": False,
    }


def test_a_message_that_was_returned_is_a_failure(run: CommandLine) -> None:
    run.broker.answers["publish"] = Unroutable("no queue matched")
    ran = run("publish", "x", "body")
    assert (ran.code, ran.err) == (1, "error[unroutable]: no queue matched\n")


def test_lines_go_through_one_publisher_and_are_flushed(run: CommandLine) -> None:
    run.broker.answers["publisher"] = out = RecordingPublisher()
    ran = run("publish", "logs", "--lines", "-k", "web", stdin=b"one\n\ntwo\r\nlast")
    assert (ran.code, ran.out) == (0, "published 4 messages\n")
    assert run.broker.calls == [("publisher", {"exchange": "logs"})]
    assert [sent["body"] for sent in out.sent] == [b"one", b"", b"two\r", b"last"]
    assert {sent["routing_key"] for sent in out.sent} == {"web"}
    assert out.flushed


def test_no_lines_are_no_messages(run: CommandLine) -> None:
    run.broker.answers["publisher"] = RecordingPublisher()
    assert run("publish", "logs", "--lines", stdin=b"").out == "published 0 messages\n"


def test_the_same_message_may_be_published_many_times(run: CommandLine) -> None:
    run.broker.answers["publisher"] = out = RecordingPublisher()
    ran = run("publish", "x", "body", "--count", "1200", "--json")
    assert json.loads(ran.out) == {"published": 1200}
    assert [sent["body"] for sent in out.sent] == [b"body"] * 1200


def test_a_publisher_whose_messages_were_refused_is_a_failure(run: CommandLine) -> None:
    run.broker.answers["publisher"] = RecordingPublisher(PublishError([(2, Unroutable("no queue"))], [3]))
    ran = run("publish", "logs", "--lines", stdin=b"1\n2\n3\n")
    assert ran.code == 1
    assert ran.raw == b""
    assert ran.err.startswith("error[publish_error]: 1 message was refused")
