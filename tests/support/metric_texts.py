"""Readings for metrics, what an exposition says, and which metrics an expression asks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from posthouse.actors.measure import MeasureKind
from posthouse.actors.measures import measures_of
from posthouse.transport.messages_monitor import ActorReading, Overview

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "docs" / "grafana" / "posthouse.json"
RULES = ROOT / "docs" / "prometheus" / "posthouse.rules.yml"

Sample = tuple[str, tuple[tuple[str, str], ...]]


def reading(kind: str, name: str = "", value: float = 3.0, **more: Any) -> ActorReading:
    """An actor of which every measure says the same."""
    values: dict[str, float] = {}
    histograms: dict[str, list[float]] = {}
    for measure in measures_of(kind):
        if measure.kind is MeasureKind.HISTOGRAM:
            histograms[measure.key] = [value] * (len(measure.bounds) + 1) + [value / 2]
        else:
            values[measure.key] = value
    actor_id = f"{kind}:{name}" if kind in ("queue", "exchange") else kind
    return ActorReading(
        **{"id": actor_id, "kind": kind, "name": name, "state": "up", "pid": 5, "values": values,
           "histograms": histograms, **more}
    )  # fmt: skip


def overview(*actors: ActorReading, **more: Any) -> Overview:
    return Overview(**{"at_ms": 1, "version": "0.1", "actors": list(actors), **more})


def samples(text: bytes) -> dict[Sample, float]:
    """Every line, by the name of its sample and its labels."""
    found: dict[Sample, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def expressions() -> Iterator[str]:
    """All that the dashboard and the rules ask of Prometheus."""
    yield from re.findall(r'"expr": ("(?:[^"\\]|\\.)*")', DASHBOARD.read_text())
    yield from re.findall(r"^\s*expr: (.*)$", RULES.read_text(), re.M)


def metrics_in(expression: str) -> set[str]:
    """The metrics that an expression names."""
    return set(re.findall(r"\bposthouse_[a-z0-9_]+", expression))


def dashboard() -> Any:
    return json.loads(DASHBOARD.read_text())
