"""Calling from the command line: the request, the reply, and what a failure says."""

from __future__ import annotations

import json

import pytest

from posthouse.transport.errors import BrokerNotRunning, CallFailed, CallTimeout, NoResponders
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker, messages_of


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    broker = RecordingBroker()
    [broker.answers["call"]] = messages_of(b"6")
    return CommandLine(monkeypatch, broker)


def test_the_reply_is_printed(run: CommandLine) -> None:
    ran = run("call", "rpc", "[1, 2, 3]", "-k", "sum", "-H", "unit=m", "--timeout", "200ms")
    assert (ran.code, ran.out, ran.err) == (0, "6\n", "")
    asked = {"exchange": "rpc", "body": b"[1, 2, 3]", "routing_key": "sum", "headers": {"unit": "m"}}
    assert run.broker.calls == [("call", {**asked, "durability": "memory"})]
    assert run.connected[0]["timeout_s"] == 0.2, "it bounds the connection and the call"


def test_a_request_may_be_empty_or_come_from_standard_input_byte_by_byte(run: CommandLine) -> None:
    assert run("call", "rpc").code == 0
    assert run("call", "rpc", "-", "--durability", "sync", stdin=b"\x00\xff").code == 0
    assert [asked["body"] for _, asked in run.broker.calls] == [b"", b"\x00\xff"]
    assert run.broker.calls[1][1]["durability"] == "sync"


def test_as_json_it_says_all_that_is_known_of_the_reply(run: CommandLine) -> None:
    said = json.loads(run("call", "rpc", "x", "--json").out)
    assert (said["body"], said["exchange"]) == ("6", "flights")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NoResponders("queue 'q' has no consumer"), 1, "error[no_responders]: queue 'q' has no consumer\n"),
        (CallFailed("ValueError", "bad"), 1, "error[call_failed]: ValueError: bad\n"),
        (CallTimeout("no reply"), 1, "error[call_timeout]: no reply\n"),
        (BrokerNotRunning("nobody"), 3, "error[broker_not_running]: nobody\n"),
    ],
)
def test_a_call_without_a_reply_fails(run: CommandLine, error: Exception, code: int, said: str) -> None:
    run.broker.answers["call"] = error
    ran = run("call", "rpc", "x")
    assert (ran.code, ran.out, ran.err) == (code, "", said)
