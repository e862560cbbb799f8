"""Deleting a queue: it is asked, the deletion journaled, the actor stopped, its journal removed; whatever dies."""

from __future__ import annotations

from posthouse.supervisor import control_messages as control
from posthouse.transport.messages import (
    BindingSpec,
    DeclareQueue,
    DeleteQueue,
    ExchangeSpec,
    Failed,
    Message,
    PrepareDelete,
    QueueSpec,
    QueueUnused,
    Reply,
    TopologyChange,
)
from posthouse.transport.messages_use import QueueUsed
from tests.support.actor_bench import Peer, result_of
from tests.support.registry_bench import RegistryWorld, raw

ONE = QueueSpec(name="one")
BINDING = BindingSpec(source="fan", destination="one")


def _world() -> RegistryWorld:
    world = RegistryWorld()
    world.declare(ExchangeSpec(name="fan", kind="fanout"), ONE, BINDING)
    world.exchange("fan").take_heard()
    return world


def _delete(world: RegistryWorld, peer: Peer | None = None, **wishes: bool) -> list[Message]:
    return world.bench.deliver(peer or world.client, DeleteQueue(5, "one", **wishes))


def _asked(world: RegistryWorld) -> PrepareDelete:
    asked = world.queue("one").hears()
    assert isinstance(asked, PrepareDelete)
    return asked


def _answer(world: RegistryWorld, count: int) -> None:
    world.queue("one").say(Reply(_asked(world).request, raw(count)))
    world.bench.run()


def test_the_answer_comes_when_the_exchanges_know_and_the_actor_and_its_journal_are_gone() -> None:
    world = _world()
    fan = world.exchange("fan")
    fan.settles_at_once = False
    assert _delete(world) == []
    assert world.removed == []
    queue = world.queue("one")
    _answer(world, 12)
    assert queue.endings == ["goodbye"]
    (change,) = fan.take_heard()
    assert isinstance(change, TopologyChange)
    assert (change.drop_queues, change.drop_bindings) == (("one",), (BINDING,))
    (stop,) = world.bench.take_orders()
    assert isinstance(stop, control.StopChild)
    assert stop.id == "queue:one"
    assert world.client.take_heard() == []
    world.bench.notice(control.Done(stop.request, True))
    assert [spec.name for spec in world.removed] == ["one"]
    assert world.client.take_heard() == []
    fan.settle()
    world.bench.run()
    assert result_of(world.client.hears()) == 12


def test_the_wishes_travel_to_the_queue_and_its_refusal_travels_back() -> None:
    world = _world()
    assert _delete(world, if_unused=True, if_empty=True) == []
    asked = _asked(world)
    assert (asked.if_unused, asked.if_empty) == (True, True)
    world.queue("one").say(Failed(asked.request, "precondition_failed", "it has consumers"))
    world.bench.run()
    assert world.client.hears() == Failed(5, "precondition_failed", "it has consumers")
    assert "one" in world.actor.topology.queues
    assert _delete(world) == []
    _answer(world, 0)
    assert "one" not in world.actor.topology.queues


def test_a_queue_that_is_stopping_is_declared_anew_when_it_is_gone() -> None:
    world = _world()
    _delete(world)
    _answer(world, 0)
    (stop,) = world.bench.take_orders()
    assert world.bench.deliver(world.client, DeclareQueue(6, ONE)) == []
    assert "one" not in world.actor.topology.queues
    world.carry_out(stop)
    world.obey()
    assert [result_of(heard) for heard in world.client.take_heard()] == [0, "one"]
    assert world.actor.topology.queues["one"].serial == 3


def test_a_declaration_that_waited_is_refused_if_it_cannot_be() -> None:
    world = _world()
    _delete(world)
    _answer(world, 0)
    (stop,) = world.bench.take_orders()
    world.bench.deliver(world.client, DeclareQueue(6, ONE), DeclareQueue(7, QueueSpec(name="one", durable=False)))
    world.carry_out(stop)
    world.obey()
    heard = world.client.take_heard()
    (refused,) = [message for message in heard if isinstance(message, Failed)]
    assert (refused.request, refused.code) == (7, "precondition_failed")


def test_two_clients_that_delete_the_same_queue_are_both_answered() -> None:
    world = _world()
    other = world.bench.client("other", 2)
    _delete(world)
    _delete(world, other)
    first, second = world.queue("one").take_heard()
    assert isinstance(first, PrepareDelete)
    assert isinstance(second, PrepareDelete)
    world.queue("one").say(Reply(first.request, raw(3)), Reply(second.request, raw(3)))
    world.bench.run()
    world.obey()
    assert result_of(world.client.hears()) == 3
    late = other.hears()
    assert isinstance(late, Failed)
    assert late.code == "unknown_queue"


def test_a_deletion_by_the_broker_itself_beside_one_by_a_client_is_done_once() -> None:
    world = RegistryWorld()
    owner = world.bench.client("owner", 7)
    world.get(lambda number: DeclareQueue(number, QueueSpec(name="one", exclusive=True)), peer=owner)
    world.bench.deliver(owner, DeleteQueue(5, "one"))
    world.bench.leave(owner)
    world.bench.advance(3_000)
    first, second = world.queue("one").take_heard()
    assert isinstance(second, PrepareDelete)
    assert isinstance(first, PrepareDelete)
    world.queue("one").say(Reply(first.request, raw(0)))
    world.bench.run()
    world.obey()
    assert world.stopped == ["queue:one"]


