"""How a biography looks on a terminal, in a pipe and as JSON, and what the command refuses."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from posthouse.biography import reading
from posthouse.biography.events import Biography, BiographyEvent
from posthouse.transport.errors import UnknownMessage
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker


def event(seconds: float | None, actor: str, what: str, text: str, **details: Any) -> BiographyEvent:
    at = None if seconds is None else datetime.fromtimestamp(1_700_000_000 + seconds, UTC)
    return BiographyEvent(at=at, actor=actor, what=what, text=text, details=details)


MATCHED = {
    "source": "flights", "destination": "ewr", "to_exchange": False, "key": "*.EWR.*", "arguments": None,
    "reason": "it matches",
}  # fmt: skip
FOUND = Biography(
    message_id="order\x1b17",
    ids=["order\x1b17", "a1-2"],
    exchange="flights",
    routing_key="UA.EWR.IAH",
    traceparent=None,
    now=["queue 'ewr', offset 7: acked by till"],
    events=[
        event(0, "publisher", "published", "published to exchange 'flights'", headers={"carrier": "UA"}, size=4),
        event(0.0025, "exchange:flights", "routed", "routed to queue 'ewr'", matched=[MATCHED], remarks=["a remark"]),
        event(0.003, "queue:ewr", "stored", "stored at offset 7", position=3),
        event(4, "queue:ewr", "failed", "attempt 1 failed: \x1b[31mboom", traceback="line 1\nline 2", attempt=1),
        event(4, "queue:ewr", "waits", "waits until 2023-11-14 22:13:29.000 UTC for its next attempt"),
        event(None, "queue:ewr", "returned", "came back"),
        event(190_000, "queue:ewr", "acked", "acked by till; due 2023-11-14 22:13:29.000 UTC"),
    ],
    notes=["a binding has changed"],
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    asked: list[tuple[str, str]] = []

    def answer(data: str, message_id: str) -> Biography:
        asked.append((data, message_id))
        if message_id == "nobody":
            raise UnknownMessage("no journal tells of a message 'nobody'")
        return FOUND

    monkeypatch.setattr(reading, "biography_of", answer)
    return CommandLine(monkeypatch, RecordingBroker())


def test_a_pipe_gets_a_timeline_line_by_line(run: CommandLine) -> None:
    ran = run("why", "x", "--data", "d")
    assert ran.code == 0
    assert ran.out.splitlines() == [
        "message   order\\x1b17",
        "also      a1-2",
        "published exchange 'flights', key 'UA.EWR.IAH'",
        "now       queue 'ewr', offset 7: acked by till",
        "",
        "2023-11-14 UTC",
        "22:13:20.000            ● publisher         published to exchange 'flights'",
        "22:13:20.002     +2 ms  ● exchange:flights  routed to queue 'ewr'",
        "                                            ✓ *.EWR.* → queue ewr: it matches",
        "                                            a remark",
        "22:13:20.003     +0 ms  ● queue:ewr         stored at offset 7",
        "22:13:24.000    +4.0 s  ● queue:ewr         attempt 1 failed: \\x1b[31mboom",
        "22:13:24.000     +0 ms  ● queue:ewr         waits until 22:13:29.000 for its next attempt",
        "                        ● queue:ewr         came back",
        "",
        "2023-11-17 UTC",
        "03:00:00.000      +2 d  ● queue:ewr  acked by till; due 2023-11-14 22:13:29.000 UTC",
        "",
        "note: a binding has changed",
    ]


def test_more_is_told_when_it_is_asked(run: CommandLine) -> None:
    out = run("why", "x", "-v").out
    for wanted in ("headers carrier=UA", "position:=3", "line 1", "line 2"):
        assert wanted in out
        assert wanted not in run("why", "x").out


def test_a_terminal_gets_it_within_its_width(run: CommandLine) -> None:
    out = run("why", "x", is_terminal=True).out
    assert "acked by till" in out
    assert "\x1b[31mboom" not in out
    assert max(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) for line in out.splitlines()) <= 80


def test_json_is_the_whole_of_it(run: CommandLine) -> None:
    found = json.loads(run("why", "x", "--json").out)
    assert found["message_id"] == "order\x1b17"
    assert [one["what"] for one in found["events"]] == [one.what for one in FOUND.events]
    assert found["events"][0]["at"] == "2023-11-14T22:13:20.000+00:00"
    assert found["events"][5]["at"] is None


def test_an_unknown_message_is_refused(run: CommandLine) -> None:
    ran = run("why", "nobody")
    assert (ran.code, ran.err) == (1, "error[unknown_message]: no journal tells of a message 'nobody'\n")


@pytest.mark.parametrize("url", ["no address", "localhost:4318", "ftp://x/v1/traces", "http://", "http://x:99999/"])
def test_an_endpoint_that_is_none_is_refused(run: CommandLine, url: str) -> None:
    ran = run("why", "x", "--otlp", url)
    assert ran.code == 1
    assert ran.err.startswith("error[invalid_argument]: --otlp is")
