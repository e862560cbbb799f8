"""A wire that drops, duplicates, delays and reorders frames, by the seed.

It knows only names and times. It does not simulate bandwidth or partial frames: ZeroMQ delivers whole frames or none.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Weather:
    """Chances per frame, and the longest delay. The same frame may be unlucky twice."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    delay_ms_max: int = 3


CALM = Weather()


class Network:
    """Says when, and how often, a frame arrives."""

    def __init__(self, source: random.Random, weather: Weather) -> None:
        self._random = source
        self._last: dict[tuple[str, str], int] = {}
        self.weather = weather
        self.dropped = 0

    def arrivals(self, sender: str, receiver: str, now_ms: int) -> list[int]:
        """The times at which a frame sent now arrives: none, one or two."""
        weather = self.weather
        if self._random.random() < weather.drop:
            self.dropped += 1
            return []
        times = [self._time(sender, receiver, now_ms)]
        if self._random.random() < weather.duplicate:
            times.append(self._time(sender, receiver, now_ms))
        return times

    def _time(self, sender: str, receiver: str, now_ms: int) -> int:
        at_ms = now_ms + self._random.randint(0, self.weather.delay_ms_max)
        if self._random.random() < self.weather.reorder:
            return at_ms + self._random.randint(0, 20)
        at_ms = max(at_ms, self._last.get((sender, receiver), 0))
        self._last[sender, receiver] = at_ms
        return at_ms
