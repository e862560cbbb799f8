"""Delayed messages with real processes: the blocking client and the one for asyncio do and refuse the same."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

from posthouse import errors
from tests.support.both_clients import with_both


@with_both
async def test_delayed_messages_are_named_looked_at_changed_and_come(broker: Any, queue: str) -> None:
    exchange = f"{queue}-exchange"
    await broker.declare_exchange(exchange, "fanout")
    await broker.bind(exchange, queue)
    cancelled = await broker.publish(exchange, b"cancelled", delay_s=3_600)
    fired = await broker.publish(exchange, b"fired", deliver_at=datetime.now(UTC) + timedelta(hours=2))
    put_off = await broker.publish(exchange, b"put off", delay_s=3_600, schedule_key=f"{queue} later")
    for body in (b"first", b"last"):
        await broker.publish(exchange, body, delay_s=3_600, schedule_key=queue)
    assert (put_off.queues, put_off.durability) == ([], "sync")
    listed = await broker.delayed.list(exchange)
    assert [one.schedule_key for one in listed] == [None, f"{queue} later", queue, None]
    assert [one.scheduled_id for one in await broker.delayed.list(schedule_key=queue)] == [listed[2].scheduled_id]
    await broker.delayed.cancel(cancelled.scheduled_id)
    await broker.delayed.fire(fired.scheduled_id)
    await broker.delayed.fire(schedule_key=queue)
    await broker.delayed.reschedule(None, datetime.now(UTC), schedule_key=f"{queue} later")
    async with broker.publisher(exchange) as out:
        await out.send(b"sent", delay_s=0.01)
        await out.send_many([b"many", b"more"], delay_s=[0.01, 0.02])
    came: list[bytes] = []
    async with broker.consume(queue) as messages:
        while len(came) < 6 and (message := await messages.get(timeout_s=60.0)) is not None:
            came.append(message.body)
            await message.ack()
    assert sorted(came) == [b"fired", b"last", b"many", b"more", b"put off", b"sent"]
    soon = datetime.now(UTC) + timedelta(seconds=1)
    for gone in (cancelled.scheduled_id, fired.scheduled_id, "999999999"):
        for change in (broker.delayed.cancel, broker.delayed.fire):
            with pytest.raises(errors.UnknownDelayed):
                await change(gone)
        with pytest.raises(errors.UnknownDelayed):
            await broker.delayed.reschedule(gone, soon)
    with pytest.raises(errors.UnknownDelayed):
        await broker.delayed.cancel(schedule_key=queue)
    assert await broker.delayed.list(exchange) == []


NEVER_MEANT: Final[tuple[dict[str, Any], ...]] = (
    *({"delay_s": delay_s} for delay_s in (-1, 0, math.nan, math.inf, 1e15)),
    {"deliver_at": datetime(2001, 1, 1, tzinfo=UTC)},
    {"deliver_at": datetime(2100, 1, 1)},
    {"deliver_at": datetime(9999, 1, 1, tzinfo=UTC)},
    {"delay_s": 1, "deliver_at": datetime(2100, 1, 1, tzinfo=UTC)},
    {"schedule_key": "k"},
)


@with_both
async def test_a_delay_that_nobody_can_mean_is_refused_and_changes_nothing(broker: Any, queue: str) -> None:
    kept = await broker.publish("", b"kept", queue, delay_s=3_600)
    before = await broker.delayed.info()
    async with broker.publisher("") as out:
        for options in NEVER_MEANT:
            for take in (broker.publish("", b"x", queue, **options), out.send(b"x", queue, **options)):
                with pytest.raises(errors.InvalidArgument):
                    await take
    for limit in (0, -1, 1_001, 1 << 70):
        with pytest.raises(errors.InvalidArgument):
            await broker.delayed.list(limit=limit)
    for moment in (datetime(2100, 1, 1), datetime(9999, 1, 1, tzinfo=UTC)):
        with pytest.raises(errors.InvalidArgument):
            await broker.delayed.reschedule(kept.scheduled_id, moment)
    with pytest.raises(errors.UnknownExchange):
        await broker.publish(f"{queue}-never-declared", b"x", delay_s=5)
    assert await broker.delayed.info() == before
    await broker.delayed.cancel(kept.scheduled_id)
