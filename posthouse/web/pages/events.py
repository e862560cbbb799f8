"""What happened in the broker, the newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from posthouse.transport.messages_monitor import BrokerEvent
from posthouse.web.pages.visit import Visit
from posthouse.web.pages.words import When, readable_map, when_ms

LOOKED_AT: Final = 1_000
SHOWN: Final = 200
SEVERITIES: Final = {"": "everything", "warning": "warnings and errors", "error": "errors only"}
_WEIGHT: Final = {"info": 0, "warning": 1, "error": 2}
TONES: Final = {"info": "off", "warning": "warn", "error": "bad"}


@final
class EventRow(NamedTuple):
    """One event. `day` is a heading where another day begins."""

    event: BrokerEvent
    at: When
    clock: str
    tone: str
    fields: str


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    severity = visit.query.choice("severity", tuple(SEVERITIES))
    actor = visit.query.text("q").strip()
    found = wanted(await broker.monitor.events(limit=LOOKED_AT), severity, actor)
    return {
        "rows": [row_of(event, snapshot.now_ms) for event in found[:SHOWN]],
        "more": max(0, len(found) - SHOWN),
        "severity": severity,
        "severities": SEVERITIES,
        "search": actor,
    }


def wanted(events: Sequence[BrokerEvent], severity: str, search: str) -> list[BrokerEvent]:
    """Those at least so severe, with the text in them, the newest first."""
    least, text = _WEIGHT.get(severity, 0), search.casefold()
    return [
        event
        for event in reversed(events)
        if _WEIGHT.get(event.severity, 0) >= least and text in f"{event.actor} {event.kind} {event.text}".casefold()
    ]


def row_of(event: BrokerEvent, now_ms: int) -> EventRow:
    """One event for people."""
    at = when_ms(event.at_ms, now_ms)
    return EventRow(event, at, at.full[11:19], TONES.get(event.severity, "off"), readable_map(event.fields))
