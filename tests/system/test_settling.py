"""A program that settles a message and does something else for long: the settlement leaves all the same."""

from __future__ import annotations

import asyncio
import threading

import pytest

import posthouse
from posthouse.message import Message
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually

SETTLE = {"ack": Message.ack, "nack": Message.nack, "reject": Message.reject}


@pytest.mark.parametrize("way", SETTLE)
@pytest.mark.parametrize("how", ["consume", "get"])
def test_a_settlement_leaves_while_the_program_is_away(shared: BrokerProcess, how: str, way: str) -> None:
    queue = f"away-{how}-{way}"
    with shared.connect() as program, shared.connect() as watcher:
        watcher.declare_queue(queue)
        watcher.publish("", b"x", queue)
        messages = program.consume(queue) if how == "consume" else None
        message = program.get(queue) if messages is None else messages.get(timeout_s=30)
        assert message is not None
        SETTLE[way](message)
        # Neither the consumer nor its connection is touched from here on.
        eventually(lambda: _has_left(watcher, queue), what=way)


def _has_left(watcher: posthouse.Broker, queue: str) -> bool:
    info = watcher.queue_info(queue)
    return info.acked + info.rejected + info.waiting + info.redelivered > 0


@pytest.mark.parametrize("way", SETTLE)
def test_with_asyncio_it_leaves_with_the_loop_and_no_thread_touches_the_socket(shared: BrokerProcess, way: str) -> None:
    queue = f"away-aio-{way}"

    async def settle_and_wait() -> None:
        async with posthouse.aio.connect(shared.ipc) as broker:
            messages = broker.consume(queue)
            message = await messages.get(timeout_s=30)
            assert message is not None
            await getattr(message, way)()
            # The loop runs and the connection is not touched from here on.
            await asyncio.to_thread(eventually, lambda: _has_left(watcher, queue), what=way)
            assert _stand_ins() == before

    with shared.connect() as watcher:
        watcher.declare_queue(queue)
        watcher.publish("", b"x", queue)
        before = _stand_ins()
        asyncio.run(settle_and_wait())


def _stand_ins() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "posthouse-stand-in"}
