"""`python -m benchmarks.unmeasured serve …`: a broker that measures nothing, to compare with.

The places where figures are counted and written are replaced by ones that do nothing, before anything is forked. What
stays are a few additions of integers per batch, the word of a publishing time in each stored batch, and one read of the
clock per round.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from posthouse import cli
from posthouse.actors.cell import Cell
from posthouse.actors.cell_figures import CellFigures
from posthouse.actors.queue_handouts import Handouts
from posthouse.actors.tallies import Tally
from posthouse.supervisor.meter import Meter


def nothing(*_: Any, **__: Any) -> None:
    """Counts nothing and shows nothing."""


REPLACED: Final = (
    (Cell, "_measure"),
    (CellFigures, "round_began"),
    (Handouts, "given"),
    (Meter, "add"),
    (Meter, "set"),
    (Tally, "observe"),
)


def main() -> int:
    for owner, name in REPLACED:
        assert hasattr(owner, name), f"{owner.__name__} has no {name} any more"
        setattr(owner, name, nothing)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
