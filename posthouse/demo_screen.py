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

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from posthouse.demo_audit import Ledger
from posthouse.demo_feeds import LEDGERS
from posthouse.demo_lateness import Lateness
from posthouse.demo_tables import Kill, causes, lateness, receipts, restarts
from posthouse.transport.messages_dead import Cause

PLAIN_WIDTH: Final = 120
BINDINGS_FROM_COLUMNS: Final = 110
PLAIN_LINE_EVERY_S: Final = 2.0


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
@dataclass(frozen=True)
class Findings:
    """What the run showed besides the ledgers. `causes` of the dead letters; `lateness` by when flights were due."""

    kills: list[Kill]
    causes: list[Cause]
    lateness: Mapping[str, Lateness]


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
        self._tasks[""] = self._progress.add_task("flights published", total=flights)
        for feed in LEDGERS:
            text = f"  {feed.pattern}: {feed.name}"
            self._tasks[feed.name] = self._progress.add_task(text, total=len(ledgers[feed.name].expected))

    def show(self, published: int, ledgers: Mapping[str, Ledger]) -> None:
        """Move the bars, or print a line every two seconds."""
        self._progress.update(self._tasks[""], completed=published)
        for name, ledger in ledgers.items():
            self._progress.update(self._tasks[name], completed=ledger.received)
        now = time.monotonic()
        if not self._console.is_terminal and now >= self._next_line_at:
            self._next_line_at = now + PLAIN_LINE_EVERY_S
            received = sum(ledger.received for ledger in ledgers.values())
            expected = sum(len(ledger.expected) for ledger in ledgers.values())
            self.say(f"  {published:,} flights published, {received:,} of {expected:,} messages received")

    def conclude(self, ledgers: Mapping[str, Ledger], findings: Findings, totals: Totals) -> None:
        """The tables."""
        is_wide = self._console.width >= BINDINGS_FROM_COLUMNS
        tables = [receipts(ledgers, with_bindings=is_wide)]
        if findings.kills:
            tables.append(restarts(findings.kills))
        if findings.lateness:
            tables.append(lateness(findings.lateness))
        if findings.causes:
            tables.append(causes(findings.causes))
        for table in tables:
            self._console.print(table, "")
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
            text = "Nothing lost, nothing twice without being marked, everything in order, nothing before its time."
            self._console.print(Panel(text, border_style="green", expand=False))
