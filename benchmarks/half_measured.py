"""`python -m benchmarks.half_measured serve …`: a broker that measures in every other half second, to compare with.

In between, the places where figures are counted and written are replaced by ones that do nothing, in every actor at the
same moments of the machine's clock. What stays are a few additions of integers per batch, the word of a publishing time
in each stored batch, and two reads of the clock per round. The monitor looks once a second all the while.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from posthouse import cli
from posthouse.actors.cell import Cell
from posthouse.actors.cell_figures import CellFigures
from posthouse.actors.queue_handouts import Handouts
from posthouse.actors.tallies import Tally
from posthouse.supervisor.meter import Meter

PHASE_S: Final = 0.5

REPLACED: Final = (
    (Cell, "_measure"),
    (CellFigures, "round_began"),
    (Handouts, "given"),
    (Meter, "add"),
    (Meter, "set"),
    (Tally, "observe"),
)


def nothing(*_: Any, **__: Any) -> None:
    """Counts nothing and shows nothing."""


def phase_at(monotonic_s: float) -> int:
    """The number of the half second; the odd ones measure."""
    return int(monotonic_s / PHASE_S)


def main() -> int:
    start = Cell.start

    def started(cell: Cell, wall_ms: int, monotonic_ms: int) -> None:
        threading.Thread(target=_alternate, daemon=True).start()
        start(cell, wall_ms, monotonic_ms)

    _replace(Cell, "start", started)
    return cli.main()


def _alternate() -> None:
    usual = [(owner, name, getattr(owner, name)) for owner, name in REPLACED]
    never = threading.Event()
    while True:
        now_s = time.monotonic()
        is_measuring = phase_at(now_s) % 2 == 1
        for owner, name, function in usual:
            _replace(owner, name, function if is_measuring else nothing)
        never.wait((phase_at(now_s) + 1) * PHASE_S - now_s)


def _replace(owner: type, name: str, function: Callable[..., Any]) -> None:
    setattr(owner, name, function)


if __name__ == "__main__":
    sys.exit(main())
