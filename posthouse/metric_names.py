"""What Prometheus sees: every metric by name, with its type, its labels and its meaning.

The measures of actors under names in Prometheus' conventions, and what is known of every actor, of the machine and of
the broker besides. `docs/metrics.md` is this list; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple, final

from posthouse.actors.measure import Measure, MeasureKind, Page
from posthouse.actors.measures import ALL, PAGES

PREFIX: Final = "posthouse_"
ACTOR_LABELS: Final = ("actor", "kind")
NAMED: Final = {"queue": "queue", "exchange": "exchange"}
"""Kinds of which there are many, and the label that tells them apart."""


@final
class Metric(NamedTuple):
    """One family. `name` is that of its samples, but for a histogram's suffixes; `type`: counter, gauge, histogram."""

    name: str
    type: str
    labels: tuple[str, ...]
    help: str


@final
class ActorMetric(NamedTuple):
    """A family that is filled from the measures of one kind of actor, or of all kinds: `kind` is "" then."""

    metric: Metric
    kind: str
    measures: tuple[Measure, ...]


ABOUT_ACTORS: Final = {
    "up": Metric("posthouse_actor_up", "gauge", ACTOR_LABELS, "1 while the actor serves."),
    "quarantined": Metric(
        "posthouse_actor_quarantined", "gauge", ACTOR_LABELS, "1 while it failed too often to be started again at once."
    ),
    "restarts": Metric(
        "posthouse_actor_restarts_total", "counter", ACTOR_LABELS, "Lives after the first since the broker started."
    ),
    "started": Metric(
        "posthouse_actor_start_time_seconds",
        "gauge",
        ACTOR_LABELS,
        "When its life began, since 1970; absent: it is dead.",
    ),
    "ready": Metric("posthouse_actor_ready_seconds", "gauge", ACTOR_LABELS, "From its fork to its being ready."),
    "cpu": Metric("posthouse_actor_cpu_ratio", "gauge", ACTOR_LABELS, "Share of one core over the last seconds."),
    "memory": Metric("posthouse_actor_resident_memory_bytes", "gauge", ACTOR_LABELS, "Resident memory of its process."),
    "descriptors": Metric("posthouse_actor_open_fds", "gauge", ACTOR_LABELS, "File descriptors of its process."),
}

ABOUT_MACHINE: Final = {
    "cores": Metric("posthouse_machine_cores", "gauge", (), "Cores of the machine."),
    "load": Metric("posthouse_machine_load1", "gauge", (), "Load over the last minute."),
    "memory_bytes": Metric("posthouse_machine_memory_bytes", "gauge", (), "Memory of the machine."),
    "memory_free_bytes": Metric("posthouse_machine_memory_available_bytes", "gauge", (), "Memory that may be taken."),
    "disk_bytes": Metric("posthouse_disk_size_bytes", "gauge", (), "Size of the disk that holds the data directory."),
    "disk_free_bytes": Metric("posthouse_disk_free_bytes", "gauge", (), "What is free of it."),
}

INFO: Final = Metric("posthouse_info", "gauge", ("version",), "1; its label is the version that runs.")
STARTED: Final = Metric("posthouse_start_time_seconds", "gauge", (), "When the broker was started, since 1970.")
STANDING: Final = Metric("posthouse_alarms_standing", "gauge", ("event",), "Alarms of actors that stand.")
SUMMED: Final = Metric(
    "posthouse_summed_actors", "gauge", ("kind",), "Actors without series of their own, summed under (others)."
)
"""Always there, 0 where every actor has its own."""


@cache
def actor_metrics() -> tuple[ActorMetric, ...]:
    """The families that actors' pages fill: those of all kinds first."""
    found = list(_families("", ALL))
    for kind, page in PAGES.items():
        found += _families(kind, page)
    return tuple(found)


def catalogue() -> list[Metric]:
    """Every family, in the order in which they are exposed."""
    return [
        INFO,
        STARTED,
        STANDING,
        SUMMED,
        *ABOUT_MACHINE.values(),
        *ABOUT_ACTORS.values(),
        *(family.metric for family in actor_metrics()),
    ]


def _families(kind: str, page: Page) -> Iterator[ActorMetric]:
    by_name: dict[str, list[Measure]] = {}
    for measure in page:
        by_name.setdefault(measure.name, []).append(measure)
    for name, group in by_name.items():
        first = group[0]
        labels = ACTOR_LABELS if not kind else tuple(filter(None, [NAMED.get(kind)]))
        if first.label is not None:
            labels = (*labels, first.label[0])
        is_counter = first.kind is MeasureKind.COUNTER
        full = f"{PREFIX}{(kind or 'actor').replace('-', '_')}_{name}{'_total' * is_counter}"
        type_ = {MeasureKind.COUNTER: "counter", MeasureKind.HISTOGRAM: "histogram"}.get(first.kind, "gauge")
        yield ActorMetric(Metric(full, type_, labels, first.help), kind, tuple(group))
