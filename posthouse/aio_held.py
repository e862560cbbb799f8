"""Held messages, as a program in an event loop sees them: list, let go of, make dead letters of; each is awaited."""

from __future__ import annotations

from typing import final

from posthouse import held_requests as requests
from posthouse.held_requests import HeldMessage
from posthouse.requests import AskAsync, exchanges
from posthouse.transport.messages_hold import HoldInfo

Found = list[HeldMessage]


@final
class HeldMessages:
    """What the exchanges of one broker hold for queues to come; `broker.held`."""

    def __init__(self, ask: AskAsync) -> None:
        self._ask = ask

    async def list(self, exchange: str | None = None, limit: int = 100, *, after: int = 0) -> Found:
        """What is held, oldest first, of one exchange from above the number `after`, or of all, by name.

        Raises UnknownExchange, InvalidArgument, and PreconditionFailed for an exchange that holds nothing by policy.
        """
        if exchange is not None:
            return requests.shown(await self._ask(requests.held(exchange, limit, after)))
        requests.check_listing(limit, after)
        found: Found = []
        for name in requests.holders(await self._ask(exchanges())):
            if len(found) < limit:
                found += requests.shown(await self._ask(requests.held(name, limit - len(found), 0)))
        return found

    async def release(self, exchange: str, to: str | None = None) -> int:
        """Let go of all that an exchange holds: to where its bindings lead now, or `to` a queue by name.

        Returns how many messages leave; they arrive in order, exactly once. Raises UnknownQueue, UnknownExchange.
        """
        return await self._ask(requests.release(exchange, to))

    async def expire(self, exchange: str) -> int:
        """Make dead letters of all that an exchange holds; returns how many. Raises HoldFull where they take none."""
        return await self._ask(requests.expire(exchange))

    async def status(self, exchange: str) -> HoldInfo:
        """How much an exchange holds, its bounds, and what became of what it held. Raises UnknownExchange."""
        return await self._ask(requests.status(exchange))
