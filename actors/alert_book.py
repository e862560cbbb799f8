"""The book of alerts: what is pending, what fires, what was resolved, and who has been told.

Pure. Findings in, changes out. An alert fires when its finding was bad for `for_s`, and is resolved when it was over
for `clear_for_s`; in between, and while nothing is known, it stays what it is. Durations are counted by the monotonic
clock, what people read is by the wall clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, final

from msgspec import structs

from posthouse.actors.alert_finding import Finding, Findings, Key, Verdict
from posthouse.actors.alert_rules import Rule
from posthouse.actors.alert_silences import Silences
from posthouse.transport.messages_alerts import Alert

ACTIVE_MAX: Final = 20_000
"""Alerts that are pending or fire; more are not taken in until others are over."""

RESOLVED_MAX: Final = 200
"""How many of those that are over are still listed."""


@final
class Now(NamedTuple):
    """One moment on both clocks."""

    wall_ms: int
    monotonic_ms: int


@final
class Change(NamedTuple):
    """An alert fires or is resolved from now on."""

    kind: Literal["firing", "resolved"]
    alert: Alert


@final
class Letter(NamedTuple):
    """What there is to tell: what fires since the last time or fires still after a long time, and what is resolved."""

    firing: list[Alert]
    resolved: list[Alert]


@final
@dataclass(slots=True)
class _Case:
    """One alert. `bad_ms` and `over_ms` are monotonic: since when it is bad, since when it is over."""

    rule: Rule
    alert: Alert
    bad_ms: int
    over_ms: int | None = None

    @property
    def is_firing(self) -> bool:
        return self.alert.state == "firing"


@final
class AlertBook:
    """All alerts of one broker."""

    def __init__(self, rules: Mapping[str, Rule], repeat_s: float) -> None:
        self._rules = rules
        self._repeat_s = repeat_s
        self._cases: dict[Key, _Case] = {}
        self._ended: list[Alert] = []
        self.silences = Silences()
        self.resolved: deque[Alert] = deque(maxlen=RESOLVED_MAX)

    # ---- state ----

    @property
    def active(self) -> Collection[Key]:
        """What is pending or fires."""
        return self._cases.keys()

    @property
    def firing(self) -> list[Alert]:
        """What fires, longest first."""
        return sorted((case.alert for case in self._cases.values() if case.is_firing), key=lambda alert: alert.fired_ms)

    @property
    def pending(self) -> list[Alert]:
        """What will fire if it goes on."""
        return [case.alert for case in self._cases.values() if not case.is_firing]

    @property
    def untold(self) -> list[Alert]:
        """What was resolved, and nobody has been told yet."""
        return list(self._ended)

    def restore(self, firing: Iterable[Alert], resolved: Iterable[Alert], untold: Iterable[Alert], now: Now) -> None:
        """What an earlier life knew. Alerts of rules that are no more are over."""
        self.resolved.extend(resolved)
        self._ended.extend(untold)
        for alert in firing:
            rule = self._rules.get(alert.rule)
            if rule is not None and rule.enabled:
                self._cases[alert.rule, alert.subject] = _Case(rule, alert, now.monotonic_ms)
            else:
                self._end(structs.replace(alert, state="resolved", resolved_ms=now.wall_ms), tells=True)

    # ---- findings ----

    def take_news(self, found: Findings, now: Now) -> list[Change]:
        """What is bad at once; nothing is over because of it."""
        return [change for finding in found.values() for change in self._bad(finding, now)]

    def take_sample(self, found: Findings, now: Now) -> list[Change]:
        """Everything that is bad or undecided at this moment; all else is over."""
        changes: list[Change] = []
        for finding in found.values():
            if finding.verdict is Verdict.BAD:
                changes += self._bad(finding, now)
            else:
                self._undecided(finding.key)
        for key in [key for key in self._cases if key not in found]:
            changes += self._good(key, now)
        return changes

    def _bad(self, finding: Finding, now: Now) -> list[Change]:
        case = self._cases.get(finding.key)
        if case is None:
            if len(self._cases) >= ACTIVE_MAX:
                return []
            rule = finding.rule
            alert = Alert(
                rule=rule.name,
                subject=finding.subject,
                name=finding.name,
                severity=rule.severity,
                state="pending",
                since_ms=now.wall_ms,
            )
            case = self._cases[finding.key] = _Case(rule, alert, now.monotonic_ms)
        case.over_ms = None
        if case.alert.value != finding.value or case.alert.text != finding.text:
            case.alert = structs.replace(case.alert, value=finding.value, text=finding.text)
        if case.is_firing or now.monotonic_ms - case.bad_ms < case.rule.for_s * 1000:
            return []
        case.alert = structs.replace(case.alert, state="firing", fired_ms=now.wall_ms)
        return [Change("firing", case.alert)]

    def _undecided(self, key: Key) -> None:
        case = self._cases.get(key)
        if case is None:
            return
        if case.is_firing:
            case.over_ms = None
        else:
            # It has to be bad all the time until it fires.
            del self._cases[key]

    def _good(self, key: Key, now: Now) -> list[Change]:
        case = self._cases[key]
        if not case.is_firing:
            del self._cases[key]
            return []
        if case.over_ms is None:
            case.over_ms = now.monotonic_ms
        if now.monotonic_ms - case.over_ms < case.rule.clear_for_s * 1000:
            return []
        del self._cases[key]
        alert = structs.replace(case.alert, state="resolved", resolved_ms=now.wall_ms)
        self._end(alert, tells=case.rule.tell_resolved)
        return [Change("resolved", alert)]

    def _end(self, alert: Alert, *, tells: bool) -> None:
        self.resolved.append(alert)
        # Nobody needs to hear that what he never heard of is over.
        if alert.is_told and tells:
            self._ended.append(alert)

    # ---- telling ----

    def has_news(self, now: Now) -> bool:
        """Whether there is anything to tell."""
        return bool(self._ended) or any(self._is_due(case, now) for case in self._cases.values())

    def tell(self, now: Now) -> Letter:
        """Everything there is to tell, once."""
        firing: list[Alert] = []
        for case in self._cases.values():
            if self._is_due(case, now):
                case.alert = structs.replace(case.alert, is_told=True, told_ms=now.wall_ms)
                firing.append(case.alert)
        resolved, self._ended = self._ended, []
        return Letter(firing, resolved)

    def _is_due(self, case: _Case, now: Now) -> bool:
        alert = case.alert
        if not case.is_firing:
            return False
        if alert.is_told:
            repeat_s = self._repeat_s if case.rule.repeat_s is None else case.rule.repeat_s
            if not repeat_s or now.wall_ms - alert.told_ms < repeat_s * 1000:
                return False
        return not self.silences.of(alert, now.wall_ms)

    # ---- for people ----

    def listing(self, now: Now) -> list[Alert]:
        """Firing first, worst and longest first, then pending, then the last that were resolved."""
        silences = self.silences
        shown = [structs.replace(alert, silence=silences.of(alert, now.wall_ms)) for alert in self.firing]
        shown.sort(key=lambda alert: ("critical", "warning", "info").index(alert.severity))
        return [*shown, *self.pending, *reversed(self.resolved)]
