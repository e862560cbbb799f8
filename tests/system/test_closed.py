"""What is closed, and a deadline that is none, are refused with a typed error by both clients, and nothing was sent."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from posthouse import aio
from posthouse.errors import InvalidArgument
from posthouse.testing.broker import BrokerProcess
from tests.support.both_clients import connected, with_both

NO_DEADLINES: Final[tuple[Any, ...]] = (-1, float("nan"), float("inf"), "soon", True)


@with_both
async def test_a_deadline_that_is_none_is_refused_before_anything_is_sent(broker: Any, queue: str) -> None:
    for timeout_s in NO_DEADLINES:
        with pytest.raises(InvalidArgument, match="timeout_s"):
            await broker.publish("", b"never", queue, timeout_s=timeout_s)
    async with broker.publisher("") as out:
        for timeout_s in NO_DEADLINES:
            with pytest.raises(InvalidArgument, match="timeout_s"):
                await out.flush(timeout_s=timeout_s)
    assert (await broker.queue_info(queue)).ready == 0
    await broker.publish("", b"0", queue)
    async with broker.consume(queue) as messages:
        for timeout_s in NO_DEADLINES:
            with pytest.raises(InvalidArgument, match="timeout_s"):
                await messages.get(timeout_s=timeout_s)
            with pytest.raises(InvalidArgument, match="timeout_s"):
                await messages.batch(1, timeout_s=timeout_s)
        message = await messages.get(timeout_s=60.0)
        assert (message.body, message.attempt) == (b"0", 1)
        await message.ack()


@with_both
async def test_a_closed_publisher_and_a_closed_consumer_do_nothing(broker: Any, queue: str) -> None:
    async with broker.publisher("") as out:
        await out.send(b"0", queue)
    with pytest.raises(InvalidArgument, match="this publisher is closed"):
        await out.send(b"1", queue)
    with pytest.raises(InvalidArgument, match="this publisher is closed"):
        await out.send_many([b"1"], queue)
    await out.flush()
    assert (await broker.queue_info(queue)).ready == 1
    async with broker.consume(queue) as messages:
        pass
    with pytest.raises(InvalidArgument, match="this consumer is closed"):
        await messages.get(1.0)
    with pytest.raises(InvalidArgument, match="this consumer is closed"):
        await messages.batch(1, 1.0)
    assert (await broker.queue_info(queue)).ready == 1


@with_both
async def test_a_deadline_that_is_none_does_not_close(broker: Any, queue: str) -> None:
    with pytest.raises(InvalidArgument, match="timeout_s"):
        await broker.close(timeout_s=-1)
    assert (await broker.queue_info(queue)).name == queue


@pytest.mark.parametrize("client", ["blocking", "asyncio"])
def test_a_closed_connection_refuses_everything(shared: BrokerProcess, client: str) -> None:
    asyncio.run(refused_when_closed(shared, client))


async def refused_when_closed(shared: BrokerProcess, client: str) -> None:
    queue = f"of a closed {client} client"
    async with connected(client, shared.ipc) as broker:
        await broker.declare_queue(queue)
        for number in range(2):
            await broker.publish("", b"%d" % number, queue)
        out = broker.publisher("")
        await out.__aenter__()
        messages = broker.consume(queue)
        await messages.__aenter__()
        assert (await messages.get(10.0)).body == b"0"
    asked: Any = (
        lambda: broker.publish("", b"2", queue),
        lambda: broker.call("", b"2", queue),
        lambda: broker.get(queue),
        lambda: broker.peek(queue),
        lambda: broker.queues(),
        lambda: broker.delayed.list(),
        lambda: broker.dead_letters.list(),
        lambda: out.send(b"2", queue),
        lambda: messages.get(1.0),
        lambda: messages.batch(1, 1.0),
    )
    for ask in asked:
        with pytest.raises(InvalidArgument, match="this connection is closed"):
            await ask()
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        broker.publisher("")
    await broker.close()
    with shared.connect() as other:
        assert other.queue_info(queue).ready == 2, "what was not settled is back, and nothing came besides"


def test_an_address_is_a_text() -> None:
    with pytest.raises(InvalidArgument, match="an address is a text"):
        aio.connect(5)  # type: ignore[arg-type]
