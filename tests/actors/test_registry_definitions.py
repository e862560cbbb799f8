"""The registry and whole topologies: told as they are, laid down in one step, and not lost or halved by a crash."""

from __future__ import annotations

from typing import Any

from posthouse.actors.declaration import EVENTS_EXCHANGE
from posthouse.transport.messages import BindingSpec, DeleteQueue, ExchangeSpec, PrepareDelete, QueueSpec, Reply
from posthouse.transport.messages_definitions import Define, Defined, Definitions, DescribeTopology
from posthouse.transport.messages_sessions import ConnectionInfo, ListConnections, ListSessions, SessionInfo
from tests.support.actor_bench import result_of
from tests.support.registry_bench import RegistryWorld, raw

WANTED = Definitions(
    exchanges=(ExchangeSpec(name="flights", kind="topic"),),
    queues=(QueueSpec(name="ewr"), QueueSpec(name="jfk", ttl_ms=5)),
    bindings=(BindingSpec(source="flights", destination="ewr", key="#"),),
)


def _define(world: RegistryWorld, wanted: Definitions, *, is_dry_run: bool = False) -> list[str]:
    told = world.get(lambda number: Define(number, wanted, is_dry_run), list[Defined])
    return [one.state for one in told]


def _told(world: RegistryWorld) -> Any:
    return world.get(DescribeTopology, Definitions)


def test_a_topology_is_laid_down_with_its_actors_and_told_again() -> None:
    world = RegistryWorld()
    assert _define(world, WANTED) == ["created"] * 4
    assert [started.id for started in world.started][-3:] == ["exchange:flights", "queue:ewr", "queue:jfk"]
    told = _told(world)
    assert [spec.name for spec in told.exchanges] == ["flights"]
    assert [(spec.name, spec.ttl_ms) for spec in told.queues] == [("ewr", None), ("jfk", 5)]
    assert told.bindings == WANTED.bindings
    assert _define(world, WANTED) == ["existing"] * 4


def test_a_dry_run_starts_and_changes_nothing() -> None:
    world = RegistryWorld()
    started = len(world.started)
    assert _define(world, WANTED, is_dry_run=True) == ["created"] * 4
    assert len(world.started) == started
    assert _told(world) == Definitions()


def test_one_refusal_leaves_everything_as_it_was() -> None:
    world = RegistryWorld()
    world.declare(QueueSpec(name="jfk"))
    before = _told(world)
    assert _define(world, WANTED) == ["created", "created", "refused", "created"]
    assert _told(world) == before


def test_exclusive_queues_are_no_definitions() -> None:
    world = RegistryWorld()
    refused = world.refused(lambda number: Define(number, Definitions(queues=(QueueSpec(name="q", exclusive=True),))))
    assert refused.code == "invalid_argument"


def test_a_crash_after_the_answer_loses_nothing_and_new_serials_follow_the_old_ones() -> None:
    world = RegistryWorld()
    _define(world, WANTED)
    serials = [spec.serial for spec in _told(world).queues]
    world.crash(power=True)
    world.obey()
    assert [spec.serial for spec in _told(world).queues] == serials
    world.declare(QueueSpec(name="new"))
    assert max(spec.serial for spec in _told(world).queues) > max(serials)


def test_a_queue_that_is_being_deleted_is_not_defined_meanwhile() -> None:
    world = RegistryWorld()
    _define(world, WANTED)
    world.client.say(DeleteQueue(5, "ewr"))
    world.bench.run()
    asked = [heard for heard in world.queue("ewr").take_heard() if isinstance(heard, PrepareDelete)]
    world.queue("ewr").say(*[Reply(prepare.request, raw(0)) for prepare in asked])
    world.bench.run()
    refused = world.refused(lambda number: Define(number, WANTED), world.bench.client("other", 2))
    assert refused.code == "not_done"


def test_connections_are_put_together_from_what_all_actors_tell() -> None:
    world = RegistryWorld()
    _define(world, WANTED)
    (own,) = world.get(ListSessions, list[SessionInfo])
    assert (own.actor, own.client_id, own.client) == ("registry", 1, "client")
    world.client.say(ListConnections(9))
    world.bench.run()
    for name in ("ewr", "jfk"):
        (asked,) = [heard for heard in world.queue(name).take_heard() if isinstance(heard, ListSessions)]
        told = [SessionInfo(actor=f"queue:{name}", client_id=1, client="client")] if name == "ewr" else []
        world.queue(name).say(Reply(asked.request, raw(told)))
    for peer in world.exchanges():
        for heard in peer.take_heard():
            if isinstance(heard, ListSessions):
                peer.say(Reply(heard.request, raw([])))
    world.bench.advance(2_100)
    world.bench.run()
    (found,) = result_of(world.client.hears(), list[ConnectionInfo])
    assert [session.actor for session in found.sessions] == ["queue:ewr", "registry"]


def test_an_exchange_of_the_brokers_own_is_declared_once_and_told_like_any_other() -> None:
    world = RegistryWorld((EVENTS_EXCHANGE,))
    (own,) = _told(world).exchanges
    assert (own.name, own.internal) == (EVENTS_EXCHANGE.name, True)
    assert f"exchange:{own.name}" in [started.id for started in world.started]
    world.crash(boot="second", power=True)
    world.obey()
    assert _told(world).exchanges == (own,)
