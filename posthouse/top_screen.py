"""How `posthouse top` looks: a head with the whole broker, and a table of actors that fits the terminal.

Pure but for rich: rows and totals in, a renderable of exactly the given size out. A narrow terminal loses columns from
the right and keeps the numbers whole; a tall one shows more actors, a wide one the last minute as a line of bars.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.text import Text

from posthouse.cli_output import STATE_STYLES, count, duration, printable, size
from posthouse.top_rows import Row, SortKey, Totals
from posthouse.transport.messages_monitor import Overview

NAME_CELLS_MIN: Final = 12
NAME_CELLS_MAX: Final = 48
ALARMS_MAX: Final = 3
WIDE_CELLS: Final = 110
BARS: Final = "▁▂▃▄▅▆▇█"
OLD_S: Final = 60.0
_HOT: Final = 0.8


class Column(NamedTuple):
    """A number of each row: how wide, under which title, and when it is worth a colour."""

    title: str
    cells: int
    show: Callable[[Row, float], str]
    sort: SortKey | None = None
    style: Callable[[Row], str] = lambda row: ""


_COLUMNS: Final = (
    Column("READY", 5, lambda row, now: short(row.ready), SortKey.READY,
           lambda row: "yellow" if row.ready and not row.consumers and row.kind == "queue" else ""),
    Column("UNACK", 5, lambda row, now: short(row.unacked), SortKey.UNACKED),
    Column("IN/S", 5, lambda row, now: short(row.in_per_s), SortKey.IN),
    Column("OUT/S", 5, lambda row, now: short(row.out_per_s), SortKey.OUT),
    Column("ACK/S", 5, lambda row, now: short(row.acked_per_s)),
    Column("OLDEST", 6, lambda row, now: brief(row.age_s), SortKey.AGE,
           lambda row: "yellow" if row.age_s > OLD_S else ""),
    Column("CONS", 4, lambda row, now: short(row.consumers) if row.kind == "queue" else ""),
    Column("CPU%", 4, lambda row, now: f"{row.cpu * 100:.0f}", SortKey.CPU,
           lambda row: "bold red" if row.cpu > _HOT else ""),
    Column("MEM", 4, lambda row, now: brief_bytes(row.rss_bytes), SortKey.MEMORY),
    Column("RST", 4, lambda row, now: short(row.restarts), SortKey.RESTARTS,
           lambda row: "yellow" if row.restarts else ""),
    Column("RETRY", 5, lambda row, now: short(row.waiting)),
    Column("DEAD/S", 6, lambda row, now: short(row.dead_per_s), None, lambda row: "red" if row.dead_per_s else ""),
    Column("JOURNAL", 7, lambda row, now: brief_bytes(row.journal_bytes)),
    Column("UP", 6, lambda row, now: brief(now - row.started_at) if row.started_at and row.state == "up" else ""),
    Column("LIFE", 5, lambda row, now: str(row.generation)),
)  # fmt: skip


class View(NamedTuple):
    """What somebody wants to see: the order, the filter and what is being typed of one, halted or not."""

    sort: SortKey = SortKey.ACTIVITY
    pattern: str = ""
    typing: str | None = None
    is_halted: bool = False
    is_live: bool = True


def screen(overview: Overview, rows: Sequence[Row], totals: Totals, view: View, width: int, height: int) -> Group:
    """Everything, no wider than `width` and no higher than `height` lines; 0 lines are as many as it takes."""
    head = _head(overview, totals, width)
    foot = [_foot(view, width)] if view.is_live else []
    room = len(rows) if not height else max(0, height - len(head) - len(foot) - 1)
    shown = rows[:room]
    if len(rows) > room > 0:
        shown = rows[: room - 1]
    table = _table(shown, view, width, overview.at_ms / 1000)
    if len(shown) < len(rows):
        table.append(Text(f"  and {count(len(rows) - len(shown))} more", "dim"))
    lines = [*head, *table]
    if height and foot:
        lines = lines[: height - 1] + [Text("")] * max(0, height - len(lines) - 1)
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return Group(*lines, *foot)


# ---- the head ----


def _head(overview: Overview, totals: Totals, width: int) -> list[Text]:
    is_well = not totals.not_up
    title = Text.assemble(
        ("posthouse ", "bold"),
        (overview.version, "dim"),
        ("  ● well" if is_well else f"  ● {len(totals.not_up)} not up", "bold green" if is_well else "bold red"),
        (f"  up {duration(overview.at_ms / 1000 - overview.started_at)}  pid {overview.pid}  ", "dim"),
        (printable(overview.data), "dim"),
    )
    flow = _facts(
        ("published/s", short(totals.published_per_s)), ("delivered/s", short(totals.delivered_per_s)),
        ("acked/s", short(totals.acked_per_s)), ("consumers", short(totals.consumers)),
    )  # fmt: skip
    stock = _facts(
        ("ready", short(totals.ready)), ("unacked", short(totals.unacked)), ("delayed", short(totals.delayed)),
        ("held", short(totals.held)), ("dead", short(totals.dead)),
    )  # fmt: skip
    if totals.dead:
        stock.stylize("red", len(stock) - len(short(totals.dead)))
    machine = overview.machine
    used = 1 - machine.memory_free_bytes / machine.memory_bytes if machine.memory_bytes else 0.0
    house = _facts(
        ("actors", short(totals.actors)), ("restarts", short(totals.restarts)), ("memory", size(totals.rss_bytes)),
        ("cpu", f"{totals.cpu * 100:.0f}%"), ("load", f"{machine.load:.1f}/{machine.cores}"),
        ("machine", f"{used:.0%}"), ("disk free", size(machine.disk_free_bytes)),
    )  # fmt: skip
    lines = [title, flow, stock, house]
    if width >= WIDE_CELLS:
        lines += _history(overview, width)
    lines += [Text(f"! {printable(alarm.text)}", "bold red") for alarm in overview.standing[-ALARMS_MAX:]]
    return [*lines, Text("")]


def _facts(*facts: tuple[str, str]) -> Text:
    line = Text()
    for name, value in facts:
        line.append(f"{name} ", "dim").append(value, "bold").append("   ")
    line.right_crop(3)
    return line


def _history(overview: Overview, width: int) -> list[Text]:
    """The last minutes, a bar for each second or for a few of them."""
    points = overview.history
    room = width - 32
    lines = []
    for name, values, style in (
        ("published/s", [point.published for point in points], "cyan"),
        ("delivered/s", [point.delivered for point in points], "green"),
        ("ready", [float(point.ready) for point in points], "yellow"),
    ):
        most = max(values[-room:], default=0.0)
        line = Text(f"{name:<12}", "dim").append(f"{bars(values, room):>{room}}", style)
        lines.append(line.append(f"  up to {short(most)}", "dim"))
    return [Text(""), *lines]


def bars(values: Sequence[float], cells: int) -> str:
    """The last `cells` values as bars, the highest being the highest of them; what is 0 is empty."""
    last = values[-cells:]
    most = max(last, default=0.0)
    if most <= 0:
        return " " * len(last)
    return "".join(" " if value <= 0 else BARS[min(7, int(value / most * 7.999))] for value in last)


# ---- the table ----


def _table(rows: Sequence[Row], view: View, width: int, now_s: float) -> list[Text]:
    longest = max((cell_len(printable(row.id)) for row in rows), default=NAME_CELLS_MIN)
    name_cells = min(max(longest, NAME_CELLS_MIN), NAME_CELLS_MAX)
    columns = list(_COLUMNS)
    # A name may be cut down to 20 cells before a number is given up for it; more than that is worth a column.
    while len(columns) > 1 and _cells(columns) + min(name_cells, 20) > width:
        columns.pop()
    name_cells = max(NAME_CELLS_MIN, min(name_cells, width - _cells(columns)))
    head = Text("  ").append(set_cell_size("ACTOR", name_cells), _title_style(SortKey.NAME, view))
    for column in columns:
        head.append(" ").append(f"{column.title:>{column.cells}}", _title_style(column.sort, view))
    return [head, *(_line(row, columns, name_cells, now_s) for row in rows)]


def _cells(columns: Sequence[Column]) -> int:
    return 2 + sum(column.cells + 1 for column in columns)


def _title_style(sort: SortKey | None, view: View) -> str:
    return "bold reverse" if sort is view.sort else "bold"


def _line(row: Row, columns: Sequence[Column], name_cells: int, now_s: float) -> Text:
    style = STATE_STYLES.get(row.state, "yellow")
    name = printable(row.id)
    if cell_len(name) > name_cells:
        name = set_cell_size(name, name_cells - 1) + "…"
    line = Text()
    line.append("❚ " if row.is_paused else "● ", "yellow" if row.is_paused else style)
    line.append(set_cell_size(name, name_cells), "" if row.state == "up" else style)
    if row.state != "up":
        return line.append(f" {row.state}", style).append(f", {short(row.restarts)} restarts", "dim")
    for column in columns:
        text = column.show(row, now_s)
        line.append(" ").append(f"{text:>{column.cells}}", column.style(row) or ("dim" if text == "0" else ""))
    return line


def _foot(view: View, width: int) -> Text:
    if view.typing is not None:
        line = Text.assemble(("filter: ", "bold"), printable(view.typing), ("▏", "blink"), ("  Enter, Esc", "dim"))
    else:
        line = Text()
        keys = "ready unacked in out age memory cpu Restarts name"
        for word in keys.split():
            line.append(word[0], "bold reverse").append(f"{word[1:]} ", "dim")
        line.append("/", "bold reverse").append("filter ", "dim")
        line.append("space", "bold reverse").append(" ").append("q", "bold reverse").append("uit", "dim")
        if view.pattern:
            line.append(f"  {printable(view.pattern)}", "bold yellow")
        if view.is_halted:
            line.append("  halted", "bold yellow")
    line.truncate(width, overflow="ellipsis")
    return line


# ---- numbers in few cells ----


def short(number: float) -> str:
    """0, 7, 0.4, 1234, 12.3k, 4.5M: five characters at most."""
    if 0 < number < 9.95 and number != int(number):
        return f"{number:.1f}"
    if number < 9_999.5:
        return f"{number:.0f}"
    for unit in ("k", "M", "G"):
        number /= 1_000
        if number < 999.5 or unit == "G":
            return f"{number:.1f}{unit}" if number < 99.95 else f"{number:.0f}{unit}"
    raise AssertionError("a number has a unit")


def brief(seconds: float) -> str:
    """ "" for none, 0.4s, 42s, 3m5s, 2h10m, 4d3h: six characters at most."""
    if seconds <= 0:
        return ""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = int(seconds)
    for unit, length, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= length:
            text = f"{whole // length}{unit}{whole % length // part}{smaller}"
            return text if len(text) <= 6 else f"{whole // length}{unit}"
    return f"{whole}s"


def brief_bytes(number: int) -> str:
    """ "" for none, 17B, 1.5K, 203M: five characters at most."""
    if not number:
        return ""
    amount = float(number)
    for unit in "BKMG":
        if amount < 999.5:
            return f"{amount:.1f}{unit}" if unit != "B" and amount < 9.95 else f"{amount:.0f}{unit}"
        amount /= 1_024
    return f"{amount:.1f}T"
