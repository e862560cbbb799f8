"""Delayed messages and recurring schedules."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, final

import msgspec

from posthouse.delayed import Scheduled
from posthouse.recurring import Recurring
from posthouse.transport.messages_delay import DelayInfo
from posthouse.web.api_topology import Done
from posthouse.web.bodies import body_of
from posthouse.web.listing import Window, is_named, listing_of, part_of
from posthouse.web.operation import Call, Operation


@final
class DelayedQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`exchange`: for that exchange only; `schedule_key`: of that key only."""

    exchange: str | None = None
    schedule_key: str | None = None
    limit: int = 100


@final
class Rescheduling(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """When it is due now. A time with a zone; one that has passed means at once."""

    deliver_at: datetime


@final
class RecurringQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`key`: with that text in the key."""

    key: str | None = None


@final
class Repetition(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A message, and when it is published again and again: `every_s`, or `cron` in a time `zone`."""

    exchange: str
    routing_key: str = ""
    body: str | None = None
    body_base64: str | None = None
    headers: dict[str, Any] | None = None
    every_s: float | None = None
    cron: str | None = None
    zone: str | None = None
    start_at: datetime | None = None
    until: datetime | None = None
    max_count: int | None = None
    misfire: Literal["once", "skip", "all"] = "once"


async def delayed(call: Call) -> Any:
    """The first messages by the time they are due; failed ones come last."""
    wanted: DelayedQuery = call.query
    broker = await call.broker()
    return await broker.delayed.list(wanted.exchange, wanted.limit, schedule_key=wanted.schedule_key)


async def delay_status(call: Call) -> Any:
    """The scheduler's counts."""
    return await (await call.broker()).delayed.info()


async def cancel(call: Call) -> Any:
    """Forget a delayed message, or one that failed."""
    await (await call.broker()).delayed.cancel(call.path["id"])
    return Done()


async def reschedule(call: Call) -> Any:
    """Give a delayed message another time; also one that failed."""
    await (await call.broker()).delayed.reschedule(call.path["id"], call.body.deliver_at)
    return Done()


async def fire(call: Call) -> Any:
    """Publish a delayed message now, or try one again that failed."""
    await (await call.broker()).delayed.fire(call.path["id"])
    return Done()


async def recurring(call: Call) -> Any:
    """All recurring schedules, by key, each with its next instants."""
    wanted: RecurringQuery = call.query
    found = await (await call.broker()).delayed.recurring()
    return part_of([one for one in found if is_named(one.key, wanted.key)], wanted)


async def repeat(call: Call) -> Any:
    """Publish a message again and again. Takes the place of the schedule of that key."""
    wished = msgspec.structs.asdict(call.body)
    body = body_of(wished.pop("body"), wished.pop("body_base64"))
    return await (await call.broker()).delayed.repeat(wished.pop("exchange"), body, key=call.path["key"], **wished)


async def stop(call: Call) -> Any:
    """End a recurring schedule."""
    await (await call.broker()).delayed.stop(call.path["key"])
    return Done()


async def pause(call: Call) -> Any:
    """Halt a recurring schedule. What passes meanwhile never fires."""
    await (await call.broker()).delayed.pause(call.path["key"])
    return Done()


async def resume(call: Call) -> Any:
    """Let a paused schedule go on from now."""
    await (await call.broker()).delayed.resume(call.path["key"])
    return Done()


OPERATIONS: Final = (
    Operation("list_delayed", "GET", "/delayed", delayed, list[Scheduled], query=DelayedQuery),
    Operation("delay_status", "GET", "/delayed/status", delay_status, DelayInfo),
    Operation("cancel_delayed", "DELETE", "/delayed/{id}", cancel, Done),
    Operation("reschedule_delayed", "POST", "/delayed/{id}/reschedule", reschedule, Done, body=Rescheduling),
    Operation("fire_delayed", "POST", "/delayed/{id}/fire", fire, Done),
    Operation("list_recurring", "GET", "/recurring", recurring, listing_of(Recurring), query=RecurringQuery),
    Operation("repeat", "PUT", "/recurring/{key}", repeat, Recurring, body=Repetition),
    Operation("stop_recurring", "DELETE", "/recurring/{key}", stop, Done),
    Operation("pause_recurring", "POST", "/recurring/{key}/pause", pause, Done),
    Operation("resume_recurring", "POST", "/recurring/{key}/resume", resume, Done),
)
