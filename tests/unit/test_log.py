"""The broker's log: a line per change of state, its level, and its two styles."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest

from posthouse.log import Log
from posthouse.supervisor.control_messages import Alarm
from posthouse.supervisor.effects import Event, EventKind


class Terminal(io.StringIO):
    """Standard error that is a terminal, or not."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


def line_of(captured: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one line of the log."""
    found: dict[str, Any] = json.loads(captured.readouterr().err)
    return found


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        (EventKind.STARTED, "info"),
        (EventKind.READY, "info"),
        (EventKind.STOPPED, "info"),
        (EventKind.EXITED, "warning"),
        (EventKind.QUARANTINED, "error"),
        (EventKind.HUNG, "error"),
        (EventKind.ESCALATED, "error"),
    ],
)
def test_each_kind_of_event_has_its_level(kind: EventKind, level: str, capsys: pytest.CaptureFixture[str]) -> None:
    Log.make("json").event(Event(kind, "queue:q"))
    line = line_of(capsys)
    assert (line["event"], line["level"], line["actor"]) == (str(kind), level, "queue:q")


def test_a_child_that_exits_in_order_is_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    Log.make("json").event(Event(EventKind.EXITED, "queue:q", code=0))
    assert line_of(capsys)["level"] == "info"


def test_a_line_holds_what_the_event_knows_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    log = Log.make("json")
    log.event(Event(EventKind.EXITED, "queue:q", 3, pid=10, reason="signal", signal=9, delay_ms=0))
    line = line_of(capsys)
    del line["timestamp"]
    assert line == {
        "event": "exited",
        "level": "warning",
        "actor": "queue:q",
        "generation": 3,
        "pid": 10,
        "reason": "signal",
        "signal": 9,
        "delay_ms": 0,
    }


def test_what_the_operator_has_to_act_on_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    Log.make("auto").error("cannot_listen", "the port is taken")
    line = line_of(capsys)
    assert (line["event"], line["level"], line["text"]) == ("cannot_listen", "error", "the port is taken")


def test_an_alarm_says_which_life_raised_it_and_spoils_no_field_of_every_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    log = Log.make("json")
    log.event(Event(EventKind.STARTED, "queue:q", 3))
    capsys.readouterr()
    hostile = Alarm("full", {"event": "x", "level": "y", "actor": "z", "generation": "w", "free": 5})
    log.alarm("queue:q", hostile)
    line = line_of(capsys)
    assert (line["event"], line["level"], line["actor"], line["generation"]) == ("full", "warning", "queue:q", 3)
    assert (line["event_"], line["actor_"], line["free"]) == ("x", "z", 5)
    log.event(Event(EventKind.EXITED, "queue:q", 3, code=0))
    capsys.readouterr()
    log.alarm("queue:q", Alarm("full", {}, is_over=True))
    assert "generation" not in line_of(capsys)


def test_a_child_says_why_it_ends_in_the_same_fields(capsys: pytest.CaptureFixture[str]) -> None:
    Log.make("json").failed("queue:q", 3, "journal_corrupt", "damage at 7")
    line = line_of(capsys)
    del line["timestamp"]
    assert line == {
        "event": "journal_corrupt",
        "level": "error",
        "actor": "queue:q",
        "generation": 3,
        "text": "damage at 7",
    }


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_a_child_dies_of_is_a_line_with_its_traceback_and_without_the_values_of_variables(
    style: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    Log.make(style).catch_crashes("queue:q", 3)

    def die() -> None:
        body_of_a_message = "".join(["sec", "ret"])
        raise ValueError(len(body_of_a_message))

    try:
        die()
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    text = capsys.readouterr().err
    assert "secret" not in text
    assert "in die" in text
    assert "queue:q" in text
    if style == "json":
        line = json.loads(text)
        assert (line["event"], line["generation"], line["text"]) == ("crashed", 3, "ValueError: 6")


@pytest.mark.parametrize(("style", "is_terminal"), [("text", False), ("auto", True)])
def test_people_read_text(style: str, is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    Log.make(style).event(Event(EventKind.READY, "queue:q", 1))
    text = stream.getvalue()
    assert not text.startswith("{")
    assert "queue:q" in text


@pytest.mark.parametrize(("is_over", "level"), [(False, "warning"), (True, "info")])
def test_an_alarm_is_a_line_with_its_fields(is_over: bool, level: str, capsys: pytest.CaptureFixture[str]) -> None:
    Log.make("json").alarm("queue:q", Alarm("breaker_opened", {"queue": "q", "opened": 2}, is_over))
    line = line_of(capsys)
    assert (line["event"], line["level"], line["actor"], line["opened"]) == ("breaker_opened", level, "queue:q", 2)
