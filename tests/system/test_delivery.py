"""Who gets what, when and how often: credit, settlement, redelivery, takeover, and lives of clients and queues."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest

import posthouse
from posthouse.errors import InvalidArgument, ResourceLocked
from tests.support.broker_process import BrokerProcess, end, read_line, start_python
from tests.support.waiting import eventually, for_a_while

StartProgram = Callable[..., subprocess.Popen[bytes]]

HOLDER: Final = """
import sys, threading
import posthouse

address, queue, count = sys.argv[1:]
with posthouse.connect(address, name="holder") as broker, broker.consume(queue, prefetch=int(count)) as messages:
    held = []
    while len(held) < int(count):
        held += messages.batch(int(count) - len(held), timeout_s=20.0)
    print("holds", *(message.body.decode() for message in held), flush=True)
    threading.Event().wait()
"""

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
    broker.declare_queue(name, retry=posthouse.Retry(kind="off"), dead_letter="off")
    yield name
    broker.delete_queue(name)


def publish(broker: posthouse.Broker, queue: str, count: int) -> None:
    """Bodies 0, 1, 2 …"""
    with broker.publisher("") as out:
        for number in range(count):
            out.send(b"%d" % number, queue)


def take(messages: posthouse.Consumer, count: int) -> list[posthouse.Message]:
    taken: list[posthouse.Message] = []
    while len(taken) < count:
        batch = messages.batch(count - len(taken), timeout_s=15.0)
        assert batch, f"{count} messages were due, {len(taken)} came"
        taken += batch
    return taken


def numbers(messages: list[posthouse.Message]) -> list[int]:
    return [int(message.body) for message in messages]


def ready(broker: posthouse.Broker, queue: str) -> int:
    return int(broker.queue_info(queue).ready)


def test_consumers_of_a_queue_share_it_by_their_credit(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str
) -> None:
    with ExitStack() as stack:
        consumers = [stack.enter_context(shared.connect(door=door)) for door in (False, False, True)]
        streams = [stack.enter_context(consumer.consume(queue, prefetch=10)) for consumer in consumers]
        publish(broker, queue, 300)
        shares = [0, 0, 0]
        seen: list[int] = []
        while len(seen) < 300:
            for index, messages in enumerate(streams):
                for message in messages.batch(10, timeout_s=1.0 if len(seen) < 290 else 0.1):
                    shares[index] += 1
                    seen.append(int(message.body))
                    message.ack()
    assert sorted(seen) == list(range(300))
    assert min(shares) >= 60, f"shares of 300: {shares}"


def test_nobody_holds_more_than_the_prefetch(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 50)
    with broker.consume(queue, prefetch=7) as messages:
        held = take(messages, 7)
        assert messages.get(timeout_s=0.2) is None
        assert broker.queue_info(queue).unacked == 7
        for message in held[:3]:
            message.ack()
        assert numbers(take(messages, 3)) == [7, 8, 9]
        assert messages.get(timeout_s=0.2) is None
        assert broker.queue_info(queue).unacked == 7
    eventually(lambda: ready(broker, queue) == 47)


def test_messages_may_be_settled_in_any_order_and_in_any_way(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 12)
    with broker.consume(queue, prefetch=100) as messages:
        held = take(messages, 12)
        for number in (11, 0, 5):
            held[number].ack()
        for number in (10, 1):
            held[number].reject("not wanted")
        for number in (9, 2, 6):
            held[number].nack(requeue=True)
        held[3].nack(requeue=False)
        back = take(messages, 3)
        assert numbers(back) == [2, 6, 9]
        assert [message.attempt for message in back] == [2, 2, 2]
        info = eventually(lambda: (found := broker.queue_info(queue)).acked == 3 and found)
        assert (info.ready, info.unacked, info.rejected) == (0, 6, 3)
    eventually(lambda: ready(broker, queue) == 6)
    assert [int(message.body) for message in broker.peek(queue)] == [2, 4, 6, 7, 8, 9]


def test_settling_twice_is_refused_and_a_settlement_counts_once(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 1)
    message = broker.get(queue)
    assert message is not None
    message.ack()
    with pytest.raises(InvalidArgument):
        message.nack()
    with pytest.raises(InvalidArgument):
        message.ack()
    eventually(lambda: broker.queue_info(queue).unacked == 0)
    assert broker.get(queue) is None


def test_requeued_messages_return_to_their_place_before_later_ones(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 20)
    with broker.consume(queue, prefetch=5) as messages:
        for message in reversed(take(messages, 5)):
            message.nack()
        assert numbers(take(messages, 5)) == [0, 1, 2, 3, 4]
    eventually(lambda: ready(broker, queue) == 20)
    assert [int(message.body) for message in broker.peek(queue, 20)] == list(range(20))


def test_what_a_killed_consumer_held_is_delivered_again_and_marked(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, start_program: StartProgram
) -> None:
    publish(broker, queue, 10)
    for address in (shared.ipc, shared.tcp):
        holder = start_program(HOLDER, address, queue, "4")
        assert read_line(holder) == "holds 0 1 2 3"
        holder.kill()
        eventually(lambda: ready(broker, queue) == 10, 5.0, "the queue took its messages back")
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
    eventually(lambda: broker.queue_info("q").acked == 1)
    process.wait_up("queue:q", process.kill("queue:q"))

    again = take(messages, 4)

    assert numbers(again) in ([1, 2, 3, 4], [1, 2, 3, 5]), "the acked one is gone, the others are back"
    assert [message.attempt for message in again][:3] == [2, 2, 2]
    for message in first[1:]:
        message.ack()
    assert eventually(lambda: broker.queue_info("q").unacked == 4), "an ack of the old session counts for nothing"
    for message in again:
        message.ack()
    assert numbers(take(messages, 4)) == [5, 6, 7, 8]


def test_get_takes_one_and_peek_takes_none(broker: posthouse.Broker, queue: str) -> None:
    assert broker.get(queue) is None
    assert broker.peek(queue) == []
    publish(broker, queue, 5)
    assert numbers(broker.peek(queue, 3)) == [0, 1, 2]
    with pytest.raises(InvalidArgument):
        broker.peek(queue)[0].ack()
    first = broker.get(queue)
    assert first is not None
    assert (first.body, first.attempt) == (b"0", 1)
    second = broker.get(queue, auto_ack=True)
    assert second is not None
    assert second.body == b"1"
    assert (broker.queue_info(queue).unacked, ready(broker, queue)) == (1, 3)
    first.nack()
    eventually(lambda: ready(broker, queue) == 4)
    again = broker.get(queue)
    assert again is not None
    assert (again.body, again.attempt) == (b"0", 2)


def test_a_purge_takes_what_is_ready_and_leaves_what_is_held(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 10)
    with broker.consume(queue, prefetch=3) as messages:
        held = take(messages, 3)
        assert broker.purge_queue(queue) == 7
        assert broker.purge_queue(queue) == 0
        assert broker.queue_info(queue).unacked == 3
        held[0].nack()
        assert numbers(take(messages, 1)) == [0]


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


def test_an_exclusive_consumer_shuts_others_out_until_it_leaves(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str
) -> None:
    other = shared.connect()
    with broker.consume(queue, exclusive=True), pytest.raises(ResourceLocked):
        other.consume(queue)
    other.consume(queue).close()


def test_auto_ack_settles_at_delivery(broker: posthouse.Broker, queue: str) -> None:
    publish(broker, queue, 100)
    with broker.consume(queue, auto_ack=True) as messages:
        assert numbers(take(messages, 100)) == list(range(100))
    info = broker.queue_info(queue)
    assert (info.ready, info.unacked) == (0, 0)


@pytest.mark.parametrize("door", [False, True])
def test_a_consumer_that_is_stopped_loses_its_messages_to_others(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, start_program: StartProgram, door: bool
) -> None:
    publish(broker, queue, 5)
    holder = start_program(HOLDER, shared.tcp if door else shared.ipc, queue, "5")
    assert read_line(holder) == "holds 0 1 2 3 4"
    os.kill(holder.pid, signal.SIGSTOP)
    eventually(lambda: ready(broker, queue) == 5, 8.0, "the queue noticed the stopped consumer")
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
            eventually(lambda expected=20 * (round_number + 1): _acked_in_all(broker, expected))
            process.restart()
    assert broker.get("q") is None


def _acked_in_all(broker: posthouse.Broker, expected: int) -> bool:
    info = broker.queue_info("q")
    return (info.ready, info.unacked) == (0, 0) and info.stored <= expected


def test_a_receipt_says_how_safe_the_message_is(broker: posthouse.Broker, queue: str) -> None:
    broker.declare_queue("passing", durable=False)
    broker.declare_exchange("levels", "fanout")
    broker.bind("levels", queue)
    assert broker.publish("", b"x", queue).durability == "sync"
    assert broker.publish("", b"x", queue, durability="os").durability == "os"
    assert broker.publish("", b"x", queue, durability="memory").durability == "memory"
    assert broker.publish("", b"x", "passing").durability == "memory"
    assert broker.publish("levels", b"x").durability == "sync"
    broker.bind("levels", "passing")
    assert broker.publish("levels", b"x").durability == "memory"
    broker.delete_exchange("levels")
    broker.delete_queue("passing")


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


def test_everything_said_of_a_message_arrives_with_it(broker: posthouse.Broker, queue: str) -> None:
    broker.declare_exchange("said", "topic")
    broker.bind("said", queue, "#")
    headers: dict[str, Any] = {
        "text": "größer ✈",
        "whole": -(2**63),
        "real": 0.1,
        "yes": True,
        "nothing": None,
        "bytes": b"\x00\xff",
        "list": [1, "two", [3.0]],
        "map": {"a": {"b": 1}},
    }
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    broker.publish(
        "said",
        bytes(range(256)),
        "a.b.c",
        headers,
        message_id="id-1",
        correlation_id="conversation-2",
        content_type="application/octet-stream",
        reply_to="answers",
    )
    broker.publish("said", b"", "plain")
    full, plain = broker.peek(queue)
    assert full.body == bytes(range(256))
    assert (full.exchange, full.routing_key, full.headers) == ("said", "a.b.c", headers)
    assert (full.message_id, full.correlation_id) == ("id-1", "conversation-2")
    assert (full.content_type, full.reply_to) == ("application/octet-stream", "answers")
    assert before <= full.published_at <= datetime.now(UTC)
    assert (plain.body, plain.routing_key, plain.headers) == (b"", "plain", {})
    assert (plain.correlation_id, plain.content_type, plain.reply_to) == (None, None, None)
    assert plain.message_id
    assert plain.message_id == broker.peek(queue)[1].message_id
    broker.delete_exchange("said")


@pytest.mark.parametrize("door", [False, True])
def test_a_body_at_the_limit_goes_through_whole(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, door: bool
) -> None:
    body = os.urandom(1024) * (16 * 1024)
    other = shared.connect(door=door)
    assert other.publish("", body, queue).durability == "sync"
    message = other.get(queue, auto_ack=True)
    assert message is not None
    assert message.body == body


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
