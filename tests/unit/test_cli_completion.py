"""What the shell offers after TAB: names that there are, and silence when nobody can be asked."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from posthouse import client
from posthouse.cli import app
from posthouse.cli_completion import BY_METAVAR, exchange_names, queue_names
from posthouse.errors import BrokerNotRunning
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.messages import QueueInfo
from tests.support.recording_broker import RecordingBroker


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> RecordingBroker:
    made = RecordingBroker()
    made.answers["queues"] = [QueueInfo(name=name) for name in ("newark", "newcastle", "jfk", "new\x1b")]
    made.answers["exchanges"] = [ExchangeInfo(name=name, kind="topic") for name in ("", "flights")]
    monkeypatch.setattr(client, "connect", lambda *given, **named: made)
    return made


def _context(**params: Any) -> typer.Context:
    context = typer.Context(typer.main.get_command(app))
    context.params.update(params)
    return context


def test_names_that_begin_so_are_offered(broker: RecordingBroker) -> None:
    assert queue_names(_context(), "new") == ["newark", "newcastle"]
    assert exchange_names(_context(), "") == ["flights"]


def test_nobody_is_told_why_there_is_nothing(broker: RecordingBroker) -> None:
    broker.answers["queues"] = BrokerNotRunning("nobody there")
    assert queue_names(_context(), "") == []


def test_every_parameter_that_is_a_queue_or_an_exchange_completes() -> None:
    def walk(command: Any) -> list[Any]:
        inner = getattr(command, "commands", None)
        return [one for child in inner.values() for one in walk(child)] if inner else [command]

    silent = [
        f"{command.name} {parameter.name}"
        for command in walk(typer.main.get_command(app))
        for parameter in command.params
        if parameter.metavar in BY_METAVAR and getattr(parameter, "_custom_shell_complete", None) is None
    ]
    assert silent == []
