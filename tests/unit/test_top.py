"""`posthouse top`: rows, totals, their order, and a screen that fits whatever terminal there is."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from posthouse.cli_top import Screen
from posthouse.top_rows import SortKey, rows_of, totals_of
from posthouse.top_screen import BARS, View, bars, brief, brief_bytes, screen, short
from posthouse.transport.messages_monitor import ActorReading, BrokerEvent, Machine, Overview, Point
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

EWR = ActorReading(
    id="queue:newark", kind="queue", state="up", restarts=2, cpu=0.5, rss_bytes=46 << 20, started_at=1_700_000_000.0,
    values={"ready": 1_234_567.0, "unacked": 20.0, "consumers": 3.0, "oldest_ready_age_seconds": 75.0,
            "oldest_unacked_age_seconds": 2.0, "journal_bytes": 5_000.0},
    rates={"stored": 1_500.4, "delivered": 99.0, "acked": 98.0},
)  # fmt: skip
JFK = ActorReading(id="queue:jfk", kind="queue", state="quarantined", restarts=11)
FLIGHTS = ActorReading(
    id="exchange:flights", kind="exchange", state="up", values={"held": 7.0}, rates={"published": 10.0, "routed": 20.0}
)
DELAY = ActorReading(id="delay", kind="delay", state="up", values={"scheduled": 4.0})
DEAD = ActorReading(
    id="dead-letter", kind="dead-letter", state="up", values={"letters": 5.0},
    rates={"buried:rejected": 1.0, "buried:expired": 2.0},
)  # fmt: skip
OVERVIEW = Overview(
    at_ms=1_700_000_100_000,
    version="0.1.0",
    data="/data",
    pid=17,
    started_at=1_700_000_000.0,
    machine=Machine(cores=2, load=0.5, memory_bytes=100, memory_free_bytes=50, disk_bytes=9, disk_free_bytes=5 << 30),
    actors=[EWR, JFK, FLIGHTS, DELAY, DEAD],
    history=[Point(at_ms=second, published=float(second), ready=second) for second in range(90)],
    standing=[BrokerEvent(number=1, at_ms=1, kind="disk_low", actor="queue:newark", text="queue:newark: disk low")],
)


def drawn(width: int, height: int, view: View | None = None, overview: Overview = OVERVIEW) -> list[str]:
    view = view or View()
    rows = rows_of(overview, view.pattern, view.sort)
    console = Console(file=io.StringIO(), width=width, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(screen(overview, rows, totals_of(overview), view, width, height))
    return capture.get().splitlines()


def test_each_kind_of_actor_has_what_it_keeps_and_moves_in_the_same_columns() -> None:
    rows = {row.id: row for row in rows_of(OVERVIEW)}
    newark = rows["queue:newark"]
    assert (newark.ready, newark.unacked, newark.in_per_s, newark.out_per_s, newark.age_s) == (
        1_234_567, 20, 1_500.4, 99.0, 75.0,
    )  # fmt: skip
    flights = rows["exchange:flights"]
    assert (flights.ready, flights.in_per_s, flights.out_per_s) == (7, 10.0, 20.0)
    assert (rows["delay"].ready, rows["dead-letter"].ready, rows["dead-letter"].in_per_s) == (4, 5, 3.0)


def test_totals_are_over_all_actors() -> None:
    totals = totals_of(OVERVIEW)
    assert (totals.actors, totals.not_up, totals.restarts) == (5, ("queue:jfk",), 13)
    assert (totals.published_per_s, totals.delivered_per_s, totals.acked_per_s) == (10.0, 99.0, 98.0)
    assert (totals.ready, totals.unacked, totals.delayed, totals.held, totals.dead) == (1_234_567, 20, 4, 7, 5)


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        (SortKey.ACTIVITY, "queue:newark"), (SortKey.READY, "queue:newark"), (SortKey.UNACKED, "queue:newark"),
        (SortKey.IN, "queue:newark"), (SortKey.OUT, "queue:newark"), (SortKey.AGE, "queue:newark"),
        (SortKey.MEMORY, "queue:newark"), (SortKey.CPU, "queue:newark"), (SortKey.RESTARTS, "queue:jfk"),
        (SortKey.NAME, "dead-letter"),
    ],
)  # fmt: skip
def test_every_sort_key_brings_its_own_to_the_top(sort: SortKey, first: str) -> None:
    assert rows_of(OVERVIEW, sort=sort)[0].id == first


@pytest.mark.parametrize(
    ("pattern", "found"),
    [("newark", ["queue:newark"]), ("queue:*", ["queue:newark", "queue:jfk"]), ("JFK", ["queue:jfk"]), ("nowhere", [])],
)
def test_a_filter_is_a_part_of_the_id_or_a_pattern(pattern: str, found: list[str]) -> None:
    assert [row.id for row in rows_of(OVERVIEW, pattern)] == found


@pytest.mark.parametrize(("width", "height"), [(80, 24), (40, 10), (160, 50), (20, 8), (300, 100)])
def test_the_screen_is_as_high_as_the_terminal_and_no_line_is_wider(width: int, height: int) -> None:
    lines = drawn(width, height)
    assert len(lines) == height
    assert all(cell_len(line) <= width for line in lines)


def test_eighty_columns_hold_the_numbers_that_matter() -> None:
    lines = drawn(80, 24)
    head = next(line for line in lines if "ACTOR" in line)
    assert head.split() == [
        "ACTOR", "READY", "UNACK", "IN/S", "OUT/S", "ACK/S", "OLDEST", "CONS", "CPU%", "MEM", "RST",
    ]  # fmt: skip
    assert next(line for line in lines if "queue:newark" in line and "1.2M" in line).split() == [
        "●", "queue:newark", "1.2M", "20", "1500", "99", "98", "1m15s", "3", "50", "46M", "2",
    ]  # fmt: skip
    assert any("queue:jfk" in line and "quarantined, 11 restarts" in line for line in lines)
    assert "! queue:newark: disk low" in lines
    assert "1 not up" in lines[0]


def test_a_wide_terminal_shows_the_last_minutes_and_every_column() -> None:
    lines = drawn(160, 50)
    assert any(line.startswith("published/s") and "█" in line and line.endswith("up to 89") for line in lines)
    head = next(line for line in lines if "ACTOR" in line)
    assert head.split()[-5:] == ["RETRY", "DEAD/S", "JOURNAL", "UP", "LIFE"]


def test_what_does_not_fit_is_counted() -> None:
    many = [ActorReading(id=f"queue:{number}", kind="queue", state="up") for number in range(50)]
    lines = drawn(80, 24, overview=Overview(at_ms=1, actors=many))
    assert len(lines) == 24
    shown = sum("queue:" in line for line in lines)
    assert f"  and {50 - shown} more" in lines


def test_hostile_names_draw_nothing_but_themselves() -> None:
    evil = Overview(
        at_ms=1, actors=[ActorReading(id="queue:\x1b[2J\r\n宽宽宽宽宽宽宽宽宽宽宽宽", kind="queue", state="up")]
    )
    lines = drawn(80, 24, overview=evil)
    assert len(lines) == 24
    assert any("\\x1b[2J\\r\\n" in line and cell_len(line) <= 80 for line in lines)


def test_numbers_in_few_cells() -> None:
    assert [short(number) for number in (0, 0.04, 0.4, 7, 9.96, 9_999, 12_345, 99_960, 999_499, 4_500_000, 7e12)] == [
        "0", "0.0", "0.4", "7", "10", "9999", "12.3k", "100k", "999k", "4.5M", "7000G",
    ]  # fmt: skip
    assert [brief(seconds) for seconds in (0, 0.42, 42, 185, 7_800, 359_999, 273_600, 900_000_000)] == [
        "", "0.4s", "42s", "3m5s", "2h10m", "4d3h", "3d4h", "10416d",
    ]  # fmt: skip
    assert [brief_bytes(number) for number in (0, 17, 1_536, 48 << 20, 5 << 40)] == ["", "17B", "1.5K", "48M", "5.0T"]


def test_bars_are_as_high_as_what_they_stand_for() -> None:
    assert bars([0.0, 0.0], 5) == "  "
    assert bars([9.0, 0.0, 1.0, 4.0, 8.0], 4) == f" {BARS[0]}{BARS[3]}{BARS[7]}"


class Monitor:
    """Hands out one overview, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def overview(self, kinds: Any = None, *, with_history: bool = False) -> Overview:
        self.asked += 1
        return OVERVIEW


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> RecordingBroker:
    made = RecordingBroker()
    monkeypatch.setattr(made, "monitor", Monitor(), raising=False)
    return made


