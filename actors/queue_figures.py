"""The figures of a queue on its page.

A function of the state; the counters are those of the journal, so they go on where a dead life left them.
"""

from __future__ import annotations

from posthouse.actors import measures
from posthouse.actors.queue_state import QueueState
from posthouse.supervisor.meter import Meter


def show(state: QueueState, meter: Meter) -> None:
    """Write down everything that is not counted as it happens."""
    info = state.info()
    for word, value in (
        (measures.READY, info.ready),
        (measures.UNACKED, info.unacked),
        (measures.WAITING, info.waiting),
        (measures.LEAVING, info.leaving),
        (measures.BODY_BYTES, info.bytes),
        (measures.MEMORY_BYTES, state.storage.bytes_in_memory),
        (measures.CONSUMERS, info.consumers),
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
        meter.set(word, value)
    if state.breaker is not None:
        meter.set(measures.BREAKER_OPEN, not state.breaker.is_closed)
