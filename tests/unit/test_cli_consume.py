"""Consume, get and peek: what is printed, and that nothing is settled before it is."""

from __future__ import annotations

import json

import pytest

from posthouse.cli_consume import PREFETCH
from posthouse.transport.errors import UnknownQueue
from posthouse.transport.limits import PREFETCH_MAX
from posthouse.transport.messages import Outcome
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker, RecordingConsumer, Settlements, messages_of


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch, RecordingBroker())


def numbered(count: int, first: int = 1) -> list[bytes]:
    return [b"%d" % number for number in range(first, first + count)]


def test_bodies_are_printed_as_they_are_and_acked(run: CommandLine) -> None:
    run.broker.answers["consume"] = consumer = RecordingConsumer([messages_of(b"one", b"\xff\x00")])
    ran = run("consume", "ewr", "--timeout-idle", "10ms")
    assert (ran.code, ran.raw) == (0, b"one\n\xff\x00\n")
    assert run.broker.calls == [("consume", {"queue": "ewr", "prefetch": PREFETCH})]
    assert consumer.acked == [1, 2]
    assert consumer.waited == [0.01, 0.01]
    assert consumer.is_closed


def test_a_count_ends_it_and_no_more_is_fetched_than_was_asked_for(run: CommandLine) -> None:
    batches = [messages_of(*numbered(2)), messages_of(*numbered(2, 3), first_offset=3)]
    run.broker.answers["consume"] = consumer = RecordingConsumer(batches)
    ran = run("consume", "ewr", "--count", "3")
    assert (ran.code, ran.out) == (0, "1\n2\n3\n")
    assert run.broker.calls[0][1]["prefetch"] == 3
    assert consumer.acked == [1, 2, 3]


def test_acks_never_make_room_for_messages_beyond_the_count(run: CommandLine) -> None:
    """A queue delivers one more for each ack; so all but `prefetch` are acked early, and the rest at the end."""
    count = PREFETCH + 10
    acked_when_asked: list[int] = []
    batches = [messages_of(*numbered(200)), messages_of(*numbered(66, 201), first_offset=201)]
    consumer = RecordingConsumer(batches, on_batch=lambda acked: acked_when_asked.append(len(acked)))
    run.broker.answers["consume"] = consumer
    assert run("consume", "ewr", "--count", str(count)).code == 0
    assert acked_when_asked == [0, 10]
    assert consumer.acked == list(range(1, count + 1))


def test_without_a_count_it_waits_on_after_a_quiet_minute_until_ctrl_c_and_acks_what_it_printed(
    run: CommandLine,
) -> None:
    batches = [messages_of(b"one"), [], messages_of(b"two", first_offset=2)]
    run.broker.answers["consume"] = consumer = RecordingConsumer(batches, end=KeyboardInterrupt())
    ran = run("consume", "ewr")
    assert (ran.code, ran.out, ran.err) == (130, "one\ntwo\n", "")
    assert consumer.acked == [1, 2]
    assert consumer.is_closed


def test_with_a_count_ctrl_c_acks_what_was_printed(run: CommandLine) -> None:
    run.broker.answers["consume"] = consumer = RecordingConsumer([messages_of(b"one")], end=KeyboardInterrupt())
    assert run("consume", "ewr", "--count", "5").code == 130
    assert consumer.acked == [1]


@pytest.mark.parametrize(("count", "prefetch"), [((), PREFETCH_MAX), (("--count", "2"), 2)])
def test_no_ack_settles_nothing_so_that_all_of_it_returns(
    run: CommandLine, count: tuple[str, ...], prefetch: int
) -> None:
    run.broker.answers["consume"] = consumer = RecordingConsumer([messages_of(b"one", b"two")])
    ran = run("consume", "ewr", "--no-ack", "--timeout-idle", "1s", *count)
    assert (ran.code, ran.out) == (0, "one\ntwo\n")
    assert run.broker.calls[0][1]["prefetch"] == prefetch
    assert consumer.acked == []


