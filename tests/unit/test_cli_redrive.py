"""A redrive on the command line that is left before it is over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from posthouse.transport.messages_dead import RedriveInfo
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker


class LeftRedrive:
    """Begins, and is interrupted."""

    def redrive(self, *, on_progress: Callable[[RedriveInfo], None], **asked: Any) -> RedriveInfo:
        on_progress(RedriveInfo(id=7, state="running", matched=3))
        raise KeyboardInterrupt


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_who_leaves_a_redrive_hears_that_it_goes_on(monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    broker = RecordingBroker()
    broker.dead_letters = LeftRedrive()  # type: ignore[attr-defined]
    ran = CommandLine(monkeypatch, broker)("dlq", "redrive", *options)
    assert ran.code == 130
    assert "redrive 7 goes on in the broker; posthouse dlq undo 7 stops it" in ran.err
