"""What a run prints and writes: one table per benchmark, one JSON file per run.

A result's rows are what the table shows; whatever else was measured is in `details` and in the file only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, final

from rich.console import Console
from rich.table import Table

RESULTS: Final = Path(__file__).parent / "results"
PLAIN_WIDTH: Final = 130


@final
@dataclass(frozen=True)
class Result:
    """One benchmark's outcome. Rows are text already; the first column is text, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    details: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What the check of the counts found wrong; the run then ends with exit code 1."""


@final
class Report:
    """Gathers the results of one run."""

    def __init__(self, machine: dict[str, Any], *, is_quick: bool) -> None:
        console = Console()
        self._console = console if console.is_terminal else Console(width=PLAIN_WIDTH)
        self._found: dict[str, Any] = {
            "machine": machine,
            "quick": is_quick,
            "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "results": {},
            "failures": {},
        }
        for name, value in machine.items():
            self._console.print(f"{name:<12}{value}", highlight=False)

    def add(self, name: str, result: Result, took_s: float) -> None:
        """Print a result and keep it."""
        table = Table(title=f"{result.title}  ({took_s:.0f} s)", title_justify="left", title_style="bold")
        for index, column in enumerate(result.columns):
            table.add_column(column, justify="right" if index else "left")
        for row in result.rows:
            table.add_row(*row)
        self._console.print(table)
        for note in result.notes:
            self._console.print(f"  {note}", highlight=False)
        for problem in result.problems:
            self._console.print(f"  [bold red]wrong:[/] {problem}", highlight=False)
        self._found["results"][name] = {
            "columns": result.columns,
            "rows": result.rows,
            "details": result.details,
            "problems": result.problems,
            "took_s": round(took_s, 1),
        }

    def failed(self, name: str, error: Exception) -> None:
        """Say that one did not come to an end; the others go on."""
        self._console.print(f"[bold red]{name} failed:[/] {error}")
        self._found["failures"][name] = str(error)

    def write(self) -> None:
        """The file, named after the moment the run began."""
        RESULTS.mkdir(exist_ok=True)
        name = self._found["started_at"].replace(":", "").replace("-", "")
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(self._found, indent=1) + "\n")
        self._console.print(f"written: {path.relative_to(Path.cwd()) if _is_below_here(path) else path}")


def _is_below_here(path: Path) -> bool:
    return path.is_relative_to(Path.cwd())


def per_second(count: float, seconds: float) -> str:
    """A rate as people read it."""
    return f"{count / seconds:,.0f}" if seconds > 0 else "–"


def mebibytes(size: float) -> str:
    return f"{size / (1 << 20):,.1f}"


def milliseconds(seconds: float) -> str:
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"
