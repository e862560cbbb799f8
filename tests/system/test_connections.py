"""Who is connected, with real processes: both ways in, whom they talk to, and that they are gone when they are gone."""

from __future__ import annotations

import json
import os
from typing import Any

import posthouse
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from posthouse.transport.messages_sessions import ConnectionInfo
from tests.support.both_clients import with_both


def _of(broker: posthouse.Broker, name: str) -> ConnectionInfo | None:
    return next((one for one in broker.connections() if one.client == name), None)


def test_a_client_is_listed_with_where_it_is_and_whom_it_talks_to(shared: BrokerProcess) -> None:
    with posthouse.connect(shared.ipc, name="tower") as broker, posthouse.connect(shared.tcp, name="remote") as other:
        broker.declare_queue("listed")
        broker.publish("", b"x", routing_key="listed")
        with other.consume("listed", prefetch=3) as messages:
            assert messages.get(timeout_s=60.0) is not None
            near, far = _of(broker, "tower"), _of(other, "remote")
            assert near is not None
            assert far is not None
            assert (near.via, near.remote, near.pid) == ("ipc", "", os.getpid())
            assert (far.via, far.remote, far.pid, far.state) == ("door", "127.0.0.1", os.getpid(), "open")
            assert {session.actor for session in near.sessions} == {"registry", "exchange:", "queue:listed"}
            (at_queue,) = [session for session in far.sessions if session.actor == "queue:listed"]
            assert at_queue.sent >= 2  # The answer to the consumer, and the message.
            assert 0 <= far.since_ms - near.since_ms < 60_000
            (consumer,) = broker.consumers()
            assert (consumer.queue, consumer.client, consumer.prefetch, consumer.unacked) == ("listed", "remote", 3, 1)
            assert (consumer.client_id, consumer.is_active) == (far.client_id, True)
            assert abs(consumer.since_ms - far.since_ms) < 60_000
        told = json.loads(run_command("connections", "--json", "--address", shared.tcp).stdout)
        assert {"tower", "remote"} <= {one["client"] for one in told}
        assert [one["program"] for one in told if one["client"] not in ("tower", "remote")] == ["posthouse"]
    with posthouse.connect(shared.ipc) as broker:
        eventually(lambda: _of(broker, "tower") is None and _of(broker, "remote") is None)


@with_both
async def test_both_clients_see_themselves(broker: Any, queue: str) -> None:
    found = await broker.connections()
    assert os.getpid() in {connection.pid for connection in found}


def test_connections_stand_after_a_crash_of_the_registry(process: BrokerProcess) -> None:
    with posthouse.connect(process.ipc, name="tower") as broker:
        broker.declare_queue("q")
        process.kill("registry")
        found = _of(broker, "tower")
        assert found is not None
        assert "queue:q" in {session.actor for session in found.sessions}
