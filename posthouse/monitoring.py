"""What the monitor knows, for programs: the figures of every actor, and what happens in the broker.

Both clients have one of these: `broker.monitor` asks with the blocking client, and with the other each call is awaited.
"""

from __future__ import annotations

from typing import final

from posthouse import requests
from posthouse.requests import Ask, AskAsync
from posthouse.transport.messages_monitor import BrokerEvent, Overview


@final
class Monitoring:
    """The blocking client's `broker.monitor`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def overview(self, kinds: list[str] | None = None, *, with_history: bool = False) -> Overview:
        """The figures of every actor, at most a second old. `kinds`: of these kinds of actors only, as `["queue"]`.

        `with_history`: also a point for each of the last seconds, ten minutes at most.
        """
        return self._ask(requests.overview(kinds, with_history))

    def events(self, after: int = -1, *, limit: int = 100, wait_s: float = 0.0) -> list[BrokerEvent]:
        """What happened since the event number `after`, oldest first; -1: the last `limit` events.

        Where there is nothing new the answer comes when there is, or empty after `wait_s` seconds, which must be
        shorter than the client's deadline. The monitor keeps 10,000 events, and forgets them when it is restarted.
        """
        return self._ask(requests.events(after, limit, wait_s))


@final
class AioMonitoring:
    """The asyncio client's `broker.monitor`."""

    def __init__(self, ask: AskAsync) -> None:
        self._ask = ask

    async def overview(self, kinds: list[str] | None = None, *, with_history: bool = False) -> Overview:
        """As `Monitoring.overview`."""
        return await self._ask(requests.overview(kinds, with_history))

    async def events(self, after: int = -1, *, limit: int = 100, wait_s: float = 0.0) -> list[BrokerEvent]:
        """As `Monitoring.events`."""
        return await self._ask(requests.events(after, limit, wait_s))
