"""Nobody's death loses or doubles a message: killed and stopped consumers, queues and brokers, and what comes again."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

import posthouse
from posthouse.testing.broker import BrokerProcess, end, read_line, start_python
from posthouse.testing.waiting import eventually, for_a_while
from tests.support.queue_traffic import HOLDER, numbers, publish, ready, take

StartProgram = Callable[..., subprocess.Popen[bytes]]

PUBLISHER: Final = """
import sys
import posthouse

address, queue, *ids = sys.argv[1:]
with posthouse.connect(address) as broker:
    for dedup_id in ids:
        receipt = broker.publish("", dedup_id.encode(), queue, dedup_id=dedup_id)
        print("duplicate" if receipt.duplicate else "new", flush=True)
"""

_numbers: Final = itertools.count(1)


@pytest.fixture
def start_program() -> Iterator[StartProgram]:
    """Client programs in processes of their own, ended with the test."""
    programs: list[subprocess.Popen[bytes]] = []

    def start(program: str, *arguments: str) -> subprocess.Popen[bytes]:
        programs.append(start_python(program, *arguments))
        return programs[-1]

    yield start
    end(programs)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


@pytest.fixture
def queue(broker: posthouse.Broker) -> Iterator[str]:
    name = f"queue-{next(_numbers)}"
    broker.declare_queue(name)
    yield name
    broker.delete_queue(name)


def test_what_a_killed_consumer_held_is_delivered_again_and_marked(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, start_program: StartProgram
) -> None:
    publish(broker, queue, 10)
    for address in (shared.ipc, shared.tcp):
        holder = start_program(HOLDER, address, queue, "4")
        assert read_line(holder) == "holds 0 1 2 3"
        holder.kill()
        eventually(lambda: ready(broker, queue) == 10, 60.0, "the queue took its messages back")
    with broker.consume(queue) as messages:
        held = take(messages, 10)
        assert numbers(held) == list(range(10))
        assert [message.attempt for message in held] == [3] * 4 + [1] * 6
        assert [message.redelivered for message in held] == [True] * 4 + [False] * 6
        for message in held:
            message.ack()


def test_attempts_are_honest_after_the_queue_was_killed(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("q")
    publish(broker, "q", 10)
    messages = broker.consume("q", prefetch=4)
    first = take(messages, 4)
    assert [message.attempt for message in first] == [1] * 4
    first[0].ack()
    first += take(messages, 1)
    assert numbers(first) == [0, 1, 2, 3, 4]
    process.wait_up("queue:q", process.kill("queue:q"))

    again = take(messages, 4)

    assert numbers(again) == [1, 2, 3, 4], "the acked one is gone, the others are back"
    assert [message.attempt for message in again] == [2] * 4
    for message in first[1:]:
        message.ack()
    assert messages.get(timeout_s=0.2) is None
    assert broker.queue_info("q").unacked == 4, "an ack of the old session counts for nothing"
    for message in again:
        message.ack()
    rest = take(messages, 4)
    assert (numbers(rest), [message.attempt for message in rest]) == ([5, 6, 7, 8], [1] * 4)


def test_a_single_active_consumer_is_followed_by_the_next_when_it_dies(
    shared: BrokerProcess, broker: posthouse.Broker, start_program: StartProgram
) -> None:
    broker.declare_queue("single", single_active_consumer=True)
    publish(broker, "single", 6)
    active = start_program(HOLDER, shared.ipc, "single", "3")
    assert read_line(active) == "holds 0 1 2"
    with broker.consume("single", prefetch=10) as waiting:
        assert waiting.get(timeout_s=0.3) is None
        assert [info.is_active for info in broker.consumers() if info.queue == "single"].count(True) == 1
        active.kill()
        held = take(waiting, 6)
        assert numbers(held) == list(range(6))
        assert [message.attempt for message in held] == [2, 2, 2, 1, 1, 1]
    broker.delete_queue("single")


@pytest.mark.parametrize("door", [False, True])
def test_a_consumer_that_is_stopped_loses_its_messages_to_others(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, start_program: StartProgram, door: bool
) -> None:
    publish(broker, queue, 5)
    holder = start_program(HOLDER, shared.tcp if door else shared.ipc, queue, "5")
    assert read_line(holder) == "holds 0 1 2 3 4"
    os.kill(holder.pid, signal.SIGSTOP)
    eventually(lambda: ready(broker, queue) == 5, 60.0, "the queue noticed the stopped consumer")
    message = broker.get(queue)
    assert message is not None
    assert (message.body, message.attempt) == (b"0", 2)


@pytest.mark.parametrize("door", [False, True])
def test_a_consumer_busy_in_its_handler_keeps_its_messages(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, door: bool
) -> None:
    publish(broker, queue, 4)
    busy = shared.connect(door=door)
    with busy.consume(queue, prefetch=4) as messages:
        held = take(messages, 4)

        def still_held() -> None:
            info = broker.queue_info(queue)
            assert (info.unacked, info.consumers) == (4, 1)

        for_a_while(still_held, 3.0)  # nobody calls anything on `busy` meanwhile
        for message in held:
            message.ack()
        assert messages.get(timeout_s=0.1) is None
        eventually(lambda: broker.queue_info(queue).acked == 4)
    assert broker.queue_info(queue).redelivered == 0


@pytest.mark.parametrize("door", [False, True])
def test_a_consumer_and_a_publisher_go_on_after_a_restart_of_the_broker(process: BrokerProcess, door: bool) -> None:
    broker = process.connect(door=door)
    broker.declare_queue("q")
    messages = broker.consume("q", prefetch=10)
    with broker.publisher("") as out:
        for round_number in range(3):
            for number in range(20):
                out.send(b"%d" % (20 * round_number + number), "q")
            out.flush(timeout_s=20)
            held = take(messages, 10)
            assert numbers(held) == list(range(20 * round_number, 20 * round_number + 10))
            for message in held:
                message.ack()
            assert broker.queue_info("q").name == "q", "acks have arrived with what came after them"
            rest = take(messages, 10)
            messages.ack_all(rest)
            eventually(lambda: _is_drained(broker))
            process.restart()
    assert broker.get("q") is None


def _is_drained(broker: posthouse.Broker) -> bool:
    info = broker.queue_info("q")
    return (info.ready, info.unacked) == (0, 0)


def test_a_dedup_id_enters_once_whatever_restarts(process: BrokerProcess, start_program: StartProgram) -> None:
    broker = process.connect()
    broker.declare_queue("q")

    def run(*ids: str) -> list[str]:
        program = start_program(PUBLISHER, process.ipc, "q", *ids)
        return [read_line(program) for _ in ids]

    assert run("a", "b", "a") == ["new", "new", "duplicate"]
    assert run("a", "c") == ["duplicate", "new"]
    process.wait_up("queue:q", process.kill("queue:q"))
    assert run("b", "d") == ["duplicate", "new"]
    process.restart()
    assert run("a", "b", "c", "d", "e") == ["duplicate"] * 4 + ["new"]
    assert [message.body for message in broker.peek("q")] == [b"a", b"b", b"c", b"d", b"e"]


def test_what_was_acked_stays_acked_after_everything_was_killed(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("q")
    publish(broker, "q", 100)
    with broker.consume("q", prefetch=100) as messages:
        for message in take(messages, 100)[::2]:
            message.ack()
        eventually(lambda: broker.queue_info("q").acked == 50)
    process.restart()
    left = process.connect().peek("q", 100)
    assert numbers(left) == list(range(1, 100, 2))


def test_order_holds_from_publisher_to_consumer_while_the_exchange_is_killed(process: BrokerProcess) -> None:
    broker = process.connect(timeout_s=30.0)
    broker.declare_exchange("e", "direct")
    broker.declare_queue("q")
    broker.bind("e", "q", "key")
    is_done = threading.Event()

    def kill() -> None:
        for _ in range(4):
            process.wait_up("exchange:e", process.kill("exchange:e"))
        is_done.set()

    thread = threading.Thread(target=kill)
    sent = 0
    with broker.publisher("e", window=1_000) as out:
        thread.start()
        deadline = time.monotonic() + 30.0
        while (sent < 5_000 or not is_done.is_set()) and time.monotonic() < deadline:
            out.send(b"%d" % sent, "key")
            sent += 1
        thread.join()
    with broker.consume("q", auto_ack=True, prefetch=10_000) as messages:
        assert numbers(take(messages, sent)) == list(range(sent))
    assert broker.get("q") is None
