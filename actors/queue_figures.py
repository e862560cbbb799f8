"""The figures of a queue on its page.

Those of the state; its counters are those of the journal, so they go on where a dead life left them.
"""

from __future__ import annotations

from typing import final

from posthouse.actors import measures
from posthouse.actors.queue_state import QueueState
from posthouse.actors.tallies import Totals
from posthouse.supervisor.meter import Meter


@final
class QueueFigures:
    """Of one queue. `refused` and `purged` are the shell's to raise."""

    __slots__ = ("_meter", "_state", "_totals", "purged", "refused")

    def __init__(self, meter: Meter, state: QueueState) -> None:
        self._meter = meter
        self._state = state
        self._totals = Totals(meter)
        self.refused = 0
        self.purged = 0

    def show(self, wall_ms: int, now_ms: int) -> None:
        """Write everything down. `now_ms` is the queue's clock, which a step of the wall clock does not move."""
        meter, totals, state = self._meter, self._totals, self._state
        info = state.info()
        ready_ms, unacked_ms = state.times()
        for word, value in (
            (measures.READY, info.ready),
            (measures.UNACKED, info.unacked),
            (measures.WAITING, info.waiting),
            (measures.LEAVING, info.leaving),
            (measures.BODY_BYTES, info.bytes),
            (measures.MEMORY_BYTES, state.storage.bytes_in_memory),
            (measures.CONSUMERS, info.consumers),
            (measures.OLDEST_READY, 0 if ready_ms is None else ready_ms),
            (measures.OLDEST_UNACKED, 0 if unacked_ms is None else wall_ms - now_ms + unacked_ms),
        ):
            meter.set(word, value)
        for word, value in (
            (measures.STORED, info.stored),
            (measures.DELIVERED, info.delivered),
            (measures.REDELIVERED, info.redelivered),
            (measures.ACKED, info.acked),
            (measures.REJECTED, info.rejected),
            (measures.DUPLICATES, info.duplicates),
            (measures.EXPIRED, info.expired),
            (measures.DROPPED, info.dropped),
            (measures.DEAD_LETTERED, info.dead_lettered),
            (measures.LATE_CALLS, info.late_calls),
        ):
            totals.show(word, value)
        totals.count(measures.NOT_TAKEN, self.refused)
        totals.count(measures.QUEUE_PURGED, self.purged)
        state.handouts.show(meter)
        if state.breaker is not None:
            meter.set(measures.BREAKER_OPEN, not state.breaker.is_closed)
            totals.count(measures.BREAKER_OPENED, state.breaker.opened)
