"""Looking at delayed messages and changing what becomes of them: `broker.delayed`.

The requests are made and checked here, once for both clients; `aio_delayed.py` is the twin that awaits the answers.
"""

from __future__ import annotations

import builtins
import time
from datetime import datetime
from typing import Any, Final, Self, final

import msgspec

from posthouse.arguments import check_count
from posthouse.delay_times import moment_of, new_due_ms
from posthouse.recurring import Recurring, all_of, request_pause, request_recurring, request_repeat, request_stop
from posthouse.requests import Ask, Request
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
from posthouse.transport.names import DELAY, check_name, shown

LIST_MESSAGES_MAX: Final = 1_000
_ID_MAX: Final = (1 << 48) - 1
_ID_DIGITS_MAX: Final = 15


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


# ---- requests ----


def request_list(exchange: str | None, limit: int, schedule_key: str | None) -> Request[list[DelayedInfo]]:
    """`listed` makes what programs see of the answer."""
    if exchange is not None:
        check_name("exchange", exchange, may_be_empty=True)
    check_count("limit", limit, 1, LIST_MESSAGES_MAX)
    return Request(DELAY, lambda number: ListDelayed(number, exchange, schedule_key, limit), list[DelayedInfo])


def listed(infos: list[DelayedInfo]) -> list[Scheduled]:
    """The answer to `request_list` as programs see it."""
    return [Scheduled.of(info) for info in infos]


def request_cancel(scheduled_id: str | None, schedule_key: str | None) -> Request[None]:
    which, key = _named(scheduled_id, schedule_key)
    return Request(DELAY, lambda number: CancelDelayed(number, which, key), is_removal=True)


def request_reschedule(scheduled_id: str | None, schedule_key: str | None, deliver_at: datetime) -> Request[None]:
    which, key = _named(scheduled_id, schedule_key)
    due_ms = new_due_ms(deliver_at, time.time_ns())
    return Request(DELAY, lambda number: RescheduleDelayed(number, due_ms, which, key))


def request_fire(scheduled_id: str | None, schedule_key: str | None) -> Request[None]:
    which, key = _named(scheduled_id, schedule_key)
    return Request(DELAY, lambda number: FireDelayed(number, which, key), is_removal=True)


def request_info() -> Request[DelayInfo]:
    return Request(DELAY, DelayStatus, DelayInfo)


def _named(scheduled_id: object, schedule_key: object) -> tuple[int, str | None]:
    if (scheduled_id is None) == (schedule_key is None):
        raise InvalidArgument("name the message by scheduled_id or by schedule_key, one of them")
    if scheduled_id is None:
        if not isinstance(schedule_key, str) or not schedule_key:
            raise InvalidArgument(f"schedule_key is {shown(schedule_key)}; it is a text that is not empty")
        return 0, schedule_key
    number = 0
    if isinstance(scheduled_id, int) and not isinstance(scheduled_id, bool):
        number = scheduled_id
    elif isinstance(scheduled_id, str) and len(scheduled_id) <= _ID_DIGITS_MAX:
        number = int(scheduled_id) if scheduled_id.isascii() and scheduled_id.isdecimal() else 0
    if not 0 < number <= _ID_MAX:
        raise InvalidArgument(f"scheduled_id is {shown(scheduled_id)}; it is the number in the message's receipt")
    return number, None


# ---- the blocking client's ----


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
        return listed(self._ask(request_list(exchange, limit, schedule_key)))

    def cancel(self, scheduled_id: str | None = None, *, schedule_key: str | None = None) -> None:
        """Forget a message, or one that failed."""
        self._ask(request_cancel(scheduled_id, schedule_key))

    def reschedule(self, scheduled_id: str | None, deliver_at: datetime, *, schedule_key: str | None = None) -> None:
        """Give a message another time; one that has passed means now. Also for one that failed."""
        self._ask(request_reschedule(scheduled_id, schedule_key, deliver_at))

    def fire(self, scheduled_id: str | None = None, *, schedule_key: str | None = None) -> None:
        """Publish a message now, or try one again that failed."""
        self._ask(request_fire(scheduled_id, schedule_key))

    def info(self) -> DelayInfo:
        """The scheduler's counts. Costs the same however much waits."""
        return self._ask(request_info())

    def repeat(
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
        return Recurring.of(self._ask(request))

    def recurring(self) -> builtins.list[Recurring]:
        """All recurring schedules, by key."""
        return all_of(self._ask(request_recurring()))

    def stop(self, key_or_id: str) -> None:
        """End a schedule. A message that leaves within the next 20 milliseconds still does."""
        self._ask(request_stop(key_or_id))

    def pause(self, key_or_id: str) -> None:
        """Halt a schedule. What passes meanwhile never fires."""
        self._ask(request_pause(key_or_id, True))

    def resume(self, key_or_id: str) -> None:
        """Let a paused schedule go on from now."""
        self._ask(request_pause(key_or_id, False))
