"""The broker's log: one structured line per change of state, for people on a terminal, as JSON elsewhere.

Lines go to standard error, from the supervisor's process and from its children alike. The fields are the same
everywhere: timestamp, level, event, and where it is about an actor its name and generation; then what the event needs.
`event` is one of few words, and what is said to people is in `text`. docs/logs.md lists them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, final

import structlog

from posthouse.supervisor import exit_codes
from posthouse.supervisor.control_messages import Alarm
from posthouse.supervisor.effects import Event, EventKind

_QUIET = {EventKind.STARTED, EventKind.READY, EventKind.STOPPED, EventKind.ALL_UP, EventKind.STOPPING}
_BAD = {EventKind.QUARANTINED, EventKind.HUNG, EventKind.STUCK, EventKind.ESCALATED}

RESERVED: Final = frozenset({"event", "level", "timestamp", "actor", "generation"})
"""Fields with one meaning in every line. What an alarm calls so gets an underscore."""


@final
class Log:
    """Writes lines. Made once, in the supervisor's process; its children write with theirs."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger
        self._generations: dict[str, int] = {}

    @classmethod
    def make(cls, style: str) -> Log:
        """`text`, `json`, or `auto`: text on a terminal."""
        is_text = style == "text" or (style == "auto" and sys.stderr.isatty())
        # A traceback with the values of variables would show what is in messages.
        renderers: list[Any] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
        if is_text:
            renderers = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
        logger = structlog.wrap_logger(
            structlog.PrintLogger(sys.stderr),
            processors=[structlog.processors.add_log_level, stamp, *renderers],
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
        if event.kind is EventKind.STARTED:
            self._generations[event.id] = event.generation
        elif event.kind is EventKind.EXITED:
            self._generations.pop(event.id, None)

    def alarm(self, actor_id: str, alarm: Alarm) -> None:
        """An actor has something to tell an operator, or takes it back."""
        write = self._logger.info if alarm.is_over else self._logger.warning
        generation = self._generations.get(actor_id)
        known = {} if generation is None else {"generation": generation}
        write(alarm.event, actor=actor_id, **known, **_clear(alarm.fields))

    def warning(self, event: str, text: str) -> None:
        """Something the operator may want to act on."""
        self._logger.warning(event, text=text)

    def error(self, event: str, text: str) -> None:
        """Something the operator has to act on."""
        self._logger.error(event, text=text)

    def failed(self, actor_id: str, generation: int, event: str, text: str) -> None:
        """In a child: why it ends."""
        self._logger.error(event, actor=actor_id, generation=generation, text=text)

    def catch_crashes(self, actor_id: str, generation: int) -> None:
        """In a child: what it dies of is a line like all others, with the traceback as a field."""

        def crashed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            self._logger.error(
                "crashed",
                actor=actor_id,
                generation=generation,
                text=f"{kind.__name__}: {error}",
                exc_info=(kind, error, trace),
            )

        sys.excepthook = crashed


def _clear(fields: Mapping[str, object]) -> dict[str, object]:
    return {f"{name}_" if name in RESERVED else name: value for name, value in fields.items()}
