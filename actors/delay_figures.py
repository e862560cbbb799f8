"""The figures of the delay scheduler on its page. Its counters are those of its journal."""

from __future__ import annotations

from typing import Final, final

from posthouse.actors import measures
from posthouse.actors.delay_moves import Move
from posthouse.actors.delay_state import DelayState
from posthouse.actors.tallies import Tally, Totals
from posthouse.supervisor.meter import Meter

OVERDUE_COUNTED_MAX: Final = 1_000
"""So many are counted; beyond, it only matters that there are many."""


@final
class DelayFigures:
    """Of the one scheduler."""

    __slots__ = ("_lateness", "_meter", "_state", "_totals")

    def __init__(self, meter: Meter, state: DelayState) -> None:
        self._meter = meter
        self._state = state
        self._totals = Totals(meter)
        self._lateness = Tally(measures.LATENESS)

    def left(self, move: Move, wall_ms: int) -> None:
        """These leave for their exchange."""
        self._lateness.observe(max(0, wall_ms - move.due_ms) * 1_000, len(move.ids))

    def show(self, wall_ms: int) -> None:
        """Write everything down."""
        meter, totals, state = self._meter, self._totals, self._state
        contents = state.contents
        dues = [due for due in (state.next_due(), contents.schedules.next_due()) if due]
        meter.set(measures.SCHEDULED, contents.ledger.waiting)
        meter.set(measures.RECURRING, len(contents.schedules))
        meter.set(measures.OVERDUE, state.overdue(wall_ms, OVERDUE_COUNTED_MAX))
        meter.set(measures.NEXT_DUE, min(dues, default=0))
        counters = contents.counters
        for word, value in (
            (measures.TAKEN, counters.accepted),
            (measures.FIRED, counters.fired),
            (measures.CANCELLED, counters.cancelled),
            (measures.REPLACED, counters.replaced),
            (measures.RETRIED, counters.retried),
            (measures.DELAY_DEAD, counters.dead_lettered),
        ):
            totals.show(word, value)
        self._lateness.show(meter)
