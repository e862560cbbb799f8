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
        self._isolated: dict[str, int] = {}
        self.weather = weather
        self.dropped = 0

    def isolate(self, name: str, until_ms: int) -> None:
        """Until then nothing arrives at this one or from it."""
        self._isolated[name] = max(until_ms, self._isolated.get(name, 0))

    def heal(self) -> None:
        """Every frame arrives from now on."""
        self._isolated.clear()
        self.weather = CALM

    def arrivals(self, sender: str, receiver: str, now_ms: int) -> list[int]:
        """The times at which a frame sent now arrives: none, one or two."""
        weather = self.weather
        is_cut_off = bool(self._isolated) and now_ms < max(
            self._isolated.get(sender, 0), self._isolated.get(receiver, 0)
        )
        if is_cut_off or (weather.drop and self._random.random() < weather.drop):
            self.dropped += 1
            return []
        times = [self._time(sender, receiver, now_ms)]
        if weather.duplicate and self._random.random() < weather.duplicate:
            times.append(self._time(sender, receiver, now_ms))
        return times

    def _time(self, sender: str, receiver: str, now_ms: int) -> int:
        weather, chance = self.weather, self._random.random
        at_ms = now_ms + int(chance() * (weather.delay_ms_max + 1))
        if weather.reorder and chance() < weather.reorder:
            return at_ms + int(chance() * 20)
        at_ms = max(at_ms, self._last.get((sender, receiver), 0))
        self._last[sender, receiver] = at_ms
        return at_ms
