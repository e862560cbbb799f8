"""Request-reply with real processes: answers, errors, nobody there, and what dies on the way."""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import posthouse
from posthouse import aio
from posthouse.errors import (
    CallFailed,
    CallTimeout,
    InvalidArgument,
    NoResponders,
    PreconditionFailed,
    UnknownExchange,
    UnknownQueue,
)
from posthouse.message import Message
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.support.serving import queue_of, shout


@pytest.fixture(params=["ipc", "tcp"])
def broker(request: pytest.FixtureRequest, shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect(door=request.param == "tcp") as made:
        yield made


# ---- answers ----


def test_a_program_calls_what_it_serves_itself_over_one_connection(broker: posthouse.Broker) -> None:
    with queue_of(broker, "self") as queue, broker.serve_calls(queue, shout) as server:
        broker.declare_exchange("rpc", "topic")
        broker.bind("rpc", queue, "sum.#")
        reply = broker.call("rpc", b"abc", routing_key="sum.now", headers={"unit": "m"}, timeout_s=60.0)
        assert (reply.body, reply.headers) == (b"ABC", {})
        assert broker.call("", b"x" * 300_000, routing_key=queue).body == b"X" * 300_000
        assert (server.served, server.failed, server.late, server.dropped) == (2, 0, 0, 0)
        # The reply does not wait for the server's ack, which comes after it.
        assert eventually(lambda: broker.queue_info(queue).unacked == 0)
        info = broker.queue_info(queue)
        assert (info.ready, info.late_calls, broker.late_replies) == (0, 0, 0)


def test_an_error_of_the_handler_reaches_the_caller_at_once_and_is_not_tried_again(broker: posthouse.Broker) -> None:
    with queue_of(broker, "errors") as queue, broker.serve_calls(queue, shout) as server:
        with pytest.raises(CallFailed, match="ValueError: it was asked to") as caught:
            broker.call("", b"fail", routing_key=queue, timeout_s=30.0)
        assert (caught.value.error_type, caught.value.traceback) == ("ValueError", None)
        assert broker.call("", b"go on", routing_key=queue).body == b"GO ON"
        assert (server.served, server.failed) == (1, 1)
        assert broker.queue_info(queue).redelivered == 0


def test_the_traceback_is_told_where_the_server_says_so(broker: posthouse.Broker) -> None:
    with queue_of(broker, "traces") as queue, broker.serve_calls(queue, shout, tells_traceback=True):
        with pytest.raises(CallFailed) as caught:
            broker.call("", b"fail", routing_key=queue)
        assert caught.value.traceback is not None
        assert "in shout" in caught.value.traceback


def test_a_handler_that_returns_no_bytes_has_failed(broker: posthouse.Broker) -> None:
    nothing: Any = lambda message: None  # noqa: E731
    with contextlib.ExitStack() as stack:
        queue = stack.enter_context(queue_of(broker, "nothing"))
        stack.enter_context(broker.serve_calls(queue, nothing))
        with pytest.raises(CallFailed, match="the handler returned NoneType"):
            broker.call("", b"", routing_key=queue)


def test_several_callers_and_several_servers_share_the_work(shared: BrokerProcess) -> None:
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(shared.connect())
        queue = stack.enter_context(queue_of(broker, "shared"))
        servers = [stack.enter_context(broker.serve_calls(queue, shout, prefetch=1)) for _ in range(3)]

        def program(number: int) -> int:
            with posthouse.connect(shared.ipc) as caller:
                bodies = [f"a{number}-{n}".encode() for n in range(40)]
                return sum(caller.call("", body, routing_key=queue).body == body.upper() for body in bodies)

        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(program, range(4))) == [40] * 4
        assert sum(server.served for server in servers) == 160
        assert all(server.served for server in servers)


def test_tasks_of_one_loop_call_and_serve(shared: BrokerProcess) -> None:
    async def handler(message: Message) -> bytes:
        await asyncio.sleep(0)
        return shout(message)

    async def run() -> tuple[list[bytes], int]:
        async with aio.connect(shared.ipc) as broker:
            await broker.declare_queue("loop")
            async with broker.serve_calls("loop", handler, concurrency=50) as server:
                calls = (broker.call("", f"n{n}".encode(), routing_key="loop") for n in range(200))
                replies = await asyncio.gather(*calls)
                with pytest.raises(CallFailed, match="it was asked to"):
                    await broker.call("", b"fail", routing_key="loop")
            with pytest.raises(NoResponders):
                await broker.call("", b"", routing_key="loop", timeout_s=30.0)
            await broker.delete_queue("loop")
            return [reply.body for reply in replies], server.served

    replies, served = asyncio.run(run())
    assert replies == [f"N{n}".encode() for n in range(200)]
    assert served == 200


# ---- nobody there ----


def test_where_nobody_listens_the_caller_hears_it_at_once(broker: posthouse.Broker) -> None:
    broker.declare_exchange("lossy", "direct", unrouted="drop")
    with queue_of(broker, "idle") as queue:
        begin = time.monotonic()
        for exchange, key in (("", queue), ("", "no such queue"), ("lossy", "nowhere")):
            with pytest.raises(NoResponders):
                broker.call(exchange, b"", routing_key=key, timeout_s=60.0)
        assert time.monotonic() - begin < 30.0
        assert broker.queue_info(queue).ready == 0
        with broker.serve_calls(queue, shout):
            assert broker.call("", b"a", routing_key=queue).body == b"A"
        with pytest.raises(NoResponders):
            broker.call("", b"", routing_key=queue, timeout_s=60.0)


