"""The sum of all queues, or all exchanges, that have no series of their own.

Gauges are added, of ages the highest counts, and of counters what they rose by since they were first seen: a queue that
is deleted, or gets series of its own, takes nothing away, and the sum never falls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

from posthouse.actors.measure import MeasureKind
from posthouse.actors.measures import measures_of
from posthouse.transport.messages_monitor import ActorReading

OTHERS: Final = "(others)"
"""The id and the name of the sum. No actor has such an id."""

STATES: Final = ("up", "quarantined")


@final
class Others:
    """Those of one kind."""

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._kinds = {measure.key: measure.kind for measure in measures_of(kind)}
        self._before: dict[str, ActorReading] = {}
        self._counters: dict[str, float] = {}
        self._histograms: dict[str, list[float]] = {}
        self._restarts = 0

    def sum(self, actors: Sequence[ActorReading]) -> ActorReading | None:
        """One reading for all of these; None as long as there never were any.

        `values` has two things besides measures: "" is how many they are, and "state up" how many of them are up.
        """
        values: dict[str, float] = {"": len(actors)}
        for state in STATES:
            values[f"state {state}"] = sum(actor.state == state for actor in actors)
        for actor in actors:
            self._add_counters(actor)
            for key, value in actor.values.items():
                kind = self._kinds.get(key)
                if kind is MeasureKind.MOMENT:
                    values[key] = max(values.get(key, 0.0), value)
                elif kind is MeasureKind.GAUGE:
                    values[key] = values.get(key, 0.0) + value
        self._before = {actor.id: actor for actor in actors}
        if not actors and not self._counters:
            return None
        return ActorReading(
            id=OTHERS,
            kind=self._kind,
            name=OTHERS,
            restarts=self._restarts,
            cpu=sum(actor.cpu for actor in actors),
            rss_bytes=sum(actor.rss_bytes for actor in actors),
            descriptors=sum(actor.descriptors for actor in actors),
            values={**values, **self._counters},
            histograms={key: list(counts) for key, counts in self._histograms.items()},
        )

    def _add_counters(self, actor: ActorReading) -> None:
        before = self._before.get(actor.id, actor)
        self._restarts += max(0, actor.restarts - before.restarts)
        for key, value in actor.values.items():
            if self._kinds.get(key) is MeasureKind.COUNTER:
                self._counters[key] = self._counters.get(key, 0.0) + _rise(before.values.get(key, value), value)
        for key, counts in actor.histograms.items():
            known = self._histograms.setdefault(key, [0.0] * len(counts))
            earlier = before.histograms.get(key, counts)
            # A page that began anew did so as a whole: its sum of counts fell.
            began_anew = sum(counts[:-1]) < sum(earlier[:-1])
            for index, count in enumerate(counts):
                known[index] += count if began_anew else max(0.0, count - earlier[index])


def _rise(before: float, now: float) -> float:
    """A counter below what it was began anew."""
    return now - before if now >= before else now
