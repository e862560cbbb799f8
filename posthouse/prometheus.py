"""The broker's figures in Prometheus' text format.

An `Overview` in, bytes out. Queues and exchanges beyond a number have no series of their own: they are summed under the
name `(others)`, and a metric says how many they are. Counters never fall while the process that exposes them lives: of
the others it remembers what they rose by, so that a queue which leaves them takes nothing away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from posthouse import metric_names as names
from posthouse.actors.measure import Measure, MeasureKind
from posthouse.metric_names import ActorMetric
from posthouse.summed_actors import OTHERS, Others
from posthouse.transport.messages_monitor import ActorReading, Overview

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

SERIES_MAX: Final = 1_000
"""Queues, and exchanges, with series of their own."""

DEFAULT_EXCHANGE: Final = "(default)"


def exposition(overview: Overview, named_max: int = SERIES_MAX) -> bytes:
    """One answer to a scrape, by itself. Whoever answers many keeps an `Exposition`."""
    return Exposition(named_max).render(overview)


@final
class Exposition:
    """Answers scrapes. The first `named_max` queues and exchanges, oldest first, have series of their own."""

    def __init__(self, named_max: int = SERIES_MAX) -> None:
        self._named_max = named_max
        self._others = {kind: Others(kind) for kind in names.NAMED}

    def render(self, overview: Overview) -> bytes:
        """The whole text, for the content type `CONTENT_TYPE`."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Families(overview, self._chosen(overview.actors)))
        return generate_latest(registry)

    def _chosen(self, actors: Iterable[ActorReading]) -> list[ActorReading]:
        """Those with series of their own, then one for the sum of all others of each kind."""
        own: list[ActorReading] = []
        counted = dict.fromkeys(names.NAMED, 0)
        rest: dict[str, list[ActorReading]] = {kind: [] for kind in names.NAMED}
        for actor in actors:
            if actor.kind in counted and counted[actor.kind] >= self._named_max:
                rest[actor.kind].append(actor)
                continue
            if actor.kind in counted:
                counted[actor.kind] += 1
            own.append(actor)
        sums = (self._others[kind].sum(left) for kind, left in rest.items())
        return [*own, *(one for one in sums if one is not None)]


@final
class _Families(Collector):
    """One overview as prometheus-client wants it."""

    def __init__(self, overview: Overview, actors: list[ActorReading]) -> None:
        self._overview = overview
        self._actors = actors

    def collect(self) -> Iterator[Metric]:
        yield from self._of_broker()
        yield from self._of_processes()
        for family in names.actor_metrics():
            yield self._of_pages(family)

    def _of_broker(self) -> Iterator[Metric]:
        overview = self._overview
        yield _family(names.INFO, [((overview.version,), 1.0)])
        yield _family(names.STARTED, [((), overview.started_at)])
        standing: dict[str, int] = {}
        for event in overview.standing:
            standing[event.kind] = standing.get(event.kind, 0) + 1
        yield _family(names.STANDING, [((kind,), count) for kind, count in standing.items()])
        summed = dict.fromkeys(names.NAMED, 0.0)
        for actor in self._actors:
            if actor.id == OTHERS:
                summed[actor.kind] = actor.values.get("", 0.0)
        yield _family(names.SUMMED, [((kind,), count) for kind, count in summed.items()])
        for field, metric in names.ABOUT_MACHINE.items():
            yield _family(metric, [((), getattr(overview.machine, field))])

    def _of_processes(self) -> Iterator[Metric]:
        about = names.ABOUT_ACTORS
        actors = [((actor.id, actor.kind), actor) for actor in self._actors]
        living = [(labels, actor) for labels, actor in actors if actor.pid or actor.id == OTHERS]
        yield _family(about["up"], [(labels, _share(actor, "up")) for labels, actor in actors])
        yield _family(about["quarantined"], [(labels, _share(actor, "quarantined")) for labels, actor in actors])
        yield _family(about["restarts"], [(labels, actor.restarts) for labels, actor in actors])
        started = [(labels, actor.started_at) for labels, actor in living if actor.id != OTHERS]
        yield _family(about["started"], started)
        ready = [(labels, actor.ready_ms / 1000) for labels, actor in living if actor.id != OTHERS]
        yield _family(about["ready"], ready)
        yield _family(about["cpu"], [(labels, actor.cpu) for labels, actor in living])
        yield _family(about["memory"], [(labels, actor.rss_bytes) for labels, actor in living])
        yield _family(about["descriptors"], [(labels, actor.descriptors) for labels, actor in living])

    def _of_pages(self, family: ActorMetric) -> Metric:
        metric = family.metric
        if metric.type == "histogram":
            return self._of_histogram(family)
        samples: list[tuple[tuple[str, ...], float]] = []
        for actor in self._actors:
            if family.kind not in ("", actor.kind):
                continue
            labels = _labels(actor, family.kind)
            for measure in family.measures:
                value = actor.values.get(measure.key)
                if value is not None:
                    samples.append((labels if measure.label is None else (*labels, measure.label[1]), value))
        return _family(metric, samples)

    def _of_histogram(self, family: ActorMetric) -> Metric:
        metric, (measure,) = family.metric, family.measures
        found = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for actor in self._actors:
            if family.kind in ("", actor.kind) and measure.key in actor.histograms:
                *counts, total = actor.histograms[measure.key]
                # A thousand idle queues would else say fifty thousand zeros.
                if any(counts):
                    found.add_metric(_labels(actor, family.kind), _buckets(measure, counts), total)
        return found


def _family(metric: names.Metric, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    make = CounterMetricFamily if metric.type == "counter" else GaugeMetricFamily
    family = make(metric.name, metric.help, labels=metric.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _labels(actor: ActorReading, kind: str) -> tuple[str, ...]:
    if not kind:
        return (actor.id, actor.kind)
    if kind not in names.NAMED:
        return ()
    if actor.id == OTHERS:
        return (OTHERS,)
    # Names in parentheses are ours; one that begins so gets a second one, and nobody is taken for somebody else.
    return (f"({actor.name}" if actor.name.startswith("(") else actor.name or DEFAULT_EXCHANGE,)


def _share(actor: ActorReading, state: str) -> float:
    if actor.id == OTHERS:
        return actor.values.get(f"state {state}", 0.0)
    return float(actor.state == state)


def _buckets(measure: Measure, counts: list[float]) -> list[tuple[str, float]]:
    assert measure.kind is MeasureKind.HISTOGRAM
    buckets: list[tuple[str, float]] = []
    below = 0.0
    for bound, count in zip((*measure.bounds, float("inf")), counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else repr(bound), below))
    return buckets
