"""Alerts, as a program sees them: what fires, who is told, what is kept quiet.

Both clients have one of these: `broker.alerts` asks with the blocking client, and with the other each call is awaited.
"""

from __future__ import annotations

from typing import Final, final

from posthouse import alert_requests as requests
from posthouse.requests import Ask, AskAsync
from posthouse.transport.messages_alerts import AlertList, AlertTested, Silence

TEST_WAIT_S: Final = 8.0
"""Shorter than a client's default deadline."""

Tested = list[AlertTested]


@final
class Alerts:
    """The blocking client's `broker.alerts`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def list(self) -> AlertList:
        """Alerts that fire, are about to, or were resolved lately; silences, targets and rules with their state."""
        return self._ask(requests.alerts())

    def silence(self, rule: str = "*", subject: str = "*", *, for_s: float, comment: str = "") -> Silence:
        """Keep alerts quiet for so many seconds: those whose rule and subject match these patterns (`*`, `?`).

        A subject is `queue:orders`, `exchange:events`, `machine`; a pattern without ":" also matches the name alone.
        They are still listed, and those that fire on when the silence ends are told then.
        """
        return self._ask(requests.silence(rule, subject, for_s, comment))

    def unsilence(self, number: int) -> bool:
        """End a silence; False where there is none of that number."""
        return self._ask(requests.unsilence(number))

    def test(self, target: str | None = None, *, wait_s: float = TEST_WAIT_S) -> Tested:
        """Send a test notice to one target or to all, and say what became of it within `wait_s`.

        Raises InvalidArgument for a target that is not configured.
        """
        return self._ask(requests.test(target, wait_s))


@final
class AioAlerts:
    """The asyncio client's `broker.alerts`."""

    def __init__(self, ask: AskAsync) -> None:
        self._ask = ask

    async def list(self) -> AlertList:
        """As `Alerts.list`."""
        return await self._ask(requests.alerts())

    async def silence(self, rule: str = "*", subject: str = "*", *, for_s: float, comment: str = "") -> Silence:
        """As `Alerts.silence`."""
        return await self._ask(requests.silence(rule, subject, for_s, comment))

    async def unsilence(self, number: int) -> bool:
        """As `Alerts.unsilence`."""
        return await self._ask(requests.unsilence(number))

    async def test(self, target: str | None = None, *, wait_s: float = TEST_WAIT_S) -> Tested:
        """As `Alerts.test`."""
        return await self._ask(requests.test(target, wait_s))
