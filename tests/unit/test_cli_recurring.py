"""Recurring schedules on the command line, beside a client that only notes what it is asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from posthouse.recurring import Recurring
from posthouse.transport.errors import InvalidArgument, UnknownDelayed
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker
from tests.unit.test_cli_delayed import RecordingDelayed

AT = datetime(2100, 1, 31, 9, 0, tzinfo=UTC)
NIGHTLY = Recurring(
    schedule_id="17",
    key="nightly\x1b",
    exchange="flights",
    routing_key="UA",
    size=2,
    every_s=None,
    cron="30 2 * * *",
    zone="Europe/Berlin",
    start_at=None,
    until=None,
    max_count=None,
    misfire="once",
    next_at=(AT,),
    fired=3,
    is_paused=False,
    problem="",
)


@pytest.fixture
def delayed() -> RecordingDelayed:
    return RecordingDelayed()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, delayed: RecordingDelayed) -> CommandLine:
    broker = RecordingBroker()
    broker.delayed = delayed  # type: ignore[attr-defined]
    return CommandLine(monkeypatch, broker)


def test_a_schedule_is_made_and_its_next_instants_are_said(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = NIGHTLY
    ran = run(
        "delayed", "repeat", "flights", "go", "--key", "nightly", "--cron", "30 2 * * *", "--zone", "Europe/Berlin",
        "-k", "UA", "-H", "a=b", "--until", "2100-01-31T09:00:00Z", "--count", "5", "--misfire", "all",
    )  # fmt: skip
    assert ran.code == 0
    ((name, asked),) = delayed.calls
    assert name == "repeat"
    assert asked["body"] == b"go"
    assert (asked["key"], asked["cron"], asked["zone"], asked["every_s"]) == (
        "nightly",
        "30 2 * * *",
        "Europe/Berlin",
        None,
    )
    assert (asked["routing_key"], asked["headers"], asked["until"]) == ("UA", {"a": "b"}, AT)
    assert (asked["max_count"], asked["misfire"]) == (5, "all")
    assert "\x1b" not in ran.out
    assert "30 2 * * * Europe/Berlin" in ran.out
    assert "2100-01-31 09:00:00Z" in ran.out


def test_an_interval_is_a_duration(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = NIGHTLY
    assert run("delayed", "repeat", "", "go", "--key", "k", "--every", "5m", "--json").code == 0
    assert delayed.calls[0][1]["every_s"] == 300.0


@pytest.mark.parametrize("when", [(), ("--every", "5m", "--cron", "* * * * *"), ("--every", "soon")])
def test_a_schedule_says_when_in_one_way(run: CommandLine, delayed: RecordingDelayed, when: tuple[str, ...]) -> None:
    assert run("delayed", "repeat", "flights", "go", "--key", "k", *when).code == 2
    assert delayed.calls == []


def test_schedules_are_listed(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = [NIGHTLY]
    ran = run("delayed", "recurring")
    assert ran.code == 0
    head, row = ran.out.splitlines()
    assert "MISFIRE" in head
    assert "30 2 * * * Europe/Berlin" in row
    assert "\x1b" not in row
    (found,) = json.loads(run("delayed", "recurring", "--json").out)
    assert (found["schedule_id"], found["fired"]) == ("17", 3)
    delayed.answer = []
    assert len(run("delayed", "recurring").out.splitlines()) == 1


@pytest.mark.parametrize("command", ["stop", "pause", "resume"])
def test_a_schedule_is_stopped_paused_and_resumed(run: CommandLine, delayed: RecordingDelayed, command: str) -> None:
    assert run("delayed", command, "nightly").code == 0
    assert delayed.calls == [(command, {"key_or_id": "nightly"})]
    delayed.answer = UnknownDelayed("there is no schedule 'nightly'")
    assert run("delayed", command, "nightly").code == 1


def test_a_refusal_is_told(run: CommandLine, delayed: RecordingDelayed) -> None:
    delayed.answer = InvalidArgument("never fires")
    assert run("delayed", "repeat", "e", "go", "--key", "k", "--cron", "0 0 30 2 *").code == 1
