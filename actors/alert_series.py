"""What alerts remember of figures over a window: growth, standstill, quantiles, and when a falling line meets its end.

Pure. Times are monotonic milliseconds. Memory is bounded: a window has `POINTS` points, however long it is.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple, final

POINTS: Final = 30
QUANTILE_POINTS: Final = 12


@final
class Known(NamedTuple):
    """A figure over a window, and whether the whole window was watched."""

    value: float
    is_whole: bool


@final
class Rise:
    """How much one figure rose within the window. A counter that fell has begun anew."""

    __slots__ = ("_is_counter", "_points", "_window_ms")

    def __init__(self, window_ms: float, *, is_counter: bool) -> None:
        self._window_ms = window_ms
        self._is_counter = is_counter
        self._points: deque[tuple[int, float]] = deque()

    def add(self, at_ms: int, value: float) -> Known:
        """The figure now; its rise since the window began."""
        points = self._points
        if points and self._is_counter and value < points[-1][1]:
            # What it was before is unknown, so all it shows is counted as new.
            points.clear()
            points.append((at_ms, 0.0))
        start_ms = at_ms - self._window_ms
        while len(points) > 1 and points[1][0] <= start_ms:
            points.popleft()
        if not points or at_ms - points[-1][0] >= self._window_ms / POINTS:
            points.append((at_ms, value))
        return Known(max(0.0, value - points[0][1]), points[0][0] <= start_ms)


@final
class Standstill:
    """How long one counter has stood still."""

    __slots__ = ("_changed_ms", "_is_seen", "_value")

    def __init__(self) -> None:
        self._value = -1.0
        self._changed_ms = 0
        self._is_seen = False

    def add(self, at_ms: int, value: float) -> Known:
        """Seconds since it last rose, or since it is watched; `is_whole`: it was seen to rise. 0 where it never did."""
        if value != self._value:
            self._is_seen = self._value >= 0
            self._value, self._changed_ms = value, at_ms
        return Known((at_ms - self._changed_ms) / 1000 if value > 0 else 0.0, self._is_seen)


@final
class Spread:
    """A quantile of what one histogram counted within the window."""

    __slots__ = ("_points", "_window_ms")

    def __init__(self, window_ms: float) -> None:
        self._window_ms = window_ms
        self._points: deque[tuple[int, array[float]]] = deque()

    def add(self, at_ms: int, counts: Sequence[float]) -> tuple[array[float], bool]:
        """The counts of the window, and whether all of it was watched."""
        points = self._points
        if points and any(map(float.__lt__, map(float, counts), points[-1][1])):
            points.clear()
        start_ms = at_ms - self._window_ms
        while len(points) > 1 and points[1][0] <= start_ms:
            points.popleft()
        if not points or at_ms - points[-1][0] >= self._window_ms / QUANTILE_POINTS:
            points.append((at_ms, array("d", counts)))
        first_ms, first = points[0]
        return array("d", map(float.__sub__, map(float, counts), first)), first_ms <= start_ms


def quantile(counts: Sequence[float], bounds: Sequence[float], share: float) -> float:
    """The value below which that share lies: within its bucket in proportion, at most the greatest bound."""
    wanted = sum(counts) * share
    passed, lower = 0.0, 0.0
    for count, bound in zip(counts, bounds, strict=False):
        if count and passed + count >= wanted:
            return lower + (bound - lower) * (wanted - passed) / count
        passed += count
        lower = bound
    return lower


@final
class Trend:
    """A line through what one figure was within the window."""

    __slots__ = ("_points", "_window_ms")

    def __init__(self, window_ms: float) -> None:
        self._window_ms = window_ms
        self._points: deque[tuple[int, float]] = deque()

    def add(self, at_ms: int, value: float) -> None:
        """The figure now."""
        points = self._points
        while points and points[0][0] < at_ms - self._window_ms:
            points.popleft()
        if not points or at_ms - points[-1][0] >= self._window_ms / POINTS / 2:
            points.append((at_ms, value))

    @property
    def is_known(self) -> bool:
        """At least half a window was watched, in enough points for a line."""
        points = self._points
        return len(points) >= 5 and points[-1][0] - points[0][0] >= self._window_ms / 2

    def seconds_until(self, floor: float) -> float:
        """When the line meets the floor, counted from its last point; infinite where it does not fall."""
        points = self._points
        if points[-1][1] <= floor:
            return 0.0
        middle = sum(at for at, _ in points) / len(points)
        mean = sum(value for _, value in points) / len(points)
        spread = sum((at - middle) ** 2 for at, _ in points)
        slope = sum((at - middle) * (value - mean) for at, value in points) / spread if spread else 0.0
        if slope >= 0:
            return float("inf")
        line = mean + slope * (points[-1][0] - middle)
        return max(0.0, (line - floor) / -slope / 1000)
