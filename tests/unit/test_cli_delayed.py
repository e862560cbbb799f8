"""Delayed messages on the command line, beside a client that only notes what it is asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from posthouse.delayed import Delayed, Scheduled
from posthouse.receipt import PublishReceipt
from posthouse.transport.errors import UnknownDelayed
from posthouse.transport.messages_delay import DelayInfo
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker, arguments_of

AT = datetime(2100, 1, 31, 9, 0, tzinfo=UTC)
WAITING = Scheduled(scheduled_id="7", schedule_key="k", exchange="flights", routing_key="UA", deliver_at=AT, size=17)
FAILED = Scheduled(
    scheduled_id="8",
    schedule_key=None,
    exchange="",
    routing_key="q",
    deliver_at=None,
    size=1,
    state="failed",
    code="unroutable",
    text="no\x1bqueue",
)


class RecordingDelayed:
    """Notes each call as the real one would see it, and answers or raises."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answer: Any = None

    def __getattr__(self, name: str) -> Any:
        method = getattr(Delayed, name)

        def answer(*given: Any, **named: Any) -> Any:
            self.calls.append((name, arguments_of(method, *given, **named)))
            if isinstance(self.answer, BaseException):
                raise self.answer
            return self.answer

        return answer


@pytest.fixture
def delayed() -> RecordingDelayed:
    return RecordingDelayed()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, delayed: RecordingDelayed) -> CommandLine:
    broker = RecordingBroker()
    broker.delayed = delayed  # type: ignore[attr-defined]
    return CommandLine(monkeypatch, broker)


def test_what_waits_is_listed_and_nothing_in_it_reaches_the_terminal_raw(
    run: CommandLine, delayed: RecordingDelayed
) -> None:
    delayed.answer = [WAITING, FAILED]
    ran = run("delayed", "list", "--exchange", "flights", "--limit", "5")
    assert ran.code == 0
    head, waiting, failed = ran.out.splitlines()
    assert head.split() == ["ID", "EXCHANGE", "ROUTING", "KEY", "DELIVER", "AT", "IN", "SIZE", "KEY", "STATE"]
    assert "2100-01-31 09:00:00Z" in waiting
    assert "failed: no\\x1bqueue" in failed
    assert delayed.calls == [("list", {"exchange": "flights", "limit": 5, "schedule_key": None})]


def test_the_list_may_be_had_as_json(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = [WAITING]
    (found,) = json.loads(run("delayed", "list", "--json").out)
    assert (found["scheduled_id"], found["deliver_at"]) == ("7", "2100-01-31T09:00:00.000+00:00")


def test_counts_are_said_and_may_be_had_as_json(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = DelayInfo(waiting=1_234, next_due_ms=4_000_000_000_000, accepted=2_000, failed=1)
    said = run("delayed", "info").out
    assert "waiting 1,234, firing 0, failed 1" in said
    assert "nothing is due before 2096-10-02" in said
    assert json.loads(run("delayed", "info", "--json").out)["waiting"] == 1_234
    delayed.answer = DelayInfo()
    assert "due before" not in run("delayed", "info").out


def test_messages_are_cancelled_and_fired_by_id_or_by_key(run: CommandLine, delayed: RecordingDelayed) -> None:
    assert run("delayed", "cancel", "7").out == "cancelled 7\n"
    assert run("delayed", "fire", "--key", "k").out == "fires k\n"
    assert delayed.calls == [
        ("cancel", {"scheduled_id": "7", "schedule_key": None}),
        ("fire", {"scheduled_id": None, "schedule_key": "k"}),
    ]


def test_a_message_is_named_once_or_nothing_is_asked(run: CommandLine, delayed: RecordingDelayed) -> None:
    for command in ("cancel", "fire", "reschedule"):
        for named in ((), ("7", "--key", "k")):
            assert run("delayed", command, *named).code == 2
    assert delayed.calls == []


def test_a_new_time_is_a_delay_or_a_moment(run: CommandLine, delayed: RecordingDelayed) -> None:
    assert (
        run("delayed", "reschedule", "7", "--at", "2100-01-31T10:00:00+01:00").out
        == "7 is due at 2100-01-31 09:00:00Z\n"
    )
    assert run("delayed", "reschedule", "-k", "k", "--delay", "5m").code == 0
    (_, first), (_, second) = delayed.calls
    assert first == {"scheduled_id": "7", "deliver_at": AT, "schedule_key": None}
    assert abs(second["deliver_at"] - datetime.now(UTC) - timedelta(minutes=5)) < timedelta(seconds=30)


@pytest.mark.parametrize(
    "arguments",
    [
        ("reschedule", "7"),
        ("reschedule", "7", "--delay", "5s", "--at", "2100-01-31T10:00:00Z"),
        ("reschedule", "7", "--at", "2100-01-31"),
        ("reschedule", "7", "--at", "soon"),
        ("reschedule", "7", "--delay", "soon"),
        ("list", "--limit", "0"),
    ],
)
def test_wrong_usage_asks_the_broker_nothing(
    run: CommandLine, delayed: RecordingDelayed, arguments: tuple[str, ...]
) -> None:
    assert run("delayed", *arguments).code == 2
    assert delayed.calls == []


def test_one_that_does_not_wait_is_a_failure(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = UnknownDelayed("no message with the id 7 waits")
    ran = run("delayed", "cancel", "7")
    assert (ran.code, ran.err) == (1, "error[unknown_delayed]: no message with the id 7 waits\n")


def test_a_message_is_published_for_later(run: CommandLine) -> None:
    run.broker.answers["publish"] = PublishReceipt(queues=[], durability="sync", scheduled_id="7")
    ran = run("publish", "flights", "x", "--delay", "5s", "--schedule-key", "k")
    assert (ran.code, ran.out) == (0, "scheduled as 7 (sync)\n")
    run("publish", "flights", "x", "--at", "2100-01-31T09:00:00Z", "--json")
    sent = [call for _, call in run.broker.calls]
    assert (sent[0]["delay_s"], sent[0]["schedule_key"]) == (5.0, "k")
    assert sent[1]["deliver_at"] == AT
    assert json.loads(run("publish", "flights", "x", "--delay", "1m", "--json").out)["scheduled_id"] == "7"


def test_a_key_is_for_one_message(run: CommandLine) -> None:
    assert run("publish", "x", "--lines", "--delay", "5s", "--schedule-key", "k", stdin=b"1\n2\n").code == 2
    assert run.broker.calls == []
