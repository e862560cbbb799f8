"""The tables at the end of the demo, narrow enough for eighty columns. They show; what is good was decided before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from rich.box import SIMPLE_HEAD
from rich.table import Table

from posthouse.demo_audit import Ledger
from posthouse.demo_feeds import LEDGERS, REDRIVEN, Feed
from posthouse.demo_lateness import Lateness
from posthouse.transport.messages_dead import Cause


@final
@dataclass(frozen=True)
class Kill:
    """One SIGKILL of the demo. Times are milliseconds after it; None means that it was not seen to happen.

    `is_of_all`: nothing could be delivered meanwhile. `killed_at` is in monotonic seconds.
    """

    what: str
    at_flight: int
    up_ms: float | None
    delivering_ms: float | None
    killed_at: float = 0.0
    is_of_all: bool = False


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


def receipts(ledgers: Mapping[str, Ledger], *, with_bindings: bool) -> Table:
    """What each ledger has; the bindings take most of the room."""
    table = _table("What the consumers received")
    table.add_column("pattern", no_wrap=True)
    table.add_column("queue", no_wrap=True)
    if with_bindings:
        table.add_column("binding", overflow="fold", max_width=36)
    for name in ("expected", "received", "lost", "again,\nmarked", "not\nmarked", "out of\norder"):
        table.add_column(name, justify="right")
    for feed in LEDGERS:
        ledger = ledgers[feed.name]
        table.add_row(
            feed.pattern,
            feed.name,
            *([_binding(feed)] if with_bindings else []),
            f"{len(ledger.expected):,}",
            f"{ledger.received:,}",
            _zero(ledger.lost),
            f"{ledger.flagged_duplicates:,}",
            _zero(ledger.unflagged_duplicates),
            _zero(ledger.out_of_order) if ledger.is_ordered else "–",
        )
    return table


def _binding(feed: Feed) -> str:
    if feed is REDRIVEN:
        return "out of the dead letters"
    if not feed.rules:
        return f"{feed.consumers} competing consumers"
    return feed.binding if len(feed.rules) <= 3 else f"{feed.rules[0].key}  … {len(feed.rules)} bindings"


def restarts(kills: list[Kill]) -> Table:
    """What was killed, and how fast it was back."""
    table = _table("What was killed with SIGKILL")
    table.add_column("process", no_wrap=True)
    for name in ("at flight", "up again\nafter", "delivering\nagain after"):
        table.add_column(name, justify="right")
    for kill in kills:
        table.add_row(kill.what, f"{kill.at_flight:,}", _ms(kill.up_ms), _ms(kill.delivering_ms))
    return table


def causes(found: list[Cause]) -> Table:
    """The dead letters by what they died of."""
    table = _table("What was dead before the repair")
    table.add_column("dead\nletters", justify="right")
    table.add_column("fingerprint", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("last error", no_wrap=True, max_width=36)
    for cause in found:
        table.add_row(f"{cause.count:,}", cause.fingerprint, ", ".join(cause.reasons), error_shown(cause.cause))
    return table


def error_shown(cause: str) -> str:
    """An error as people read it: its type without the module, and what it said."""
    kind, colon, text = cause.partition(":")
    return kind.rpartition(".")[2] + colon + text


def lateness(groups: Mapping[str, Lateness]) -> Table:
    """How long after their time delayed messages came."""
    table = _table("How long after its time a delayed flight was received")
    table.add_column("due", no_wrap=True)
    for name in ("flights", "early", "p50", "p99", "latest"):
        table.add_column(name, justify="right")
    for name, group in groups.items():
        times = (_ms(group.p50_ms), _ms(group.p99_ms), _ms(group.max_ms))
        table.add_row(name, f"{group.count:,}", _zero(group.early), *times)
    return table


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms" if value >= 10 else f"{value:,.1f} ms"


def _zero(count: int) -> str:
    return "[green]0[/]" if count == 0 else f"[bold red]{count:,}[/]"
