"""Small pictures of figures, as numbers that a template puts into SVG. Pure.

Everything is an attribute of an element: a strict policy for content forbids styles of their own. Each picture carries
a sentence that says the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple, final

from posthouse.actors.measure import SECONDS

SPARK_WIDTH: Final = 240
SPARK_HEIGHT: Final = 40
SPARK_POINTS_MAX: Final = 120


@final
class Spark(NamedTuple):
    """A line through the last values. `line` and `area` are coordinates within `width` and `height`."""

    line: str
    area: str
    label: str
    width: int = SPARK_WIDTH
    height: int = SPARK_HEIGHT


@final
class Column(NamedTuple):
    """One column of a picture over time: its place, its height from the bottom, and what it stands for."""

    x: float
    height: float
    found: int
    label: str


def spark(values: Sequence[float], label: str) -> Spark:
    """The values from the oldest to the newest, thinned out to what can be seen; 0 is the bottom."""
    shown = _thinned(values)
    top = max(shown, default=0.0) or 1.0
    step = SPARK_WIDTH / max(1, len(shown) - 1)
    places = [
        f"{n * step:.1f},{SPARK_HEIGHT - 1 - value / top * (SPARK_HEIGHT - 3):.1f}" for n, value in enumerate(shown)
    ]
    if len(places) < 2:
        places = [f"0,{SPARK_HEIGHT - 1}", f"{SPARK_WIDTH},{SPARK_HEIGHT - 1}"]
    line = " ".join(places)
    return Spark(line, f"0,{SPARK_HEIGHT} {line} {SPARK_WIDTH},{SPARK_HEIGHT}", label)


def _thinned(values: Sequence[float]) -> list[float]:
    """At most `SPARK_POINTS_MAX` of them: the greatest of each stretch, since peaks are what one looks for."""
    stretch = -(-len(values) // SPARK_POINTS_MAX)
    # Stretches are counted from the end: so a peak stays what it is while the line moves.
    starts = range(len(values) % stretch if stretch else 0, len(values), stretch or 1)
    return [max(values[start : start + stretch]) for start in starts]


def columns(moments: Sequence[float], edges: Sequence[float], labels: Sequence[str]) -> list[Column]:
    """How many moments lie between each pair of `edges`, as columns in a space of 100 by 100."""
    counts = [0] * (len(edges) - 1)
    for at in moments:
        place = min(len(counts) - 1, bisect_right(edges, at) - 1)
        if place >= 0:
            counts[place] += 1
    top = max(counts, default=0) or 1
    step = 100 / len(counts)
    return [
        Column(number * step, max(2.0, found / top * 100) if found else 0.0, found, labels[number])
        for number, found in enumerate(counts)
    ]


def quantile(counts: Sequence[float], bounds: Sequence[float], part: float) -> float | None:
    """The upper bound of the bucket in which `part` of all is reached; None when nothing was counted.

    `counts` are those of each bucket, the last one's for what is beyond all bounds, and after it the sum.
    """
    buckets = counts[: len(bounds) + 1]
    total = sum(buckets)
    if not total:
        return None
    reached = 0.0
    for number, found in enumerate(buckets):
        reached += found
        if reached >= total * part:
            return bounds[min(number, len(bounds) - 1)]
    return bounds[-1]


def seconds_at(counts: Sequence[float], part: float) -> float | None:
    """The same of a distribution of times."""
    return quantile(counts, SECONDS, part)
