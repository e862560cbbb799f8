"""Calls in a queue: refused where nobody listens, dropped unprocessed once their deadline has passed."""

from __future__ import annotations

import pytest

from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_calls import CallDeadlines
from posthouse.actors.queue_effects import StoreOutcome
from posthouse.actors.queue_records import Kind, encode_ranges, encode_store
from posthouse.actors.queue_state import QueueState
from posthouse.actors.stored_batch import StoredBatch, stored
from posthouse.transport.errors import NoResponders
from posthouse.transport.messages import Outcome
from tests.support.queue_samples import sample_batch, sample_consumer, sample_queue, shape


def served_queue(prefetch: int = 10) -> QueueState:
    """An empty queue with one consumer."""
    state = sample_queue()
    sample_consumer(state, prefetch=prefetch)
    return state


def late_calls(state: QueueState) -> int:
    return state.info().late_calls


def test_a_call_is_stored_where_somebody_listens_and_delivered() -> None:
    state = served_queue()
    assert state.store(*sample_batch(deadline_ms=50), now_ms=10).outcome is StoreOutcome.STORED
    assert state.drop_late(49) == []
    assert shape(state.dispatch()) == [(1, 1, 1, 1)]


def test_a_call_is_refused_where_nobody_listens_and_nothing_has_changed() -> None:
    state = sample_queue()
    before = state.storage.mark()
    with pytest.raises(NoResponders, match="queue 'ewr' has no consumer"):
        state.store(*sample_batch(deadline_ms=50), now_ms=10)
    assert state.storage.mark() == before
    assert state.store(*sample_batch(), now_ms=10).outcome is StoreOutcome.STORED, "what is no call waits for somebody"


def test_whoever_takes_single_messages_does_not_listen() -> None:
    state = sample_queue(1)
    assert state.get_one(1, 1, False) is not None
    with pytest.raises(NoResponders):
        state.store(*sample_batch(first_seq=2, deadline_ms=50), now_ms=10)


def test_a_call_that_was_stored_is_not_refused_when_it_is_sent_again_after_the_last_consumer_left() -> None:
    state = served_queue()
    call = sample_batch(deadline_ms=50)
    state.store(*call, now_ms=10)
    state.remove_consumer(1, 1)
    assert state.store(*call, now_ms=10).outcome is StoreOutcome.RESENT


def test_a_call_that_comes_after_its_deadline_is_counted_and_not_stored() -> None:
    state = sample_queue()
    call = sample_batch(3, deadline_ms=50)
    assert state.store(*call, now_ms=50).outcome is StoreOutcome.LATE
    assert (late_calls(state), state.info().ready, state.info().stored) == (3, 0, 0)
    assert state.store(*call, now_ms=51).outcome is StoreOutcome.RESENT, "its publisher is told the same again"
    assert late_calls(state) == 3


def test_a_call_whose_deadline_passes_while_it_waits_is_not_handed_out() -> None:
    state = served_queue(prefetch=1)
    for seq in range(1, 5):
        state.store(*sample_batch(first_seq=seq, deadline_ms=50 if seq < 4 else 90), now_ms=10)
    assert shape(state.dispatch()) == [(1, 1, 1, 1)]
    assert state.drop_late(50) == [(2, 3)]
    assert late_calls(state) == 2
    state.settle(1, 1, Outcome.ACK, [1, 1])
    assert shape(state.dispatch()) == [(1, 4, 1, 1)]
    assert state.drop_late(60) == []


def test_of_a_batch_only_what_is_ready_is_dropped_and_the_rest_when_it_returns() -> None:
    state = served_queue(prefetch=2)
    state.store(*sample_batch(5, deadline_ms=50), now_ms=10)
    state.dispatch()
    assert state.drop_late(50) == [(3, 5)]
    state.settle(1, 1, Outcome.NACK, [2, 2], requeue=True)
    assert state.drop_late(51) == [(2, 2)]
    state.settle(1, 1, Outcome.ACK, [1, 1])
    assert state.drop_late(52) == []
    info = state.info()
    assert (info.ready, info.unacked, info.acked, info.late_calls, info.bytes) == (0, 0, 1, 4, 0)


