"""What the demo shows: bars while it works, plain lines where there is no terminal, and the tables at the
end.

It decides nothing: ledgers and kills come in as they are, and what is good or bad was decided by the audit.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self, final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from posthouse.demo_audit import Ledger
from posthouse.demo_flights import FEEDS, Feed

PLAIN_WIDTH: Final = 120
BINDINGS_FROM_COLUMNS: Final = 110
PLAIN_LINE_EVERY_S: Final = 2.0


@final
@dataclass(frozen=True)
class Kill:
    """One SIGKILL of the demo. Times are milliseconds after it; None means that it was not seen to happen."""

    what: str
    at_flight: int
    up_ms: float | None
    delivering_ms: float | None


@final
@dataclass(frozen=True)
class Totals:
    """Sums over the run. `working_s` is from the first publish to the last receipt, the outages included."""

    flights: int
    published: int
    delivered: int
    confirmed_s: float
    working_s: float


@final
class Screen:
    """One run's output."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console()
        if not console.is_terminal:
            console = Console(width=PLAIN_WIDTH, file=console.file)
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<34}"),
            BarColumn(bar_width=36),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._next_line_at = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """One line that stays."""
        self._console.print(text, highlight=False)

    def expect(self, flights: int, ledgers: Mapping[str, Ledger]) -> None:
        """Draw the bars."""
        self._tasks[""] = self._progress.add_task("flights published to five exchanges", total=flights)
        for feed in FEEDS:
            text = f"  {feed.pattern}: {feed.queue}"
            self._tasks[feed.queue] = self._progress.add_task(text, total=len(ledgers[feed.queue].expected))

    def show(self, published: int, ledgers: Mapping[str, Ledger]) -> None:
        """Move the bars, or print a line every two seconds."""
        self._progress.update(self._tasks[""], completed=published)
        for queue, ledger in ledgers.items():
            self._progress.update(self._tasks[queue], completed=ledger.received)
        now = time.monotonic()
        if not self._console.is_terminal and now >= self._next_line_at:
            self._next_line_at = now + PLAIN_LINE_EVERY_S
            received = sum(ledger.received for ledger in ledgers.values())
            expected = sum(len(ledger.expected) for ledger in ledgers.values())
            self.say(f"  {published:,} flights published, {received:,} of {expected:,} messages received")

    def conclude(self, ledgers: Mapping[str, Ledger], kills: list[Kill], totals: Totals) -> None:
        """The tables."""
        is_wide = self._console.width >= BINDINGS_FROM_COLUMNS
        self._console.print(_receipts(ledgers, with_bindings=is_wide))
        if kills:
            self._console.print(_restarts(kills))
        rate = totals.delivered / totals.working_s if totals.working_s > 0 else 0.0
        self.say(
            f"{totals.flights:,} flights, {totals.published:,} messages published and confirmed in "
            f"{totals.confirmed_s:.1f} s, {totals.delivered:,} delivered and acked in "
            f"{totals.working_s:.1f} s: [bold]{rate:,.0f} deliveries/s[/], outages "
            "included, every message synced to disk."
        )

    def verdict(self, faults: list[str]) -> None:
        """The last word."""
        if faults:
            text = "\n".join(f"• {fault}" for fault in faults)
            self._console.print(Panel(text, title="The numbers are off", border_style="red", expand=False))
        else:
            text = "Nothing lost, nothing twice without being marked, everything in order."
            self._console.print(Panel(text, border_style="green", expand=False))


def _table(title: str) -> Table:
    """Narrow enough for eighty columns."""
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )


def _receipts(ledgers: Mapping[str, Ledger], *, with_bindings: bool) -> Table:
    table = _table("What the consumers received")
    table.add_column("pattern", no_wrap=True)
    table.add_column("queue", no_wrap=True)
    if with_bindings:
        table.add_column("binding", overflow="fold", max_width=36)
    for name in ("expected", "received", "lost", "again,\nmarked", "not\nmarked", "out of\norder"):
        table.add_column(name, justify="right")
    for feed in FEEDS:
        ledger = ledgers[feed.queue]
        table.add_row(
            feed.pattern,
            feed.queue,
            *([_binding(feed)] if with_bindings else []),
            f"{len(ledger.expected):,}",
            f"{ledger.received:,}",
            _zero(ledger.lost),
            f"{ledger.flagged_duplicates:,}",
            _zero(ledger.unflagged_duplicates),
            _zero(ledger.out_of_order),
        )
    return table


def _binding(feed: Feed) -> str:
    if not feed.rules:
        return f"{feed.consumers} competing consumers"
    return feed.binding if len(feed.rules) <= 3 else f"{feed.rules[0].key}  … {len(feed.rules)} bindings"


def _restarts(kills: list[Kill]) -> Table:
    table = _table("What was killed with SIGKILL")
    table.add_column("process", no_wrap=True)
    for name in ("at flight", "up again\nafter", "delivering\nagain after"):
        table.add_column(name, justify="right")
    for kill in kills:
        table.add_row(kill.what, f"{kill.at_flight:,}", _ms(kill.up_ms), _ms(kill.delivering_ms))
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms" if value >= 10 else f"{value:,.1f} ms"


def _zero(count: int) -> str:
    return "[green]0[/]" if count == 0 else f"[bold red]{count:,}[/]"
