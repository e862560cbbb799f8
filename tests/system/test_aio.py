"""The asyncio client and a real broker: the same behaviour as the blocking one, kills under load, cancellation.

What both clients promise is written once, as a coroutine, and run with both (`tests/support/both_clients.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
import signal
from typing import Any, Final

import pytest

from posthouse import aio, errors
from posthouse.testing.broker import BrokerProcess
from tests.support.audit import Audit, body_of, entry_of
from tests.support.both_clients import Test, connected, with_both

BURST: Final = 50


def in_loop(test: Test) -> Any:
    """Run as a task, with the broker the test may harm."""

    def run(process: BrokerProcess) -> None:
        async def main() -> None:
            async with asyncio.timeout(100.0):
                await test(process)

        asyncio.run(main())

    run.__name__ = test.__name__
    return run


# ---- what both clients promise ----


@with_both
async def test_topology_is_declared_looked_at_and_removed(broker: Any, queue: str) -> None:
    exchange = f"{queue}-exchange"
    await broker.declare_exchange(exchange, "topic")
    with pytest.raises(errors.PreconditionFailed):
        await broker.declare_exchange(exchange, "fanout")
    await broker.bind(exchange, queue, "a.*")
    assert (exchange, queue) in [(one.source, one.destination) for one in await broker.bindings()]
    assert (await broker.explain(exchange, routing_key="a.b")).queues == [queue]
    await broker.unbind(exchange, queue, "a.*")
    other = f"{queue}-other"
    await broker.declare_exchange(other, "fanout")
    await broker.bind_exchange(exchange, other, "#")
    await broker.unbind_exchange(exchange, other, "#")
    status = await broker.status()
    assert (status["healthy"], status["consumers"]) == (True, len(await broker.consumers()))
    assert f"queue:{queue}" in {node["id"] for node in await broker.tree()}
    assert {exchange, other} <= {one.name for one in await broker.exchanges()}
    await broker.delete_exchange(other)
    await broker.delete_exchange(exchange)
    with pytest.raises(errors.UnknownExchange):
        await broker.publish(exchange, b"x", timeout_s=60.0)
    chosen = (await broker.declare_queue(exclusive=True)).name
    assert chosen in {one.name for one in await broker.queues()}
    assert await broker.delete_queue(chosen) == 0
    with pytest.raises(errors.UnknownQueue):
        await broker.queue_info(chosen)


@with_both
async def test_arguments_are_refused_before_anything_is_sent(broker: Any, queue: str) -> None:
    for refused in (
        broker.publish("", "text", queue),
        broker.publish("", b"x", queue, colour="red"),
        broker.publish("", b"x", queue, timeout_s=-1),
        broker.publish("", b"x", 7),
        broker.declare_queue("q" * 300),
        broker.declare_queue(queue, colour="red"),
        broker.peek(queue, -1),
        broker.get(""),
    ):
        with pytest.raises(errors.InvalidArgument):
            await refused
    with pytest.raises(errors.InvalidArgument):
        broker.consume(queue, prefetch=0)
    assert (await broker.queue_info(queue)).ready == 0


@with_both
async def test_a_publish_is_confirmed_or_refused(broker: Any, queue: str) -> None:
    receipt = await broker.publish("", b"x", queue, dedup_id=f"{queue}-1", durability="os")
    assert (receipt.queues, receipt.duplicate) == ([queue], False)
    assert (await broker.publish("", b"x", queue, dedup_id=f"{queue}-1")).duplicate
    with pytest.raises(errors.Unroutable):
        await broker.publish("", b"x", "nobody-has-this-name")
    assert await broker.purge_queue(queue) == 1


@with_both
async def test_messages_are_looked_at_taken_and_settled(broker: Any, queue: str) -> None:
    headers = {"carrier": "UA", "delay": 3}
    await broker.publish("", b"one", queue, headers, message_id="1", correlation_id="c", reply_to="r", content_type="t")
    [shown] = await broker.peek(queue)
    with pytest.raises(errors.InvalidArgument):
        await shown.ack()
    message = await broker.get(queue)
    assert (message.body, message.headers, message.routing_key, message.exchange) == (b"one", headers, queue, "")
    assert (message.message_id, message.correlation_id, message.reply_to) == ("1", "c", "r")
    assert (message.content_type, message.attempt, message.redelivered, message.offset) == ("t", 1, False, 1)
    assert message.published_at.tzinfo is not None
    await message.nack()
    async with broker.consume(queue) as messages:
        again = await messages.__anext__()
        assert (again.attempt, again.redelivered) == (2, True)
        await again.reject("not wanted", error=ValueError("bad"))
        assert await messages.get(timeout_s=0.1) is None
    await broker.publish("", b"two", queue)
    assert (await broker.get(queue, auto_ack=True)).body == b"two"
    assert await broker.get(queue) is None
    info = await broker.queue_info(queue)
    assert (info.ready, info.unacked, info.rejected) == (0, 0, 1)


@with_both
async def test_what_a_closed_consumer_did_not_settle_returns(broker: Any, queue: str) -> None:
    async with broker.publisher("") as out:
        await out.send_many([b"%d" % number for number in range(10)], queue)
    async with broker.consume(queue, exclusive=True) as messages:
        with pytest.raises(errors.ResourceLocked):
            await broker.consume(queue).__aenter__()
        taken: list[Any] = []
        while len(taken) < 10:
            taken += await messages.batch(10 - len(taken))
        await messages.ack_all(taken[:4])
    assert (await broker.queue_info(queue)).ready == 6


@with_both
async def test_flush_lists_what_was_refused(broker: Any, queue: str) -> None:
    async with broker.publisher("") as out:
        for key in (queue, "nobody-has-this-name", queue):
            await out.send(b"x", key)
        with pytest.raises(errors.PublishError) as error:
            await out.flush(timeout_s=60.0)
        assert [number for number, _ in error.value.refused] == [2]
        await out.flush()
    assert (await broker.queue_info(queue)).ready == 2


@pytest.mark.parametrize("client", ["blocking", "asyncio"])
def test_a_deadline_that_passes_says_that_the_outcome_is_unknown(process: BrokerProcess, client: str) -> None:
    async def main() -> None:
        async with connected(client, process.ipc) as broker:
            await broker.declare_queue("q")
            await broker.publish("", b"first", "q")
            process.kill("queue:q", signal.SIGSTOP)
            with pytest.raises(errors.OutcomeUnknown):
                await broker.publish("", b"second", "q", timeout_s=0.2)
            process.kill("queue:q", signal.SIGCONT)
            await broker.publish("", b"third", "q")
            found = [message.body for message in await broker.peek("q")]
            assert found == [b"first", b"second", b"third"]

    asyncio.run(main())


@pytest.mark.parametrize("client", ["blocking", "asyncio"])
def test_who_finds_no_broker_is_told_so(client: str, tmp_path: Any) -> None:
    async def main() -> None:
        with pytest.raises(errors.BrokerNotRunning):
            async with connected(client, f"ipc://{tmp_path}"):
                raise AssertionError("there is no broker")
        with pytest.raises(errors.BrokerNotRunning, match=r"within 0\.1 s"):
            async with connected(client, "tcp://127.0.0.1:1", 0.1):
                raise AssertionError("there is no broker")

    asyncio.run(main())


# ---- what tasks make possible ----


@in_loop
async def test_hundreds_of_tasks_share_a_connection(process: BrokerProcess) -> None:
    async with aio.connect(process.ipc) as broker:
        await broker.declare_queue("q")

        async def publish(task: int) -> None:
            for number in range(10):
                receipt = await broker.publish("", b"%d" % (10 * task + number), "q")
                assert receipt.queues == ["q"]

        async def take() -> list[int]:
            found = []
            async with broker.consume("q", prefetch=50) as messages:
                while (message := await messages.get(timeout_s=1.0)) is not None:
                    found.append(int(message.body))
                    await message.ack()
            return found

        takers = [asyncio.create_task(take()) for _ in range(5)]
        await asyncio.gather(*(publish(task) for task in range(300)))
        found = [number for taken in await asyncio.gather(*takers) for number in taken]
        assert sorted(found) == list(range(3_000))


@in_loop
async def test_cancelled_tasks_lose_nothing_for_the_others(process: BrokerProcess) -> None:
    source = random.Random(7)
    async with aio.connect(process.ipc) as broker:
        await broker.declare_queue("q")
        confirmed: set[bytes] = set()

        async def work(number: int) -> None:
            body = b"%d" % number
            if number % 3 == 0:
                message = await broker.get("q")
                if message is not None:
                    await message.nack()
            elif number % 3 == 1:
                async with broker.consume("q", prefetch=5) as messages:
                    await messages.get(timeout_s=0.2)
            else:
                await broker.publish("", body, "q")
                confirmed.add(body)

        for _ in range(5):
            tasks = [asyncio.create_task(work(number)) for number in range(120)]
            for _ in range(60):
                await asyncio.sleep(0)
                source.choice(tasks).cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results
        async with asyncio.timeout(20.0):
            while (info := await broker.queue_info("q")).unacked or info.consumers:
                await asyncio.sleep(0)
        assert confirmed <= {message.body for message in await broker.peek("q", 1_000)}
        assert broker._wire._waiting == {}
        assert broker._session._subscriptions == {}
        assert broker._session._calls == {}


@in_loop
async def test_senders_wait_while_the_queue_stands_still(process: BrokerProcess) -> None:
    async with aio.connect(process.ipc, timeout_s=0.5) as broker:
        await broker.declare_queue("q")
        out = broker.publisher("", window=100)
        process.kill("queue:q", signal.SIGSTOP)
        sent = 0
        with contextlib.suppress(errors.NotDone):
            while sent < 10_000:
                sent = await out.send(b"%d" % (sent + 1), "q")
        assert 100 <= sent <= 3_000
        process.kill("queue:q", signal.SIGCONT)
        await out.flush(timeout_s=60.0)
        assert (await broker.queue_info("q")).ready == sent


# ---- kills under load ----


async def publish_bursts(stream: int, broker: aio.Broker, audit: Audit, is_over: asyncio.Event) -> None:
    """Bursts through a publisher, each confirmed before the next."""
    out = broker.publisher("all")
    number = 0
    while not is_over.is_set():
        for number in range(number + 1, number + 1 + BURST):  # noqa: B020 - counts on from burst to burst
            audit.attempt(stream, number)
            await out.send(body_of(stream, number))
        while not await is_confirmed(out):
            pass  # A deadline that passes is no failure: the client goes on sending what is unconfirmed.
        audit.confirm(stream, number)
    await out.close()


async def is_confirmed(out: aio.Publisher) -> bool:
    [ended] = await asyncio.gather(out.flush(timeout_s=5.0), return_exceptions=True)
    assert ended is None or (isinstance(ended, errors.PublishError) and not ended.refused), ended
    return ended is None


async def publish_singly(stream: int, broker: aio.Broker, audit: Audit, is_over: asyncio.Event) -> None:
    """One message after the other; what is unknown is repeated under its dedup_id."""
    for number in itertools.count(1):
        if is_over.is_set():
            return
        audit.attempt(stream, number)
        while True:
            with contextlib.suppress(errors.Unavailable):
                await broker.publish("all", body_of(stream, number), dedup_id=f"{stream}-{number}", timeout_s=5.0)
                break
        audit.confirm(stream, number)


async def consume(broker: aio.Broker, book: bytearray) -> None:
    async for message in broker.consume("q", prefetch=200):
        book += entry_of(message.body, message.attempt)
        await message.ack()


@in_loop
async def test_kills_under_load_lose_nothing_and_invent_nothing(process: BrokerProcess) -> None:
    audit, book, is_over = Audit(), bytearray(), asyncio.Event()
    async with (
        aio.connect(process.ipc, timeout_s=60.0) as broker,
        aio.connect(process.tcp, timeout_s=60.0) as through_door,
    ):
        await broker.declare_exchange("all", "fanout")
        await broker.declare_queue("q")
        await broker.bind("all", "q")
        consuming = asyncio.create_task(consume(broker, book))
        publishing = [
            asyncio.create_task(publish(stream, connection, audit, is_over))
            for stream, (publish, connection) in enumerate(
                itertools.product((publish_bursts, publish_singly), (broker, through_door)), start=1
            )
        ]
        for target in ["queue:q", "exchange:all", "registry", "door", "broker", "queue:q", "exchange:all", "broker"]:
            before = audit.confirmed
            async with asyncio.timeout(60.0):
                while audit.confirmed < before + 4 * BURST:
                    assert not any(task.done() for task in (consuming, *publishing))
                    await asyncio.to_thread(process.wait_up, "queue:q")
            await asyncio.to_thread(process.restart if target == "broker" else functools.partial(process.kill, target))
        is_over.set()
        async with asyncio.timeout(60.0):
            await asyncio.gather(*publishing)
            while audit.missing([bytes(book)]):
                assert not consuming.done()
                await asyncio.to_thread(process.wait_up, "queue:q")
        consuming.cancel()
        await asyncio.gather(consuming, return_exceptions=True)
    assert audit.unconfirmed == 0
    assert audit.faults("q", [bytes(book)]) == []
