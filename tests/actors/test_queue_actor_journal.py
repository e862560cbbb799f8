"""The queue actor and its journal: crashes, rotation, memory and a disk that fills up."""

from __future__ import annotations

import pytest

from posthouse.actors import segments
from posthouse.actors.cell import MEASURE_MS
from posthouse.actors.queue import QueueLimits
from posthouse.transport.messages import (
    Cancel,
    Outcome,
    Purge,
    QueueSpec,
    Settle,
    StoreNote,
)
from tests.support.actor_bench import Peer, Setting, batch, result_of
from tests.support.queue_bench import MEMORY, OS, QueueWorld, deliveries


@pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
def test_what_was_confirmed_is_there_after_a_crash_and_what_was_settled_in_sync_is_not(power: bool) -> None:
    world = QueueWorld()
    world.store(b"a", b"b", b"c")
    consumer = world.consumer()
    answer = world.ask(consumer, Settle(1, Outcome.ACK, [2, 2], request=5))
    assert answer == 0
    world.bench.leave(consumer)
    world.bench.crash(power=power)
    assert world.drain() == [b"a", b"c"]


def test_attempts_are_honest_after_a_crash_of_the_process() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    world.store(b"a", b"b")
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a", b"b"])]
    world.bench.deliver(consumer, Settle(1, Outcome.ACK, [1, 1]))
    world.bench.leave(consumer)
    world.bench.crash()
    world.store(b"c")
    again = world.consumer("again", 2)
    assert deliveries(again.take_heard()) == [(2, 2, [b"b"]), (3, 1, [b"c"])]


def test_a_plain_ack_survives_the_process_and_need_not_survive_the_power() -> None:
    world = QueueWorld()
    world.store(b"a")
    consumer = world.consumer()
    world.bench.deliver(consumer, Settle(1, Outcome.ACK, [1, 1]))
    assert world.bench.disk.calls["fdatasync"] > 0
    world.bench.leave(consumer)
    world.bench.crash()
    assert world.drain() == []
    assert (world.info().acked, world.info().rejected) == (1, 0)


def test_os_durability_is_written_and_not_synced() -> None:
    world = QueueWorld()
    world.bench.tape.clear()
    world.store(b"a", options=OS)
    assert world.bench.tape == ["pwritev"]
    assert len(world.exchange.settled) == 1
    world.bench.crash()
    assert world.drain() == [b"a"]


def test_memory_durability_is_not_written_and_the_next_life_uses_its_numbers_without_harm() -> None:
    world = QueueWorld()
    world.bench.tape.clear()
    world.store(b"lost", options=MEMORY)
    assert world.bench.tape == []
    consumer = world.consumer()
    world.bench.deliver(consumer, Settle(1, Outcome.ACK, [1, 1]))
    world.store(b"lost too", options=MEMORY)
    world.bench.leave(consumer)
    world.bench.crash()
    assert world.drain() == []
    world.store(b"kept")
    world.bench.crash()
    again = world.consumer("again", 2)
    assert [bodies for _, _, bodies in deliveries(again.take_heard())] == [[b"kept"]]


def test_a_queue_that_is_not_durable_has_no_journal_and_forgets() -> None:
    world = QueueWorld(QueueSpec(name="q", durable=False), setting=Setting(has_journal=False))
    world.store(b"a", b"b", b"c")
    consumer = world.consumer(prefetch=1)
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a"])]
    answer, following = world.bench.deliver(consumer, Settle(1, Outcome.REJECT, [1, 1], request=4))
    assert result_of(answer) == 0
    assert deliveries([following]) == [(2, 1, [b"b"])]
    assert world.info().rejected == 1
    assert world.info().journal_bytes == 0
    assert world.ask(world.bench.clients["asker"], Purge(2)) == 1
    world.bench.crash()
    assert world.drain() == []


def test_a_reject_is_counted_as_one_after_a_crash_and_a_nack_returns_the_message_to_its_place() -> None:
    world = QueueWorld()
    world.store(b"a", b"b", b"c")
    consumer = world.consumer(prefetch=3)
    consumer.take_heard()
    world.bench.deliver(consumer, Settle(1, Outcome.REJECT, [1, 1]), Settle(1, Outcome.NACK, [2, 2]))
    world.bench.leave(consumer)
    world.bench.crash()
    assert world.info().rejected == 1
    again = world.consumer("again", 2)
    assert deliveries(again.take_heard()) == [(2, 3, [b"b"]), (3, 2, [b"c"])]


def test_a_consumer_that_is_gone_gives_its_messages_back_at_once() -> None:
    world = QueueWorld()
    world.store(b"a")
    first = world.consumer("first", 1)
    second = world.consumer("second", 2)
    assert (len(first.take_heard()), second.take_heard()) == (1, [])
    world.bench.leave(first)
    assert deliveries(second.take_heard()) == [(1, 2, [b"a"])]


def test_cancelling_gives_the_messages_back_and_settling_them_later_counts_for_nothing() -> None:
    world = QueueWorld()
    world.store(b"a")
    first = world.consumer("first", 1)
    second = world.consumer("second", 2)
    first.take_heard()
    assert world.ask(first, Cancel(2, 1)) is None
    assert deliveries(second.take_heard()) == [(1, 2, [b"a"])]
    assert world.ask(first, Settle(1, Outcome.ACK, [1, 1], request=3)) == 1


