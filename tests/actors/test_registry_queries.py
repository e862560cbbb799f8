"""What the registry answers without changing anything, also when somebody it asks is silent."""

from __future__ import annotations

from typing import Any

from posthouse.actors.registry_queries import QUERY_LIMIT_MS
from posthouse.supervisor import control_messages as control
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import (
    BindingSpec,
    ConsumerInfo,
    DescribeTree,
    ExchangeSpec,
    Explain,
    Failed,
    ListBindings,
    ListConsumers,
    ListExchanges,
    ListQueues,
    QueueConsumers,
    QueueInfo,
    QueueSpec,
    QueueStatus,
    Reply,
)
from tests.support.actor_bench import result_of
from tests.support.registry_bench import RegistryWorld, raw

BINDING = BindingSpec(source="fan", destination="one")


def _world() -> RegistryWorld:
    world = RegistryWorld()
    world.declare(ExchangeSpec(name="fan", kind="fanout"), QueueSpec(name="two"), QueueSpec(name="one"), BINDING)
    return world


def _answer(world: RegistryWorld, name: str, value: Any) -> None:
    asked = world.queue(name).hears()
    assert isinstance(asked, QueueStatus | QueueConsumers)
    world.queue(name).say(Reply(asked.request, raw(value)))
    world.bench.run()


def test_exchanges_and_bindings_are_listed() -> None:
    world = _world()
    exchanges = world.get(ListExchanges, list[ExchangeSpec])
    assert [spec.name for spec in exchanges] == ["", "fan"]
    assert world.get(ListBindings, list[BindingSpec]) == [BINDING]


def test_queues_are_listed_by_name_with_their_own_counts() -> None:
    world = _world()
    assert world.bench.deliver(world.client, ListQueues(1)) == []
    _answer(world, "two", QueueInfo(name="two", ready=2))
    assert world.client.take_heard() == []
    _answer(world, "one", QueueInfo(name="one", ready=1))
    assert result_of(world.client.hears(), list[QueueInfo]) == [
        QueueInfo(name="one", ready=1),
        QueueInfo(name="two", ready=2),
    ]


def test_only_the_queues_of_given_names_are_asked_and_listed_and_none_that_is_not_there() -> None:
    world = _world()
    world.bench.deliver(world.client, ListQueues(1, ("two", "nowhere")))
    assert world.queue("one").take_heard() == []
    _answer(world, "two", QueueInfo(name="two", ready=2))
    assert result_of(world.client.hears(), list[QueueInfo]) == [QueueInfo(name="two", ready=2)]
    (answer,) = world.bench.deliver(world.client, ListQueues(2, ()))
    assert result_of(answer, list[QueueInfo]) == []


def test_an_empty_house_is_listed_at_once() -> None:
    world = RegistryWorld()
    assert world.get(ListQueues) == []
    assert world.get(ListConsumers) == []


def test_consumers_are_listed_queue_by_queue() -> None:
    world = _world()
    info = ConsumerInfo(queue="q", consumer=1, client="c", prefetch=2, unacked=0, auto_ack=False, is_active=True)
    world.bench.deliver(world.client, ListConsumers(1))
    _answer(world, "one", [info])
    _answer(world, "two", [info, info])
    assert result_of(world.client.hears(), list[ConsumerInfo]) == [info, info, info]


def test_a_silent_queue_is_listed_as_silent_when_the_time_is_up() -> None:
    for talker, silent in (("one", "two"), ("two", "one")):
        world = _world()
        world.bench.deliver(world.client, ListQueues(1))
        _answer(world, talker, QueueInfo(name=talker, ready=5))
        world.bench.advance(QUERY_LIMIT_MS - 100)
        assert world.client.take_heard() == []
        world.bench.advance(200)
        infos = {info.name: info for info in result_of(world.client.hears(), list[QueueInfo])}
        assert (infos[talker].ready, infos[talker].state) == (5, "up")
        assert infos[silent].state == "silent"
        _answer(world, silent, QueueInfo(name=silent))
        world.bench.advance(QUERY_LIMIT_MS)
        assert world.client.take_heard() == []


def test_an_answer_in_time_leaves_nothing_for_the_timer() -> None:
    world = _world()
    world.bench.deliver(world.client, ListConsumers(1))
    _answer(world, "one", [])
    _answer(world, "two", [])
    assert result_of(world.client.hears()) == []
    world.bench.advance(2 * QUERY_LIMIT_MS)
    assert world.client.take_heard() == []


def test_a_queue_that_is_down_is_not_asked_and_listed_with_its_state() -> None:
    world = _world()
    world.bench.down("queue:two", "quarantined", "its journal is corrupt")
    world.bench.deliver(world.client, ListQueues(1))
    _answer(world, "one", QueueInfo(name="one"))
    states = [info.state for info in result_of(world.client.hears(), list[QueueInfo])]
    assert states == ["up", "quarantined"]


def test_a_queue_that_refuses_to_answer_counts_as_silent() -> None:
    world = _world()
    world.bench.deliver(world.client, ListQueues(1))
    _answer(world, "one", QueueInfo(name="one"))
    asked = world.queue("two").hears()
    assert isinstance(asked, QueueStatus)
    world.queue("two").say(Failed(asked.request, "unknown_queue", "it is being deleted"))
    world.bench.run()
    assert [info.state for info in result_of(world.client.hears(), list[QueueInfo])] == ["up", "silent"]


def test_a_route_is_explained_without_publishing() -> None:
    world = _world()
    found = world.get(lambda number: Explain(number, "fan", "any"), Explanation)
    assert list(found.queues) == ["one"]
    assert world.refused(lambda number: Explain(number, "nowhere", "any")).code == "unknown_exchange"


def test_the_tree_is_the_supervisors() -> None:
    world = _world()
    world.nodes = [control.NodeInfo("door", "door", "edge", "up", restarts=2)]
    (node,) = world.get(DescribeTree, list[dict[str, Any]])
    assert (node["id"], node["restarts"]) == ("door", 2)
