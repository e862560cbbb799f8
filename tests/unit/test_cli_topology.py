"""Declare, bind, unbind, delete and purge: what is asked of the broker, and what is said."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.breaker import Breaker
from posthouse.transport.messages import QueueInfo
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

EXCHANGE = {"durable": True, "auto_delete": False, "internal": False, "alternate": None}
QUEUE = {"durable": True, "auto_delete": False, "single_active_consumer": False}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch, RecordingBroker())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {}),
        (("--unrouted", "drop"), {"unrouted": "drop"}),
        (("--alternate", "rest"), {"unrouted": "alternate", "alternate": "rest"}),
        (("--unrouted", "alternate", "--alternate", "rest"), {"unrouted": "alternate", "alternate": "rest"}),
        (
            ("--transient", "--auto-delete", "--internal"),
            {"durable": False, "auto_delete": True, "internal": True},
        ),
    ],
)
def test_an_exchange_is_declared_as_described(
    run: CommandLine, options: tuple[str, ...], expected: dict[str, Any]
) -> None:
    ran = run("declare", "exchange", "flights", "topic", *options)
    assert (ran.code, ran.out) == (0, "declared topic exchange flights\n")
    assert run.broker.calls == [("declare_exchange", {"name": "flights", "kind": "topic", **EXCHANGE, **expected})]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), {}),
        (
            ("--transient", "--auto-delete", "--single-active-consumer"),
            {"durable": False, "auto_delete": True, "single_active_consumer": True},
        ),
        (("--priority", "--expires", "30m"), {"priority": True, "expires_s": 1_800.0}),
        (("--breaker",), {"breaker": Breaker()}),
        (("--breaker-policy", "window=5,probe=2s"), {"breaker": Breaker(window=5, probe_after_s=2.0)}),
    ],
)
def test_a_queue_is_declared_as_described(run: CommandLine, options: tuple[str, ...], expected: dict[str, Any]) -> None:
    run.broker.answers["declare_queue"] = QueueInfo(name="ewr")
    ran = run("declare", "queue", "ewr", *options)
    assert (ran.code, ran.out) == (0, "declared queue ewr\n")
    assert run.broker.calls == [("declare_queue", {"name": "ewr", **QUEUE, **expected})]


def test_the_name_that_the_broker_chose_for_a_queue_is_said(run: CommandLine) -> None:
    run.broker.answers["declare_queue"] = QueueInfo(name="posthouse.gen-1")
    assert run("declare", "queue", "").out == "declared queue posthouse.gen-1\n"


def test_an_exchange_is_deleted(run: CommandLine) -> None:
    assert run("delete", "exchange", "flights", "--if-unused").out == "deleted exchange flights\n"
    assert run.broker.calls == [("delete_exchange", {"name": "flights", "if_unused": True})]


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        (0, "deleted queue ewr\n"),
        (1, "deleted queue ewr and 1 message\n"),
        (1200, "deleted queue ewr and 1,200 messages\n"),
    ],
)
def test_a_queue_is_deleted_and_says_what_went_with_it(run: CommandLine, gone: int, said: str) -> None:
    run.broker.answers["delete_queue"] = gone
    assert run("delete", "queue", "ewr", "--if-empty").out == said
    assert run.broker.calls == [("delete_queue", {"name": "ewr", "if_unused": False, "if_empty": True})]


@pytest.mark.parametrize(
    ("options", "key", "arguments"),
    [
        ((), "", None),
        (("*.EWR.#",), "*.EWR.#", None),
        (("-H", "carrier=UA", "--header", "cancelled:=true"), "", {"carrier": "UA", "cancelled": True}),
        (("-H", "a=b", "--match", "any-with-x"), "", {"x-match": "any-with-x", "a": "b"}),
        (("--match", "all"), "", {"x-match": "all"}),
    ],
)
@pytest.mark.parametrize(
    ("command", "method", "names", "said"),
    [
        ("bind", "bind", ("exchange", "queue"), "bound a → b\n"),
        ("unbind", "unbind", ("exchange", "queue"), "unbound a → b\n"),
        ("bind-exchange", "bind_exchange", ("source", "destination"), "bound a → b\n"),
        ("unbind-exchange", "unbind_exchange", ("source", "destination"), "unbound a → b\n"),
    ],
)
def test_bindings_are_made_and_removed(
    run: CommandLine,
    command: str,
    method: str,
    names: tuple[str, str],
    said: str,
    options: tuple[str, ...],
    key: str,
    arguments: dict[str, Any] | None,
) -> None:
    ran = run(command, "a", "b", *options)
    assert (ran.code, ran.out) == (0, said)
    assert run.broker.calls == [(method, {names[0]: "a", names[1]: "b", "key": key, "arguments": arguments})]


def test_purge_asks_first(run: CommandLine) -> None:
    run.broker.answers["purge_queue"] = 3
    ran = run("purge", "ewr", stdin=b"y\n", has_keyboard=True)
    assert ran.code == 0
    assert ran.out.endswith("removed 3 messages from ewr\n")


def test_purge_takes_no_for_an_answer(run: CommandLine) -> None:
    ran = run("purge", "ewr", stdin=b"n\n", has_keyboard=True)
    assert ran.code == 1
    assert run.broker.calls == []


def test_purge_does_not_guess_when_nobody_can_be_asked(run: CommandLine) -> None:
    ran = run("purge", "ewr", stdin=b"y\n")
    assert ran.code == 2
    assert "--yes" in ran.err
    assert run.broker.calls == []


def test_purge_asks_nothing_of_who_is_sure(run: CommandLine) -> None:
    run.broker.answers["purge_queue"] = 1
    assert run("purge", "ewr", "--yes").out == "removed 1 message from ewr\n"
