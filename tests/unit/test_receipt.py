"""What a publisher gets back, and the broker at a glance."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from posthouse.address import Address
from posthouse.broker_file import NAME, BrokerFile
from posthouse.receipt import PublishReceipt
from posthouse.status import make_status
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.messages import Durability, QueueInfo, Receipt


@pytest.mark.parametrize(
    ("level", "name"), [(Durability.SYNC, "sync"), (Durability.OS, "os"), (Durability.MEMORY, "memory")]
)
def test_a_receipt_names_its_queues_in_order_and_the_level_reached(level: Durability, name: str) -> None:
    found = PublishReceipt.of(Receipt(1, 1, 1, ("two", "one"), level, duplicate=True), 1)
    assert found == PublishReceipt(queues=["one", "two"], durability=name, duplicate=True, message_id="1-1")
    assert (found.held, found.scheduled_id) == (False, None)


def test_each_delayed_message_of_a_range_has_an_id_of_its_own() -> None:
    receipt = Receipt(1, 7, 3, scheduled_id=100)
    assert [PublishReceipt.of(receipt, number).scheduled_id for number in (7, 8, 9)] == ["100", "101", "102"]


def _status(address: Address, *states: str) -> dict[str, Any]:
    tree = [{"id": f"actor {n}", "state": state, "restarts": n, "rss_bytes": 10} for n, state in enumerate(states)]
    queues = [QueueInfo(name="a", ready=1, unacked=2, consumers=3), QueueInfo(name="b", ready=10)]
    return make_status(address, tree, queues, [ExchangeInfo(name="", kind="direct")])


def test_a_broker_is_healthy_when_every_actor_is_up() -> None:
    found = _status(Address(door="tcp://127.0.0.1:5670"), "up", "up")
    assert found == {
        "healthy": True,
        "address": "tcp://127.0.0.1:5670",
        "actors": 2,
        "not_up": [],
        "quarantined": [],
        "restarts": 1,
        "rss_bytes": 20,
        "exchanges": 1,
        "queues": 2,
        "ready": 11,
        "unacked": 2,
        "held": 0,
        "consumers": 3,
    }


def test_an_actor_that_is_not_up_is_named_and_one_in_quarantine_twice() -> None:
    found = _status(Address(door="tcp://127.0.0.1:5670"), "up", "restarting", "quarantined")
    assert (found["healthy"], found["not_up"], found["quarantined"]) == (False, ["actor 1", "actor 2"], ["actor 2"])


def test_on_the_same_machine_the_process_is_told_too(tmp_path: Path) -> None:
    told: dict[str, Any] = {"pid": os.getpid(), "version": "0.1", "data": str(tmp_path), "listen": ""}
    file = BrokerFile(registry="ipc:///r", generation=1, started_at=0.0, **told)
    (tmp_path / NAME).write_bytes(msgspec.json.encode(file))
    found = _status(Address(directory=str(tmp_path)), "up")
    assert {name: found[name] for name in told} == told
    assert found["uptime_s"] > 0
