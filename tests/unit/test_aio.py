"""The asyncio client with a scripted broker: consumers and requests, and what cancelled tasks leave behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
from typing import Any

import pytest

import posthouse
from posthouse import aio
from posthouse.aio_wire import Wire
from posthouse.errors import BrokerNotRunning, InvalidArgument, NotDone, OutcomeUnknown
from posthouse.transport.messages import NIL, Cancel, Consume, Get, Outcome, QueueUnused, Reply, Settle
from tests.support.client_bench import QUEUE, delivery, raw
from tests.unit.test_aio_wire import PlayedPump, in_loop, passes, start

# ---- consuming ----


async def open_consumer(wire: Wire, pump: PlayedPump, prefetch: int = 10, **how: Any) -> tuple[aio.Consumer, int]:
    """An open consumer and its number."""
    if QUEUE not in pump.bench.actors:
        pump.bench.live(QUEUE)
    consumer = aio.Broker(wire, 5.0).consume("q", prefetch, **how)

    async def opening() -> aio.Consumer:
        return await consumer

    [task] = await start(opening())
    [asked] = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Consume)]
    pump.bench.say(QUEUE, Reply(asked.request, NIL))
    pump.signal()
    assert await task is consumer
    return consumer, asked.consumer


def deliver(pump: PlayedPump, number: int, first: int, *bodies: bytes) -> None:
    pump.bench.say(QUEUE, delivery(first, *bodies, consumer=number))
    pump.signal()


@in_loop
async def test_tasks_that_share_a_consumer_share_its_messages(wire: Wire, pump: PlayedPump) -> None:
    consumer, number = await open_consumer(wire, pump)
    tasks = await start(*(consumer.get() for _ in range(4)))
    deliver(pump, number, 1, b"1", b"2", b"3", b"4")
    assert sorted(message.body for message in await asyncio.gather(*tasks)) == [b"1", b"2", b"3", b"4"]
    assert await consumer.get(timeout_s=0.0) is None
    assert await consumer.batch(5, timeout_s=0.0) == []
    deliver(pump, number, 5, b"5", b"6", b"7")
    assert [message.body for message in await consumer.batch(2)] == [b"5", b"6"]


@in_loop
async def test_settlements_of_one_pass_leave_together(wire: Wire, pump: PlayedPump) -> None:
    consumer, number = await open_consumer(wire, pump, prefetch=1_000)
    deliver(pump, number, 1, *[b"x"] * 6)
    taken = await consumer.batch(6)
    await passes(3)
    pushes = pump.pushes
    for message in taken[:4]:
        await message.ack()
    assert pump.pushes == pushes
    await passes(3)
    assert pump.pushes == pushes + 1, "nobody else would send them"
    await taken[4].nack()
    await taken[5].reject("bad")
    await passes(3)
    settles = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Settle)]
    assert [(settle.outcome, settle.ranges, settle.requeue, settle.reason) for settle in settles] == [
        (Outcome.ACK, [1, 4], False, ""),
        (Outcome.NACK, [5, 5], True, ""),
        (Outcome.REJECT, [6, 6], False, "bad"),
    ]
    with pytest.raises(InvalidArgument, match="nothing to settle"):
        await taken[0].ack()


@in_loop
async def test_many_acks_at_once_are_one_range(wire: Wire, pump: PlayedPump) -> None:
    consumer, number = await open_consumer(wire, pump)
    deliver(pump, number, 1, *[b"x"] * 10)
    await consumer.ack_all(await consumer.batch(10))
    settles = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Settle)]
    assert [settle.ranges for settle in settles] == [[1, 10]]


@in_loop
async def test_an_acked_delivery_has_nothing_to_settle(wire: Wire, pump: PlayedPump) -> None:
    consumer, number = await open_consumer(wire, pump, auto_ack=True)
    deliver(pump, number, 1, b"x")
    message = await anext(consumer)
    with pytest.raises(InvalidArgument, match="nothing to settle"):
        await message.ack()


@in_loop
async def test_a_consumer_whose_opening_is_cancelled_is_closed_and_may_be_opened_again(
    wire: Wire, pump: PlayedPump
) -> None:
    pump.bench.live(QUEUE)
    consumer = aio.Broker(wire, 5.0).consume("q")
    first, second = await start(consumer.get(), consumer.get())
    first.cancel()
    with pytest.raises(NotDone):
        await second
    heard = [one for one in pump.bench.heard(QUEUE) if isinstance(one, Consume | Cancel)]
    assert [type(one) for one in heard] == [Consume, Cancel]
    [third] = await start(consumer.get())
    [again] = [one for one in pump.bench.heard(QUEUE) if isinstance(one, Consume)]
    assert again.consumer != heard[0].consumer
    third.cancel()
    await passes(3)


@in_loop
async def test_a_consumer_that_cannot_be_opened_says_why_or_that_nobody_answered(wire: Wire, pump: PlayedPump) -> None:
    consumer = aio.Broker(wire, 0.05).consume("q")
    with pytest.raises(BrokerNotRunning, match="nothing was consumed"):
        async with consumer:
            raise AssertionError("it was not opened")
    pump.bench.die(QUEUE, "unknown")
    [task] = await start(anext(consumer))
    pump.signal()
    with pytest.raises(posthouse.errors.UnknownQueue):
        await task


@in_loop
async def test_closing_ends_iteration_in_other_tasks(wire: Wire, pump: PlayedPump) -> None:
    consumer, _ = await open_consumer(wire, pump)

    async def iterate() -> int:
        return len([message async for message in consumer])

    [iterating, getting, closing] = await start(iterate(), consumer.get(), consumer.close())
    assert await iterating == 0
    with pytest.raises(InvalidArgument, match="this consumer is closed"):
        await getting
    [cancel] = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Cancel)]
    pump.bench.say(QUEUE, Reply(cancel.request, NIL))
    pump.signal()
    await closing
    await consumer.close()


@in_loop
async def test_closing_the_connection_ends_iteration_too(wire: Wire, pump: PlayedPump) -> None:
    consumer, _ = await open_consumer(wire, pump)
    iterating, getting = await start(anext(consumer, None), consumer.get())
    await wire.close()
    assert await iterating is None
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        await getting
    await consumer.close()


@in_loop
async def test_a_queue_that_goes_ends_its_consumers_with_the_reason(wire: Wire, pump: PlayedPump) -> None:
    consumer, _ = await open_consumer(wire, pump)
    [task] = await start(anext(consumer))
    pump.bench.die(QUEUE, "unknown", "deleted")
    pump.signal()
    with pytest.raises(posthouse.errors.UnknownQueue):
        await task
    await consumer.close()


@in_loop
async def test_a_forgotten_consumer_is_closed_with_the_last_message_it_gave(wire: Wire, pump: PlayedPump) -> None:
    consumer, number = await open_consumer(wire, pump)
    deliver(pump, number, 1, b"1", b"2")
    held = await consumer.get()
    assert held is not None
    pump.bench.heard(QUEUE)
    del consumer
    gc.collect()
    await passes(5)
    assert not [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Cancel)]
    await held.ack()
    del held
    gc.collect()
    await passes(5)
    said = [type(heard) for heard in pump.bench.heard(QUEUE) if not isinstance(heard, QueueUnused)]
    assert said == [Settle, Cancel]


# ---- get ----


@in_loop
async def test_a_cancelled_get_gives_back_the_message_that_comes_too_late(wire: Wire, pump: PlayedPump) -> None:
    pump.bench.live(QUEUE)
    broker = aio.Broker(wire, 5.0)
    cancelled, lost, kept = await start(broker.get("q"), broker.get("q", auto_ack=True), broker.get("q"))
    asked = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Get)]
    assert [get.auto_ack for get in asked] == [False, True, False]
    cancelled.cancel()
    lost.cancel()
    for offset, get in enumerate(asked, start=1):
        pump.bench.say(QUEUE, delivery(offset, b"%d" % offset, consumer=0))
        pump.bench.say(QUEUE, Reply(get.request, raw(offset)))
    pump.signal()
    message = await kept
    assert message.body == b"3"
    await passes(5)
    settles = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Settle)]
    assert [(settle.outcome, settle.ranges) for settle in settles] == [(Outcome.RELEASE, [1, 1])]
    assert not wire.session.getter("q", auto_ack=False).ready
    await message.ack()


# ---- the connection ----


@in_loop
async def test_a_request_is_forgotten_with_the_task_that_asked(wire: Wire, pump: PlayedPump) -> None:
    broker = aio.Broker(wire, 0.02)
    [task] = await start(broker.queues())
    task.cancel()
    await passes(2)
    assert wire.session._calls == {}
    with pytest.raises(OutcomeUnknown):
        await broker.queues()
    pump.is_connected = False
    with pytest.raises(BrokerNotRunning):
        await broker.queues()
    assert wire.session._calls == {}


@in_loop
async def test_a_closed_connection_refuses_everything(wire: Wire, pump: PlayedPump) -> None:
    broker = aio.Broker(wire, 5.0)
    [task] = await start(broker.queues())
    async with broker:
        pass
    with pytest.raises(OutcomeUnknown):
        await task
    for refused in (broker.queues(), broker.publish("ex", b"x"), broker.get("q"), broker.consume("q").get()):
        with pytest.raises(InvalidArgument, match="this connection is closed"):
            await refused
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        broker.publisher("ex")
    await broker.close()


@pytest.mark.parametrize(
    ("blocking", "asynchronous"),
    [
        (posthouse.Broker, aio.Broker),
        (posthouse.Publisher, aio.Publisher),
        (posthouse.Consumer, aio.Consumer),
        (posthouse.Message, aio.Message),
    ],
)
def test_both_clients_offer_the_same_with_the_same_arguments(blocking: type, asynchronous: type) -> None:
    for name, offered in inspect.getmembers(blocking):
        if name.startswith("_"):
            continue
        mirrored = getattr(asynchronous, name, None)
        if inspect.isfunction(offered):
            assert mirrored is not None, f"{asynchronous} has no {name}"
            assert parameters(mirrored) == parameters(offered), name
        elif isinstance(offered, property) and name != "epoch":
            assert isinstance(mirrored, property), name


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    found = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in found]


def test_connect_takes_the_same_arguments() -> None:
    assert parameters(aio.connect) == parameters(posthouse.connect)
