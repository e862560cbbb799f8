"""Many queues at once: declared, bound, filled, emptied, deleted, and nothing of them left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import psutil
import pytest

from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually

SANE_S: Final = 240.0


def files_of(data: Path) -> list[str]:
    journals = sorted(entry.name for entry in (data / "journal").iterdir())
    sockets = sorted(entry.name for entry in (data / "run").iterdir() if entry.suffix == ".sock")
    return journals + sockets


@pytest.mark.timeout(900)
@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.slow)])
def test_many_queues_work_at_once_and_leave_nothing_behind(process: BrokerProcess, count: int) -> None:
    begun_at = time.monotonic()
    broker = process.connect(timeout_s=SANE_S)
    broker.declare_exchange("all", "fanout")
    broker.declare_exchange("one", "direct")
    processes_before, files_before = set(process.children), files_of(process.data)
    names = [f"queue-{number:03}" for number in range(count)]

    for name in names:
        broker.declare_queue(name)
        broker.bind("all", name)
        broker.bind("one", name, name)
    assert len(process.children) == len(processes_before) + count

    assert broker.publish("all", b"to all").queues == names
    with broker.publisher("one") as out:
        for name in names:
            out.send(b"to " + name.encode(), name)
    consumers = {name: broker.consume(name, prefetch=10) for name in names}
    for name, messages in consumers.items():
        taken: list[bytes] = []
        while len(taken) < 2:
            message = messages.get(timeout_s=SANE_S)
            assert message is not None, f"{name} handed out {taken}"
            taken.append(message.body)
            message.ack()
        assert taken == [b"to all", b"to " + name.encode()]
        messages.close()
    assert {(info.ready, info.unacked, info.acked) for info in broker.queues()} == {(0, 0, 2)}

    for name in names:
        broker.delete_queue(name)
    eventually(lambda: set(process.children) == processes_before, what="only the others' processes are left")
    assert files_of(process.data) == files_before
    assert broker.queues() == []
    assert not [child for child in psutil.Process(process.pid).children() if child.status() == "zombie"]
    assert time.monotonic() - begun_at < SANE_S
