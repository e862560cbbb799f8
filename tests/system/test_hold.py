"""Nobody is subscribed yet: what was published before its queue waits in the exchange, with real processes that die."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import posthouse
from posthouse.errors import (
    InvalidArgument,
    PreconditionFailed,
    UnknownExchange,
    UnknownQueue,
    Unroutable,
)
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.support.both_clients import with_both


async def bodies_of(broker: Any, queue: str, count: int) -> list[bytes]:
    """The messages of a queue, once there are so many."""
    async with asyncio.timeout(15.0):
        while (await broker.queue_info(queue)).ready < count:
            pass
    return [message.body for message in await broker.peek(queue, count=1_000)]


@with_both
async def test_what_is_published_before_its_queue_is_bound_arrives_when_it_is(broker: Any, queue: str) -> None:
    exchange = f"{queue}-early"
    await broker.declare_exchange(exchange, "topic")
    for number in range(5):
        receipt = await broker.publish(exchange, b"%d" % number, "a.b" if number != 2 else "other")
        assert (receipt.held, receipt.queues, receipt.durability) == (True, [], "sync")
    (first, *_) = await broker.held.list(exchange)
    assert (first.number, first.exchange, first.routing_key, first.size) == (1, exchange, "a.b", 1)
    assert [one.number for one in await broker.held.list(exchange, limit=2, after=3)] == [4, 5]
    (info,) = [info for info in await broker.exchanges() if info.name == exchange]
    assert (info.held, info.unrouted) == (5, "hold")
    assert (await broker.explain(exchange, routing_key="x")).unrouted == "hold"
    await broker.bind(exchange, queue, "a.*")
    assert await bodies_of(broker, queue, 4) == [b"0", b"1", b"3", b"4"]
    assert (await broker.publish(exchange, b"5", "a.b")).queues == [queue]
    assert await broker.held.release(exchange, queue) == 1
    assert await bodies_of(broker, queue, 6) == [b"0", b"1", b"3", b"4", b"5", b"2"]
    found = await broker.held.status(exchange)
    assert (found.messages, found.held, found.released) == (0, 5, 5)


@with_both
async def test_limits_and_expiry_make_dead_letters_of_the_oldest(broker: Any, queue: str) -> None:
    exchange = f"{queue}-brief"
    await broker.declare_exchange(exchange, "topic", hold_for_s=3600, hold_max_length=2, hold_max_bytes=1_000_000)
    ids = []
    for number in range(4):
        await broker.publish(exchange, b"%d" % number, "k", message_id=f"{exchange}-{number}")
        ids.append(f"{exchange}-{number}")
    assert [one.message_id for one in await broker.held.list(exchange)] == ids[2:]
    assert await broker.held.expire(exchange) == 2
    async with asyncio.timeout(15.0):
        while True:
            dead = await broker.dead_letters.list(reason="no_subscriber")
            found = [letter for letter in dead if letter.exchange == exchange]
            if len(found) == 4:
                break
    assert [letter.message_id for letter in found] == ids
    redriven = await broker.dead_letters.redrive(ids=[letter.id for letter in found], to=queue)
    assert (redriven.state, redriven.moved) == ("done", 4)
    assert await bodies_of(broker, queue, 4) == [b"0", b"1", b"2", b"3"]
    await broker.delete_exchange(exchange)


@with_both
async def test_the_policy_dead_letter_and_the_default_of_what_goes_by_itself(broker: Any, queue: str) -> None:
    mourning, fleeting = f"{queue}-mourning", f"{queue}-fleeting"
    await broker.declare_exchange(mourning, "topic", unrouted="dead-letter")
    receipt = await broker.publish(mourning, b"x", "k", message_id=mourning)
    assert (receipt.held, receipt.queues) == (False, [])
    async with asyncio.timeout(15.0):
        while mourning not in {letter.message_id for letter in await broker.dead_letters.list(reason="no_subscriber")}:
            pass
    await broker.declare_exchange(fleeting, "topic", auto_delete=True)
    with pytest.raises(Unroutable):
        await broker.publish(fleeting, b"x", "k")


@with_both
async def test_bad_input_is_refused_and_changes_nothing(broker: Any, queue: str) -> None:
    exchange = f"{queue}-careful"
    wrong: list[dict[str, Any]] = [
        {"hold_for_s": 0},
        {"hold_for_s": -1},
        {"hold_for_s": float("nan")},
        {"hold_for_s": float("inf")},
        {"hold_for_s": 1e12},
        {"hold_for_s": "long"},
        {"hold_max_length": 0},
        {"hold_max_length": 1.5},
        {"hold_max_bytes": -5},
        {"hold_max_bytes": 1 << 62},
        {"hold_forever": True},
        {"unrouted": "drop", "hold_max_length": 5},
        {"unrouted": "keep"},
        {"unrouted": "hold", "auto_delete": True},
        {"unrouted": "hold", "alternate": "x"},
    ]
    for arguments in wrong:
        with pytest.raises(InvalidArgument):
            await broker.declare_exchange(exchange, "topic", **arguments)
    assert exchange not in {info.name for info in await broker.exchanges()}
    await broker.declare_exchange(exchange, "topic")
    with pytest.raises(PreconditionFailed, match="hold_max_length"):
        await broker.declare_exchange(exchange, "topic", hold_max_length=7)
    await broker.publish(exchange, b"x", "k")
    for limit in (0, 1_001, True, "5"):
        with pytest.raises(InvalidArgument):
            await broker.held.list(exchange, limit=limit)
    with pytest.raises(InvalidArgument):
        await broker.held.list(after=5)
    with pytest.raises(UnknownQueue):
        await broker.held.release(exchange, "nowhere")
    with pytest.raises(UnknownExchange):
        await broker.held.release(f"{exchange}-unknown")
    with pytest.raises(PreconditionFailed, match="held expire"):
        await broker.delete_exchange(exchange)
    assert [one.exchange for one in await broker.held.list() if one.exchange == exchange] == [exchange]
    await broker.declare_exchange(f"{exchange}-drops", "topic", unrouted="drop")
    with pytest.raises(PreconditionFailed, match="holds nothing"):
        await broker.held.expire(f"{exchange}-drops")
    assert (await broker.held.status(f"{exchange}-drops")).messages == 0
    await broker.bind(exchange, queue, "#")
    assert await bodies_of(broker, queue, 1) == [b"x"]
    await broker.delete_exchange(exchange)


@pytest.mark.parametrize("victim", ["exchange:early", "registry", "everything"])
def test_what_is_held_survives_kill_nine_and_is_released_once_and_in_order(process: BrokerProcess, victim: str) -> None:
    with process.connect() as broker:
        broker.declare_exchange("early", "topic")
        with broker.publisher("early") as out:
            for number in range(2_000):
                out.send(b"%d" % number, routing_key="k")
            out.flush(timeout_s=20.0)
        _kill(process, victim)
        broker.declare_queue("late")
        broker.bind("early", "late", "#")
        _kill(process, victim)
        with broker.publisher("early") as out:
            for number in range(2_000, 2_100):
                out.send(b"%d" % number, routing_key="k")
            out.flush(timeout_s=20.0)
        eventually(lambda: broker.held.status("early").leaving == 0, 60.0)
        assert broker.queue_info("late").ready == 2_100
        with broker.consume("late", auto_ack=True) as messages:
            found = [message.body for message in (messages.get(timeout_s=60.0) for _ in range(2_100)) if message]
        assert found == [b"%d" % number for number in range(2_100)]
        assert broker.held.status("early").messages == 0


def _kill(process: BrokerProcess, victim: str) -> None:
    if victim == "everything":
        process.kill_all()
        process.restart()
    else:
        before = process.generation_of(victim)
        process.kill(victim)
        process.wait_up(victim, before)


def test_the_command_line_lists_releases_and_expires(process: BrokerProcess) -> None:
    def run(*arguments: str) -> str:
        done = run_command(*arguments, "--data", str(process.data))
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("declare", "exchange", "early", "topic", "--hold-for", "2h", "--hold-max-length", "10")
    run("publish", "early", "hello", "--key", "k")
    (held,) = json.loads(run("held", "list", "--json"))
    assert (held["exchange"], held["routing_key"], held["size"]) == ("early", "k", 5)
    assert "early" in run("held", "list", "early")
    assert json.loads(run("held", "status", "early", "--json"))["hold_for_ms"] == 7_200_000
    assert "holds 1 of 10 messages" in run("held", "status", "early")
    run("declare", "queue", "q")
    assert run("held", "release", "early") == "released 0 of exchange early\n"
    assert run("held", "release", "early", "--to", "q") == "released 1 of exchange early\n"
    run("publish", "early", "again", "--key", "k")
    assert run("held", "expire", "early") == "1 of exchange early are dead letters now\n"
    with posthouse.connect(process.ipc) as broker:
        eventually(lambda: len(broker.dead_letters.list(reason="no_subscriber")) == 1)
        assert broker.queue_info("q").ready == 1
