"""The broker at work, live: what every actor takes in, hands out, keeps and costs."""

from __future__ import annotations

import dataclasses
import shutil
from typing import TYPE_CHECKING, Annotated, Final, final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_live import watch
from posthouse.cli_output import console, is_terminal, print_json
from posthouse.cli_values import parse_duration_s
from posthouse.client import Broker
from posthouse.top_rows import SortKey, rows_of, totals_of
from posthouse.transport.messages_monitor import Overview

if TYPE_CHECKING:
    from rich.console import Group

    from posthouse.top_screen import View

PIPE_CELLS: Final = 160
_SORT_KEYS: Final = {
    "r": SortKey.READY, "u": SortKey.UNACKED, "i": SortKey.IN, "o": SortKey.OUT, "a": SortKey.AGE,
    "m": SortKey.MEMORY, "c": SortKey.CPU, "R": SortKey.RESTARTS, "n": SortKey.NAME,
}  # fmt: skip


@with_broker
def top(
    broker: Broker,
    sort: Annotated[SortKey, typer.Option("--sort", "-s", help="What comes first.")] = SortKey.ACTIVITY,
    filter_: Annotated[
        str, typer.Option("--filter", "-f", metavar="TEXT", help="Only actors with this in their id; * and ? match.")
    ] = "",
    interval: Annotated[
        float, typer.Option("--interval", "-i", metavar="S", parser=parse_duration_s, help="Between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Look once and end, as in a pipe.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch the broker at work: rates, backlogs, ages, memory and restarts of every actor, live.

    Keys: r ready, u unacked, i in, o out, a age, m memory, c cpu, R restarts, n name sort; the same key again sorts by
    activity. / filters, space halts, q ends. READY is what an actor keeps: of an exchange what it holds, of the
    scheduler what is delayed, of the dead-letter store what is dead.

    \b
    Examples:
      posthouse top
      posthouse top --sort age --filter 'queue:*'
      posthouse top --once --json | jq '.actors[] | select(.age_s > 60)'
    """
    if as_json:
        _print_json(broker.monitor.overview(), filter_, sort)
        return
    from posthouse.top_screen import View

    view = View(sort, filter_, is_live=not once and is_terminal())
    shown = Screen(broker, view)
    if not view.is_live:
        screen = console()
        if not is_terminal():
            screen.width = PIPE_CELLS
        screen.print(shown.draw(screen.width, 0))
        return
    watch(shown.draw_to_fit, shown.pressed, max(0.1, interval))


def _print_json(overview: Overview, pattern: str, sort: SortKey) -> None:
    print_json(
        {
            "at_ms": overview.at_ms,
            "version": overview.version,
            "data": overview.data,
            "pid": overview.pid,
            "started_at": overview.started_at,
            "machine": overview.machine,
            "totals": dataclasses.asdict(totals_of(overview)),
            "actors": [dataclasses.asdict(row) for row in rows_of(overview, pattern, sort)],
            "alarms": overview.standing,
        }
    )


@final
class Screen:
    """What is looked at, and how; keys change the view, drawing asks the monitor."""

    def __init__(self, broker: Broker, view: View) -> None:
        self._broker = broker
        self.view = view
        self._overview: Overview | None = None

    def draw_to_fit(self) -> Group:
        """For the whole terminal, whatever size it has now."""
        size = shutil.get_terminal_size()
        return self.draw(size.columns, size.lines)

    def draw(self, width: int, height: int) -> Group:
        from posthouse.top_screen import screen

        if self._overview is None or not self.view.is_halted:
            self._overview = self._broker.monitor.overview(with_history=True)
        overview = self._overview
        rows = rows_of(overview, self.view.pattern, self.view.sort)
        return screen(overview, rows, totals_of(overview), self.view, width, height)

    def pressed(self, key: str) -> None:
        """A key: another order, a filter, halt."""
        view = self.view
        if view.typing is not None:
            self.view = self._typed(view.typing, key)
        elif key == "/":
            self.view = view._replace(typing=view.pattern)
        elif key == " ":
            self.view = view._replace(is_halted=not view.is_halted)
        elif key in _SORT_KEYS:
            sort = _SORT_KEYS[key]
            self.view = view._replace(sort=SortKey.ACTIVITY if sort is view.sort else sort)

    def _typed(self, text: str, key: str) -> View:
        """What is typed of a filter counts at once."""
        if key in ("\r", "\n"):
            return self.view._replace(typing=None)
        if key == "\x1b":
            return self.view._replace(typing=None, pattern="")
        text = text[:-1] if key in ("\x7f", "\x08") else text + key if key.isprintable() else text
        return self.view._replace(typing=text, pattern=text)
