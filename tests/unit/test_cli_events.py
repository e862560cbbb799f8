"""Events on the command line: what is shown, in which form, and which of them are wanted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posthouse.cli_events import matches
from posthouse.errors import ActorDown, BrokerNotRunning
from posthouse.transport.messages_monitor import BrokerEvent
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

EVENTS = [
    BrokerEvent(number=1, at_ms=1_700_000_000_123, kind="ready", actor="door", text="door ready"),
    BrokerEvent(number=2, at_ms=1_700_000_000_456, kind="exited", actor="queue:a.b", severity="warning",
                text="queue:a.b was killed by signal 9", fields={"signal": 9}),
    BrokerEvent(number=3, at_ms=1_700_000_001_000, kind="quarantined", actor="queue:q\x1b", severity="error",
                text="q\x1b"),
]  # fmt: skip


class Monitor:
    """Answers with what it was given, one answer per question; then the user has seen enough."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []

    def events(self, after: int = -1, *, limit: int = 100, wait_s: float = 0.0) -> list[BrokerEvent]:
        self.asked.append({"after": after, "limit": limit, "wait_s": wait_s})
        if not self.answers:
            raise KeyboardInterrupt
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        found: list[BrokerEvent] = answer
        return found


@pytest.fixture
def monitor() -> Monitor:
    return Monitor(EVENTS)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, monitor: Monitor) -> CommandLine:
    broker = RecordingBroker()
    monkeypatch.setattr(broker, "monitor", monitor, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    return CommandLine(monkeypatch, broker)


def test_a_pipe_gets_a_line_for_each_without_control_characters(run: CommandLine) -> None:
    lines = run("events", "--no-follow").out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "info     door ready",
        "warning  queue:a.b was killed by signal 9",
        "error    q\\x1b",
    ]


def test_json_is_one_document_per_line(run: CommandLine) -> None:
    told = [json.loads(line) for line in run("events", "--no-follow", "--json").out.splitlines()]
    assert [one["number"] for one in told] == [1, 2, 3]
    assert told[1]["fields"] == {"signal": 9}


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        (["--filter", "exited.#"], [2]),
        (["--filter", "*.door", "--filter", "quarantined.#"], [1, 3]),
        (["--filter", "*.queue.a.b"], [2]),
        (["--severity", "warning"], [2, 3]),
        (["--severity", "error", "--filter", "#"], [3]),
        (["--last", "1"], [3]),
        (["--last", "0"], []),
    ],
)
def test_only_what_is_wanted_is_shown(run: CommandLine, arguments: list[str], numbers: list[int]) -> None:
    out = run("events", "--no-follow", "--json", *arguments).out
    assert [json.loads(line)["number"] for line in out.splitlines()] == numbers


def test_following_goes_on_after_the_last_one_seen_until_ctrl_c(run: CommandLine, monitor: Monitor) -> None:
    more = BrokerEvent(number=9, at_ms=1, kind="ready", actor="door", text="later")
    monitor.answers += [[], ActorDown("the monitor is restarting"), [more]]
    done = run("events")
    assert done.code == 0
    assert done.out.splitlines()[-1].endswith("later")
    assert [asked["after"] for asked in monitor.asked] == [-1, 3, 3, 3, 9]
    assert done.err == "no news for now: the monitor is restarting\n"


def test_a_broker_that_is_gone_ends_it(run: CommandLine, monitor: Monitor) -> None:
    monitor.answers.append(BrokerNotRunning("nobody there"))
    assert run("events").code == 3


def test_a_level_that_does_not_exist_is_wrong_usage(run: CommandLine) -> None:
    assert run("events", "--severity", "loud").code == 2


@pytest.mark.parametrize(
    ("pattern", "key", "is_matched"),
    [
        ("#", "", True), ("#", "a.b", True), ("a.#", "a", True), ("a.#", "a.b.c", True), ("*.b", "a.b", True),
        ("*", "a.b", False), ("#.b", "a.x.b", True), ("#.b", "a.b.c", False), ("a.*.c", "a.b.c", True),
        ("a.#.c", "a.c", True), ("#.#", "a", True), ("*.#.*", "a", False), ("a", "b", False), ("#.a.#", "x.a.y", True),
        ("x.#", "a", False),
    ],
)  # fmt: skip
def test_patterns_match_as_a_topic_binding_does(pattern: str, key: str, is_matched: bool) -> None:
    assert matches(pattern.split("."), key.split(".") if key else []) is is_matched
