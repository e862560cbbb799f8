"""The Grafana dashboard and the Prometheus rules that come with the broker ask only for what it exposes."""

from __future__ import annotations

import re

import pytest
import yaml

from posthouse.metric_names import Metric, catalogue
from tests.support.metric_texts import RULES, dashboard, expressions, metrics_in

ALL = list(expressions())
BY_NAME = {metric.name: metric for metric in catalogue()}


def metric_of(name: str) -> Metric | None:
    """The metric that a sample of this name belongs to."""
    for suffix in ("", "_bucket", "_sum", "_count"):
        found = BY_NAME.get(name.removesuffix(suffix))
        if found is not None and (found.type == "histogram") == bool(suffix):
            return found
    return None


def test_there_are_expressions_of_both() -> None:
    assert len(ALL) > 50
    assert any("histogram_quantile" in expression for expression in ALL)


@pytest.mark.parametrize("expression", ALL)
def test_every_metric_that_is_asked_for_is_exposed(expression: str) -> None:
    names = metrics_in(expression)
    recorded = set(re.findall(r"posthouse:[a-z0-9_:]+", expression))
    assert names or recorded, "it asks for nothing"
    assert {name for name in names if metric_of(name) is None} == set()
    assert recorded <= {rule["record"] for rule in rules() if "record" in rule}


@pytest.mark.parametrize("expression", ALL)
def test_counters_are_asked_for_their_rise_and_nothing_else_is(expression: str) -> None:
    for function, name in re.findall(r"\b(rate|increase|changes|predict_linear)\((posthouse_[a-z0-9_]+)", expression):
        metric = metric_of(name)
        assert metric is not None
        assert (metric.type != "gauge") == (function != "predict_linear"), name


def test_labels_that_are_asked_for_are_there() -> None:
    for expression in ALL:
        for name, labels in re.findall(r"(posthouse_[a-z0-9_]+)\{([^}]*)\}", expression):
            metric = metric_of(name)
            assert metric is not None
            asked = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", labels))
            assert asked <= {*metric.labels, "le"}, expression


def test_the_dashboard_has_numbered_panels_that_do_not_overlap() -> None:
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(0 <= x < 24 for x, _ in cells)
        taken |= cells
        assert panel["type"] == "row" or all(target["expr"] for target in panel["targets"])


def rules() -> list[dict[str, object]]:
    found = yaml.safe_load(RULES.read_text())
    return [rule for group in found["groups"] for rule in group["rules"]]


def test_every_alert_says_how_bad_it_is_and_what_it_is() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 10
    for rule in alerts:
        labels, annotations = rule["labels"], rule["annotations"]
        assert isinstance(labels, dict)
        assert isinstance(annotations, dict)
        assert labels["severity"] in ("info", "warning", "critical")
        assert annotations["summary"]
