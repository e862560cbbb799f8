"""The monitor publishes what happens: in order, once each, without waiting for anybody."""

from __future__ import annotations

import json
from typing import Any, final

from posthouse.actors import event_publisher
from posthouse.actors.actor import Actor, Context
from posthouse.actors.broker_events import EVENTS_MAX
from posthouse.actors.monitor import BrokerFacts, MonitorActor, Senses
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.figures import MachineFigures, ProcessFigures
from posthouse.transport.batch import headers_of
from posthouse.transport.messages import Batch, QueueSpec, Receipt, TopologyChange, WatchTopology
from posthouse.transport.names import EVENTS, MONITOR, REGISTRY, actor_of_exchange
from tests.support.actor_bench import ActorBench, Peer, Setting

EXCHANGE = actor_of_exchange(EVENTS)


@final
class MonitorWorld:
    """A monitor, and the registry and the exchange it talks to."""

    monitor: MonitorActor

    def __init__(self, *, has_exchange: bool = True) -> None:
        def make(context: Context) -> Actor:
            senses = Senses(lambda page: [], lambda pid: ProcessFigures(), lambda: MachineFigures(1, 0.0, 1, 1, 1, 1))
            self.monitor = MonitorActor(context, BrokerFacts("1", "/data", 1, 0.0), senses)
            return self.monitor

        self.bench = ActorBench(MONITOR, make, Setting(has_journal=False))
        self.registry = self.bench.actor(REGISTRY)
        if has_exchange:
            self.bench.actor(EXCHANGE)
        self.bench.run()

    @property
    def exchange(self) -> Peer:
        return self.bench.actors[EXCHANGE]

    def happen(self, kind: str, actor: str, **fields: Any) -> None:
        self.bench.notice(control.Happened(1_700_000_000_000, kind, actor, **fields))

    def published(self) -> list[Batch]:
        """What the exchange got since the last look; it settles all of it."""
        self.bench.run()
        heard = self.exchange.take_heard()
        self.exchange.settle()
        self.bench.run()
        assert all(isinstance(said, Batch) for said in heard)
        return [said for said in heard if isinstance(said, Batch)]


def _keys(batches: list[Batch]) -> list[str]:
    return [batch.routing_key for batch in batches]


def test_what_happens_is_published_as_json_under_its_kind_and_actor() -> None:
    world = MonitorWorld()
    world.happen("exited", "queue:a.b", generation=3, signal=9)
    world.happen("ready", "door")
    first, second = world.published()
    assert (first.exchange, first.routing_key, second.routing_key) == (EVENTS, "exited.queue.a.b", "ready.door")
    assert headers_of(first) == {"kind": "exited", "actor": "queue:a.b", "severity": "warning"}
    body = json.loads(bytes(first.bodies))
    assert (body["at"], body["kind"], body["actor"]) == ("2023-11-14T22:13:20.000+00:00", "exited", "queue:a.b")
    assert (body["text"], body["fields"]) == ("queue:a.b was killed by signal 9", {"generation": 3, "signal": 9})
    assert (first.stream, first.first_seq + 1) == (second.stream, second.first_seq)
    assert first.options is not None
    assert first.options.content_type == "application/json"


def test_alarms_and_changes_of_the_topology_are_published_too() -> None:
    world = MonitorWorld()
    assert [type(said) for said in world.registry.take_heard()] == [WatchTopology]
    world.registry.say(TopologyChange(version=1, is_snapshot=True))
    world.registry.say(TopologyChange(version=2, put_queues=(QueueSpec(name="ewr"),)))
    world.bench.run()
    world.bench.notice(control.Alarmed(5, "queue:ewr", control.Alarm("disk_low", {"free": 3})))
    assert _keys(world.published()) == ["declared.queue.ewr", "disk_low.queue.ewr"]


def test_while_the_exchange_is_away_events_wait_and_nobody_else_does() -> None:
    world = MonitorWorld(has_exchange=False)
    world.happen("exited", "queue:q", code=1)
    assert [event.kind for event in world.monitor._events.after(-1, 9)] == ["exited"]  # type: ignore[union-attr]
    world.bench.actor(EXCHANGE)
    assert _keys(world.published()) == ["exited.queue.q"]


def test_no_more_than_so_many_are_on_their_way_and_the_rest_follows() -> None:
    world = MonitorWorld()
    world.exchange.settles_at_once = False
    most = event_publisher.IN_FLIGHT_MAX
    for number in range(most + 3):
        world.happen("ready", f"queue:{number}")
    assert len(world.exchange.take_heard()) == most
    world.exchange.settle()
    assert _keys(world.published()) == [f"ready.queue.{number}" for number in range(most, most + 3)]


def test_what_falls_out_before_it_could_be_published_is_counted() -> None:
    world = MonitorWorld(has_exchange=False)
    too_many = [control.Happened(1, "ready", f"queue:{number}") for number in range(EVENTS_MAX + 5)]
    world.happen("ready", "queue:first")
    world.bench.notice(*too_many)
    world.bench.actor(EXCHANGE)
    assert _keys(world.published())[0] == "ready.queue.5"
    publisher = world.monitor._publisher
    assert publisher.dropped == 6


def test_an_exchange_that_dies_gets_what_it_had_not_settled_again_under_the_same_numbers() -> None:
    world = MonitorWorld()
    world.exchange.settles_at_once = False
    world.happen("ready", "queue:q")
    world.bench.run()
    (before,) = world.exchange.take_heard()
    world.bench.down(EXCHANGE, "restarting", "it died")
    world.bench.actor(EXCHANGE, 2)
    (again,) = world.published()
    assert isinstance(before, Batch)
    assert (again.stream, again.first_seq, again.routing_key) == (before.stream, before.first_seq, before.routing_key)


def test_a_receipt_is_no_reason_to_fall_over_and_a_name_of_any_length_is_no_key_too_long() -> None:
    world = MonitorWorld()
    world.exchange.say(Receipt(1, 1, 1, code="disk_space_low", text="no"))
    world.happen("ready", "queue:" + "é" * 127)
    (batch,) = world.published()
    assert len(batch.routing_key.encode()) <= 255
    assert json.loads(bytes(batch.bodies))["actor"] == "queue:" + "é" * 127
