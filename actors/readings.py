"""Readings: pages of numbers and the supervision tree, turned into what people and rules look at.

Pure: nodes, pages and figures of processes in, `ActorReading`s out. Remembers one earlier sample of each actor for the
rates, and points of the whole broker for the last minutes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, final

from posthouse.actors.measure import MICRO, Measure, MeasureKind
from posthouse.actors.measures import measures_of
from posthouse.supervisor.control_messages import NodeInfo
from posthouse.supervisor.figures import ProcessFigures
from posthouse.transport.messages_monitor import ActorReading, Point
from posthouse.transport.names import name_of_actor

POINTS_MAX: Final = 600
ReadPage = Callable[[int], list[int]]
ReadProcess = Callable[[int], ProcessFigures]


class _Sample(NamedTuple):
    at_ms: int
    counters: dict[str, float]


class _Figures(NamedTuple):
    at_ms: int
    pid: int
    figures: ProcessFigures
    cpu: float


@final
class Readings:
    """All actors at the last sample."""

    def __init__(self, read_page: ReadPage, read_process: ReadProcess, processes_per_sample: int = 100) -> None:
        self._read_page = read_page
        self._read_process = read_process
        self._processes_per_sample = processes_per_sample
        self._samples: dict[str, _Sample] = {}
        self._figures: dict[str, _Figures] = {}
        self._measures: dict[str, list[Measure]] = {}
        self.actors: dict[str, ActorReading] = {}
        self.history: deque[Point] = deque(maxlen=POINTS_MAX)

    def take(self, nodes: Iterable[NodeInfo], wall_ms: int) -> None:
        """A sample of everything. Of many processes the system is asked about some at a time."""
        nodes = list(nodes)
        self._ask_system([node for node in nodes if node.pid], wall_ms)
        samples: dict[str, _Sample] = {}
        self.actors = {node.id: self._reading(node, wall_ms, samples) for node in nodes}
        self._samples = samples
        self.history.append(self._point(wall_ms))

    def _ask_system(self, living: list[NodeInfo], wall_ms: int) -> None:
        ids = {node.id for node in living}
        for gone in [known for known in self._figures if known not in ids]:
            del self._figures[gone]
        new = [node for node in living if not self._is_known(node)]
        known = sorted((node for node in living if self._is_known(node)), key=lambda node: self._figures[node.id].at_ms)
        for node in [*new, *known][: self._processes_per_sample]:
            before = self._figures.get(node.id)
            figures = self._read_process(node.pid)
            cpu = 0.0
            if before is not None and before.pid == node.pid and wall_ms > before.at_ms:
                cpu = max(0.0, (figures.cpu_s - before.figures.cpu_s) * 1000 / (wall_ms - before.at_ms))
            self._figures[node.id] = _Figures(wall_ms, node.pid, figures, cpu)

    def _is_known(self, node: NodeInfo) -> bool:
        figures = self._figures.get(node.id)
        return figures is not None and figures.pid == node.pid

    def _reading(self, node: NodeInfo, wall_ms: int, samples: dict[str, _Sample]) -> ActorReading:
        values, histograms, counters = self._values(node, wall_ms)
        before = self._samples.get(node.id)
        samples[node.id] = _Sample(wall_ms, counters)
        figures = self._figures.get(node.id) if node.pid else None
        return ActorReading(
            id=node.id,
            kind=node.kind,
            name=name_of_actor(node.id),
            group=node.group,
            state=node.state,
            generation=node.generation,
            pid=node.pid,
            restarts=node.restarts,
            started_at=node.started_at,
            ready_ms=node.ready_ms,
            last_exit=node.last_exit,
            cpu=0.0 if figures is None else figures.cpu,
            rss_bytes=0 if figures is None else figures.figures.rss_bytes,
            descriptors=0 if figures is None else figures.figures.descriptors,
            values=values,
            rates={} if before is None else _rates(before, counters, wall_ms),
            histograms=histograms,
        )

    def _values(
        self, node: NodeInfo, wall_ms: int
    ) -> tuple[dict[str, float], dict[str, list[float]], dict[str, float]]:
        values: dict[str, float] = {}
        histograms: dict[str, list[float]] = {}
        counters: dict[str, float] = {}
        if node.meter < 0:
            return values, histograms, counters
        words = self._read_page(node.meter)
        measures = self._measures.get(node.kind)
        if measures is None:
            measures = self._measures[node.kind] = list(measures_of(node.kind))
        for measure in measures:
            word = words[measure.word]
            if measure.kind is MeasureKind.HISTOGRAM:
                end = measure.word + len(measure.bounds) + 1
                histograms[measure.key] = [*words[measure.word : end], words[end] / MICRO]
            elif measure.kind is MeasureKind.MOMENT:
                if word:
                    values[measure.key] = max(0, wall_ms - word) / 1000
            else:
                value = word if measure.scale == 1.0 else word * measure.scale
                values[measure.key] = value
                if measure.kind is MeasureKind.COUNTER:
                    counters[measure.key] = value
        return values, histograms, counters

    def _point(self, wall_ms: int) -> Point:
        actors = self.actors.values()
        queues = [actor for actor in actors if actor.kind == "queue"]
        exchanges = [actor for actor in actors if actor.kind == "exchange"]
        return Point(
            at_ms=wall_ms,
            published=sum(actor.rates.get("published", 0.0) for actor in exchanges),
            delivered=sum(actor.rates.get("delivered", 0.0) for actor in queues),
            acked=sum(actor.rates.get("acked", 0.0) for actor in queues),
            ready=int(sum(actor.values.get("ready", 0) for actor in queues)),
            unacked=int(sum(actor.values.get("unacked", 0) for actor in queues)),
            dead=int(sum(actor.values.get("letters", 0) for actor in actors)),
        )


def _rates(before: _Sample, counters: dict[str, float], wall_ms: int) -> dict[str, float]:
    """Per second. A clock that was set back, or a page that began anew, gives 0 once."""
    passed_s = (wall_ms - before.at_ms) / 1000
    if passed_s <= 0:
        return dict.fromkeys(counters, 0.0)
    return {key: max(0.0, value - before.counters.get(key, value)) / passed_s for key, value in counters.items()}
