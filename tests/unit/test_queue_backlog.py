"""The living batches of a queue."""

from __future__ import annotations

from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.stored_batch import StoredBatch, stored
from tests.support.queue_samples import sample_batch


def entry_at(first_offset: int, count: int = 10) -> StoredBatch:
    return stored(first_offset, *sample_batch(count))


def backlog_of(batches: int, count: int = 10) -> Backlog:
    """Batches of equal size from offset 1 on, each in the journal at 100 + its number."""
    backlog = Backlog()
    for number in range(batches):
        entry = entry_at(1 + number * count, count)
        backlog.add(entry)
        backlog.place(entry, 100 + number)
    return backlog


def test_a_batch_knows_its_offsets_and_sizes() -> None:
    batch, raw = sample_batch(3, size=5)
    entry = stored(11, batch, raw)
    assert (entry.first_offset, entry.last_offset, entry.count, entry.live) == (11, 13, 3, 3)
    assert (entry.body_bytes, entry.live_bytes, entry.size, entry.position) == (15, 15, len(raw), None)


def test_find_gives_the_batch_of_an_offset() -> None:
    backlog = backlog_of(3)
    assert [backlog.find(offset).first_offset for offset in (1, 10, 11, 30)] == [1, 1, 11, 21]


def test_get_gives_only_a_living_batch_that_starts_there() -> None:
    backlog = backlog_of(3)
    backlog.settle(11, 20)
    assert backlog.get(0) is backlog.get(2) is backlog.get(11) is None
    assert backlog.get(21) is backlog.find(25)


def test_settling_counts_down_and_forgets_what_is_dead() -> None:
    backlog = backlog_of(3)
    backlog.settle(6, 24)
    assert (backlog.live, backlog.body_bytes, len(backlog)) == (11, 88, 2)
    assert [(entry.first_offset, entry.live) for entry in backlog] == [(1, 5), (21, 6)]
    backlog.settle(1, 5)
    backlog.settle(25, 30)
    assert (backlog.live, backlog.body_bytes, backlog.bytes_in_memory, len(backlog)) == (0, 0, 0, 0)
    assert backlog.lowest_position() is None


def test_a_dead_batch_keeps_its_bytes_for_the_delivery_that_settled_it() -> None:
    backlog = backlog_of(1)
    entry = backlog.find(1)
    backlog.settle(1, 10)
    assert entry.raw is not None
    assert backlog.bytes_in_memory == 0


def test_a_batch_comes_back_into_its_old_place() -> None:
    backlog = backlog_of(3)
    backlog.settle(11, 20)
    backlog.add(entry_at(11))
    assert [entry.first_offset for entry in backlog] == [1, 11, 21]
    assert backlog.find(15).first_offset == 11


def test_many_deaths_at_the_front_and_in_the_middle_leave_the_rest_in_place() -> None:
    backlog = backlog_of(3_000, count=1)
    backlog.settle(1, 200)
    for offset in range(202, 2_402, 2):
        backlog.settle(offset, offset)
    alive = [*range(201, 2_402, 2), *range(2_402, 3_001)]
    assert [entry.first_offset for entry in backlog] == alive
    assert len(backlog) == backlog.live == len(alive)
    assert all(backlog.find(offset).first_offset == offset for offset in alive)


def test_the_lowest_position_is_that_of_the_oldest_living_batch() -> None:
    backlog = backlog_of(3)
    assert backlog.lowest_position() == 100
    backlog.settle(1, 10)
    assert backlog.lowest_position() == 101
    assert [entry.position for entry in backlog.placed_below(102)] == [101]


def test_a_moved_batch_pins_the_journal_where_it_is_now() -> None:
    backlog = backlog_of(2)
    backlog.place(backlog.find(1), 300)
    assert backlog.lowest_position() == 101
    assert [entry.first_offset for entry in backlog.placed_below(1_000)] == [11, 1]


def test_shedding_starts_furthest_from_delivery_and_keeps_what_no_journal_holds() -> None:
    backlog = backlog_of(3)
    backlog.add(entry_at(31))
    size = backlog.find(1).footprint
    backlog.shed(3 * size)
    assert [entry.raw is None for entry in backlog] == [False, False, True, False]
    assert backlog.find(21).batch is None
    backlog.shed(0)
    assert [entry.raw is None for entry in backlog] == [True, True, True, False]
    assert backlog.bytes_in_memory == size


def test_restored_batches_count_again_and_are_shed_last() -> None:
    backlog = backlog_of(3)
    size = backlog.find(1).footprint
    backlog.shed(size)
    backlog.restore(backlog.find(11), *sample_batch(10))
    assert backlog.bytes_in_memory == 2 * size
    backlog.restore(backlog.find(11), *sample_batch(10))
    assert backlog.bytes_in_memory == 2 * size
    backlog.shed(size)
    assert [entry.raw is None for entry in backlog] == [True, False, True]
    backlog.shed(0)
    assert backlog.bytes_in_memory == 0


def test_a_shed_batch_may_move_and_die() -> None:
    backlog = backlog_of(2)
    backlog.shed(0)
    backlog.place(backlog.find(1), 300)
    backlog.settle(1, 10)
    assert (backlog.bytes_in_memory, backlog.lowest_position()) == (0, 101)
    backlog.restore(backlog.find(11), *sample_batch(10))
    backlog.settle(11, 20)
    assert backlog.bytes_in_memory == 0


def test_bytes_read_back_for_a_dead_batch_do_not_count() -> None:
    backlog = backlog_of(1)
    entry = backlog.find(1)
    backlog.shed(0)
    backlog.settle(1, 10)
    backlog.restore(entry, *sample_batch(10))
    assert entry.raw is not None
    assert backlog.bytes_in_memory == 0


def test_revive_sets_what_lives_of_a_moved_batch() -> None:
    backlog = backlog_of(1)
    backlog.revive(backlog.find(1), 3)
    assert (backlog.live, backlog.body_bytes) == (3, 24)


def test_a_batch_in_no_journal_comes_and_goes_without_a_position() -> None:
    backlog = Backlog()
    backlog.add(entry_at(1))
    assert backlog.lowest_position() is None
    backlog.settle(1, 10)
    assert backlog.bytes_in_memory == 0
