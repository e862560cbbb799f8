"""The watch over figures: each sample in, what the rules find in it out.

Pure. It remembers what rules need of earlier samples (`alert_series`), and forgets it with the actors that are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple, assert_never, final

from posthouse.actors.alert_finding import Active, Finding, Findings, Verdict
from posthouse.actors.alert_rules import (
    MACHINE,
    Absence,
    Forecast,
    Growth,
    Level,
    Quantile,
    Rule,
    concerns,
)
from posthouse.actors.alert_series import Rise, Spread, Standstill, Trend, quantile
from posthouse.actors.alert_words import duration, figure
from posthouse.actors.measure import MeasureKind
from posthouse.actors.measures import PAGES, measures_of
from posthouse.transport.messages_monitor import ActorReading, Machine

Watched = Level | Growth | Absence | Quantile | Forecast


@final
class Sample(NamedTuple):
    """All figures of one moment. `descriptors_max`: how many one process may have open, 0 where that is not known."""

    at_ms: int
    actors: Mapping[str, ActorReading]
    machine: Machine
    descriptors_max: int = 0


class _Subject(NamedTuple):
    id: str
    name: str


@final
class AlertWatch:
    """The rules that look at figures."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = [rule for rule in rules if rule.enabled and isinstance(rule, Watched)]
        self._series: dict[tuple[str, str], Rise | Standstill | Spread | Trend] = {}
        self._concerned: dict[tuple[str, str], bool] = {}
        self._is_counter = {measure.name for kind in PAGES for measure in measures_of(kind) if _counts(measure.kind)}
        self._bounds = {
            measure.name: measure.bounds for kind in PAGES for measure in measures_of(kind) if measure.bounds
        }

    def take(self, sample: Sample, active: Active) -> Findings:
        """What is bad, and what is undecided of what is active."""
        found: Findings = {}
        by_kind: dict[str, list[ActorReading]] = {"*": list(sample.actors.values())}
        for actor in sample.actors.values():
            by_kind.setdefault(actor.kind, []).append(actor)
        for rule in self.rules:
            for finding in self._look(rule, sample, by_kind):
                if finding.verdict is Verdict.BAD or finding.key in active:
                    found[finding.key] = finding
        self._forget(sample.actors)
        return found

    @property
    def remembered(self) -> int:
        """How many subjects of rules something is remembered of."""
        return len(self._series) + len(self._concerned)

    def _forget(self, actors: Mapping[str, ActorReading]) -> None:
        if self.remembered > 2 * len(self.rules) * (len(actors) + 2):
            for known in (self._series, self._concerned):
                for key in [key for key in known if key[1] not in actors and key[1] != MACHINE]:
                    del known[key]

    def _look(self, rule: Watched, sample: Sample, by_kind: Mapping[str, list[ActorReading]]) -> Iterator[Finding]:
        match rule:
            case Forecast():
                yield from self._forecast(rule, sample)
            case Level(actors="machine"):
                value = _of_machine(sample.machine, rule.measure)
                if value is not None and self._concerns(rule, MACHINE, ""):
                    yield from _level(rule, _Subject(MACHINE, ""), value)
            case Level() | Growth() | Absence() | Quantile():
                check = self._check_of(rule, sample)
                for actor in by_kind.get(rule.actors, ()):
                    if self._concerns(rule, actor.id, actor.name):
                        yield from check(actor)
            case _:
                assert_never(rule)

    def _concerns(self, rule: Rule, subject: str, name: str) -> bool:
        if rule.match == ("*",) and not rule.ignore:
            return True
        key = (rule.name, subject)
        known = self._concerned.get(key)
        if known is None:
            known = self._concerned[key] = concerns(rule, subject, name)
        return known

    def _check_of(
        self, rule: Level | Growth | Absence | Quantile, sample: Sample
    ) -> Callable[[ActorReading], Iterator[Finding]]:
        match rule:
            case Level():
                return lambda actor: _level(rule, _subject(actor), _of_actor(actor, rule.measure, sample))
            case Growth():
                return lambda actor: self._growth(rule, actor, sample)
            case Absence():
                return lambda actor: self._absence(rule, actor, sample)
            case Quantile():
                return lambda actor: self._quantile(rule, actor, sample)
            case _:
                assert_never(rule)

    # ---- one rule, one subject ----

    def _growth(self, rule: Growth, actor: ActorReading, sample: Sample) -> Iterator[Finding]:
        key = (rule.name, actor.id)
        series = self._series.get(key)
        if not isinstance(series, Rise):
            is_counter = rule.measure.partition(":")[0] in self._is_counter
            series = self._series[key] = Rise(rule.window_s * 1000, is_counter=is_counter)
        rise, is_whole = series.add(sample.at_ms, _of_actor(actor, rule.measure, sample))
        verdict = _above(rise, rule.above, rule.clear, is_known=is_whole)
        if verdict is not None:
            text = f"{rule.summary}: {figure(rule.measure, rise)} in {duration(rule.window_s)}"
            yield _finding(rule, _subject(actor), verdict, rise, text)

    def _absence(self, rule: Absence, actor: ActorReading, sample: Sample) -> Iterator[Finding]:
        key = (rule.name, actor.id)
        series = self._series.get(key)
        if not isinstance(series, Standstill):
            series = self._series[key] = Standstill()
        idle_s, is_seen = series.add(sample.at_ms, _of_actor(actor, rule.measure, sample))
        verdict = _above(idle_s, rule.after_s, None, is_known=is_seen)
        if verdict is not None:
            yield _finding(rule, _subject(actor), verdict, idle_s, f"{rule.summary} {duration(idle_s)}")

    def _quantile(self, rule: Quantile, actor: ActorReading, sample: Sample) -> Iterator[Finding]:
        counts = actor.histograms.get(rule.measure)
        if counts is None or not any(counts):
            return
        key = (rule.name, actor.id)
        series = self._series.get(key)
        if not isinstance(series, Spread):
            series = self._series[key] = Spread(rule.window_s * 1000)
        passed, is_whole = series.add(sample.at_ms, counts[:-1])
        count = sum(passed)
        value = quantile(passed, self._bounds[rule.measure], rule.quantile) if count >= rule.count_min else 0.0
        verdict = _above(value, rule.above, rule.clear, is_known=is_whole)
        if verdict is not None:
            text = f"{rule.summary}: {figure(rule.measure, value)} over {duration(rule.window_s)}"
            yield _finding(rule, _subject(actor), verdict, value, text)

    def _forecast(self, rule: Forecast, sample: Sample) -> Iterator[Finding]:
        value = _of_machine(sample.machine, rule.measure)
        if value is None or not self._concerns(rule, MACHINE, ""):
            return
        key = (rule.name, MACHINE)
        series = self._series.get(key)
        if not isinstance(series, Trend):
            series = self._series[key] = Trend(rule.window_s * 1000)
        series.add(sample.at_ms, value)
        subject = _Subject(MACHINE, "")
        if not series.is_known:
            yield _finding(rule, subject, Verdict.UNDECIDED, 0.0, "")
            return
        left_s = series.seconds_until(rule.floor)
        if left_s < rule.below_s:
            text = f"{rule.summary}: {duration(left_s)}, {figure(rule.measure, value)} left"
            yield _finding(rule, subject, Verdict.BAD, left_s, text)
        elif left_s < (rule.clear_s or rule.below_s):
            yield _finding(rule, subject, Verdict.UNDECIDED, left_s, "")