def test_json_is_one_document_per_line_with_all_that_is_known(run: CommandLine) -> None:
    found = messages_of(b"a\nb", b"\xff", headers={"carrier": "UA", "raw": b"\x80"}, message_id="m1")
    run.broker.answers["consume"] = RecordingConsumer([found])
    lines = run("consume", "ewr", "--json", "--count", "2").out.splitlines()
    assert json.loads(lines[0]) == {
        "body": "a\nb",
        "exchange": "flights",
        "routing_key": "UA.EWR.IAH",
        "headers": {"carrier": "UA", "raw": {"base64": "gA=="}},
        "message_id": "m1",
        "correlation_id": None,
        "reply_to": None,
        "content_type": None,
        "published_at": "2013-01-01T00:26:40.123+00:00",
        "offset": 1,
        "attempt": 1,
        "redelivered": False,
    }
    assert json.loads(lines[1])["body"] == {"base64": "/w=="}


def test_a_terminal_is_not_handed_control_characters(run: CommandLine) -> None:
    run.broker.answers["consume"] = RecordingConsumer([messages_of(b"two\nlines\x1b[2J", b"\xff")])
    ran = run("consume", "ewr", "--count", "2", is_terminal=True)
    assert ran.out == "two\nlines\\x1b[2J\n<1 bytes: ff>\n"


def test_a_queue_that_is_not_there_is_a_failure(run: CommandLine) -> None:
    run.broker.answers["consume"] = UnknownQueue("there is no queue 'x'")
    assert run("consume", "x").code == 1


def test_get_prints_and_acks_one(run: CommandLine) -> None:
    settled = Settlements()
    run.broker.answers["get"] = messages_of(b"\xffone", settler=settled)[0]
    ran = run("get", "ewr")
    assert (ran.code, ran.raw) == (0, b"\xffone\n")
    assert settled.noted == [(1, Outcome.ACK, False)]


def test_get_without_ack_gives_it_back(run: CommandLine) -> None:
    settled = Settlements()
    run.broker.answers["get"] = messages_of(b"one", settler=settled)[0]
    ran = run("get", "ewr", "--no-ack", "--json")
    assert json.loads(ran.out)["body"] == "one"
    assert settled.noted == [(1, Outcome.NACK, True)]


def test_get_of_an_empty_queue_prints_nothing_or_null(run: CommandLine) -> None:
    ran = run("get", "ewr")
    assert (ran.code, ran.raw) == (0, b"")
    assert "ewr has no message ready" in ran.err
    assert run("get", "ewr", "--json").out == "null\n"


def test_peek_lists_messages_and_settles_none(run: CommandLine) -> None:
    run.broker.answers["peek"] = messages_of(b"one", b"two\n", headers={"hour": 7}, attempt=2)
    ran = run("peek", "ewr", "--count", "2")
    assert run.broker.calls == [("peek", {"queue": "ewr", "count": 2})]
    header, first, second = ran.out.splitlines()
    assert header.split() == ["OFFSET", "PUBLISHED", "ATTEMPT", "KEY", "HEADERS", "BODY"]
    assert first.split()[-4:] == ["2", "UA.EWR.IAH", "hour:=7", "one"]
    assert second.endswith(r"two\n")


def test_peek_as_json_is_one_list(run: CommandLine) -> None:
    run.broker.answers["peek"] = messages_of(b"one", b"two")
    assert [message["offset"] for message in json.loads(run("peek", "ewr", "--json").out)] == [1, 2]


def test_peek_on_a_terminal_cuts_long_bodies_to_one_line_each(run: CommandLine) -> None:
    run.broker.answers["peek"] = messages_of(b"word " * 1000, b"\n" * 500)
    lines = run("peek", "ewr", is_terminal=True).out.splitlines()
    assert len(lines) == 4
    assert "…" in lines[2]


def test_peek_of_an_empty_queue_says_so_on_a_terminal(run: CommandLine) -> None:
    run.broker.answers["peek"] = []
    assert run("peek", "ewr", is_terminal=True).out == "The queue ewr is empty.\n"
