"""A queue actor that is looked into and paused: what is synced, what a crash leaves, what is read back from disk."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.actors import segments
from posthouse.actors.queue import QueueLimits
from posthouse.transport.messages import QueueSpec
from posthouse.transport.messages_looking import LookedAt, LookInto, PauseQueue
from tests.support.actor_bench import Peer
from tests.support.queue_bench import SPEC, QueueWorld, deliveries, failed


def operator(world: QueueWorld) -> Peer:
    return world.bench.client("operator", 50)


def look(world: QueueWorld, **asked: Any) -> list[tuple[int, str, tuple[int, ...]]]:
    found: list[LookedAt] = world.ask(operator(world), LookInto(1, 100, **asked), list[LookedAt])
    return [(one.first_offset, one.place, one.sizes) for one in found]


@pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
def test_a_pause_that_was_answered_outlives_a_crash_and_so_does_its_end(power: bool) -> None:
    world = QueueWorld()
    consumer = world.consumer()
    assert world.ask(operator(world), PauseQueue(1)) is None
    world.store(b"a")
    assert deliveries(consumer.take_heard()) == []

    world.bench.leave(consumer)
    world.bench.crash(power=power)
    assert world.info().is_paused
    assert world.drain() == []

    world.ask(world.bench.client("operator again", 51), PauseQueue(2, False))
    world.bench.crash(power=power)
    assert not world.info().is_paused
    assert world.drain() == [b"a"]


def test_consumers_go_on_at_once_when_a_queue_is_resumed() -> None:
    world = QueueWorld()
    consumer, boss = world.consumer(), operator(world)
    world.ask(boss, PauseQueue(1))
    world.store(b"a")
    world.ask(boss, PauseQueue(2, False))
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a"])]


def test_a_pause_is_written_once_and_a_transient_queue_writes_nothing() -> None:
    world = QueueWorld()
    boss = operator(world)
    world.ask(boss, PauseQueue(1))
    before = world.bench.disk.calls["fdatasync"]
    world.ask(boss, PauseQueue(2))
    assert world.bench.disk.calls["fdatasync"] == before
    transient = QueueWorld(msgspec.structs.replace(SPEC, durable=False))
    transient.ask(operator(transient), PauseQueue(1))
    assert transient.info().is_paused


def test_a_pause_outlives_the_segment_it_was_written_to() -> None:
    world = QueueWorld()
    world.ask(operator(world), PauseQueue(1))
    context = world.actor._context
    segments.rotate(context.journal, world.actor._state.storage, world.actor._bytes.of, 1 << 40)
    world.store(b"a")
    world.bench.crash()
    assert world.info().is_paused


def test_a_look_reads_bodies_that_are_on_disk_only() -> None:
    world = QueueWorld(limits=QueueLimits(memory_bytes_max=1, disk_free_bytes_min=0))
    world.store(b"x" * 100)
    world.store(b"y" * 200, b"z")
    assert look(world, body_bytes_max=5) == [(1, "ready", (100,)), (2, "ready", (200, 1))]


def test_a_look_that_makes_no_sense_is_refused_and_the_queue_goes_on() -> None:
    world = QueueWorld(QueueSpec(name="q", serial=3))
    assert failed(world.bench.deliver(operator(world), LookInto(1, 0))).code == "invalid_argument"
    world.store(b"a")
    assert [first for first, _, _ in look(world)] == [1]
