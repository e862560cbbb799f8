"""Definitions on the command line: everything declared, written to a file and laid down again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import Cell, Column, Row, count, note, print_json, print_table, printable, say
from posthouse.client import Broker
from posthouse.definitions import ImportRefused, ImportReport
from posthouse.transport.errors import InvalidArgument

STANDARD_STREAM: Final = "-"
DOCUMENT_BYTES_MAX: Final = 64 * 1024 * 1024
_REFUSED: Final = 1
_STYLES: Final = {"created": "green", "existing": "dim", "refused": "bold red"}
_COLUMNS: Final = (Column("what"), Column("name", can_shrink=True), Column("state"), Column("why", can_shrink=True))


@with_broker
def export(
    broker: Broker,
    file: Annotated[
        str, typer.Argument(metavar="[FILE]", help="Where to write it; - is standard output.", show_default=False)
    ] = STANDARD_STREAM,
) -> None:
    """Write exchanges, queues with their policies, bindings and recurring schedules as one JSON document.

    What belongs to a connection is left out: exclusive queues, and queues the broker named. Messages are not in it.

    \b
    Examples:
      posthouse definitions export broker.json
      posthouse definitions export | ssh other posthouse definitions import -
    """
    document = broker.definitions.export()
    if file == STANDARD_STREAM:
        print_json(document)
        return
    text = json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
    Path(file).write_text(text, encoding="utf-8")
    parts = ("exchanges", "queues", "bindings", "schedules")
    say(f"wrote {', '.join(f'{count(len(document[part]))} {part}' for part in parts)} to {printable(file)}")


@with_broker
def load(
    broker: Broker,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="What `export` wrote; - is standard input.", show_default=False)
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be made.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make everything in a document that is not there yet. All of it is checked before anything is changed.

    What is there already as described stays as it is, so it may be repeated. When anything is refused, because it
    exists otherwise or cannot be, nothing is changed and the exit code is 1; the report says what and why.

    \b
    Examples:
      posthouse definitions import broker.json --dry-run
      posthouse definitions import broker.json
    """
    document = _read(file)
    try:
        report = broker.definitions.load(document, dry_run=dry_run)
    except ImportRefused as refused:
        _show(refused.report, as_json)
        raise
    _show(report, as_json)
    if report.refused:
        note(f"{count(len(report.refused))} definitions would be refused, and nothing would be changed")
        raise typer.Exit(_REFUSED)


def _read(file: str) -> Any:
    if file == STANDARD_STREAM:
        text = sys.stdin.buffer.read(DOCUMENT_BYTES_MAX + 1)
    else:
        with Path(file).open("rb") as opened:
            text = opened.read(DOCUMENT_BYTES_MAX + 1)
    if len(text) > DOCUMENT_BYTES_MAX:
        raise InvalidArgument(f"{file} is over the limit of {DOCUMENT_BYTES_MAX} bytes")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{file} is no JSON document: {error}") from None


def _show(report: ImportReport, as_json: bool) -> None:
    if as_json:
        print_json({"is_dry_run": report.is_dry_run, "definitions": report.definitions})
        return
    # What is there already is counted, not listed: it may be thousands, and nothing happens to it.
    rows: list[Row] = [
        (one.what, printable(one.name), Cell(_state(one.state, report), _STYLES[one.state]), printable(one.text))
        for one in report.definitions
        if one.state != "existing"
    ]
    if rows:
        print_table(_COLUMNS, rows, "")
    created, existing = report.count("created"), report.count("existing")
    is_made = not report.is_dry_run and not report.refused
    say(f"{'created' if is_made else 'to be created'}: {count(created)}, there already: {count(existing)}")


def _state(state: str, report: ImportReport) -> str:
    return "new" if state == "created" and (report.is_dry_run or report.refused) else state
