"""`broker.delayed` with asyncio: what `delayed.py` gives, awaited."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Protocol, final

from posthouse.delayed import (
    Scheduled,
    listed,
    request_cancel,
    request_fire,
    request_info,
    request_list,
    request_reschedule,
)
from posthouse.requests import Answer, Request
from posthouse.transport.messages_delay import DelayInfo


class Ask(Protocol):
    """Asks the broker; the answer is awaited."""

    def __call__(self, request: Request[Answer], /) -> Awaitable[Answer]: ...


@final
class Delayed:
    """What waits at the delay scheduler. Arguments and errors as of the blocking client's."""

    def __init__(self, ask: Ask) -> None:
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
