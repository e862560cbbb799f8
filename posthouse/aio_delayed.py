"""`broker.delayed` with asyncio: what `delayed.py` gives, awaited."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import Any, final

from posthouse.delayed import (
    Scheduled,
    listed,
    request_cancel,
    request_fire,
    request_info,
    request_list,
    request_reschedule,
)
from posthouse.recurring import Recurring, all_of, request_pause, request_recurring, request_repeat, request_stop
from posthouse.requests import AskAsync
from posthouse.transport.messages_delay import DelayInfo


@final
class Delayed:
    """What waits at the delay scheduler. Arguments and errors as of the blocking client's."""

    def __init__(self, ask: AskAsync) -> None:
        self._ask = ask

    async def list(
        self, exchange: str | None = None, limit: int = 100, *, schedule_key: str | None = None
    ) -> list[Scheduled]:
        """The first `limit` (up to 1,000) messages by the time they are due; failed ones come last."""
        return listed(await self._ask(request_list(exchange, limit, schedule_key)))

    async def cancel(self, scheduled_id: str | None = None, *, schedule_key: str | None = None) -> None:
        """Forget a message, or one that failed."""
        await self._ask(request_cancel(scheduled_id, schedule_key))

    async def reschedule(
        self, scheduled_id: str | None, deliver_at: datetime, *, schedule_key: str | None = None
    ) -> None:
        """Give a message another time; one that has passed means now. Also for one that failed."""
        await self._ask(request_reschedule(scheduled_id, schedule_key, deliver_at))

    async def fire(self, scheduled_id: str | None = None, *, schedule_key: str | None = None) -> None:
        """Publish a message now, or try one again that failed."""
        await self._ask(request_fire(scheduled_id, schedule_key))

    async def info(self) -> DelayInfo:
        """The scheduler's counts. Costs the same however much waits."""
        return await self._ask(request_info())

    async def repeat(
        self,
        exchange: str,
        body: bytes,
        *,
        key: str,
        every_s: float | None = None,
        cron: str | None = None,
        zone: str | None = None,
        routing_key: str = "",
        headers: dict[str, Any] | None = None,
        start_at: datetime | None = None,
        until: datetime | None = None,
        max_count: int | None = None,
        misfire: str = "once",
    ) -> Recurring:
        """Publish a message again and again: every so many seconds, or as a cron expression says in a time zone.

        Takes the place of the schedule of that key, unless it says the same: then nothing changes. `misfire` says what
        becomes of instants that were missed: `once` one message for all, `skip` none, `all` one for each.
        """
        request = request_repeat(
            exchange, body, key, routing_key, headers, every_s=every_s, cron=cron, zone=zone, start_at=start_at,
            until=until, max_count=max_count, misfire=misfire,
        )  # fmt: skip
        return Recurring.of(await self._ask(request))

    async def recurring(self) -> builtins.list[Recurring]:
        """All recurring schedules, by key."""
        return all_of(await self._ask(request_recurring()))

    async def stop(self, key_or_id: str) -> None:
        """End a schedule. A message that leaves within the next 20 milliseconds still does."""
        await self._ask(request_stop(key_or_id))

    async def pause(self, key_or_id: str) -> None:
        """Halt a schedule. What passes meanwhile never fires."""
        await self._ask(request_pause(key_or_id, True))

    async def resume(self, key_or_id: str) -> None:
        """Let a paused schedule go on from now."""
        await self._ask(request_pause(key_or_id, False))
