"""What the demo prints where there is no terminal."""

from __future__ import annotations

import io

from rich.console import Console

from posthouse.demo_audit import Ledger, pack_entry
from posthouse.demo_feeds import LEDGERS
from posthouse.demo_lateness import CALM, Lateness
from posthouse.demo_screen import Findings, Screen, Totals
from posthouse.demo_tables import Kill
from posthouse.transport.messages_dead import Cause

CAUSE = Cause(
    fingerprint="34aec704de67",
    cause="ValueError: invalid literal for int() with base 10: 'NA'",
    count=366,
    queues=("rebooking",),
    reasons=("attempts_exhausted",),
    first_ms=0,
    last_ms=0,
)
TIMES = {CALM: Lateness(4_264, 0, 0.21, 12_345.0, 12_345.0)}


def printed(faults: list[str], kills: list[Kill]) -> str:
    file = io.StringIO()
    ledgers = {feed.name: Ledger({1: 7}) for feed in LEDGERS}
    ledgers["board"].read("board-1", pack_entry(1, 1, 7, 1.0))
    with Screen(Console(file=file)) as screen:
        screen.expect(1, ledgers)
        screen.show(1, ledgers)
        screen.show(1, ledgers)
        screen.conclude(ledgers, Findings(kills, [CAUSE], TIMES), Totals(1, 5, 1, 0.5, 2.0))
        screen.verdict(faults)
    return file.getvalue()


def test_without_a_terminal_progress_is_a_plain_line() -> None:
    assert "1 flights published, 1 of 13 messages received" in printed([], [])


def test_every_queue_has_its_row() -> None:
    text = printed([], [])

    assert all(feed.name in text for feed in LEDGERS)


def test_kills_are_shown_with_their_times_or_a_dash() -> None:
    text = printed([], [Kill("the queue board", 312, 4.25, None)])

    assert "the queue board" in text
    assert "4.2 ms" in text
    assert "–" in text


def test_dead_letters_are_shown_by_cause_and_lateness_by_phase() -> None:
    text = printed([], [])

    assert "34aec704de67" in text
    assert "ValueError: invalid literal" in text
    assert "0.2 ms" in text
    assert "12,345 ms" in text


def test_what_did_not_happen_has_no_table() -> None:
    file = io.StringIO()
    ledgers = {feed.name: Ledger({}) for feed in LEDGERS}

    Screen(Console(file=file)).conclude(ledgers, Findings([], [], {}), Totals(1, 5, 0, 0.5, 0.0))

    assert "fingerprint" not in file.getvalue()
    assert "p99" not in file.getvalue()
    assert "SIGKILL" not in file.getvalue()


def test_the_verdict_names_every_fault() -> None:
    assert "Nothing lost" in printed([], [])
    text = printed(["board: 1 lost", "united: 2 lost"], [])
    assert "The numbers are off" in text
    assert "board: 1 lost" in text
    assert "united: 2 lost" in text


def test_eighty_columns_are_enough_for_all_but_the_bindings() -> None:
    file = io.StringIO()
    ledgers = {feed.name: Ledger(dict.fromkeys(range(27_004), 0)) for feed in LEDGERS}

    screen = Screen(Console(file=file, width=80, force_terminal=True))
    kill = Kill("a consumer of connection-risk", 13_680, 319.0, 1_699.0)
    screen.conclude(ledgers, Findings([kill], [], TIMES), Totals(1, 5, 1, 0.5, 2.0))

    assert "…" not in file.getvalue()
    assert "expected" in file.getvalue()
    assert "UA.*.*" not in file.getvalue()


def test_no_escape_sequences_reach_a_file() -> None:
    assert "\x1b" not in printed(["x"], [Kill("y", 1, None, None)])
