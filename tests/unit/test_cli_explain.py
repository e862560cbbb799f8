"""The explanation of a route as it is shown."""

from __future__ import annotations

import json

import pytest

from posthouse.transport.explanation import ExplainedBinding, Explanation
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker


def looked_at(destination: str, key: str, reason: str, *, to_exchange: bool = False) -> ExplainedBinding:
    return ExplainedBinding(
        source="flights",
        destination=destination,
        to_exchange=to_exchange,
        key=key,
        arguments={"hour": 7} if to_exchange else None,
        reason=reason,
    )


FOUND = Explanation(
    exchange="flights",
    routing_key="UA.EWR.IAH",
    queues=["ewr", "united"],
    matched=[
        looked_at("ewr", "*.EWR.*", "'UA.EWR.IAH' matches '*.EWR.*'"),
        looked_at("more", "#", "'#' matches everything", to_exchange=True),
    ],
    unmatched=[looked_at("jfk", "*.JFK.*", "word 2 is 'EWR', not 'JFK'")],
    matched_count=2,
    unmatched_count=11,
    unrouted=None,
    notes=["the alternate 'rest' was not asked"],
)
NOWHERE = Explanation(
    exchange="",
    routing_key="x",
    queues=[],
    matched=[],
    unmatched=[],
    matched_count=0,
    unmatched_count=0,
    unrouted="return",
    notes=[],
)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    broker = RecordingBroker()
    broker.answers["explain"] = FOUND
    return CommandLine(monkeypatch, broker)


def test_queues_and_reasons_are_shown(run: CommandLine) -> None:
    ran = run("explain", "flights", "--key", "UA.EWR.IAH", "-H", "hour:=7")
    assert run.broker.calls == [
        ("explain", {"exchange": "flights", "routing_key": "UA.EWR.IAH", "headers": {"hour": 7}})
    ]
    assert ran.code == 0
    assert ran.out == (
        "a message to flights with key 'UA.EWR.IAH' reaches ewr, united\n"
        "note: the alternate 'rest' was not asked\n"
        "\n"
        "   FROM     TO               BINDING    REASON\n"
        "✓  flights  ewr              *.EWR.*    'UA.EWR.IAH' matches '*.EWR.*'\n"
        "✓  flights  more (exchange)  # hour:=7  '#' matches everything\n"
        "✗  flights  jfk              *.JFK.*    word 2 is 'EWR', not 'JFK'\n"
        "… and 10 more bindings (2 match in all)\n"
    )


def test_a_message_that_reaches_nobody_names_the_policy(run: CommandLine) -> None:
    run.broker.answers["explain"] = NOWHERE
    assert run("explain", "", "--key", "x", is_terminal=True).out == (
        "a message to (default) with key 'x' reaches no queue; the exchange's policy: return\n"
        "\n"
        "There is no binding to look at.\n"
    )


def test_json_has_every_field(run: CommandLine) -> None:
    found = json.loads(run("explain", "flights", "--json").out)
    assert tuple(found) == Explanation.__struct_fields__
    assert found["queues"] == ["ewr", "united"]
    assert found["matched"][1]["arguments"] == {"hour": 7}


def test_a_terminal_of_80_columns_gets_one_line_per_binding(run: CommandLine) -> None:
    out = run("explain", "flights", is_terminal=True).out
    assert sum("flights" in line for line in out.splitlines()[1:]) == 3
