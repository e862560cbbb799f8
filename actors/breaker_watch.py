"""The watch over a queue's outage breaker: somebody has to know when a queue stops delivering, and when it goes on."""

from __future__ import annotations

from typing import final

from posthouse.actors.actor import Context
from posthouse.actors.queue_state import QueueState
from posthouse.supervisor import control_messages as control


@final
class BreakerWatch:
    """Of one queue, with or without a breaker."""

    __slots__ = ("_context", "_queue", "_state", "_was_closed")

    def __init__(self, context: Context, queue: str, state: QueueState) -> None:
        self._context = context
        self._queue = queue
        self._state = state
        self._was_closed = True

    def look(self) -> None:
        """A round is over: say what has changed."""
        breaker = self._state.breaker
        if breaker is None or breaker.is_closed == self._was_closed:
            return
        self._was_closed = breaker.is_closed
        event = "breaker_closed" if breaker.is_closed else "breaker_opened"
        fields: dict[str, str | int] = {
            "queue": self._queue,
            "opened": breaker.opened,
            "ready": self._state.info().ready,
        }
        self._context.tell_supervisor(control.Alarm(event, fields, is_over=breaker.is_closed, key="breaker"))