def test_a_call_of_a_consumer_that_died_goes_to_another_within_its_deadline_and_is_dropped_after_it() -> None:
    state = served_queue()
    sample_consumer(state, session=2)
    state.store(*sample_batch(deadline_ms=50), now_ms=10)
    state.dispatch()
    state.remove_session(1)
    assert state.drop_late(49) == []
    assert [delivery.attempt for delivery in state.dispatch()] == [2]
    state.remove_session(2)
    assert state.drop_late(50) == [(1, 1)]


def test_messages_that_are_no_calls_never_come_too_late() -> None:
    state = sample_queue(2, 3)
    assert state.drop_late(1 << 62) == []
    assert state.info().ready == 5


def test_the_journal_remembers_deadlines_and_what_was_dropped() -> None:
    state = sample_queue()
    for number in (1, 2):
        parts = encode_store(number, sample_batch(first_seq=number, deadline_ms=40 + number)[1])
        state.replay.record(number, Kind.STORE, b"".join(parts))
    state.replay.record(3, Kind.LATE, encode_ranges([(1, 1)]))
    assert (state.info().ready, late_calls(state)) == (1, 1)
    assert state.drop_late(41) == []
    assert state.drop_late(42) == [(2, 2)]
    assert state.storage.mark().counters.late_calls == 2


def test_a_purged_call_is_forgotten() -> None:
    state = served_queue()
    state.store(*sample_batch(2, deadline_ms=50), now_ms=10)
    state.purge()
    assert state.drop_late(60) == []
    assert late_calls(state) == 0


# ---- the list of deadlines ----


def call_entry(backlog: Backlog, offset: int, deadline_ms: int) -> StoredBatch:
    batch, raw = sample_batch(first_seq=offset, deadline_ms=deadline_ms)
    entry = stored(offset, batch, raw)
    backlog.add(entry)
    return entry


def test_the_list_of_deadlines_does_not_grow_with_calls_that_were_answered() -> None:
    backlog, deadlines = Backlog(), CallDeadlines()
    for offset in range(1, 20_001):
        deadlines.add(call_entry(backlog, offset, 1_000_000))
        backlog.settle(offset, offset)
        assert deadlines.due(0, backlog) == []
    assert len(deadlines) <= 1_100


def test_the_list_of_deadlines_keeps_what_lives() -> None:
    backlog, deadlines = Backlog(), CallDeadlines()
    for offset in range(1, 3_001):
        deadlines.add(call_entry(backlog, offset, 10_000 - offset))
        deadlines.due(0, backlog)
    assert [entry.first_offset for entry in deadlines.due(10_000, backlog)] == list(range(3_000, 0, -1))
    assert deadlines.due(10_000, backlog) == []


def test_a_late_call_with_a_consumer_is_looked_at_again_when_something_comes_back() -> None:
    backlog, deadlines = Backlog(), CallDeadlines()
    deadlines.add(call_entry(backlog, 1, 50))
    for _ in range(3):
        (entry,) = deadlines.due(60, backlog)
        deadlines.overdue(entry)
        assert deadlines.due(60, backlog) == []
        deadlines.returned()
    backlog.settle(1, 1)
    assert deadlines.due(60, backlog) == []


def test_what_is_overdue_is_bounded_by_what_lives() -> None:
    backlog, deadlines = Backlog(), CallDeadlines()
    for offset in range(1, 5_001):
        entry = call_entry(backlog, offset, 50)
        deadlines.overdue(entry)
        backlog.settle(offset, offset)
    assert len(deadlines) <= 1_100
    deadlines.returned()
    assert deadlines.due(60, backlog) == []
