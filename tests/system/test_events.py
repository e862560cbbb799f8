"""Events with real processes: on the exchange, at the monitor, on the command line; nobody can forge or stop them."""

from __future__ import annotations

import json
from typing import Any

import pytest

import posthouse
from posthouse.errors import InvalidArgument, PreconditionFailed
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.support.both_clients import with_both

EVENTS = "posthouse.events"


def test_a_queue_bound_to_the_events_hears_of_a_crash_a_declaration_and_consumers(process: BrokerProcess) -> None:
    with posthouse.connect(process.ipc, timeout_s=30.0) as broker:
        broker.declare_queue("audit")
        broker.declare_queue("victim")
        for pattern in ("exited.queue.victim", "declared.#", "consumers.queue.victim"):
            broker.bind(EVENTS, "audit", pattern)
        process.kill("queue:victim")
        broker.declare_queue("later")
        with broker.consume("victim"), broker.consume("audit") as messages:
            told: list[dict[str, Any]] = []
            while {one["kind"] for one in told} != {"exited", "declared", "consumers"}:
                message = messages.get(timeout_s=30.0)
                assert message is not None, told
                told.append(json.loads(message.body))
                assert message.routing_key.startswith(f"{told[-1]['kind']}.queue.")
                assert message.headers is not None
                assert message.headers["actor"] == told[-1]["actor"]
                message.ack()
        (crash,) = [one for one in told if one["kind"] == "exited"]
        assert (crash["actor"], crash["severity"], crash["fields"]["signal"]) == ("queue:victim", "warning", 9)
        assert [one["actor"] for one in told if one["kind"] == "declared"] == ["queue:later"]
        numbers = [one["number"] for one in told]
        assert numbers == sorted(set(numbers))
        shown = run_command("events", "--no-follow", "--json", "--filter", "exited.#", "--address", process.ipc)
        assert crash["number"] in {json.loads(line)["number"] for line in shown.stdout.splitlines()}


def test_the_events_go_on_after_a_crash_of_the_monitor_and_of_the_exchange(process: BrokerProcess) -> None:
    with posthouse.connect(process.ipc, timeout_s=30.0) as broker:
        broker.declare_queue("audit")
        broker.bind(EVENTS, "audit", "declared.#")
        for number, actor in enumerate(("monitor", f"exchange:{EVENTS}", "registry")):
            generation = process.kill(actor)
            process.wait_up(actor, generation)
            name = f"after-{number}"
            # What happens while the monitor has not yet heard of the topology is where its telling begins.
            eventually(lambda name=name: _is_told(broker, name), 60.0, f"{name} told")  # type: ignore[misc]


def _is_told(broker: posthouse.Broker, name: str) -> bool:
    broker.declare_queue(name)
    broker.delete_queue(name)
    found = False
    while (message := broker.get("audit")) is not None:
        found = found or json.loads(message.body)["actor"] == f"queue:{name}"
        message.ack()
    return found


@with_both
async def test_the_exchange_of_events_is_the_brokers_alone(broker: Any, queue: str) -> None:
    with pytest.raises(PreconditionFailed, match="internal"):
        await broker.publish(EVENTS, b"forged", routing_key="exited.queue.q")
    with pytest.raises(InvalidArgument, match="the broker's own"):
        await broker.delete_exchange(EVENTS)
    with pytest.raises(InvalidArgument, match="the broker's own"):
        await broker.declare_exchange(f"{queue}-alternate", "fanout", alternate=EVENTS)
    with pytest.raises(InvalidArgument, match="the broker's own"):
        await broker.declare_queue(f"{queue}-graves", dead_letter_exchange=EVENTS)
    await broker.declare_exchange(f"{queue}-x", "fanout")
    with pytest.raises(InvalidArgument, match="the broker's own"):
        await broker.bind_exchange(f"{queue}-x", EVENTS)
    assert EVENTS in {exchange.name for exchange in await broker.exchanges()}
    await broker.bind(EVENTS, queue, "never.#")
    await broker.unbind(EVENTS, queue, "never.#")


def test_top_looks_once(shared: BrokerProcess) -> None:
    told = json.loads(run_command("top", "--json", "--address", shared.tcp).stdout)
    assert {"registry", "monitor", f"exchange:{EVENTS}"} <= {actor["id"] for actor in told["actors"]}
    assert told["totals"]["not_up"] == []
    plain = run_command("top", "--once", "--filter", "exchange:*", "--address", shared.ipc)
    assert (plain.returncode, "● well" in plain.stdout) == (0, True)
    refused = run_command("tree", "--watch", "--address", shared.ipc)
    assert refused.returncode == 2
