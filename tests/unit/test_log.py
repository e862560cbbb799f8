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
    Log.make("auto").error("the disk is full")
    line = line_of(capsys)
    assert (line["event"], line["level"]) == ("the disk is full", "error")


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
