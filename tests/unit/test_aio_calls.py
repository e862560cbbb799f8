"""Calls in an event loop with a scripted broker: callers, servers, and what cancelled and closed ones leave behind."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from posthouse import aio
from posthouse.aio_wire import Wire
from posthouse.errors import CallTimeout, InvalidArgument, NoResponders, NotDone, UnknownQueue
from posthouse.message import Message
from posthouse.transport.messages import (
    NIL,
    Batch,
    Cancel,
    Consume,
    Deliver,
    Failed,
    Options,
    Receipt,
    Reply,
    Settle,
)
from posthouse.transport.messages_calls import ReceiveReplies
from tests.support.call_bench import DEFAULT, RPC, batches, played_batch, reply_to, shown_headers
from tests.support.client_bench import QUEUE, raw
from tests.unit.test_aio_wire import PlayedPump, in_loop, passes, start, until

# ---- calling ----


async def listening(wire: Wire, pump: PlayedPump) -> aio.Broker:
    """A client whose replies are passed on."""
    broker = aio.Broker(wire, 5.0)
    pump.bench.live(DEFAULT)
    pump.bench.live(RPC)
    [task] = await start(broker.call("rpc", b"", timeout_s=0.001))
    [asked] = [heard for heard in pump.bench.heard(DEFAULT) if isinstance(heard, ReceiveReplies)]
    pump.bench.say(DEFAULT, Reply(asked.request, NIL))
    pump.signal()
    with pytest.raises((CallTimeout, NotDone)):
        await task
    batches(pump.bench, RPC)
    return broker


def requests_of(pump: PlayedPump) -> list[Batch]:
    return batches(pump.bench, RPC)


@in_loop
async def test_tasks_that_call_get_each_its_own_reply(wire: Wire, pump: PlayedPump) -> None:
    broker = await listening(wire, pump)
    tasks = await start(*(broker.call("rpc", str(n).encode()) for n in range(3)))
    asked = requests_of(pump)
    for request in reversed(asked):
        pump.bench.say(DEFAULT, reply_to(request, b"re " + bytes(request.bodies)))
    pump.signal()
    assert [reply.body for reply in await asyncio.gather(*tasks)] == [b"re 0", b"re 1", b"re 2"]
    assert broker.late_replies == 0


@in_loop
async def test_what_tasks_call_in_one_pass_of_the_loop_travels_together(wire: Wire, pump: PlayedPump) -> None:
    broker = await listening(wire, pump)
    tasks = await start(*(broker.call("rpc", b"x", timeout_s=3_600.0) for _ in range(40)))
    sent = [heard for heard in pump.bench.heard(RPC) if isinstance(heard, Batch)]
    assert sum(batch.count for batch in sent) == 40
    assert len(sent) < 20, "deadlines are told to the millisecond; what was asked in the same one shares a batch"
    for task in tasks:
        task.cancel()


@in_loop
async def test_a_refusal_ends_a_call_at_once(wire: Wire, pump: PlayedPump) -> None:
    broker = await listening(wire, pump)
    [task] = await start(broker.call("rpc", b"x"))
    [request] = requests_of(pump)
    pump.bench.say(RPC, Receipt(request.stream, request.first_seq, 1, code="no_responders", text="nobody"))
    pump.signal()
    with pytest.raises(NoResponders):
        await task


@in_loop
async def test_a_task_that_is_cancelled_leaves_a_reply_that_is_dropped(wire: Wire, pump: PlayedPump) -> None:
    broker = await listening(wire, pump)
    [task] = await start(broker.call("rpc", b"x"))
    [request] = requests_of(pump)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    pump.bench.say(DEFAULT, reply_to(request, b""))
    pump.signal()
    await until(lambda: broker.late_replies == 1)


@in_loop
async def test_a_call_whose_time_is_over_may_have_been_carried_out(wire: Wire, pump: PlayedPump) -> None:
    broker = await listening(wire, pump)
    with pytest.raises(CallTimeout, match=r"no reply within 0\.01 s"):
        await broker.call("rpc", b"x", timeout_s=0.01)
    assert len(requests_of(pump)) == 1


@in_loop
async def test_a_call_that_cannot_hear_its_reply_is_not_sent(wire: Wire, pump: PlayedPump) -> None:
    pump.bench.live(RPC)
    with pytest.raises(NotDone, match="nothing was sent"):
        await aio.Broker(wire, 5.0).call("rpc", b"x", timeout_s=0.01)
    assert RPC not in pump.bench.located


@in_loop
async def test_a_closed_connection_calls_and_serves_nobody(wire: Wire, pump: PlayedPump) -> None:
    broker = await listening(wire, pump)
    [task] = await start(broker.call("rpc", b"x"))
    await broker.close(timeout_s=0.0)
    with pytest.raises(CallTimeout):
        await task
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        await broker.call("rpc", b"x")
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        broker.serve_calls("q", shout)


# ---- serving ----


class Served:
    """A server of queue `q`, fed by the test."""

    def __init__(self, wire: Wire, pump: PlayedPump) -> None:
        self.pump = pump
        self.broker = aio.Broker(wire, 5.0)
        self.number = 0
        self.next_offset = 1

    async def open(self, handler: Any, **how: Any) -> aio.CallServer:
        self.pump.bench.live(DEFAULT)
        self.pump.bench.live(QUEUE)
        server: aio.CallServer = self.broker.serve_calls("q", handler, **how)
        [task] = await start(server.__aenter__())
        [asked] = [heard for heard in self.pump.bench.heard(QUEUE) if isinstance(heard, Consume)]
        self.number = asked.consumer
        self.prefetch = asked.prefetch
        self.pump.bench.say(QUEUE, Reply(asked.request, NIL))
        self.pump.signal()
        await task
        return server

    def ask(self, *bodies: bytes, in_s: float = 60.0) -> None:
        """Requests are delivered."""
        deadline_ms = int((time.time() + in_s) * 1_000)
        for body in bodies:
            options = Options(reply_to="back", deadline_ms=deadline_ms)
            batch = played_batch(body, correlation_id=body.decode(), options=options)
            self.pump.bench.say(QUEUE, Deliver(self.number, self.next_offset, 1, raw(batch)))
            self.next_offset += 1
        self.pump.signal()

    async def replies(self, count: int) -> list[Batch]:
        found: list[Batch] = []

        def look() -> bool:
            found.extend(batches(self.pump.bench, DEFAULT))
            return len(found) >= count

        await until(look)
        return found

    def acked(self) -> list[int]:
        settles = [heard for heard in self.pump.bench.heard(QUEUE) if isinstance(heard, Settle)]
        return [number for settle in settles if settle.outcome == 0 for number in settle.ranges]

    async def close(self, server: aio.CallServer) -> None:
        [task] = await start(server.close())
        await until(lambda: self._answer_cancel() or task.done())
        await task

    def _answer_cancel(self) -> bool:
        asked = [heard for heard in self.pump.bench.heard(QUEUE) if isinstance(heard, Cancel)]
        for cancel in asked:
            self.pump.bench.say(QUEUE, Reply(cancel.request, NIL))
        self.pump.signal()
        return bool(asked)


async def shout(message: Message) -> bytes:
    await asyncio.sleep(0)
    return message.body.upper()


@in_loop
async def test_requests_are_answered_and_settled(wire: Wire, pump: PlayedPump) -> None:
    served = Served(wire, pump)
    server = await served.open(shout)
    assert served.prefetch == 16
    served.ask(b"a", b"b")
    assert sorted(bytes(reply.bodies) for reply in await served.replies(2)) == [b"A", b"B"]
    assert served.acked() == [1, 2]
    assert (server.served, server.failed, server.late, server.dropped) == (2, 0, 0, 0)
    await served.close(server)
    assert await server.wait()


@in_loop
async def test_a_function_is_served_in_a_thread_so_that_the_loop_goes_on(wire: Wire, pump: PlayedPump) -> None:
    served, here, done = Served(wire, pump), threading.get_ident(), threading.Event()

    def handler(message: Message) -> bytes:
        done.set()
        return str(threading.get_ident() == here).encode()

    server = await served.open(handler)
    served.ask(b"a")
    await passes(5)
    assert await asyncio.to_thread(done.wait, 10)
    assert [bytes(reply.bodies) for reply in await served.replies(1)] == [b"False"]
    await served.close(server)


@in_loop
async def test_no_more_are_handled_at_a_time_than_wanted(wire: Wire, pump: PlayedPump) -> None:
    served, gate, running = Served(wire, pump), asyncio.Event(), [0, 0]

    async def handler(message: Message) -> bytes:
        running[0] += 1
        running[1] = max(running)
        await gate.wait()
        running[0] -= 1
        return b""

    server = await served.open(handler, concurrency=2, prefetch=10)
    assert served.prefetch == 10
    served.ask(*(b"%d" % n for n in range(6)))
    await until(lambda: running[0] == 2)
    await passes(20)
    assert running == [2, 2]
    gate.set()
    assert len(await served.replies(6)) == 6
    assert running == [0, 2]
    await served.close(server)


@in_loop
async def test_a_request_that_became_late_in_the_buffer_is_not_handled(wire: Wire, pump: PlayedPump) -> None:
    served, gate = Served(wire, pump), asyncio.Event()

    async def handler(message: Message) -> bytes:
        await gate.wait()
        return message.body

    server = await served.open(handler, concurrency=1, prefetch=10)
    served.ask(b"first")
    await passes(5)
    served.ask(b"late", in_s=-1.0)
    served.ask(b"last")
    gate.set()
    assert [bytes(reply.bodies) for reply in await served.replies(2)] == [b"first", b"last"]
    await passes(5)
    assert served.acked()[-1] == 3
    assert (server.served, server.late) == (2, 1)
    await served.close(server)


@in_loop
async def test_a_handler_that_is_cancelled_from_within_has_failed(wire: Wire, pump: PlayedPump) -> None:
    served = Served(wire, pump)

    async def handler(message: Message) -> bytes:
        raise asyncio.CancelledError

    server = await served.open(handler)
    served.ask(b"a")
    [reply] = await served.replies(1)
    assert shown_headers(reply)["posthouse-error"] == "InterruptedError"
    assert server.failed == 1
    await served.close(server)


@in_loop
async def test_closing_lets_what_is_being_handled_end_and_returns_the_rest(wire: Wire, pump: PlayedPump) -> None:
    served, gate = Served(wire, pump), asyncio.Event()

    async def handler(message: Message) -> bytes:
        await gate.wait()
        return message.body

    server = await served.open(handler, concurrency=1, prefetch=10)
    served.ask(b"first", b"second", b"third")
    await passes(10)
    [closing] = await start(server.close())
    gate.set()
    await until(lambda: served._answer_cancel() or closing.done())
    await closing
    await server.close()
    assert (server.served, server.failed) == (1, 0)
    assert [bytes(reply.bodies) for reply in batches(pump.bench, DEFAULT)] == [b"first"]


@in_loop
async def test_a_queue_that_is_gone_ends_its_server_with_the_reason(wire: Wire, pump: PlayedPump) -> None:
    served = Served(wire, pump)
    server = await served.open(shout)
    pump.bench.die(QUEUE, "unknown", "")
    pump.signal()
    with pytest.raises(UnknownQueue):
        await server.wait()
    with pytest.raises(UnknownQueue):
        await server.__aexit__(None, None, None)
    assert isinstance(server.failure, UnknownQueue)


@in_loop
async def test_a_server_that_is_refused_is_not_open(wire: Wire, pump: PlayedPump) -> None:
    pump.bench.live(DEFAULT)
    pump.bench.live(QUEUE)
    server = aio.Broker(wire, 5.0).serve_calls("q", shout)
    [task] = await start(server.__aenter__())
    [asked] = [heard for heard in pump.bench.heard(QUEUE) if isinstance(heard, Consume)]
    pump.bench.say(QUEUE, Failed(asked.request, "resource_locked", "exclusive"))
    pump.signal()
    with pytest.raises(Exception, match="exclusive"):
        await task
    with pytest.raises(InvalidArgument, match="not open"):
        await server.wait()
    await server.close()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"handler": None}, "handler is None"),
        ({"handler": "text"}, "handler is 'text'"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"concurrency": 2.0}, "concurrency is 2.0"),
        ({"prefetch": 0}, "prefetch is 0"),
        ({"prefetch": 70_000}, "prefetch is 70000"),
        ({"queue": ""}, "must not be empty"),
    ],
)
def test_what_cannot_serve_is_refused_at_once(wrong: dict[str, Any], said: str) -> None:
    @in_loop
    async def check(wire: Wire, pump: PlayedPump) -> None:
        how: dict[str, Any] = {"queue": "q", "handler": shout, **wrong}
        with pytest.raises(InvalidArgument, match=said):
            aio.Broker(wire, 5.0).serve_calls(**how)
        assert pump.bench.session.streams() == []

    run: Callable[[], None] = check
    run()
