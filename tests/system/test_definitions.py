"""Definitions with real processes: what one broker exports another imports, and then exports the same."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

import posthouse
from posthouse.definitions import ImportRefused
from posthouse.errors import InvalidArgument
from posthouse.testing.broker import BrokerProcess, run_command
from tests.support.both_clients import with_both
from tests.system.conftest import StartBroker


def furnish(broker: posthouse.Broker) -> None:
    """One of everything that can be declared."""
    broker.declare_exchange("flights", "topic", hold_for_s=60.0, hold_max_length=10)
    broker.declare_exchange("rest", "fanout", unrouted="drop")
    broker.declare_exchange("by-headers", "headers", alternate="rest")
    broker.declare_exchange("inner", internal=True, unrouted="return")
    broker.declare_queue("ewr", retry=posthouse.Retry(max_attempts=2), ttl_s=5.0, breaker=posthouse.Breaker(window=7))
    broker.declare_queue("jfk", priority=True, max_length=9, overflow="reject-publish", dead_letter_exchange="rest")
    broker.declare_queue("work", single_active_consumer=True, expires_s=600.0)
    broker.bind("flights", "ewr", "*.EWR.#")
    broker.bind("by-headers", "jfk", arguments={"x-match": "any", "raw": b"\xff", "hour": 7, "share": math.inf})
    broker.bind_exchange("flights", "inner", "#")
    broker.delayed.repeat(
        "flights", b"go", key="nightly", cron="30 2 * * *", zone="Europe/Berlin", headers={"a": b"\x00"}
    )
    broker.delayed.repeat("", b"\xff\xfe", key="ping", every_s=3_600.0, routing_key="work", max_count=9)
    broker.delayed.pause("ping")


def test_an_export_on_a_fresh_broker_is_what_was_imported(short_path: Path) -> None:
    for name in ("one", "two"):
        (short_path / name).mkdir()
    with BrokerProcess(short_path / "one") as one, posthouse.connect(one.ipc) as broker:
        furnish(broker)
        broker.declare_queue("", exclusive=True)
        exported = broker.definitions.export()
        path = short_path / "definitions.json"
        run_command("definitions", "export", str(path), "--address", one.ipc)
    assert json.loads(path.read_text()) == exported
    with BrokerProcess(short_path / "two") as two, posthouse.connect(two.ipc) as broker:
        dry = broker.definitions.load(exported, dry_run=True)
        assert (dry.count("created"), dry.count("existing"), broker.queues()) == (12, 0, [])
        made = run_command("definitions", "import", str(path), "--json", "--address", two.ipc)
        assert [one["state"] for one in json.loads(made.stdout)["definitions"]] == ["created"] * 12
        assert broker.definitions.export() == exported
        again = broker.definitions.load(exported)
        assert (again.count("created"), again.count("existing")) == (0, 12)
        assert broker.publish("flights", b"x", routing_key="UA.EWR.1").queues == ["ewr"]
        two.kill("registry")
        assert broker.definitions.export() == exported


@with_both
async def test_a_conflict_changes_nothing_and_says_what_and_why(broker: Any, queue: str) -> None:
    await broker.delayed.repeat("", b"a", key=f"s-{queue}", every_s=3_600.0, routing_key=queue)
    before = await broker.definitions.export()
    document = {
        "format": "posthouse-definitions",
        "version": 1,
        "queues": [{"name": f"new-{queue}"}, {"name": queue, "priority": True}],
        "schedules": [
            {"key": f"s-{queue}", "exchange": "", "routing_key": queue, "body": "other", "every_ms": 3_600_000},
            {"key": f"t-{queue}", "exchange": "", "body": "b", "cron": "every day"},
            {"key": f"u-{queue}", "exchange": "nowhere", "body": "b", "every_ms": 1_000},
        ],
    }
    with pytest.raises(ImportRefused) as caught:
        await broker.definitions.load(document)
    assert [(one.name, one.code) for one in caught.value.report.refused] == [
        (queue, "precondition_failed"),
        (f"s-{queue}", "precondition_failed"),
        (f"t-{queue}", "invalid_argument"),
        (f"u-{queue}", "unknown_exchange"),
    ]
    dry = await broker.definitions.load(document, dry_run=True)
    assert dry == type(dry)(is_dry_run=True, definitions=caught.value.report.definitions)
    assert await broker.definitions.export() == before
    with pytest.raises(InvalidArgument, match="unknown field"):
        await broker.definitions.load({**document, "passwords": []})
    await broker.delayed.stop(f"s-{queue}")


def test_a_thousand_definitions_are_laid_down_in_one_step(start_broker: StartBroker) -> None:
    names = [f"q{number}" for number in range(60)]
    document: dict[str, Any] = {
        "format": "posthouse-definitions",
        "version": 1,
        "exchanges": [{"name": "flights", "kind": "topic"}],
        "queues": [{"name": name} for name in names],
        "bindings": [
            {"source": "flights", "destination": name, "key": f"{name}.{key}"} for name in names for key in range(16)
        ],
    }
    with posthouse.connect(start_broker().ipc) as broker:
        assert broker.definitions.load(document).count("created") == 1 + 60 + 960
        assert [queue.state for queue in broker.queues()] == ["up"] * 60
        assert broker.publish("flights", b"x", routing_key="q59.15").queues == ["q59"]
