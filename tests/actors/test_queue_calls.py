"""The queue actor and calls: what the exchange hears, and what is dropped unprocessed."""

from __future__ import annotations

from posthouse.transport.errors import NoResponders
from posthouse.transport.messages import Durability, Get, Options, QueueSpec, Settle, StoreNote
from tests.support.actor_bench import WALL_MS, result_of
from tests.support.queue_bench import QueueWorld, deliveries


def call(in_ms: int, durability: int = Durability.MEMORY) -> Options:
    return Options(durability=durability, reply_to="r", deadline_ms=WALL_MS + in_ms)


def test_a_call_without_a_consumer_is_refused_and_the_frame_is_settled() -> None:
    world = QueueWorld()
    [note] = world.store(b"a", options=call(1_000))
    assert isinstance(note, StoreNote)
    assert (note.first_seq, note.count, note.code) == (1, 1, NoResponders.code)
    assert len(world.exchange.settled) == 1
    assert (world.info().ready, world.info().stored) == (0, 0)


def test_a_call_of_level_memory_is_delivered_without_a_sync() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    world.bench.tape.clear()
    assert world.store(b"a", options=call(1_000)) == []
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a"])]
    assert "fdatasync" not in world.bench.tape


def test_a_call_that_waits_past_its_deadline_is_dropped_by_itself_and_counted() -> None:
    world = QueueWorld()
    consumer = world.consumer(prefetch=1)
    for body in (b"a", b"b", b"c"):
        world.store(body, options=call(1_000 if body == b"b" else 5_000))
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a"])]
    world.bench.advance(1_200)
    assert (world.info().ready, world.info().late_calls) == (1, 1)
    assert deliveries(world.bench.deliver(consumer, Settle(1, 0, [1, 1]))) == [(3, 1, [b"c"])]


def test_what_comes_late_is_neither_stored_nor_an_error() -> None:
    world = QueueWorld()
    world.consumer()
    assert world.store(b"a", b"b", options=call(0)) == []
    assert len(world.exchange.settled) == 1
    assert (world.info().stored, world.info().late_calls) == (0, 2)


def test_get_hands_out_no_late_call() -> None:
    world = QueueWorld()
    consumer = world.consumer(prefetch=1)
    world.store(b"a", options=call(5_000))
    world.store(b"b", options=call(40))
    world.bench.now_ms += 50
    assert result_of(world.bench.deliver(consumer, Get(9))[-1]) is None


def test_a_call_whose_consumer_died_goes_to_the_next_with_attempt_two() -> None:
    world = QueueWorld()
    first = world.consumer("first")
    world.store(b"a", options=call(5_000))
    assert deliveries(first.take_heard()) == [(1, 1, [b"a"])]
    second = world.consumer("second", 2)
    world.bench.leave(first)
    assert deliveries(second.take_heard()) == [(1, 2, [b"a"])]


def test_a_journaled_call_survives_a_crash_with_its_deadline_and_so_does_the_count() -> None:
    world = QueueWorld()
    consumer = world.consumer(prefetch=1)
    for body in (b"a", b"b", b"c"):
        world.store(body, options=call(1_000 if body == b"b" else 60_000, Durability.SYNC))
    world.bench.leave(consumer)
    world.bench.advance(1_200)
    assert world.info().late_calls == 1
    world.bench.crash()
    assert (world.info().ready, world.info().late_calls) == (2, 1)
    world.bench.advance(60_000)
    assert (world.info().ready, world.info().late_calls) == (0, 3)
    world.bench.crash(power=True)
    assert world.info().ready == 0


def test_calls_of_level_memory_die_with_the_queue() -> None:
    world = QueueWorld(QueueSpec(name="q", durable=False))
    world.consumer(prefetch=1)
    world.store(b"a", b"b", options=call(60_000))
    world.bench.crash()
    assert world.info().ready == 0
