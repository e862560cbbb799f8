"""Tallies: what an actor counts in plain integers as it happens, and writes onto its page once a second.

Pure. An integer in a list costs a quarter of a word in shared memory, and nobody looks more often than once a second.
What is written only rises, whatever became of the number behind it: a life that was killed may have forgotten what it
had shown already, and whoever reads counters takes a fall for a restart from nothing.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import final

from posthouse.actors.measure import Histogram
from posthouse.supervisor.meter import Meter


@final
class Totals:
    """Counters that are kept elsewhere, each shown under its word."""

    __slots__ = ("_counted", "_meter", "_missing")

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._counted: dict[int, int] = {}
        self._missing: dict[int, int] = {}

    def count(self, word: int, value: int) -> None:
        """A number that began at 0 with this life: what it rose by is added to what earlier lives have shown."""
        risen = value - self._counted.get(word, 0)
        if risen > 0:
            self._counted[word] = value
            self._meter.add(word, risen)

    def show(self, word: int, value: int) -> None:
        """A number that goes on from life to life; never less than earlier lives have shown."""
        missing = self._missing.get(word)
        if missing is None:
            missing = self._missing[word] = max(0, self._meter.get(word) - value)
        if value + missing > self._meter.get(word):
            self._meter.set(word, value + missing)


@final
class Tally:
    """A distribution, counted here and added to the page by `show`."""

    __slots__ = ("_bounds", "_counts", "_first", "_sum")

    def __init__(self, histogram: Histogram) -> None:
        self._first = histogram.first
        self._bounds = histogram.bounds
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0

    def observe(self, micros: int, count: int = 1) -> None:
        """`count` times the value `micros` / 1,000,000."""
        self._counts[bisect_left(self._bounds, micros)] += count
        self._sum += micros * count

    def show(self, meter: Meter) -> None:
        """Add what was observed since the last time."""
        if not any(self._counts):
            return
        for bucket, count in enumerate(self._counts):
            if count:
                meter.add(self._first + bucket, count)
        meter.add(self._first + len(self._counts), self._sum)
        self._counts = [0] * len(self._counts)
        self._sum = 0
