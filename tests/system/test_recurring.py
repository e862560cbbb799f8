"""Recurring schedules with real processes: on time, through both clients, once for each instant whoever dies."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

import posthouse
from posthouse.errors import InvalidArgument, UnknownDelayed, UnknownExchange
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.support.both_clients import with_both


def instants(messages: list[posthouse.Message], key: str) -> list[datetime]:
    """What the messages of a schedule are for."""
    found = []
    for message in messages:
        assert message.headers is not None
        assert message.headers["x-schedule-key"] == key
        found.append(datetime.fromisoformat(message.headers["x-scheduled-for"]))
    return found


@with_both
async def test_a_schedule_fires_until_it_is_stopped(broker: Any, queue: str) -> None:
    made = await broker.delayed.repeat("", b"tick", key=queue, every_s=0.2, routing_key=queue, headers={"a": 1})
    again = await broker.delayed.repeat("", b"tick", key=queue, every_s=0.2, routing_key=queue, headers={"a": 1})
    assert again.schedule_id == made.schedule_id
    came: list[datetime] = []
    async with broker.consume(queue) as messages:
        while len(came) < 5:
            message = await messages.get(timeout_s=60.0)
            assert message is not None
            assert (message.body, message.headers["a"], message.headers["x-schedule-key"]) == (b"tick", 1, queue)
            came.append(datetime.fromisoformat(message.headers["x-scheduled-for"]))
            assert datetime.now(UTC) >= came[-1]
            await message.ack()
    assert came == [made.next_at[0] + timedelta(milliseconds=200 * one) for one in range(5)]
    await broker.delayed.pause(queue)
    (paused,) = [one for one in await broker.delayed.recurring() if one.key == queue]
    assert (paused.is_paused, paused.next_at) == (True, ())
    await broker.delayed.resume(queue)
    await broker.delayed.stop(queue)
    assert queue not in [one.key for one in await broker.delayed.recurring()]
    with pytest.raises(UnknownDelayed):
        await broker.delayed.stop(queue)


@with_both
async def test_what_the_broker_cannot_read_it_refuses(broker: Any, queue: str) -> None:
    before = await broker.delayed.recurring()
    for wish in (
        {"cron": "every day"},
        {"cron": "0 0 30 2 *"},
        {"cron": "61 * * * *"},
        {"cron": "* * * * *", "zone": "Europe/Atlantis"},
        {"every_s": 5, "until": datetime(2001, 1, 1, tzinfo=UTC)},
    ):
        with pytest.raises(InvalidArgument):
            await broker.delayed.repeat("", b"x", key=queue, routing_key=queue, **wish)
    with pytest.raises(UnknownExchange):
        await broker.delayed.repeat("never declared", b"x", key=queue, every_s=5)
    assert await broker.delayed.recurring() == before


def test_whoever_is_killed_each_instant_comes_once(process: BrokerProcess) -> None:
    broker = process.connect(timeout_s=60.0)
    broker.declare_exchange("struck", "fanout")
    for queue in ("left", "right"):
        broker.declare_queue(queue)
        broker.bind("struck", queue)
    made = broker.delayed.repeat("struck", b"tick", key="k", every_s=0.1, max_count=80, misfire="all")
    for count, victim in enumerate(["delay", "exchange:struck", "queue:left", "delay", "registry", "delay"], start=1):
        eventually(lambda: broker.queue_info("right").ready >= 8 * count, 60.0)  # noqa: B023
        process.kill(victim)
    process.restart()
    broker = process.connect(timeout_s=60.0)
    expected = [made.next_at[0] + timedelta(milliseconds=100 * one) for one in range(80)]
    for queue in ("left", "right"):
        eventually(lambda: broker.queue_info(queue).ready == 80, 60.0)  # noqa: B023
        assert sorted(instants(broker.peek(queue, 200), "k")) == expected
    assert broker.delayed.recurring() == []


@pytest.mark.parametrize("misfire", ["all", "once", "skip"])
def test_after_a_downtime_the_policy_decides(process: BrokerProcess, misfire: str) -> None:
    broker = process.connect()
    broker.declare_queue("q")
    start = datetime.now(UTC) + timedelta(seconds=0.7)
    broker.delayed.repeat("", b"x", key="k", every_s=0.5, routing_key="q", start_at=start, misfire=misfire)
    eventually(lambda: broker.queue_info("q").ready >= 1)
    process.stop()
    down_at = time.time()
    eventually(lambda: time.time() > down_at + 2.6)
    process.start()
    up_at = time.time()
    broker = process.connect()
    eventually(lambda: broker.delayed.recurring()[0].next_at[0].timestamp() > up_at + 1.0)
    broker.delayed.stop("k")
    came = instants(broker.peek("q", 100), "k")
    assert came == sorted(set(came))
    missed = [one for one in came if down_at < one.timestamp() < up_at - 1.6]
    if misfire == "all":
        assert {later - earlier for earlier, later in pairwise(came)} == {timedelta(seconds=0.5)}
        assert missed
    else:
        assert len(missed) <= (misfire == "once")


def test_the_command_line_makes_lists_and_stops_schedules(shared: BrokerProcess) -> None:
    at = ("--data", str(shared.data))
    shared.connect().declare_queue("rung")
    made = run_command(
        "delayed", "repeat", "", "ding", "--routing-key", "rung", "--key", "bell", "--every", "200ms", *at
    )
    assert made.returncode == 0
    assert "every 0.2 s" in made.stdout
    nightly = ("delayed", "repeat", "", "x", "--key", "night", "--cron", "30 2 * * *", "--zone", "Europe/Berlin")
    assert run_command(*nightly, *at).returncode == 0
    assert "30 2 * * * Europe/Berlin" in run_command("delayed", "recurring", *at).stdout
    listed = json.loads(run_command("delayed", "recurring", "--json", *at).stdout)
    assert {one["key"]: one["zone"] for one in listed} == {"bell": None, "night": "Europe/Berlin"}
    eventually(lambda: shared.connect().queue_info("rung").ready > 0)
    for key in ("bell", "night"):
        assert run_command("delayed", "stop", key, *at).returncode == 0
    assert run_command("delayed", "stop", "bell", *at).returncode == 1
