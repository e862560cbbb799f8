"""News: who wants to know what happens in the tree, and which alarms stand.

Pure. An alarm stands until its child takes it back, dies, or is gone: what was true of one life need not be true of
the next, which says it again if it is. A follower that comes late is told first what stands.
"""

from __future__ import annotations

from typing import Final, final

from msgspec import structs

from posthouse.supervisor.control_messages import Alarm, Alarmed, Happened
from posthouse.supervisor.effects import Event, EventKind

STANDING_MAX: Final = 4_096
"""Alarms that are remembered for late followers; the oldest give way."""


@final
class News:
    """Turns events and alarms into what followers are told."""

    def __init__(self) -> None:
        self._followers: dict[str, None] = {}
        self._standing: dict[tuple[str, str], Alarmed] = {}

    @property
    def followers(self) -> tuple[str, ...]:
        """The children that follow."""
        return tuple(self._followers)

    def follow(self, child_id: str) -> list[Alarmed]:
        """That child follows from now on; what it must know of what was."""
        self._followers[child_id] = None
        return list(self._standing.values())

    def happened(self, event: Event, now_ms: int) -> list[Happened | Alarmed]:
        """Something happened to a child. The dead follow nothing, and alarm about nothing."""
        told: list[Happened | Alarmed] = [
            Happened(
                now_ms,
                event.kind.value,
                event.id,
                event.generation,
                event.pid,
                event.reason,
                event.code,
                event.signal,
                event.delay_ms,
            )
        ]
        if event.kind is EventKind.EXITED:
            self._followers.pop(event.id, None)
            for key in [key for key in self._standing if key[0] == event.id]:
                alarm = structs.replace(self._standing.pop(key).alarm, is_over=True)
                told.append(Alarmed(now_ms, event.id, alarm))
        return told

    def alarmed(self, child_id: str, alarm: Alarm, now_ms: int) -> Alarmed:
        """A child alarms, or takes it back."""
        key = (child_id, alarm.key or alarm.event)
        told = Alarmed(now_ms, child_id, alarm)
        self._standing.pop(key, None)
        if not alarm.is_over:
            self._standing[key] = told
            if len(self._standing) > STANDING_MAX:
                del self._standing[next(iter(self._standing))]
        return told
