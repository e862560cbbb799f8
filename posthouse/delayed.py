"""Looking at delayed messages and changing what becomes of them: `broker.delayed`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, Self, final

import msgspec

from posthouse.arguments import check_count
from posthouse.delay_times import moment_ms, moment_of
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_delay import (
    CancelDelayed,
    DelayedInfo,
    DelayInfo,
    DelayStatus,
    FireDelayed,
    ListDelayed,
    RescheduleDelayed,
)
from posthouse.transport.names import check_name

LIST_MESSAGES_MAX: Final = 1_000
_ID_MAX: Final = (1 << 48) - 1

Ask = Callable[[Callable[[int], Any], Any, bool], Any]
"""Asks the scheduler: what makes the request, the type of the answer, whether finding nothing twice is fine."""


@final
class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """One delayed message. `size` is its body's, in bytes.

    `state`: waiting, firing (on its way to its exchange), or failed, with the `code` and `text` of the refusal.
    """

    scheduled_id: str
    schedule_key: str | None
    exchange: str
    routing_key: str
    deliver_at: datetime | None
    size: int
    state: str = "waiting"
    code: str | None = None
    text: str = ""

    @classmethod
    def of(cls, info: DelayedInfo) -> Self:
        return cls(
            scheduled_id=str(info.scheduled_id),
            schedule_key=info.schedule_key,
            exchange=info.exchange,
            routing_key=info.routing_key,
            deliver_at=moment_of(info.deliver_at_ms) if info.deliver_at_ms else None,
            size=info.size,
            state=info.state,
            code=info.code,
            text=info.text,
        )


@final
class Delayed:
    """What waits at the delay scheduler. Messages are named by id, as in their receipt, or by schedule key.

    Raises UnknownDelayed for one that does not wait: never did, was published, or was cancelled.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def list(
        self, exchange: str | None = None, limit: int = 100, *, schedule_key: str | None = None
    ) -> list[Scheduled]:
        """The first `limit` (up to 1,000) messages by the time they are due; failed ones come last."""
        if exchange is not None:
            check_name("exchange", exchange, may_be_empty=True)
        check_count("limit", limit, 1, LIST_MESSAGES_MAX)
        found = self._ask(lambda number: ListDelayed(number, exchange, schedule_key, limit), list_of_infos(), False)
        return [Scheduled.of(info) for info in found]

    def cancel(self, scheduled_id: str | None = None, *, schedule_key: str | None = None) -> None:
        """Forget a message, or one that failed."""
        number, key = _named(scheduled_id, schedule_key)
        self._ask(lambda request: CancelDelayed(request, number, key), None, True)

    def reschedule(self, scheduled_id: str | None, deliver_at: datetime, *, schedule_key: str | None = None) -> None:
        """Give a message another time; one that has passed means now. Also for one that failed."""
        number, key = _named(scheduled_id, schedule_key)
        due_ms = moment_ms("deliver_at", deliver_at)
        self._ask(lambda request: RescheduleDelayed(request, due_ms, number, key), None, False)

    def fire(self, scheduled_id: str | None = None, *, schedule_key: str | None = None) -> None:
        """Publish a message now, or try one again that failed."""
        number, key = _named(scheduled_id, schedule_key)
        self._ask(lambda request: FireDelayed(request, number, key), None, True)

    def info(self) -> DelayInfo:
        """The scheduler's counts. Costs the same however much waits."""
        found: DelayInfo = self._ask(DelayStatus, DelayInfo, False)
        return found


def list_of_infos() -> Any:
    """The type of a list's answer; inside the class `list` is the method."""
    return list[DelayedInfo]


def _named(scheduled_id: object, schedule_key: object) -> tuple[int, str | None]:
    if (scheduled_id is None) == (schedule_key is None):
        raise InvalidArgument("name the message by scheduled_id or by schedule_key, one of them")
    if scheduled_id is None:
        if not isinstance(schedule_key, str) or not schedule_key:
            raise InvalidArgument(f"schedule_key is {schedule_key!r}; it is a text that is not empty")
        return 0, schedule_key
    text = str(scheduled_id)
    if isinstance(scheduled_id, bool) or not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _ID_MAX:
        raise InvalidArgument(f"scheduled_id is {scheduled_id!r}; it is the number in the message's receipt")
    return int(text), None
