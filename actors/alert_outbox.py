"""The outbox: notices on their way to their targets, tried again until they are delivered.

Pure. Each target has its own line and its own pauses, so one that hangs or refuses holds up nobody else. A line has a
bound: beyond it, and beyond a day, the oldest notice gives way and is counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

import msgspec

from posthouse.transport.messages_alerts import Alert, AlertTarget, AlertTested

WAITING_MAX: Final = 100
KEPT_MS: Final = 86_400_000
FIRST_PAUSE_MS: Final = 2_000
PAUSE_MS_MAX: Final = 600_000
ERROR_CHARACTERS_MAX: Final = 300


@final
class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to tell one or more targets. `kind`: alerts, test."""

    number: int
    at_ms: int
    kind: str = "alerts"
    firing: list[Alert] = []
    resolved: list[Alert] = []


@final
class TargetFacts(NamedTuple):
    """What may be shown of a target, and whom it wants to hear of: alerts of these severities."""

    name: str
    kind: str
    where: str
    severities: tuple[str, ...] = ("info", "warning", "critical")


@final
class Outcome(NamedTuple):
    """A try is over. `error` "" means delivered."""

    target: str
    number: int
    error: str


@final
class Dispatch(NamedTuple):
    """To be delivered now."""

    target: str
    notice: Notice


@final
@dataclass(slots=True)
class _Line:
    """What waits for one target. `trying`: the notice that is being delivered."""

    facts: TargetFacts
    waiting: deque[Notice] = field(default_factory=deque)
    tests: deque[Notice] = field(default_factory=deque)
    trying: Notice | None = None
    attempts: int = 0
    next_ms: int = 0
    error: str = ""
    delivered: int = 0
    failed: int = 0
    dropped: int = 0
    delivered_ms: int = 0


@final
class AlertOutbox:
    """The lines of all targets."""

    def __init__(self, targets: Iterable[TargetFacts]) -> None:
        self._lines = {facts.name: _Line(facts) for facts in targets}
        self.is_changed = False
        """Something that must survive the monitor is different since this was last set to False."""

    @property
    def names(self) -> list[str]:
        return list(self._lines)

    @property
    def is_busy(self) -> bool:
        """Something is on its way or waits for its turn."""
        return any(line.trying is not None or line.waiting or line.tests for line in self._lines.values())

    def facts(self, target: str) -> TargetFacts:
        return self._lines[target].facts

    def waiting(self) -> dict[str, list[Notice]]:
        """What is not delivered yet, by target."""
        return {name: list(line.waiting) for name, line in self._lines.items() if line.waiting}

    def restore(self, waiting: Mapping[str, list[Notice]], delivered: Mapping[str, Collection[int]]) -> None:
        """What an earlier life did not deliver; it may have died before it wrote down what it did."""
        for name, notices in waiting.items():
            if name in self._lines:
                taken = set(delivered.get(name, ()))
                self._lines[name].waiting.extend([one for one in notices if one.number not in taken][-WAITING_MAX:])

    def add(self, target: str, notice: Notice) -> None:
        """One more for that target."""
        line = self._lines[target]
        if notice.kind == "test":
            line.tests.append(notice)
            return
        line.waiting.append(notice)
        while len(line.waiting) > WAITING_MAX:
            self._drop_oldest(line)
        self.is_changed = True

    def dispatch(self, wall_ms: int, now_ms: int) -> list[Dispatch]:
        """What is to be delivered now; each target gets one at a time."""
        due: list[Dispatch] = []
        for name, line in self._lines.items():
            while line.trying is None and line.waiting and line.waiting[0].at_ms < wall_ms - KEPT_MS:
                self._drop_oldest(line)
            if line.trying is not None:
                continue
            if line.tests:
                line.trying = line.tests.popleft()
            elif line.waiting and now_ms >= line.next_ms:
                line.trying = line.waiting[0]
            if line.trying is not None:
                due.append(Dispatch(name, line.trying))
        return due

    def ended(self, outcome: Outcome, wall_ms: int, now_ms: int, random: float) -> AlertTested | None:
        """A try is over; returns the result of a test. `random` is uniform in [0, 1)."""
        line = self._lines[outcome.target]
        notice = line.trying
        if notice is None or notice.number != outcome.number:
            return None
        line.trying = None
        error = outcome.error[:ERROR_CHARACTERS_MAX]
        if error:
            line.failed += 1
        else:
            line.delivered += 1
            line.delivered_ms = wall_ms
        if notice.kind == "test":
            return AlertTested(target=outcome.target, error=error)
        if error:
            line.error = error
            line.next_ms = now_ms + _pause_ms(line.attempts, random)
            line.attempts += 1
            return None
        # While it was tried it may have given way to newer ones.
        if line.waiting and line.waiting[0].number == notice.number:
            line.waiting.popleft()
        line.attempts, line.error, line.next_ms = 0, "", 0
        self.is_changed = True
        return None

    def listing(self, wall_ms: int, now_ms: int) -> list[AlertTarget]:
        """The targets as people see them."""
        return [self._shown(line, wall_ms, now_ms) for line in self._lines.values()]

    def _shown(self, line: _Line, wall_ms: int, now_ms: int) -> AlertTarget:
        waits = bool(line.waiting) and line.trying is None and line.next_ms > now_ms
        return AlertTarget(
            name=line.facts.name,
            kind=line.facts.kind,
            where=line.facts.where,
            delivered=line.delivered,
            failed=line.failed,
            dropped=line.dropped,
            waiting=len(line.waiting),
            attempts=line.attempts,
            error=line.error,
            next_ms=wall_ms + line.next_ms - now_ms if waits else 0,
            delivered_ms=line.delivered_ms,
        )

    def _drop_oldest(self, line: _Line) -> None:
        line.waiting.popleft()
        line.dropped += 1
        self.is_changed = True


def _pause_ms(attempts: int, random: float) -> int:
    """Doubles with each attempt up to its bound; between half of that and all of it."""
    pause_ms = min(PAUSE_MS_MAX, FIRST_PAUSE_MS << min(attempts, 20))
    return int(pause_ms * (0.5 + random / 2))
