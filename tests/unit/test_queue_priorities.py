"""A queue with priorities: what leaves first, what comes back where, what is dropped."""

from __future__ import annotations

import pytest

from posthouse.actors import queue_records
from posthouse.actors.queue_history import Failure
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_state import QueueState
from posthouse.transport.batch import check_batch
from posthouse.transport.descriptions import RetrySpec
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import Limits
from posthouse.transport.messages import Options, Outcome
from tests.support.queue_samples import sample_batch, sample_consumer, sample_queue, shape


def queue(*batches: tuple[int, int], **spec: object) -> QueueState:
    """Batches of a count and a priority."""
    state = sample_queue(**{"priority": True, **spec})
    seq = 1
    for number, (count, priority) in enumerate(batches):
        result = state.store(*sample_batch(count, seq, options=Options(priority=priority)), now_ms=0)
        state.storage.placed(result.first_offset, 100 + number)
        seq += count
    return state


def test_higher_priorities_leave_first_and_none_given_is_the_lowest() -> None:
    state = queue((2, 3), (1, 9), (2, 3))
    state.store(*sample_batch(1, 6), now_ms=0)
    assert state.info().ready_by_priority == (1, 0, 0, 4, 0, 0, 0, 0, 0, 1)
    sample_consumer(state)
    assert shape(state.dispatch()) == [(1, 3, 1, 1), (1, 1, 2, 1), (1, 4, 2, 1), (1, 6, 1, 1)]
    assert state.info().ready_by_priority == (0,) * 10


def test_a_queue_without_priorities_ignores_them() -> None:
    state = queue((1, 0), (1, 9), priority=False)
    sample_consumer(state)
    assert shape(state.dispatch()) == [(1, 1, 1, 1), (1, 2, 1, 1)]
    assert state.info().ready_by_priority == ()


def test_what_is_returned_goes_to_its_place_within_its_priority() -> None:
    state = queue((3, 5), (3, 1))
    sample_consumer(state, prefetch=4)
    assert shape(state.dispatch()) == [(1, 1, 3, 1), (1, 4, 1, 1)]
    state.settle(1, 1, Outcome.NACK, [2, 2, 4, 4])
    assert shape(state.dispatch()) == [(1, 2, 1, 2), (1, 4, 1, 2)]
    delivery = state.get_one(2, 2, False)
    assert delivery is not None
    assert delivery.first_offset == 5


def test_one_that_comes_late_overtakes_what_is_ready_and_not_what_is_held() -> None:
    state = queue((4, 1))
    sample_consumer(state, prefetch=2)
    state.dispatch()
    state.store(*sample_batch(1, 5, options=Options(priority=2)), now_ms=0)
    state.settle(1, 1, Outcome.ACK, [1, 1])
    assert shape(state.dispatch()) == [(1, 5, 1, 1)]


def test_a_peek_shows_the_order_of_leaving_and_then_what_is_not_ready() -> None:
    state = queue((2, 1), (2, 8), (1, 1))
    sample_consumer(state, prefetch=1)
    state.dispatch()
    seen = [(piece.first_offset, piece.stop - piece.start, piece.attempt) for piece in state.peek(10)]
    assert seen == [(4, 1, 1), (1, 2, 1), (5, 1, 1), (3, 1, 1)]
    assert [piece.first_offset for piece in state.peek(2)] == [4, 1]


def test_too_many_drop_the_oldest_of_the_lowest_priority_first() -> None:
    state = queue((2, 7), (2, 0), (2, 0), (1, 3), max_length=4)
    fate = state.drop_overflow(0)
    assert fate is not None
    assert fate.gone == [(3, 4), (5, 5)]
    state.store(*sample_batch(2, 8), now_ms=0)
    fate = state.drop_overflow(0)
    assert fate is not None
    assert fate.gone == [(6, 6), (8, 8)]
    assert state.info().ready_by_priority == (1, 0, 0, 1, 0, 0, 0, 2, 0, 0)


def test_too_many_bytes_send_the_lowest_to_the_dead_letters() -> None:
    state = queue((2, 7), (2, 0), (1, 1), max_bytes=16, overflow="dead-letter", dead_letter="store")
    fate = state.drop_overflow(0)
    assert fate is not None
    assert [(i.item.first, i.item.last, i.item.death.reason) for i in fate.leaving] == [
        (3, 4, "max_length"),
        (5, 5, "max_length"),
    ]
    assert state.info().ready_by_priority[7] == 2


def test_what_waited_and_what_expires_is_found_in_every_priority() -> None:
    policy = RetrySpec(first_delay_ms=50, jitter=False)
    state = queue((1, 4), (1, 6), retry=policy, ttl_ms=100, dead_letter="off")
    sample_consumer(state, prefetch=1)
    state.dispatch()
    state.settle(1, 1, Outcome.NACK, [2, 2], True, Failure(0))
    assert state.info().ready_by_priority[4] == 1
    assert shape(state.dispatch()) == [(1, 1, 1, 1)]
    state.pass_time(50, 0.0)
    assert state.info().ready_by_priority[6] == 1
    ((kind, fate),) = state.pass_time(100, 0.0)
    assert (kind, fate.gone) == (Kind.EXPIRED, [(2, 2)])
    assert state.purge() == []


def test_a_restart_finds_every_message_at_its_priority_also_when_it_was_moved() -> None:
    records: list[tuple[int, int, bytes]] = []

    def journal(kind: int, *parts: bytes | memoryview) -> int:
        records.append((len(records) + 1, int(kind), b"".join(parts)))
        return len(records)

    state = sample_queue(priority=True)
    for seq, priority in enumerate((1, 9, 5), start=1):
        batch, raw = sample_batch(1, seq, options=Options(priority=priority))
        state.store(batch, raw, now_ms=0)
        state.storage.placed(seq, journal(Kind.STORE, *queue_records.encode_store(seq, raw)))
    journal(Kind.DELIVERED, queue_records.encode_ranges([(2, 2)]))
    head = journal(Kind.MARK, queue_records.encode_mark(state.storage.mark()))
    for entry in state.storage.entries_below(2):
        assert entry.raw is not None
        moved = queue_records.encode_moved(entry.first_offset, state.storage.live_ranges(entry), entry.raw)
        journal(Kind.MOVED, *moved)
    for skipped in (0, 1):
        again = sample_queue(priority=True)
        for record in records[skipped:]:
            again.replay.record(*record)
        again.replay.finish()
        sample_consumer(again)
        assert shape(again.dispatch()) == [(1, 2, 1, 2), (1, 3, 1, 1), (1, 1, 1, 1)]
    assert head == 5


@pytest.mark.parametrize("priority", [-1, 10, 1 << 40])
def test_a_priority_that_does_not_exist_is_refused_whoever_sends_it(priority: int) -> None:
    batch, _ = sample_batch(1, 1, options=Options(priority=priority))
    with pytest.raises(InvalidArgument, match="0 to 9"):
        check_batch(batch, Limits())
