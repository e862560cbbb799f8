"""The broker's log: one structured line per change of state, for people on a terminal, as JSON elsewhere.

Lines go to standard error. The fields are the same everywhere: event, actor, generation, and what the event needs.
"""

from __future__ import annotations

import sys
from typing import Any, final

import structlog

from posthouse.supervisor import exit_codes
from posthouse.supervisor.control_messages import Alarm
from posthouse.supervisor.effects import Event, EventKind

_QUIET = {EventKind.STARTED, EventKind.READY, EventKind.STOPPED, EventKind.ALL_UP, EventKind.STOPPING}
_BAD = {EventKind.QUARANTINED, EventKind.HUNG, EventKind.STUCK, EventKind.ESCALATED}


@final
class Log:
    """Writes lines. Made once, in the supervisor's process."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    @classmethod
    def make(cls, style: str) -> Log:
        """`text`, `json`, or `auto`: text on a terminal."""
        is_text = style == "text" or (style == "auto" and sys.stderr.isatty())
        renderer: Any = structlog.dev.ConsoleRenderer() if is_text else structlog.processors.JSONRenderer()
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        logger = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[structlog.processors.add_log_level, stamp, renderer],
        )
        return cls(logger)

    def event(self, event: Event) -> None:
        """Something happened to an actor."""
        values = {
            "actor": event.id,
            "generation": event.generation or None,
            "pid": event.pid,
            "reason": event.reason or None,
            "code": event.code,
            "signal": event.signal,
            "delay_ms": event.delay_ms,
        }
        fields = {name: value for name, value in values.items() if value is not None}
        if event.kind in _BAD:
            self._logger.error(str(event.kind), **fields)
        elif event.kind in _QUIET or (event.kind is EventKind.EXITED and event.code == exit_codes.NORMAL):
            self._logger.info(str(event.kind), **fields)
        else:
            self._logger.warning(str(event.kind), **fields)

    def alarm(self, actor_id: str, alarm: Alarm) -> None:
        """An actor has something to tell an operator, or takes it back."""
        write = self._logger.info if alarm.is_over else self._logger.warning
        write(alarm.event, actor=actor_id, **alarm.fields)

    def warning(self, text: str) -> None:
        """Something the operator may want to act on."""
        self._logger.warning(text)

    def error(self, text: str) -> None:
        """Something the operator has to act on."""
        self._logger.error(text)
