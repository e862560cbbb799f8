"""What the command line prints: tables, JSON, bodies, and values in a form for people.

A terminal gets colours and lines cut to its width; a pipe gets plain, uncut, aligned text. What a message or
a peer brought never reaches a terminal with control characters in it. Nothing here knows what a broker is.

rich is imported where a terminal is drawn on: `serve` lives long, forks, and needs none of it.
"""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from rich.console import Console

STATE_STYLES: Final = {
    "up": "green",
    "starting": "yellow",
    "restarting": "yellow",
    "stopping": "yellow",
    "silent": "yellow",
    "stopped": "dim",
    "quarantined": "bold red",
}

_GAP: Final = "  "
_RICH_GAP_CELLS: Final = 3
_KIB: Final = 1024
_CUT_TO_CELLS: Final = 12
"""No column is cut to less than so many cells."""


class Column(NamedTuple):
    """A column of a table. Numbers stand to the right; what `can_shrink` is cut on a narrow terminal."""

    title: str
    is_number: bool = False
    can_shrink: bool = False


class Cell(NamedTuple):
    """A value of a table with the style it has on a terminal."""

    text: str
    style: str = ""


Row = Sequence[str | Cell]


def console() -> Console:
    """Standard output as it is now. Honours NO_COLOR; reads no markup, since names may look like some."""
    from rich.console import Console

    return Console(markup=False, highlight=False, emoji=False, soft_wrap=False)


def is_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def say(text: str) -> None:
    """One line for people on standard output, never cut or wrapped."""
    print(text)


def note(text: str) -> None:
    """One line for people on standard error, so that it does not mix with data."""
    print(text, file=sys.stderr)


def print_table(columns: Sequence[Column], rows: Iterable[Row], empty: str) -> None:
    """A table, or on a terminal the sentence `empty` when there are no rows; a pipe gets its header alone."""
    cells = [[cell if isinstance(cell, Cell) else Cell(cell) for cell in row] for row in rows]
    if not is_terminal():
        _print_plain_table(columns, cells)
    elif not cells:
        say(empty)
    else:
        _print_rich_table(columns, cells)


def _print_plain_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.cells import cell_len

    lines = [[column.title.upper() for column in columns], *([cell.text for cell in row] for row in rows)]
    widths = [max(map(cell_len, texts)) for texts in zip(*lines, strict=True)]
    for line in lines:
        padded = (
            " " * (width - cell_len(text)) + text if column.is_number else text + " " * (width - cell_len(text))
            for column, text, width in zip(columns, line, widths, strict=True)
        )
        print(_GAP.join(padded).rstrip())


def _print_rich_table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    screen = console()
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    least = _RICH_GAP_CELLS * (len(columns) - 1)
    for number, column in enumerate(columns):
        width = max(cell_len(text) for text in (column.title, *(row[number].text for row in rows)))
        min_width = min(width, _CUT_TO_CELLS) if column.can_shrink else width
        least += min_width
        # rich shrinks the columns that may wrap; the cells then refuse to wrap and are cut with an ellipsis.
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(
            column.title, justify=justify, no_wrap=not column.can_shrink, min_width=min_width, overflow="ellipsis"
        )
    for row in rows:
        table.add_row(*(Text(cell.text, cell.style, no_wrap=True, overflow="ellipsis") for cell in row))
    # A table that is wider still runs over the edge: lines that wrap say more than numbers that are cut.
    screen.width = max(screen.width, least)
    screen.print(table)


def print_json(document: object) -> None:
    """One JSON document, indented."""
    print(json.dumps(as_json(document), ensure_ascii=False, indent=2, allow_nan=False))


def print_json_line(document: object) -> None:
    """One JSON document on one line, for streams of them."""
    print(json.dumps(as_json(document), ensure_ascii=False, allow_nan=False))


def as_json(value: object) -> Any:
    """The value in terms of JSON: structs as maps, bytes as text when UTF-8, else as {"base64": …}."""
    if isinstance(value, msgspec.Struct):
        return {name: as_json(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(inner) for inner in value]
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        try:
            return data.decode()
        except UnicodeDecodeError:
            return {"base64": base64.b64encode(data).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no word for it
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    return value


def printable(text: str) -> str:
    """The text on one line, with escapes instead of whatever a terminal might obey."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def readable_body(body: bytes, characters_max: int | None = None) -> str:
    """A body on one line for people: its text, or its size and first bytes when it is not UTF-8."""
    head = body if characters_max is None else body[: 4 * characters_max + 4]
    try:
        text = head.decode(errors="strict" if len(head) == len(body) else "ignore")
    except UnicodeDecodeError:
        text = ""
    if sum(not letter.isprintable() and not letter.isspace() for letter in text) * 4 > len(text):
        text = ""  # Such bytes happen to be UTF-8, and nobody wants to read them as escapes.
    if not text and body:
        return f"<{len(body)} bytes: {body[:16].hex(' ')}{' …' if len(body) > 16 else ''}>"
    text = printable(text)
    is_cut = characters_max is not None and (len(text) > characters_max or len(head) < len(body))
    return f"{text[: characters_max - 1]}…" if is_cut and characters_max is not None else text


def print_body(body: bytes) -> None:
    """A body and a line end: for a pipe byte by byte as it was published, for a terminal made harmless."""
    if is_terminal():
        print("\n".join(readable_body(line) for line in body.split(b"\n")))
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(body + b"\n")


def readable_map(values: dict[str, Any] | None) -> str:
    """Headers or arguments as they are typed: `carrier=UA cancelled:=true`."""
    return printable(" ".join(_as_typed(name, value) for name, value in (values or {}).items()))


def _as_typed(name: str, value: object) -> str:
    if isinstance(value, str):
        return f"{name}={value}"
    return f"{name}:={json.dumps(as_json(value), ensure_ascii=False)}"


def count(number: int) -> str:
    """1,234,567"""
    return f"{number:,}"


def size(number_bytes: int) -> str:
    """17 B, 1.5 KiB, 203 MiB: three digits and a unit."""
    amount = float(number_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < _KIB:
            return f"{amount:.1f} {unit}" if unit != "B" and amount < 10 else f"{amount:.0f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} TiB"


def duration(seconds: float) -> str:
    """42 s, 3 min 5 s, 2 h 10 min, 4 d 3 h: the two greatest units."""
    whole = max(0, int(seconds))
    parts: list[tuple[int, str]] = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        amount, whole = divmod(whole, length)
        if amount or parts:
            parts.append((amount, unit))
    return " ".join(f"{amount} {unit}" for amount, unit in parts[:2] if amount) or "0 s"


def state(name: str) -> Cell:
    """A state in its colour."""
    return Cell(name, STATE_STYLES.get(name, "yellow"))


def name_of(name: str) -> Cell:
    """The name of an exchange or queue; the default exchange, whose name is empty, in words."""
    return Cell(printable(name)) if name else Cell("(default)", "dim")


def yes(is_true: bool, word: str) -> str:
    """The word, when it applies."""
    return word if is_true else ""