# ---- the journal's size ----


def _churn(world: QueueWorld, consumer: Peer, rounds: int, size: int = 200) -> None:
    """Store and ack, one message after the other."""
    for _ in range(rounds):
        world.store(b"x" * size)
        for first, _, bodies in deliveries(consumer.take_heard()):
            world.bench.deliver(consumer, Settle(1, Outcome.ACK, [first, first + len(bodies) - 1]))


def test_segments_that_nothing_needs_are_removed() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    _churn(world, consumer, 200)
    stats = world.bench.cell.journal.stats()
    assert stats.first_position > 1
    assert stats.bytes < 40_000
    world.bench.crash()
    world.bench.leave(consumer)
    assert world.drain() == []
    assert world.info().stored == 200


def test_streams_are_remembered_after_the_segments_that_told_of_them_are_gone() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    other = batch(b"once", stream=99)
    world.bench.deliver(world.exchange, other)
    _churn(world, consumer, 200)
    world.bench.leave(consumer)
    world.bench.crash()
    world.bench.deliver(world.exchange, other)
    assert world.drain() == []


def test_one_old_unacked_message_does_not_pin_the_journal() -> None:
    world = QueueWorld(limits=QueueLimits(disk_free_bytes_min=0, compact_bytes_min=20_000))
    world.store(b"old", b"settled neighbour", b"older than all")
    holder = world.consumer("holder", 5, prefetch=3)
    assert len(holder.take_heard()) == 1
    world.bench.deliver(holder, Settle(1, Outcome.ACK, [2, 2]))
    consumer = world.consumer("consumer", 1)
    for _ in range(150):
        world.store(b"x" * 300)
        for peer in (consumer, holder):
            for first, _, bodies in deliveries(peer.take_heard()):
                if len(bodies[0]) == 300:
                    world.bench.deliver(peer, Settle(1, Outcome.ACK, [first, first]))
    assert world.bench.cell.journal.first_position > 1
    assert world.bench.cell.journal.stats().bytes < 60_000
    for peer in (holder, consumer):
        world.bench.leave(peer)
    world.bench.crash()
    assert world.drain() == [b"old", b"older than all"]


def test_copying_forward_is_bounded_per_rotation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "COMPACT_RATIO", 0)
    monkeypatch.setattr(segments, "MOVE_BYTES_MAX", 1)
    world = QueueWorld(limits=QueueLimits(disk_free_bytes_min=0, compact_bytes_min=1))
    for number in range(120):
        world.store(b"%03d" % number + b"x" * 300)
    world.bench.crash()
    assert [body[:3] for body in world.drain()] == [b"%03d" % number for number in range(120)]


def test_bodies_beyond_the_memory_limit_are_read_back_intact() -> None:
    world = QueueWorld(limits=QueueLimits(memory_bytes_max=1_000, disk_free_bytes_min=0))
    bodies = [b"%04d" % number + b"x" * 400 for number in range(40)]
    for body in bodies:
        world.store(body, body[:4])
    found = world.drain()
    assert found == [part for body in bodies for part in (body, body[:4])]
    world.bench.crash()
    assert world.drain() == found


def test_a_batch_that_was_moved_forward_is_read_back_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments, "COMPACT_RATIO", 0)
    world = QueueWorld(limits=QueueLimits(memory_bytes_max=500, disk_free_bytes_min=0, compact_bytes_min=1))
    for number in range(60):
        world.store(b"%03d" % number + b"x" * 300)
    assert [body[:3] for body in world.drain()] == [b"%03d" % number for number in range(60)]


# ---- the disk ----


def test_with_little_room_on_the_disk_durable_messages_are_refused_and_the_others_go_on() -> None:
    world = QueueWorld(limits=QueueLimits(disk_free_bytes_min=1_000_000))
    consumer = world.consumer()
    world.store(b"before")
    consumer.take_heard()
    world.bench.disk.capacity_bytes = world.bench.disk.used_bytes + 500_000
    world.bench.advance(MEASURE_MS)
    (note,) = world.store(b"refused")
    assert isinstance(note, StoreNote)
    assert (note.code, note.first_seq, note.count) == ("disk_space_low", 2, 1)
    again = batch(b"before", first_seq=1)
    assert world.bench.deliver(world.bench.client("a later session of the publisher"), again) == []
    assert world.store(b"light", options=MEMORY) == []
    light, answer = world.bench.deliver(consumer, Settle(1, Outcome.ACK, [1, 1], request=9))
    assert deliveries([light]) == [(2, 1, [b"light"])]
    assert result_of(answer) == 0
    world.bench.disk.capacity_bytes = None
    world.bench.advance(MEASURE_MS)
    assert world.store(b"after") == []
    assert deliveries(consumer.take_heard()) == [(3, 1, [b"after"])]


def test_a_queue_that_starts_on_a_full_disk_knows_it_at_once() -> None:
    world = QueueWorld(limits=QueueLimits(disk_free_bytes_min=1_000_000))
    world.bench.disk.capacity_bytes = world.bench.disk.used_bytes + 500_000
    world.bench.crash()
    assert [type(remark) for remark in world.store(b"refused")] == [StoreNote]