def test_a_deletion_by_the_broker_itself_survives_the_death_of_the_queue() -> None:
    world = RegistryWorld()
    owner = world.bench.client("owner", 7)
    world.get(lambda number: DeclareQueue(number, QueueSpec(name="one", exclusive=True)), peer=owner)
    world.bench.leave(owner)
    world.bench.advance(3_000)
    _asked(world)
    world.bench.down("queue:one", "restarting", "it died")
    world.bench.actor("queue:one", 2)
    _answer(world, 0)
    world.obey()
    assert world.stopped == ["queue:one"]


def test_a_queue_that_dies_before_it_answers_is_asked_again_in_its_next_life() -> None:
    world = _world()
    _delete(world)
    _asked(world)
    world.bench.down("queue:one", "restarting", "it died")
    world.bench.actor("queue:one", 2)
    _answer(world, 4)
    world.obey()
    assert result_of(world.client.hears()) == 4


def test_a_queue_that_is_quarantined_before_it_answers_goes_without_being_asked() -> None:
    world = _world()
    _delete(world)
    world.bench.down("queue:one", "quarantined", "its journal is corrupt")
    world.obey()
    assert result_of(world.client.hears()) == 0
    assert world.stopped == ["queue:one"]


def test_nobody_knows_whether_a_queue_that_is_down_is_empty() -> None:
    world = _world()
    _delete(world, if_empty=True)
    world.bench.down("queue:one", "quarantined", "its journal is corrupt")
    refused = world.client.hears()
    assert isinstance(refused, Failed)
    assert refused.code == "actor_down"
    (again,) = _delete(world, if_empty=True)
    assert isinstance(again, Failed)
    assert again.code == "actor_down"
    assert "one" in world.actor.topology.queues


def test_a_deletion_that_was_journaled_is_carried_on_by_the_next_life() -> None:
    world = _world()
    _delete(world)
    _answer(world, 0)
    world.nodes = [control.NodeInfo("queue:one", "queue", "queues", "up")]
    world.crash()
    assert "one" not in world.actor.topology.queues
    world.obey()
    assert world.stopped == ["queue:one"]


def test_a_deletion_that_was_only_asked_for_is_forgotten_with_the_life_that_asked() -> None:
    world = _world()
    _delete(world)
    world.crash()
    world.obey()
    assert "one" in world.actor.topology.queues


IDLE = QueueSpec(name="one", expires_ms=60_000)


def _idle() -> RegistryWorld:
    world = RegistryWorld()
    world.declare(IDLE)
    return world


def test_a_queue_that_says_it_is_idle_is_asked_back_and_deleted() -> None:
    world = _idle()
    speaker = world.bench.client("queue:one", 0)
    world.bench.deliver(speaker, QueueUnused("one", 1, True), QueueUnused("one", 1, True))
    asked = _asked(world)
    assert (asked.if_unused, asked.if_empty, asked.if_idle) == (True, False, True)
    world.queue("one").say(Reply(asked.request, raw(3)))
    world.bench.run()
    world.obey()
    assert (world.stopped, [spec.name for spec in world.removed]) == (["queue:one"], ["one"])


def test_only_a_queue_of_that_serial_that_expires_may_go_because_it_is_idle() -> None:
    world = RegistryWorld()
    world.declare(ONE)
    speaker = world.bench.client("queue:one", 0)
    world.bench.deliver(speaker, QueueUnused("one", 1, True), QueueUnused("one", 7), QueueUnused("two", 1, True))
    assert world.queue("one").take_heard() == []


def test_a_queue_that_expires_is_told_of_every_declaration() -> None:
    world = _idle()
    world.declare(IDLE)
    assert world.queue("one").take_heard() == [QueueUsed()]


def test_whoever_declares_a_queue_that_is_asked_whether_it_is_idle_gets_one_that_stays() -> None:
    for stays in (True, False):
        world = _idle()
        speaker = world.bench.client("queue:one", 0)
        world.bench.deliver(speaker, QueueUnused("one", 1, True))
        asked = _asked(world)
        assert world.bench.deliver(world.client, DeclareQueue(6, IDLE)) == []
        answer = Failed(asked.request, "precondition_failed", "in use") if stays else Reply(asked.request, raw(0))
        world.queue("one").say(answer)
        world.bench.run()
        world.obey()
        assert result_of(world.client.hears()) == "one"
        assert world.actor.topology.queues["one"].serial == (1 if stays else 2)


def test_a_queue_that_dies_while_it_is_asked_whether_it_is_idle_is_left_alone() -> None:
    world = _idle()
    speaker = world.bench.client("queue:one", 0)
    world.bench.deliver(speaker, QueueUnused("one", 1, True))
    _asked(world)
    world.bench.deliver(world.client, DeclareQueue(6, IDLE))
    world.bench.down("queue:one", "restarting", "it died")
    world.bench.actor("queue:one", 2)
    assert result_of(world.client.hears()) == "one"
    assert [type(heard) for heard in world.queue("one").take_heard()] == [QueueUsed]
    assert world.stopped == []
