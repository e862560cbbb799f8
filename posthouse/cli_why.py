"""`posthouse why`: the biography of a message on a terminal, in a pipe, as JSON, or as spans.

It reads the journals in the data directory and needs no broker. Times are UTC, since they are to be laid beside logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple

import typer

from posthouse.cli_connection import AsJson
from posthouse.cli_output import console, is_terminal, note, print_json, printable, readable_map, say
from posthouse.config import default_data_directory
from posthouse.transport.errors import InvalidArgument

if TYPE_CHECKING:
    from posthouse.biography.events import Biography, BiographyEvent

_STYLES: Final = {
    "published": "cyan", "routed": "cyan", "stored": "blue", "kept": "blue", "held": "yellow", "scheduled": "yellow",
    "due": "cyan", "released": "cyan", "delivered": "magenta", "failed": "red", "waits": "yellow", "requeued": "yellow",
    "restarted": "yellow", "returned": "yellow", "died": "bold red", "buried": "bold red", "dead_lettered": "red",
    "redrive": "cyan", "republish": "cyan", "acked": "bold green", "expired": "bold red", "dropped": "bold red",
    "late": "bold red", "gone": "bold red", "purged": "bold red", "cancelled": "bold red",
}  # fmt: skip
_QUIET: Final = (
    "headers",
    "matched",
    "matched_count",
    "unmatched_count",
    "remarks",
    "traceback",
    "is_uncertain",
    "queues",
)
_written_clock: Final = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d\.\d{3}) UTC")
_TIME_COLUMNS: Final = 12
_DELTA_COLUMNS: Final = 9


class _Line(NamedTuple):
    """One line of the timeline; a line without an actor belongs to the event above it."""

    time: str
    delta: str
    what: str
    actor: str
    text: str


def why(
    message_id: Annotated[
        str,
        typer.Argument(metavar="MESSAGE_ID", show_default=False, help="As consumers see it: message.message_id."),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="DIR", help="The broker's data directory (env: POSTHOUSE_DATA)."),
    ] = None,
    is_verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Also headers, journal positions, and tracebacks of failures.")
    ] = False,
    otlp: Annotated[
        str | None,
        typer.Option(
            "--otlp", metavar="URL", help="Send it as OpenTelemetry spans to this OTLP/HTTP endpoint as well."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tell what became of a message: published, routed, stored, delivered, failed, dead, redriven, acked, and when.

    Read from the journals, with or without a broker; settled messages too, as long as their segments exist.

    \b
    Examples:
      posthouse why order-4711
      posthouse why 1b3f5a0c2d-17 --data /var/lib/posthouse --json
    """
    from posthouse.biography.reading import biography_of

    found = biography_of(str(data) if data is not None else default_data_directory(), message_id)
    if as_json:
        print_json(found)
    else:
        _print(found, is_verbose)
    if otlp is not None:
        _export(found, otlp)


def _export(found: Biography, url: str) -> None:
    try:
        from posthouse.biography.spans import send_spans
    except ImportError as error:
        raise InvalidArgument(
            f"--otlp needs an extra ({error.name} is missing): pip install 'posthouse[otel]'"
        ) from None
    note(f"sent {send_spans(found, url)} spans to {url}")


def _print(found: Biography, is_verbose: bool) -> None:
    from rich.text import Text

    where = f"exchange {printable(found.exchange)!r}" if found.exchange else "the default exchange"
    facts = [("message", printable(found.message_id))]
    facts += [("also", ", ".join(printable(one) for one in found.ids if one != found.message_id))]
    if found.routing_key is not None:
        facts.append(("published", f"{where}, key {printable(found.routing_key)!r}"))
    facts += [("trace", printable(found.traceparent or ""))]
    facts += [("now", printable(line)) for line in found.now]
    screen = console() if is_terminal() else None
    seen = ""
    for name, value in facts:
        if value:
            label = f"{name if name != seen else '':<10}"
            seen = name
            say(f"{label}{value}") if screen is None else screen.print(Text.assemble((label, "bold"), value))
    for day, lines in _days(found.events, is_verbose):
        say("")
        say(day) if screen is None else screen.print(Text(day, "bold underline"))
        _print_lines(lines)
    if found.notes:
        say("")
    for remark in found.notes:
        line = f"note: {printable(remark)}"
        say(line) if screen is None else screen.print(Text(line, "yellow"))


