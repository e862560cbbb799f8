"""The listings, in a pipe, on a terminal of 80 columns, and as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.messages import BindingSpec, ConsumerInfo, QueueInfo
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

ANSWERS: dict[str, list[Any]] = {
    "queues": [
        QueueInfo(name="united", ready=1_234_567, unacked=256, consumers=2, bytes=123_456_789),
        QueueInfo(name="ewr", ready=3, state="quarantined", durable=False, auto_delete=True, stored=9),
    ],
    "exchanges": [
        ExchangeInfo(name="", kind="direct"),
        ExchangeInfo(name="flights", kind="topic", unrouted="alternate", alternate="rest", internal=True, held=7),
    ],
    "bindings": [
        BindingSpec(source="flights", destination="ewr", key="*.EWR.#"),
        BindingSpec(source="all", destination="flights", to_exchange=True, arguments={"x-match": "any", "hour": 7}),
    ],
    "consumers": [
        ConsumerInfo(
            queue="ewr", consumer=1, client="host:17", prefetch=256, unacked=3, auto_ack=False, is_active=True
        ),
        ConsumerInfo(queue="ewr", consumer=2, client="host:18", prefetch=1, unacked=0, auto_ack=True, is_active=False),
    ],
}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    broker = RecordingBroker()
    broker.answers |= ANSWERS
    return CommandLine(monkeypatch, broker)


def test_queues_in_a_pipe(run: CommandLine) -> None:
    assert run("queues").out == (
        "QUEUE   STATE            READY  UNACKED  CONSUMERS     SIZE  PROPERTIES\n"
        "ewr     quarantined          3        0          0      0 B  transient, auto-delete\n"
        "united  up           1,234,567      256          2  118 MiB\n"
    )


def test_priorities_and_a_pause_are_properties_of_a_queue(run: CommandLine) -> None:
    run.broker.answers["queues"] = [
        QueueInfo(name="jfk", ready_by_priority=(0,) * 10, breaker="probing"),
        QueueInfo(name="lga", breaker="closed"),
    ]
    _, jfk, lga = run("queues").out.splitlines()
    assert jfk.endswith("priorities, paused by breaker")
    assert lga.endswith("0 B")


def test_wide_queues_add_what_happened_so_far(run: CommandLine) -> None:
    header, ewr, _ = run("queues", "--wide").out.splitlines()
    assert header.split()[7:] == [
        *("STORED", "DELIVERED", "REDELIVERED", "ACKED", "REJECTED", "DUPLICATES", "LATE", "JOURNAL"),
    ]
    assert ewr.split()[-9:] == ["9", "0", "0", "0", "0", "0", "0", "0", "B"]


def test_exchanges_in_a_pipe(run: CommandLine) -> None:
    assert run("exchanges").out == (
        "EXCHANGE   KIND    UNROUTED        HELD  PROPERTIES\n"
        "(default)  direct  return             0\n"
        "flights    topic   alternate rest     7  internal\n"
    )


def test_bindings_in_a_pipe(run: CommandLine) -> None:
    assert run("bindings").out == (
        "FROM     TO       IS A      KEY      HEADERS\n"
        "all      flights  exchange           x-match=any hour:=7\n"
        "flights  ewr      queue     *.EWR.#\n"
    )


@pytest.mark.parametrize("listing", ANSWERS)
def test_json_has_every_field_under_its_own_name(run: CommandLine, listing: str) -> None:
    found = json.loads(run(listing, "--json").out)
    assert len(found) == 2
    assert all(tuple(item) == ANSWERS[listing][0].__struct_fields__ for item in found)


@pytest.mark.parametrize("listing", ANSWERS)
@pytest.mark.parametrize("name", ["short", "a-name-that-nobody-should-choose-" * 7, "北京" * 40, "[red]not[/red]"])
def test_a_terminal_gets_one_line_per_row_however_long_the_names(run: CommandLine, listing: str, name: str) -> None:
    run.broker.answers = {
        "queues": [QueueInfo(name=name, ready=1_234_567)],
        "exchanges": [ExchangeInfo(name=name, kind="topic")],
        "bindings": [BindingSpec(source=name, destination=name, key=name[:200])],
        "consumers": [
            ConsumerInfo(queue=name, consumer=1, client=name, prefetch=1, unacked=0, auto_ack=False, is_active=True)
        ],
    }
    lines = run(listing, is_terminal=True).out.splitlines()
    assert len(lines) == 3
    assert name[:3] in lines[2]


def test_a_terminal_sees_colours_where_states_are_bad(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b[1;31mquarantined" in run("queues", is_terminal=True).out
    monkeypatch.setenv("NO_COLOR", "1")
    coloured = run("queues", is_terminal=True).out
    assert "\x1b[1;31m" not in coloured
    assert "quarantined" in coloured


def test_a_table_too_wide_for_a_terminal_runs_over_its_edge_with_every_number_whole(run: CommandLine) -> None:
    out = run("queues", "--wide", is_terminal=True).out
    assert len(out.splitlines()) == 4
    assert "1,234,567" in out
    assert "…" not in out.splitlines()[0]


def test_a_narrow_terminal_cuts_what_may_be_cut_and_no_number(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    run.broker.answers["queues"] = [QueueInfo(name="a-long-name-" * 10, ready=1_234_567, auto_delete=True)]
    lines = run("queues", is_terminal=True).out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "…" in lines[2]
    assert "1,234,567" in lines[2]


@pytest.mark.parametrize("listing", ANSWERS)
def test_a_terminal_reads_a_sentence_when_there_is_nothing(run: CommandLine, listing: str) -> None:
    run.broker.answers[listing] = []
    assert run(listing, is_terminal=True).out.startswith("There are no ")
    assert run(listing, "--json").out == "[]\n"