def test_keys_sort_filter_and_halt(broker: RecordingBroker) -> None:
    shown = Screen(broker, View())  # type: ignore[arg-type]
    shown.pressed("r")
    assert shown.view.sort.value == "ready"
    shown.pressed("r")
    assert shown.view.sort.value == "activity"
    for key in "/new\x7fwq\r":
        shown.pressed(key)
    assert (shown.view.pattern, shown.view.typing, shown.view.sort.value) == ("newq", None, "activity")
    shown.pressed("/")
    shown.pressed("\x1b")
    assert (shown.view.pattern, shown.view.typing) == ("", None)
    shown.draw(80, 24)
    shown.pressed(" ")
    shown.draw(80, 24)
    assert (shown.view.is_halted, broker.monitor.asked) == (True, 1)  # type: ignore[attr-defined]
    shown.pressed("x")
    assert shown.view.is_halted


def test_a_pipe_gets_one_look_and_json_all_of_it(monkeypatch: pytest.MonkeyPatch, broker: RecordingBroker) -> None:
    run = CommandLine(monkeypatch, broker)
    out = run("top", "--filter", "queue:*", "--sort", "name").out
    assert [line.split()[1] for line in out.splitlines() if line.startswith("●")] == ["queue:jfk", "queue:newark"]
    assert "quit" not in out
    told = json.loads(run("top", "--json", "--sort", "restarts").out)
    assert [actor["id"] for actor in told["actors"]][:2] == ["queue:jfk", "queue:newark"]
    assert (told["totals"]["dead"], told["alarms"][0]["kind"], told["machine"]["cores"]) == (5, "disk_low", 2)
