"""Priorities, queues that expire and the outage breaker, with real processes and both clients."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest

import posthouse
from posthouse import Breaker, Retry
from posthouse.errors import InvalidArgument, PreconditionFailed, UnknownQueue
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually, for_a_while
from tests.support.both_clients import with_both

_numbers = itertools.count(1)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


def declare(broker: posthouse.Broker, **policies: Any) -> str:
    name = f"policies-{next(_numbers)}"
    broker.declare_queue(name, **policies)
    return name


# ---- priorities ----


@with_both
async def test_higher_priorities_leave_first_and_equals_in_their_order(broker: Any, queue: str) -> None:
    own = f"{queue}-ranked"
    await broker.declare_queue(own, priority=True)
    wanted = [3, 9, 0, None, 9, 3]
    for number, priority in enumerate(wanted):
        await broker.publish("", b"%d" % number, own, priority=priority)
    assert (await broker.queue_info(own)).ready_by_priority == (2, 0, 0, 2, 0, 0, 0, 0, 0, 2)
    order = [b"1", b"4", b"0", b"5", b"2", b"3"]
    assert [message.body for message in await broker.peek(own, 10)] == order
    first = await broker.get(own)
    await first.nack(retry_after_s=0)
    async with broker.consume(own) as messages:
        assert [(await messages.get(timeout_s=60.0)).body for _ in order] == order


@pytest.mark.parametrize("kills", [3])
def test_a_killed_queue_goes_on_in_the_order_of_priorities(process: BrokerProcess, kills: int) -> None:
    with process.connect() as broker:
        broker.declare_queue("ranked", priority=True)
        source = random.Random(7)
        sent: list[tuple[int, int]] = []
        with broker.publisher("") as out:
            for number in range(3_000):
                priority = source.randrange(10)
                sent.append((priority, number))
                out.send(b"%d %d" % (priority, number), "ranked", priority=priority)
        expected = sorted(sent, key=lambda one: (-one[0], one[1]))
        seen: list[tuple[int, int]] = []
        for _ in range(kills + 1):
            with broker.consume("ranked", prefetch=50) as messages:
                for _ in range(3_000 // (kills + 1)):
                    message = messages.get(timeout_s=20.0)
                    assert message is not None
                    priority, number = map(int, message.body.split())
                    seen.append((priority, number))
                    message.ack()
            # Counting reaches the queue behind the acks, and the sync of what is published then covers them.
            left = broker.queue_info("ranked").ready
            assert left == 3_000 - len(seen)
            process.kill("queue:ranked")
            process.wait_up("queue:ranked")
            assert sum(broker.queue_info("ranked").ready_by_priority) == left
        assert seen == expected


def test_too_many_lose_the_oldest_of_the_lowest_priority(broker: posthouse.Broker) -> None:
    queue = declare(broker, priority=True, max_length=3)
    for number, priority in enumerate((1, 5, 1, 5, 0)):
        broker.publish("", b"%d" % number, queue, priority=priority)
    assert [message.body for message in broker.peek(queue)] == [b"1", b"3", b"2"]


# ---- queues that expire ----


@with_both
async def test_a_queue_that_nobody_uses_goes_with_what_is_in_it(broker: Any, queue: str) -> None:
    own = f"{queue}-brief"
    await broker.declare_queue(own, expires_s=1.0)
    await broker.publish("", b"x", own)
    async with asyncio.timeout(15.0):
        while own in [info.name for info in await broker.queues()]:
            pass
    assert await broker.dead_letters.list(queue=own) == [], "what was in it is not dead, it is gone"
    with pytest.raises(UnknownQueue):
        await broker.get(own)


def test_a_consumer_or_a_declaration_keeps_a_queue_through_a_kill_and_afterwards_it_goes(
    process: BrokerProcess,
) -> None:
    with process.connect() as broker, process.connect() as looker:
        broker.declare_queue("brief", expires_s=1.0)

        def is_there() -> bool:
            return "brief" in [info.name for info in looker.queues()]

        with broker.consume("brief") as messages:

            def is_used() -> None:
                assert messages.get(timeout_s=0.05) is None
                assert is_there()

            for_a_while(is_used, 2.0)
            process.kill("queue:brief")
            for_a_while(is_used, 2.0)
        for_a_while(lambda: broker.declare_queue("brief", expires_s=1.0), 1.5)
        assert is_there()
        eventually(lambda: not is_there())
        assert broker.declare_queue("brief", expires_s=1.0).ready == 0


def test_whoever_declares_a_queue_that_is_about_to_go_has_one_that_stays(broker: posthouse.Broker) -> None:
    source = random.Random(3)
    for number in range(15):
        broker.declare_queue("on-the-edge", expires_s=0.3)
        with broker.consume("on-the-edge") as messages:
            broker.publish("", b"%d" % number, "on-the-edge")
            message = messages.get(timeout_s=60.0)
            assert message is not None
            message.ack()
        for_a_while(lambda: None, source.uniform(0.27, 0.33))


# ---- the outage breaker ----


def test_an_outage_pauses_the_queue_and_drains_nothing_and_its_end_is_found_by_one_message(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    policy = Breaker(window=5, failure_share=0.8, probe_after_s=0.1, max_probe_after_s=0.3)
    queue = declare(broker, breaker=policy, retry=Retry(max_attempts=2, first_delay_s=0.0, jitter=False))
    for number in range(20):
        broker.publish("", b"%d" % number, queue)
    failures = 0
    with broker.consume(queue, prefetch=5) as messages:
        while failures < 15:
            message = messages.get(timeout_s=60.0)
            assert message is not None
            message.nack(error=ConnectionError("the bank does not answer"))
            failures += 1
        info = broker.queue_info(queue)
        assert info.breaker in ("open", "probing")
        assert (info.breaker_opened, info.leaving, info.dead_lettered) == (1, 0, 0)
        done: set[bytes] = set()
        while len(done) < 20:
            message = messages.get(timeout_s=60.0)
            assert message is not None
            done.add(message.body)
            message.ack()
    info = broker.queue_info(queue)
    assert (info.breaker, info.acked, info.dead_lettered) == ("closed", 20, 0)
    lines = [line for line in shared.lines() if line.get("queue") == queue]
    assert [line["event"] for line in lines] == ["breaker_opened", "breaker_closed"]
    assert (lines[0]["level"], lines[0]["actor"]) == ("warning", f"queue:{queue}")


# ---- what is refused ----


@with_both
async def test_what_is_no_policy_is_refused_and_changes_nothing(broker: Any, queue: str) -> None:
    for wrong in (
        {"priority": 1}, {"priority": "yes"}, {"expires_s": 0}, {"expires_s": -1}, {"expires_s": float("nan")},
        {"expires_s": 1e30}, {"breaker": True}, {"breaker": 5},
    ):  # fmt: skip
        with pytest.raises(InvalidArgument):
            await broker.declare_queue("never-made", **wrong)
    for priority in (-1, 10, True, 1.5, "high"):
        with pytest.raises(InvalidArgument, match="priority"):
            await broker.publish("", b"x", queue, priority=priority)
    assert (await broker.queue_info(queue)).stored == 0
    with pytest.raises(PreconditionFailed, match="priority"):
        await broker.declare_queue(queue, priority=True)
    with pytest.raises(PreconditionFailed, match="breaker"):
        await broker.declare_queue(queue, breaker=Breaker())
    assert "never-made" not in [info.name for info in await broker.queues()]


def test_the_command_line_declares_and_publishes_with_priorities(
    shared: BrokerProcess, broker: posthouse.Broker
) -> None:
    data = ("--data", str(shared.data))
    policies = ("--priority", "--expires", "30m", "--breaker")
    for _ in range(2):
        assert run_command("declare", "queue", "typed", *policies, *data).returncode == 0
    for body, priority in (("low", "1"), ("high", "8")):
        assert run_command("publish", "", body, "--key", "typed", "--priority", priority, *data).returncode == 0
    (listed,) = [row for row in json.loads(run_command("queues", "--json", *data).stdout) if row["name"] == "typed"]
    assert (listed["ready_by_priority"][8], listed["breaker"], listed["breaker_opened"]) == (1, "closed", 0)
    assert [message.body for message in broker.peek("typed")] == [b"high", b"low"]
    refused = run_command("declare", "queue", "typed", "--breaker-policy", "window=0", *data)
    assert refused.returncode == 2
