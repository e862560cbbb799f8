"""A queue actor that expires: when it says that nobody uses it, and whom it lets delete it."""

from __future__ import annotations

from posthouse.transport.messages import Cancel, Consume, Failed, Get, Outcome, PrepareDelete, QueueSpec, Settle
from posthouse.transport.messages_use import QueueUnused, QueueUsed
from tests.support.actor_bench import Peer, result_of
from tests.support.queue_bench import QueueWorld

SPEC = QueueSpec(name="q", serial=3, expires_ms=1_000)
IDLE = QueueUnused("q", 3, True)


def _world(spec: QueueSpec = SPEC) -> tuple[QueueWorld, Peer]:
    world = QueueWorld(spec)
    return world, world.bench.actor("registry")


def test_a_queue_that_nobody_uses_says_so_once_its_time_is_over_and_again_until_it_is_heard() -> None:
    world, registry = _world()
    world.bench.advance(900)
    assert registry.take_heard() == []
    world.bench.advance(150)
    assert registry.take_heard() == [IDLE]
    world.bench.advance(1_100)
    assert registry.take_heard() == [IDLE]


def test_publishing_and_looking_are_no_use_of_a_queue() -> None:
    world, registry = _world()
    world.bench.advance(900)
    world.store(b"a")
    world.info()
    world.bench.advance(150)
    assert registry.take_heard() == [IDLE]


def test_a_get_or_a_declaration_begins_the_time_anew() -> None:
    world, registry = _world()
    asker = world.bench.client("asker", 9)
    world.bench.advance(900)
    assert world.ask(asker, Get(1, True)) is None
    world.bench.advance(900)
    teller = world.bench.client("registry", 0)
    world.bench.deliver(teller, QueueUsed())
    world.bench.advance(900)
    assert registry.take_heard() == []
    world.bench.advance(150)
    assert registry.take_heard() == [IDLE]


def test_while_there_is_a_consumer_the_queue_is_used_and_its_time_begins_when_the_last_left() -> None:
    world, registry = _world()
    consumer = world.consumer()
    world.bench.advance(60_000)
    assert registry.take_heard() == []
    world.bench.deliver(consumer, Cancel(2, 1))
    world.bench.advance(900)
    assert registry.take_heard() == []
    world.bench.advance(200)
    assert registry.take_heard() == [IDLE]


def test_a_message_that_somebody_holds_keeps_the_queue() -> None:
    world, registry = _world()
    asker = world.bench.client("asker", 9)
    world.store(b"a")
    offset = world.ask(asker, Get(1, False))
    world.bench.advance(5_000)
    assert registry.take_heard() == []
    world.bench.deliver(asker, Settle(0, Outcome.ACK, [offset, offset]))
    world.bench.advance(1_100)
    assert registry.take_heard() == [IDLE]


def test_messages_on_their_way_to_the_dead_letters_keep_the_queue_until_they_have_arrived() -> None:
    world, registry = _world()
    asker = world.bench.client("asker", 9)
    world.store(b"a")
    offset = world.ask(asker, Get(1, False))
    world.bench.deliver(asker, Settle(0, Outcome.REJECT, [offset, offset], requeue=False))
    assert world.info().leaving == 1
    world.bench.advance(5_000)
    assert registry.take_heard() == []
    world.bench.actor("dead-letter")
    world.bench.advance(3_000)
    assert world.info().leaving == 0
    assert registry.take_heard()[0] == IDLE


def test_whoever_comes_before_the_registry_asks_back_keeps_the_queue() -> None:
    world, registry = _world()
    world.bench.advance(1_100)
    assert registry.take_heard() == [IDLE]
    consumer = world.consumer()
    teller = world.bench.client("registry", 0)
    (refused,) = world.bench.deliver(teller, PrepareDelete(1, if_unused=True, if_idle=True))
    assert isinstance(refused, Failed)
    assert refused.code == "precondition_failed"
    world.bench.deliver(consumer, Cancel(2, 1))
    (refused,) = world.bench.deliver(teller, PrepareDelete(2, if_unused=True, if_idle=True))
    assert isinstance(refused, Failed)
    world.bench.advance(1_100)
    (agreed,) = world.bench.deliver(teller, PrepareDelete(3, if_unused=True, if_idle=True))
    assert result_of(agreed) == 0
    (late,) = world.bench.deliver(world.bench.client("late", 5), Consume(1, 1, 10))
    assert isinstance(late, Failed)
    assert late.code == "unknown_queue"


def test_a_consumer_that_came_and_left_in_the_round_of_the_question_keeps_the_queue_too() -> None:
    world, registry = _world()
    world.bench.advance(1_100)
    assert registry.take_heard() == [IDLE]
    visitor, teller = world.bench.client("visitor", 5), world.bench.client("registry", 0)
    visitor.say(Consume(1, 1, 10), Cancel(2, 1))
    teller.say(PrepareDelete(1, if_unused=True, if_idle=True))
    world.bench.run()
    (refused,) = teller.take_heard()
    assert isinstance(refused, Failed)


def test_a_restart_begins_the_time_anew() -> None:
    world, registry = _world()
    world.bench.advance(900)
    world.bench.crash()
    world.bench.advance(900)
    assert registry.take_heard() == []
    world.bench.advance(200)
    assert registry.take_heard() == [IDLE]


def test_a_queue_that_does_not_expire_is_never_idle() -> None:
    world, _ = _world(QueueSpec(name="q", serial=3))
    world.bench.advance(60_000)
    teller = world.bench.client("registry", 0)
    (refused,) = world.bench.deliver(teller, PrepareDelete(1, if_unused=True, if_idle=True))
    assert isinstance(refused, Failed)
