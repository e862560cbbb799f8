"""The broker's figures at one moment, asked for once and shared by all pages and streams that are open.

The monitor measures once a second, so nobody needs to ask more often. When it does not answer, pages go on with the
last figures there were and say how old they are, or with what the registry knows: a page must work while parts of the
broker do not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import cached_property
from typing import Final, final

from posthouse import aio
from posthouse.transport.errors import PosthouseError
from posthouse.transport.messages_monitor import ActorReading, Overview
from posthouse.web.pages.words import duration

FRESH_S: Final = 0.9
ANSWER_S: Final = 1.5


@final
class Snapshot:
    """What the monitor said. `problem` is a sentence when these figures are not of now."""

    def __init__(self, overview: Overview, problem: str = "") -> None:
        self.overview = overview
        self.problem = problem

    @property
    def now_ms(self) -> int:
        """By the broker's clock."""
        return self.overview.at_ms

    @cached_property
    def actors(self) -> dict[str, ActorReading]:
        """By id."""
        return {reading.id: reading for reading in self.overview.actors}

    @cached_property
    def by_kind(self) -> dict[str, list[ActorReading]]:
        """The readings of each kind of actor."""
        found: dict[str, list[ActorReading]] = {}
        for reading in self.overview.actors:
            found.setdefault(reading.kind, []).append(reading)
        return found

    def of(self, kind: str) -> list[ActorReading]:
        """The readings of one kind of actor."""
        return self.by_kind.get(kind, [])

    def named(self, kind: str, name: str) -> ActorReading | None:
        """The reading of one queue or exchange."""
        return next((reading for reading in self.of(kind) if reading.name == name), None)

    def value(self, kind: str, key: str) -> float:
        """A measure, over all actors of a kind."""
        return sum(reading.values.get(key, 0.0) for reading in self.of(kind))

    def rate(self, kind: str, key: str) -> float:
        """A rate, over all actors of a kind."""
        return sum(reading.rates.get(key, 0.0) for reading in self.of(kind))


@final
class Snapshots:
    """Hands out the newest."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: Snapshot | None = None
        self._taken_at = 0.0
        self._asking = asyncio.Lock()

    async def take(self, broker: aio.Broker) -> Snapshot:
        """At most `FRESH_S` old, unless the monitor does not answer. Raises only where the registry does not either."""
        async with self._asking:
            if self._last is not None and not self._last.problem and self._clock() - self._taken_at < FRESH_S:
                return self._last
            try:
                async with asyncio.timeout(ANSWER_S):
                    overview = await broker.monitor.overview(with_history=True)
            except (PosthouseError, TimeoutError):
                return await self._without_monitor(broker)
            self._last = Snapshot(overview)
            self._taken_at = self._clock()
            return self._last

    async def _without_monitor(self, broker: aio.Broker) -> Snapshot:
        if self._last is not None:
            age = duration(self._clock() - self._taken_at)
            return Snapshot(self._last.overview, f"The monitor does not answer. These figures are {age} old.")
        nodes = await broker.tree()
        names = {field for field in ActorReading.__struct_fields__ if field not in ("values", "rates", "histograms")}
        actors = [ActorReading(**{name: node[name] for name in names & node.keys()}) for node in nodes]
        overview = Overview(at_ms=time.time_ns() // 1_000_000, actors=actors)
        return Snapshot(overview, "The monitor does not answer. Figures are missing until it does.")
