"""What happens in the broker, as it happens."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Final

import typer

from posthouse.cli_connection import with_broker
from posthouse.cli_output import console, is_terminal, note, print_json_line, printable, say
from posthouse.client import Broker
from posthouse.transport.errors import ActorDown, BrokerNotRunning, Unavailable
from posthouse.transport.messages_monitor import BrokerEvent

WAIT_S: Final = 2.0
ROUND_EVENTS_MAX: Final = 1_000
_SEVERITIES: Final = ("info", "warning", "error")
_STYLES: Final = {"info": "", "warning": "yellow", "error": "bold red"}
_KIND_CHARACTERS: Final = 13


@with_broker
def events(
    broker: Broker,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on until Ctrl-C, or stop at once.")] = True,
    last: Annotated[int, typer.Option("--last", "-n", min=0, max=10_000, metavar="N", help="Begin so far back.")] = 20,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter",
            "-f",
            metavar="PATTERN",
            help="Only these, as in a topic binding: 'exited.#', '*.queue.#'. May be repeated.",
        ),
    ] = None,
    severity: Annotated[
        str, typer.Option("--severity", metavar="LEVEL", help="At least: info, warning or error.")
    ] = "info",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document per line.")] = False,
) -> None:
    """Show what happens in the broker: restarts, quarantines, alarms, what is declared, deleted, bound and consumed.

    Patterns match KIND.ACTOR-KIND.NAME. The same events are published to the exchange posthouse.events, under that
    routing key, for programs that bind a queue to it.

    \b
    Examples:
      posthouse events
      posthouse events --filter 'quarantined.#' --filter 'exited.#'
      posthouse events --no-follow --last 1000 --json | jq 'select(.severity == "error")'
    """
    if severity not in _SEVERITIES:
        raise typer.BadParameter(f"it is one of {', '.join(_SEVERITIES)}", param_hint="--severity")
    least = _SEVERITIES.index(severity)

    def show(found: list[BrokerEvent]) -> None:
        for event in found:
            if _rank(event) >= least and _is_wanted(event, filter_):
                _print(event, as_json)
        sys.stdout.flush()

    newest = broker.monitor.events(limit=max(1, last))
    show(newest[-last:] if last else [])
    if follow:
        with contextlib.suppress(KeyboardInterrupt):
            _follow(broker, show, newest[-1].number if newest else 0)


def _follow(broker: Broker, show: Callable[[list[BrokerEvent]], None], after: int) -> None:
    while True:
        try:
            found = broker.monitor.events(after, limit=ROUND_EVENTS_MAX, wait_s=WAIT_S)
        except BrokerNotRunning:
            raise
        except (ActorDown, Unavailable) as error:
            # The monitor may be on its way back, and so may the broker: say so, and go on.
            note(f"no news for now: {printable(str(error))}")
            continue
        show(found)
        after = found[-1].number if found else after


def _rank(event: BrokerEvent) -> int:
    return _SEVERITIES.index(event.severity) if event.severity in _SEVERITIES else len(_SEVERITIES)


def _is_wanted(event: BrokerEvent, patterns: list[str] | None) -> bool:
    words = event.routing_key.split(".")
    return not patterns or any(matches(pattern.split("."), words) for pattern in patterns)


def matches(pattern: list[str], words: list[str]) -> bool:
    """As a topic binding does: `*` is one word, `#` any number of them."""
    reached = {0}
    for wanted in pattern:
        if wanted == "#":
            reached = set(range(min(reached, default=len(words) + 1), len(words) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(words) and wanted in ("*", words[at])}
    return len(words) in reached


def _print(event: BrokerEvent, as_json: bool) -> None:
    if as_json:
        print_json_line(event)
        return
    at = datetime.fromtimestamp(event.at_ms / 1000).astimezone()
    if not is_terminal():
        say(f"{at.isoformat(timespec='milliseconds')}  {event.severity:<7}  {printable(event.text)}")
        return
    from rich.text import Text

    style = _STYLES.get(event.severity, "bold red")
    line = Text(no_wrap=False, overflow="fold")
    line.append(f"{at:%H:%M:%S}.{event.at_ms % 1000:03} ", "dim")
    line.append("● ", style or "green")
    line.append(f"{printable(event.kind):<{_KIND_CHARACTERS}} ", style or "dim")
    line.append(printable(event.text), style)
    console().print(line, soft_wrap=True)
