"""Publishing with asyncio: what travels together, who waits for room, and what a cancelled task leaves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import posthouse
from posthouse import aio
from posthouse.aio_wire import Wire
from posthouse.errors import InvalidArgument, NotDone, OutcomeUnknown, PublishError, Unroutable
from posthouse.transport.messages import Batch, Receipt
from tests.unit.test_aio_wire import PlayedPump, in_loop, passes, start, until

EXCHANGE = "exchange:ex"


def batches(pump: PlayedPump) -> list[Batch]:
    return [heard for heard in pump.bench.heard(EXCHANGE) if isinstance(heard, Batch)]


def confirm(pump: PlayedPump, batch: Batch, **fate: Any) -> None:
    """The exchange decides a whole batch."""
    pump.bench.say(EXCHANGE, Receipt(batch.stream, batch.first_seq, batch.count, **{"queues": ("q",), **fate}))
    pump.signal()


# ---- publishing ----


@in_loop
async def test_what_tasks_publish_together_is_one_batch_and_each_gets_the_receipt(wire: Wire, pump: PlayedPump) -> None:
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(EXCHANGE)
    tasks = await start(*(broker.publish("ex", b"%d" % number, "k") for number in range(300)))
    batch = batches(pump)[0]
    assert batch.count == 300
    confirm(pump, batch)
    receipts = await asyncio.gather(*tasks)
    assert [receipt.queues for receipt in receipts] == [["q"]] * 300


@in_loop
async def test_messages_with_a_dedup_id_travel_alone_and_others_with_their_identifiers(
    wire: Wire, pump: PlayedPump
) -> None:
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(EXCHANGE)
    tasks = await start(
        broker.publish("ex", b"1", "k", dedup_id="a"),
        broker.publish("ex", b"2", "k", dedup_id="a"),
        broker.publish("ex", b"3", "k"),
        broker.publish("ex", b"4", "k", message_id="four"),
    )
    found = batches(pump)
    assert [batch.count for batch in found] == [1, 1, 2]
    assert found[2].properties is not None
    for batch in found:
        confirm(pump, batch)
    await asyncio.gather(*tasks)


@in_loop
async def test_a_cancelled_publish_leaves_nothing_and_disturbs_no_other(wire: Wire, pump: PlayedPump) -> None:
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(EXCHANGE)
    tasks = await start(*(broker.publish("ex", b"%d" % number, "k") for number in range(3)))
    tasks[1].cancel()
    await passes(3)
    assert tasks[1].cancelled()
    [batch] = batches(pump)
    confirm(pump, batch)
    assert (await tasks[0]).queues == (await tasks[2]).queues == ["q"]
    [stream] = wire.session.streams()
    assert stream.waiters == {}
    assert wire._waiting == {}
    assert wire.session.is_settled


@in_loop
async def test_a_publish_whose_time_is_over_is_unknown_and_its_late_receipt_is_passed_over(
    wire: Wire, pump: PlayedPump
) -> None:
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(EXCHANGE)
    with pytest.raises(OutcomeUnknown):
        await broker.publish("ex", b"1", "k", timeout_s=0.02)
    [batch] = batches(pump)
    confirm(pump, batch, code="unroutable", text="nobody")
    await until(lambda: wire.session.is_settled)
    [task] = await start(broker.publish("ex", b"2", "k"))
    [batch] = batches(pump)
    confirm(pump, batch, code="unroutable", text="nobody")
    with pytest.raises(Unroutable):
        await task
    [stream] = wire.session.streams()
    assert stream.refused == []


@in_loop
async def test_everyone_who_publishes_to_an_exchange_that_goes_is_told_and_a_new_one_is_used(
    wire: Wire, pump: PlayedPump
) -> None:
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(EXCHANGE)
    tasks = await start(broker.publish("ex", b"1", "k"), broker.publish("ex", b"2", "k"))
    batches(pump)
    pump.bench.die(EXCHANGE, "unknown", "deleted")
    pump.signal()
    for failed in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(failed, posthouse.errors.UnknownExchange)
    pump.bench.live(EXCHANGE)
    [task] = await start(broker.publish("ex", b"3", "k"))
    [batch] = batches(pump)
    confirm(pump, batch)
    assert (await task).queues == ["q"]
    assert len(wire.session.streams()) == 1


@in_loop
async def test_publishing_waits_for_room_and_refuses_what_finds_none(wire: Wire, pump: PlayedPump) -> None:
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(EXCHANGE)
    big = b"x" * (1 << 20)
    tasks = await start(*(broker.publish("ex", big, "k") for _ in range(33)))
    with pytest.raises(NotDone, match="33 messages"):
        await broker.publish("ex", b"late", "k", timeout_s=0.02)
    [waiting] = await start(broker.publish("ex", b"patient", "k"))
    for batch in batches(pump):
        confirm(pump, batch)
    await asyncio.gather(*tasks)
    [batch] = batches(pump)
    confirm(pump, batch)
    assert (await waiting).queues == ["q"]


# ---- the publisher ----


@in_loop
async def test_a_publisher_coalesces_while_a_confirm_is_outstanding(wire: Wire, pump: PlayedPump) -> None:
    pump.bench.live(EXCHANGE)
    async with aio.Broker(wire, 5.0).publisher("ex") as out:
        assert await out.send(b"first", "k") == 1
        await passes(3)
        for number in range(2, 12):
            assert await out.send(b"more", "k") == number
        await passes(5)
        [first] = batches(pump)
        assert first.count == 1
        confirm(pump, first)
        await passes(8)
        [second] = batches(pump)
        assert second.count == 10
        confirm(pump, second, code="unroutable", text="nobody")
        with pytest.raises(PublishError) as refused:
            await out.flush()
        assert [number for number, _ in refused.value.refused] == list(range(2, 12))


@in_loop
async def test_a_full_window_holds_senders_back_and_a_cancelled_one_was_not_taken(wire: Wire, pump: PlayedPump) -> None:
    broker = aio.Broker(wire, 0.05)
    pump.bench.live(EXCHANGE)
    out = broker.publisher("ex", window=10)
    await out.send_many([b"x"] * 11, "k")
    [blocked] = await start(out.send(b"12", "k"))
    blocked.cancel()
    with pytest.raises(NotDone, match="11 messages"):
        await out.send(b"12", "k")
    with pytest.raises(PublishError) as error:
        await out.flush()
    assert error.value.unknown == list(range(1, 12))
    [waiting] = await start(out.send(b"12", "k"))
    [batch] = batches(pump)
    confirm(pump, batch)
    assert await waiting == 12
    await passes(5)
    [batch] = batches(pump)
    assert bytes(batch.bodies) == b"12"


@in_loop
async def test_a_task_that_only_sends_lets_others_run(wire: Wire, pump: PlayedPump) -> None:
    pump.bench.live(EXCHANGE)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    [counting] = await start(count())
    turns = 0
    out = aio.Broker(wire, 5.0).publisher("ex")
    for _ in range(10_000):
        await out.send(b"x", "k")
    assert turns >= 9
    counting.cancel()


@in_loop
async def test_a_publisher_that_is_left_by_an_error_does_not_wait(wire: Wire, pump: PlayedPump) -> None:
    pump.bench.live(EXCHANGE)
    out = aio.Broker(wire, 5.0).publisher("ex")
    await out.send(b"x", "k")
    await out.__aexit__(KeyError, KeyError(), None)
    await passes(3)
    assert len(batches(pump)) == 1
    assert wire.session.streams() == []
    with pytest.raises(InvalidArgument, match="this publisher is closed"):
        await out.send(b"x", "k")