def _days(events: Iterable[BiographyEvent], is_verbose: bool) -> Iterator[tuple[str, list[_Line]]]:
    """The timeline, cut where a day begins."""
    day = ""
    lines: list[_Line] = []
    before: datetime | None = None
    for event in events:
        its_day = day if event.at is None else event.at.strftime("%Y-%m-%d UTC")
        if its_day != day and lines:
            yield day, lines
            lines = []
        day = its_day or "at unknown times"
        time = "" if event.at is None else event.at.strftime("%H:%M:%S.%f")[:-3]
        delta = "" if event.at is None or before is None else _delta(event.at - before)
        text = _written_clock.sub(_without_day(day), event.text)
        lines.append(_Line(time, delta, event.what, printable(event.actor), printable(text)))
        lines += [_Line("", "", event.what, "", text) for text in _below(event, is_verbose)]
        before = event.at or before
    if lines:
        yield day, lines


def _without_day(day: str) -> Callable[[re.Match[str]], str]:
    """What a moment in a sentence becomes below the heading of its day."""
    return lambda found: found[2] if day.startswith(found[1]) else found[0]


def _delta(gap: timedelta) -> str:
    seconds = gap.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1_000:+.0f} ms"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if abs(seconds) >= 2 * length:
            return f"{seconds / length:+.0f} {unit}"
    return f"{seconds:+.1f} s"


def _below(event: BiographyEvent, is_verbose: bool) -> Iterator[str]:
    """What is said of an event in lines of its own."""
    details = event.details
    for one in details.get("matched", ()):
        kind = "exchange" if one["to_exchange"] else "queue"
        wanted = " ".join(filter(None, (printable(one["key"]), readable_map(one["arguments"]))))
        source = "" if f"exchange:{one['source']}" == event.actor else f"exchange {printable(one['source'])}: "
        yield f"✓ {source}{wanted or '(no key)'} → {kind} {printable(one['destination'])}: {printable(one['reason'])}"
    for remark in details.get("remarks", ()):
        yield printable(remark)
    if not is_verbose:
        return
    if details.get("headers"):
        yield f"headers {readable_map(details['headers'])}"
    rest: dict[str, Any] = {
        name: value for name, value in details.items() if name not in _QUIET and value not in ("", None)
    }
    if rest:
        yield readable_map(rest)
    yield from (printable(line) for line in str(details.get("traceback", "")).splitlines())


def _print_lines(lines: list[_Line]) -> None:
    width = max((len(line.actor) for line in lines), default=0)
    if not is_terminal():
        for time, delta, _, actor, text in lines:
            mark = "●" if actor else " "
            say(f"{time:<{_TIME_COLUMNS}} {delta:>{_DELTA_COLUMNS}}  {mark} {actor:<{width}}  {text}")
        return
    _print_on_terminal(lines)


def _print_on_terminal(lines: list[_Line]) -> None:
    from rich.table import Table
    from rich.text import Text

    screen = console()
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, justify="right", style="dim")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, max_width=max(16, screen.width // 4), overflow="ellipsis", style="bold")
    table.add_column(overflow="fold")
    for place, (time, delta, what, actor, text) in enumerate(lines):
        style = _STYLES.get(what, "")
        is_last = all(not line.actor for line in lines[place + 1 :])
        mark = Text("●", style) if actor else Text("" if is_last else "│", "dim")
        table.add_row(time, delta, mark, Text(actor), Text(text, style if actor else "dim"))
    screen.print(table)
