"""Too much and too slow: a publisher that outruns its queue waits, memory stays bounded, others notice nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import Final

import psutil
import pytest

import posthouse
from posthouse.errors import OutcomeUnknown
from posthouse.testing.broker import BrokerProcess, end, read_line, start_python
from posthouse.testing.waiting import eventually, for_a_while

MIB: Final = 1024 * 1024

FLOOD: Final = """
import sys, threading
import posthouse

address, queue, size, count, window = sys.argv[1:]
broker = posthouse.connect(address, timeout_s=60.0)
out = broker.publisher("", window=int(window))
body = b"x" * int(size)
sent = 0

def say():
    while True:
        before = sent
        pause.wait(0.5)
        print("sent", sent, "stuck" if sent == before else "moving", flush=True)

pause = threading.Event()
threading.Thread(target=say, daemon=True).start()
for sent in range(1, int(count) + 1):
    out.send(body, queue)
out.flush(timeout_s=60.0)
print("confirmed", sent, flush=True)
pause.wait()
"""

NEVER_READS: Final = """
import ctypes, sys, threading
import posthouse

address, queue = sys.argv[1:]
broker = posthouse.connect(address)
messages = broker.consume(queue, prefetch=65535)
print("open", flush=True)
# Holding the interpreter's lock in a C call stops every Python thread; the sockets' own threads go on answering.
ctypes.PyDLL(None).sleep(600)
"""


def rss_of(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def read_until(program: subprocess.Popen[bytes], word: str) -> list[str]:
    """The words of the first line that has this one."""
    deadline = time.monotonic() + 60.0
    while time.monotonic() < deadline:
        words = read_line(program).split()
        assert words, "the program ended"
        if word in words:
            return words
    raise AssertionError(f"it never said {word!r}")


def take_one(messages: posthouse.Consumer) -> bool:
    """Ack the next message if there is one; a consumer that lost its queue for a while is mended here."""
    message = messages.get(timeout_s=0.05)
    if message is not None:
        message.ack()
    return message is not None


@pytest.fixture
def broker(process: BrokerProcess) -> posthouse.Broker:
    broker = process.connect(timeout_s=30.0)
    broker.declare_queue("q")
    broker.declare_queue("bystander")
    return broker


@pytest.mark.parametrize("door", [False, True])
def test_a_publisher_of_a_stopped_queue_waits_at_its_window_and_goes_on_after_it(
    process: BrokerProcess, broker: posthouse.Broker, door: bool
) -> None:
    stopped = process.pid_of("queue:q")
    before = {pid: rss_of(pid) for pid in process.children}
    count, size, window = 40_000, 4_000, 2_000
    os.kill(stopped, signal.SIGSTOP)
    address = process.tcp if door else process.ipc
    flood = start_python(FLOOD, address, "q", str(size), str(count), str(window))
    try:
        sent = int(read_until(flood, "stuck")[1])
        while sent == 0:  # it had not begun yet
            sent = int(read_until(flood, "stuck")[1])
        assert sent <= window + 1_000 + 1, "no more than the window and the batch that is being filled"
        assert rss_of(flood.pid) < 120 * MIB
        grown = {pid: rss_of(pid) - before[pid] for pid in before}
        assert max(grown.values()) < 4 * count * size // 10, grown

        assert broker.publish("", b"x", "bystander", timeout_s=60.0).queues == ["bystander"]

        os.kill(stopped, signal.SIGCONT)
        assert read_until(flood, "confirmed") == ["confirmed", str(count)]
    finally:
        end([flood])
    info = eventually(lambda: (found := broker.queue_info("q")).ready == count and found)
    assert info.stored == count, "what was sent again while the queue slept was recognised"


def test_a_window_that_stays_full_ends_in_a_typed_error_within_the_deadline_and_loses_nothing(
    process: BrokerProcess, broker: posthouse.Broker
) -> None:
    stopped = process.pid_of("queue:q")
    impatient = process.connect(timeout_s=1.0)
    out = impatient.publisher("", window=100)
    os.kill(stopped, signal.SIGSTOP)
    eventually(lambda: psutil.Process(stopped).status() == psutil.STATUS_STOPPED, what="the queue stands still")
    begun_at = time.monotonic()
    sent = 0

    def send() -> None:
        nonlocal sent
        while sent < 10_000:
            out.send(b"%d" % sent, "q")
            sent += 1

    with pytest.raises(OutcomeUnknown):
        send()
    assert time.monotonic() - begun_at < 60.0, "it said so after its second, not never"
    assert sent <= 1_200
    os.kill(stopped, signal.SIGCONT)
    out.flush(timeout_s=60.0)
    stored = eventually(lambda: broker.queue_info("q").ready)
    assert stored in (sent, sent + 1), "the send that raised had taken its message"
    assert [int(message.body) for message in broker.peek("q", 1_000)] == list(range(min(stored, 1_000)))


def test_a_stuck_queue_does_not_slow_publishers_of_other_queues(
    process: BrokerProcess, broker: posthouse.Broker
) -> None:
    def pace() -> float:
        begun_at = time.monotonic()
        for _ in range(100):
            broker.publish("", b"x" * 100, "bystander", timeout_s=60.0)
        return time.monotonic() - begun_at

    usual_s = max(pace(), pace(), 0.1)
    stopped = process.pid_of("queue:q")
    os.kill(stopped, signal.SIGSTOP)
    flood = process.connect(timeout_s=30.0)
    filled = threading.Event()

    def fill() -> None:
        out = flood.publisher("", window=5_000)
        out.send_many([b"x" * 1_000] * 5_000, "q")
        filled.set()
        out.send_many([b"x" * 1_000] * 5_000, "q")  # waits until the queue goes on
        out.flush(timeout_s=60.0)

    thread = threading.Thread(target=fill)
    thread.start()
    assert filled.wait(90.0)
    # A queue that slowed the others would slow them every time; a machine that is busy elsewhere does not.
    assert any(pace() < 5 * usual_s for _ in range(10))
    os.kill(stopped, signal.SIGCONT)
    thread.join(90.0)
    assert broker.queue_info("q").ready == 10_000


def test_a_consumer_that_never_reads_does_not_grow_the_queues_memory(
    process: BrokerProcess, broker: posthouse.Broker
) -> None:
    reader = start_python(NEVER_READS, process.ipc, "q")
    try:
        assert read_line(reader) == "open"
        queue = process.pid_of("queue:q")
        before = rss_of(queue)
        with broker.publisher("") as out:
            for _ in range(150):
                out.send_many([b"x" * 10_000] * 100, "q")
        assert broker.queue_info("q").stored == 15_000

        def is_bounded() -> None:
            grown = rss_of(queue) - before
            assert grown < 130 * MIB, f"the queue grew by {grown // MIB} MiB for 143 MiB of bodies"

        for_a_while(is_bounded, 1.5)
    finally:
        end([reader])
    info = eventually(lambda: (found := broker.queue_info("q")).ready == 15_000 and found, 60.0)
    assert info.consumers == 0


def test_a_backlog_larger_than_the_memory_limit_stays_on_the_disk_and_comes_out_whole(
    process: BrokerProcess, broker: posthouse.Broker
) -> None:
    queue = process.pid_of("queue:q")
    before = rss_of(queue)
    with broker.publisher("") as out:
        for number in range(160):
            out.send_many([b"%07d" % (100 * number + index) + b"x" * 9_993 for index in range(100)], "q")
    assert rss_of(queue) - before < 120 * MIB
    got = 0
    with broker.consume("q", auto_ack=True, prefetch=1_000) as messages:
        while got < 16_000:
            batch = messages.batch(1_000, timeout_s=60.0)
            assert batch
            for message in batch:
                assert int(message.body[:7]) == got
                got += 1
    assert rss_of(queue) - before < 150 * MIB


def test_a_consumer_that_fell_behind_goes_on_when_it_has_caught_up(
    process: BrokerProcess, broker: posthouse.Broker
) -> None:
    with broker.publisher("") as out:
        for _ in range(300):
            out.send_many([b"x" * 10_000] * 100, "q")
    got = 0
    with process.connect().consume("q", auto_ack=True, prefetch=1_000) as messages:
        while got < 30_000:
            batch = messages.batch(1_000, timeout_s=60.0)
            assert batch, f"{got} of 30000 came, and then nothing more"
            got += len(batch)


def test_a_queue_that_was_stopped_for_a_while_serves_its_old_clients_again(
    process: BrokerProcess, broker: posthouse.Broker
) -> None:
    for actor in ("queue:q", "exchange:", "registry", "door"):
        clients = [process.connect(door=door, timeout_s=20.0) for door in (False, True)]
        consumers = [client.consume("q", prefetch=1) for client in clients]
        pid = process.pid_of(actor)
        os.kill(pid, signal.SIGSTOP)
        for_a_while(lambda: None, 1.5)  # longer than the heartbeats' patience, shorter than the hang watch's
        os.kill(pid, signal.SIGCONT)
        for client in clients:
            assert client.publish("", b"x", "q", timeout_s=60.0).queues == ["q"]
            assert client.queue_info("q").name == "q"
        for _ in clients:
            eventually(
                lambda: any(take_one(messages) for messages in consumers),  # noqa: B023 - used at once
                what=f"a consumer gets what was published after {actor} was stopped",
            )
        for client in clients:
            client.close()
