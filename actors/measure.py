"""A measure: one number, or one distribution, that an actor shows on its page, with its name and its meaning.

Pure. A `Page` hands out the words of one kind of actor and remembers what each means; writers keep the number they were
given, readers go through the list. Counters only rise; times are moments in milliseconds since 1970 with 0 for none,
which readers turn into ages.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from posthouse.supervisor.meter import WORDS, Meter

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds of the buckets in which times are counted, in seconds."""

WAITS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0),
    *(10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0),
)
"""Bounds for times that are told by clocks of milliseconds and may be long."""

ATTEMPTS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 100.0)
MICRO: Final = 1_000_000


@final
class MeasureKind(StrEnum):
    """How a word is read."""

    COUNTER = "counter"
    GAUGE = "gauge"
    MOMENT = "moment"
    HISTOGRAM = "histogram"


@final
@dataclass(frozen=True, slots=True)
class Measure:
    """`name` has its unit last and no prefix. `scale` turns the word into that unit.

    `label`: one of several words under one name, told apart by a label's name and value. A histogram has a word for
    each bucket up to a bound of `bounds`, one for what is beyond, and one for the sum in millionths.
    """

    word: int
    name: str
    kind: MeasureKind
    help: str
    scale: float = 1.0
    label: tuple[str, str] | None = None
    bounds: tuple[float, ...] = ()

    @property
    def key(self) -> str:
        """The name of this one word: `acked`, or `dead_lettered:rejected`."""
        return self.name if self.label is None else f"{self.name}:{self.label[1]}"


@final
class Histogram:
    """Where an actor counts a distribution. Values are in millionths of the unit of its bounds."""

    __slots__ = ("_bounds", "first", "sum")

    def __init__(self, first: int, bounds: Sequence[float]) -> None:
        self.first = first
        self._bounds = [round(bound * MICRO) for bound in bounds]
        self.sum = first + len(bounds) + 1

    def observe(self, meter: Meter, micros: int, count: int = 1) -> None:
        """`count` times the value `micros` / 1,000,000."""
        meter.add(self.first + bisect_left(self._bounds, micros), count)
        meter.add(self.sum, micros * count)


@final
class Page:
    """The words of one kind of actor."""

    def __init__(self, kind: str, after: Page | None = None) -> None:
        self.kind = kind
        self._next: int = 0 if after is None else after._next
        self._measures: list[Measure] = []

    def __iter__(self) -> Iterator[Measure]:
        return iter(self._measures)

    def counter(self, name: str, help: str, *, scale: float = 1.0, label: tuple[str, str] | None = None) -> int:
        """A number that only rises."""
        return self._take(Measure(self._next, name, MeasureKind.COUNTER, help, scale, label))

    def counters(self, name: str, help: str, label: str, values: Sequence[str]) -> dict[str, int]:
        """One counter for each value of a label."""
        return {value: self.counter(name, help, label=(label, value)) for value in values}

    def gauge(self, name: str, help: str, *, scale: float = 1.0) -> int:
        """A number that rises and falls."""
        return self._take(Measure(self._next, name, MeasureKind.GAUGE, help, scale))

    def moment(self, name: str, help: str) -> int:
        """The moment since when something is so. `name` is that of the age, in seconds."""
        return self._take(Measure(self._next, name, MeasureKind.MOMENT, help))

    def histogram(self, name: str, help: str, bounds: tuple[float, ...] = SECONDS) -> Histogram:
        """A distribution."""
        histogram = Histogram(self._next, bounds)
        self._take(Measure(self._next, name, MeasureKind.HISTOGRAM, help, bounds=bounds), len(bounds) + 2)
        return histogram

    def _take(self, measure: Measure, words: int = 1) -> int:
        self._measures.append(measure)
        self._next += words
        assert self._next <= WORDS, f"the page of {self.kind} has more than {WORDS} words"
        return measure.word