def _level(rule: Level, subject: _Subject, value: float) -> Iterator[Finding]:
    if rule.above is not None:
        verdict = _above(value, rule.above, rule.clear)
        limit, side = rule.above, "above"
    else:
        assert rule.below is not None
        # The same the other way round.
        verdict = _above(-value, -rule.below, None if rule.clear is None else -rule.clear)
        limit, side = rule.below, "below"
    if verdict is Verdict.BAD:
        text = f"{rule.summary}: {figure(rule.measure, value)}, {side} {figure(rule.measure, limit)}"
        yield _finding(rule, subject, verdict, value, text)
    elif verdict is not None:
        yield _finding(rule, subject, verdict, value, "")


def _above(value: float, above: float, clear: float | None, *, is_known: bool = True) -> Verdict | None:
    if value > above:
        return Verdict.BAD
    if not is_known or (clear is not None and value > clear):
        return Verdict.UNDECIDED
    return None


def _finding(rule: Rule, subject: _Subject, verdict: Verdict, value: float, text: str) -> Finding:
    return Finding(rule, subject.id, subject.name, verdict, value, f"{subject.id}: {text}")


def _subject(actor: ActorReading) -> _Subject:
    return _Subject(actor.id, actor.name)


def _of_actor(actor: ActorReading, measure: str, sample: Sample) -> float:
    """What the actor's page or process shows; all words of one name together; 0 for an age of what is not there."""
    value = actor.values.get(measure)
    if value is not None:
        return value
    match measure:
        case "cpu":
            return actor.cpu
        case "rss_bytes":
            return actor.rss_bytes
        case "descriptors":
            return actor.descriptors
        case "descriptors_share":
            return actor.descriptors / sample.descriptors_max if sample.descriptors_max else 0.0
        case "restarts":
            return actor.restarts
    prefix = f"{measure}:"
    return sum(value for key, value in actor.values.items() if key.startswith(prefix))


def _of_machine(machine: Machine, measure: str) -> float | None:
    """None where it could not be learned."""
    match measure:
        case "load":
            return machine.load
        case "memory_free_bytes":
            return machine.memory_free_bytes if machine.memory_bytes else None
        case "memory_free_share":
            return machine.memory_free_bytes / machine.memory_bytes if machine.memory_bytes else None
        case "disk_free_bytes":
            return machine.disk_free_bytes if machine.disk_bytes else None
        case _:
            return machine.disk_free_bytes / machine.disk_bytes if machine.disk_bytes else None


def _counts(kind: MeasureKind) -> bool:
    return kind is MeasureKind.COUNTER