def test_a_call_goes_to_those_queues_that_have_somebody(broker: posthouse.Broker) -> None:
    broker.declare_exchange("everybody", "fanout")
    with queue_of(broker, "served") as served, queue_of(broker, "unserved") as unserved:
        broker.bind("everybody", served)
        broker.bind("everybody", unserved)
        with broker.serve_calls(served, shout):
            assert broker.call("everybody", b"a").body == b"A"
        assert broker.queue_info(unserved).stored == 0


# ---- deadlines ----


def test_a_request_that_waits_past_its_deadline_is_not_handled(broker: posthouse.Broker) -> None:
    gate, handled = threading.Event(), []

    def handler(message: Message) -> bytes:
        handled.append(message.body)
        gate.wait(60)
        return message.body

    with queue_of(broker, "late") as queue:
        try:
            with broker.serve_calls(queue, handler, prefetch=2) as server:
                # One is handled and one waits in the server, which they must reach in time; one waits in the queue.
                for body, timeout_s in ((b"1", 4.0), (b"2", 2.0), (b"3", 0.3)):
                    with pytest.raises(CallTimeout, match=rf"no reply within {timeout_s:g}"):
                        broker.call("", body, routing_key=queue, timeout_s=timeout_s)
                eventually(lambda: broker.queue_info(queue).late_calls == 1, what="the late call in the queue dropped")
                gate.set()
                assert broker.call("", b"4", routing_key=queue).body == b"4"
                assert handled == [b"1", b"4"]
                assert (server.served, server.late) == (2, 1)
                assert broker.late_replies == 1
        finally:
            gate.set()


def test_a_reply_to_a_caller_that_is_gone_is_dropped_and_stops_nobody(shared: BrokerProcess) -> None:
    gate, took = threading.Event(), threading.Event()

    def handler(message: Message) -> bytes:
        took.set()
        gate.wait(60)
        return message.body

    with shared.connect() as broker, queue_of(broker, "gone") as queue:
        dropped = broker.reply_counts().dropped
        try:
            with broker.serve_calls(queue, handler) as server:
                with shared.connect() as caller, pytest.raises(CallTimeout):
                    caller.call("", b"1", routing_key=queue, timeout_s=0.3)
                assert took.wait(90)
                gate.set()
                assert broker.call("", b"2", routing_key=queue).body == b"2"
                eventually(lambda: broker.reply_counts().dropped == dropped + 1, what="the reply dropped")
                assert (server.served, server.dropped) == (2, 0)
        finally:
            gate.set()


# ---- bad input ----


@pytest.mark.parametrize("timeout_s", [0, -1.0, math.nan, math.inf, 1e12, "5", True])
def test_a_deadline_that_is_none_is_refused(shared: BrokerProcess, timeout_s: Any) -> None:
    with shared.connect() as broker, pytest.raises(InvalidArgument, match="timeout_s"):
        broker.call("", b"", timeout_s=timeout_s)


def test_calls_that_cannot_be_are_refused_and_nothing_has_changed(broker: posthouse.Broker) -> None:
    broker.declare_exchange("inside", "fanout", internal=True)
    with queue_of(broker, "untouched") as queue, broker.serve_calls(queue, shout):
        with pytest.raises(UnknownExchange):
            broker.call("no such exchange", b"", timeout_s=30.0)
        with pytest.raises(PreconditionFailed, match="internal"):
            broker.call("inside", b"")
        with pytest.raises(InvalidArgument, match="a body is bytes"):
            broker.call("", "text", routing_key=queue)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="no argument 'reply_to'"):
            broker.call("", b"", routing_key=queue, reply_to="x")
        assert broker.queue_info(queue).stored == 0


def test_servers_that_cannot_be_are_refused_and_leave_nothing(broker: posthouse.Broker) -> None:
    with queue_of(broker, "unserved") as queue:
        for handler in (None, "text", 5):
            with pytest.raises(InvalidArgument, match="handler is"):
                broker.serve_calls(queue, handler)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="prefetch"):
            broker.serve_calls(queue, shout, prefetch=0)
        with pytest.raises(UnknownQueue):
            broker.serve_calls("no such queue", shout)
        assert broker.queue_info(queue).consumers == 0


def test_a_closed_client_neither_calls_nor_serves(shared: BrokerProcess) -> None:
    broker = shared.connect()
    broker.close()
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        broker.call("", b"")
    with pytest.raises(InvalidArgument, match="this connection is closed"):
        broker.serve_calls("q", shout)


# ---- the command line ----


def test_a_call_from_the_command_line(shared: BrokerProcess) -> None:
    with shared.connect() as broker, queue_of(broker, "typed") as queue:
        address = ("--address", shared.ipc, "--timeout", "20s")
        nobody = run_command("call", "", "hello", "--key", queue, *address)
        assert (nobody.returncode, nobody.stdout) == (1, "")
        assert nobody.stderr.startswith("error[no_responders]: queue 'typed' has no consumer")
        with broker.serve_calls(queue, shout):
            said = run_command("call", "", "hello", "--key", queue, *address)
            assert (said.returncode, said.stdout) == (0, "HELLO\n")
            failed = run_command("call", "", "fail", "--key", queue, *address)
            assert (failed.returncode, failed.stderr) == (1, "error[call_failed]: ValueError: it was asked to\n")
