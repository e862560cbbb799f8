"""Request-reply when somebody dies or leaves on the way: every call ends in time, and the next ones work."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from posthouse.errors import CallTimeout, Unavailable, UnknownQueue
from posthouse.message import Message
from posthouse.testing.broker import BrokerProcess, end, read_line, start_python
from posthouse.testing.waiting import eventually
from tests.support.serving import outcome, queue_of, shout

WORKER = """
import sys, threading, posthouse
where, queue, answer = sys.argv[1:]
never = threading.Event()

def handler(message):
    print(f"took {message.body.decode()} attempt {message.attempt}")
    if answer == "never":
        never.wait()
    return answer.encode() + message.body

with posthouse.connect(where) as broker, broker.serve_calls(queue, handler, prefetch=1) as server:
    print("ready")
    server.wait()
"""


# ---- somebody dies ----


def test_the_request_of_a_worker_that_died_is_answered_by_another(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("work")
    workers = []
    try:
        victim = start_python(WORKER, process.ipc, "work", "never")
        workers.append(victim)
        assert read_line(victim) == "ready"
        with ThreadPoolExecutor(1) as pool:
            reply = pool.submit(broker.call, "", b"!", "work", timeout_s=60.0)
            assert read_line(victim) == "took ! attempt 1"
            other = start_python(WORKER, process.ipc, "work", "done")
            workers.append(other)
            assert read_line(other) == "ready"
            victim.kill()
            assert read_line(other) == "took ! attempt 2"
            assert reply.result(30).body == b"done!"
    finally:
        end(workers)


@pytest.mark.parametrize("victim", ["queue:work", "exchange:", "broker"])
def test_whoever_is_killed_a_call_answers_or_raises_in_time_and_the_next_ones_work(
    process: BrokerProcess, victim: str
) -> None:
    broker = process.connect()
    broker.declare_queue("work")
    gate, took = threading.Event(), threading.Event()

    def handler(message: Message) -> bytes:
        if message.body == b"slow":
            took.set()
            gate.wait(60)
        return b"ok"

    try:
        with broker.serve_calls("work", handler), ThreadPoolExecutor(1) as pool:
            begin = time.monotonic()
            running = pool.submit(outcome, lambda: broker.call("", b"slow", routing_key="work", timeout_s=8.0))
            assert took.wait(90)
            if victim == "broker":
                process.restart()
            else:
                process.kill(victim)
                process.wait_up(victim)
            gate.set()
            ended = running.result(60)
            assert ended in ("ok", "call_timeout", "no_responders", "outcome_unknown"), ended
            assert time.monotonic() - begin < 40.0

            def works() -> bool:
                return outcome(lambda: broker.call("", b"x", routing_key="work", timeout_s=2.0)) == "ok"

            eventually(works, 60.0, "calls work again")
            assert [outcome(lambda: broker.call("", b"x", routing_key="work")) for _ in range(20)] == ["ok"] * 20
    finally:
        gate.set()


def test_a_broker_that_is_down_is_said_to_be_and_nothing_waits_longer_than_it_should(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("work")
    with broker.serve_calls("work", shout):
        assert broker.call("", b"a", routing_key="work").body == b"A"
        process.kill_all()
        begin = time.monotonic()
        with pytest.raises(Unavailable):
            broker.call("", b"a", routing_key="work", timeout_s=1.0)
        assert time.monotonic() - begin < 40.0
        process.start()
        eventually(lambda: outcome(lambda: broker.call("", b"a", "work", timeout_s=2.0)) == "A", 60.0, "an answer")


def test_a_stopped_queue_costs_a_caller_its_deadline_and_no_more(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("work")
    with broker.serve_calls("work", shout):
        assert broker.call("", b"a", routing_key="work").body == b"A"
        process.kill("queue:work", signal.SIGSTOP)
        try:
            with pytest.raises(CallTimeout):
                broker.call("", b"a", routing_key="work", timeout_s=0.5)
        finally:
            process.kill("queue:work", signal.SIGCONT)
        eventually(lambda: outcome(lambda: broker.call("", b"b", "work", timeout_s=2.0)) == "B", 60.0, "an answer")
        assert broker.late_replies == 0, "a late request is dropped before it is handled"


# ---- servers ----


def test_a_server_whose_queue_is_deleted_ends_with_the_reason(shared: BrokerProcess) -> None:
    with shared.connect() as broker:
        broker.declare_queue("short")
        server = broker.serve_calls("short", shout)
        assert not server.wait(timeout_s=0.0)
        broker.delete_queue("short")
        with pytest.raises(UnknownQueue):
            server.wait(timeout_s=30.0)
        with pytest.raises(UnknownQueue), server:
            assert isinstance(server.failure, UnknownQueue)


def test_a_server_that_is_closed_hands_back_what_it_has_not_handled(shared: BrokerProcess) -> None:
    with shared.connect() as broker, queue_of(broker, "handed back") as queue:
        gate, took = threading.Event(), threading.Event()

        def handler(message: Message) -> bytes:
            took.set()
            gate.wait(60)
            return message.body

        first = broker.serve_calls(queue, handler, prefetch=5)
        try:
            with ThreadPoolExecutor(3) as pool:
                callers = [shared.connect() for _ in range(2)]
                replies = [
                    pool.submit(caller.call, "", str(n).encode(), queue, timeout_s=60.0)
                    for n, caller in enumerate(callers)
                ]
                assert took.wait(90)
                eventually(lambda: broker.queue_info(queue).unacked == 2, what="both requests held")
                with broker.serve_calls(queue, shout) as second:
                    closing = pool.submit(first.close)
                    gate.set()
                    assert sorted(reply.result(60).body for reply in replies) == [b"0", b"1"]
                    closing.result(60)
                    assert first.served + second.served == 2
            first.close()
        finally:
            gate.set()
            first.close()
