"""The broker's events: what happened, in order, numbered, for as long as there is room.

Pure. What the supervisor reports and what actors alarm about become sentences with fields; whoever reads them asks for
what comes after a number. Numbers begin at the wall clock of the monitor's start in milliseconds, so that a reader that
outlives the monitor goes on after a restart without missing what is new.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Any, Final, final

from posthouse.supervisor.control_messages import Alarmed, Happened
from posthouse.transport.messages_monitor import BrokerEvent

EVENTS_MAX: Final = 10_000

_ERRORS: Final = frozenset({"quarantined", "hung", "stuck", "escalated"})
_WARNINGS: Final = frozenset({"exited", "restarting", "killed"})


@final
class BrokerEvents:
    """The last `EVENTS_MAX` events, and the alarms that stand."""

    def __init__(self, first_number: int) -> None:
        self._events: deque[BrokerEvent] = deque(maxlen=EVENTS_MAX)
        self._last = first_number
        self._standing: dict[tuple[str, str], BrokerEvent] = {}

    @property
    def last(self) -> int:
        """The number of the newest event."""
        return self._last

    @property
    def first(self) -> int:
        """The number of the oldest event that is kept, or of the one to come."""
        return self._events[0].number if self._events else self._last + 1

    @property
    def standing(self) -> list[BrokerEvent]:
        """Alarms of actors that stand, oldest first."""
        return list(self._standing.values())

    def add(
        self, at_ms: int, kind: str, actor: str, *, severity: str = "info", text: str = "", **fields: Any
    ) -> BrokerEvent:
        """Something happened."""
        self._last += 1
        event = BrokerEvent(
            number=self._last, at_ms=at_ms, kind=kind, actor=actor, severity=severity, text=text, fields=fields
        )
        self._events.append(event)
        return event

    def happened(self, news: Happened) -> BrokerEvent:
        """The supervisor reported it."""
        values = {
            "generation": news.generation or None,
            "pid": news.pid,
            "reason": news.reason or None,
            "code": news.code,
            "signal": news.signal,
            "delay_ms": news.delay_ms,
        }
        fields = {name: value for name, value in values.items() if value is not None}
        return self.add(
            news.at_ms, news.kind, news.id, severity=_severity(news), text=f"{news.id} {_words(news)}", **fields
        )

    def alarmed(self, news: Alarmed) -> BrokerEvent:
        """An actor alarms, or takes it back. One that stood before its monitor came is no new event for a reader."""
        alarm = news.alarm
        key = (news.id, alarm.key or alarm.event)
        details = ", ".join(f"{name} {value}" for name, value in alarm.fields.items())
        before = self._standing.pop(key, None)
        # An end with a name of its own, as "breaker closed", says it all.
        over = " is over" if alarm.is_over and (before is None or before.kind == alarm.event) else ""
        text = f"{news.id}: {alarm.event.replace('_', ' ')}{over}{': ' * bool(details)}{details}"
        severity = "info" if alarm.is_over else "error"
        event = self.add(news.at_ms, alarm.event, news.id, severity=severity, text=text, **alarm.fields)
        if not alarm.is_over:
            self._standing[key] = event
        return event

    def after(self, number: int, limit: int) -> list[BrokerEvent]:
        """The oldest `limit` events above that number; below 0: the newest `limit`."""
        if number < 0:
            return list(islice(self._events, max(0, len(self._events) - limit), None))
        newer = self._last - number
        start = max(0, len(self._events) - max(0, newer))
        return list(islice(self._events, start, start + limit))


def _severity(news: Happened) -> str:
    if news.kind in _ERRORS:
        return "error"
    if news.kind in _WARNINGS and not (news.kind == "exited" and news.code == 0):
        return "warning"
    return "info"


def _words(news: Happened) -> str:
    match news.kind:
        case "exited" if news.signal is not None:
            return f"was killed by signal {news.signal}"
        case "exited":
            return f"ended with exit code {news.code}"
        case "restarting":
            return f"is started again in {news.delay_ms or 0} ms"
        case "quarantined":
            when = "by an operator only" if news.delay_ms is None else f"in {news.delay_ms} ms"
            return f"is quarantined and started again {when}: {news.reason}"
        case "started":
            return f"started as process {news.pid}"
        case "hung":
            return f"hangs and is killed: {news.reason}"
        case _:
            reason = f": {news.reason}" if news.reason else ""
            return news.kind.replace("_", " ") + reason
