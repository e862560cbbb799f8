"""docs/metrics.md lists every metric, and no other."""

from __future__ import annotations

import re

from posthouse.metric_names import catalogue
from tests.support.metric_texts import ROOT

ROW = re.compile(r"^\| `(posthouse_[a-z0-9_]+)` \| (\w+) \| (.*?) ?\| (.*) \|$", re.M)


def test_the_page_is_the_catalogue() -> None:
    rows = {name: (kind, tuple(re.findall(r"`(\w+)`", labels)), text) for name, kind, labels, text in
            ROW.findall((ROOT / "docs" / "metrics.md").read_text())}  # fmt: skip
    assert rows == {metric.name: (metric.type, metric.labels, metric.help) for metric in catalogue()}
