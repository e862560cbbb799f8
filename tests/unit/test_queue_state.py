"""The queue core by example: one rule of `docs/queues.md` each. The model test covers the mixtures."""

from __future__ import annotations

import pytest

from posthouse.actors.queue_consumers import AUTO_ACK_ROUND_MAX
from posthouse.actors.queue_dedup import WINDOW_MS
from posthouse.actors.queue_effects import StoreOutcome
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, ResourceLocked, UnknownQueue
from posthouse.transport.messages import Outcome
from tests.support.queue_samples import sample_batch, sample_consumer, sample_queue, shape

# ---- messages come in ----


def test_offsets_go_on_from_batch_to_batch() -> None:
    state = sample_queue()
    first = state.store(*sample_batch(500), now_ms=0)
    second = state.store(*sample_batch(2, first_seq=501), now_ms=0)
    assert (first.outcome, first.first_offset) == (StoreOutcome.STORED, 1)
    assert (second.outcome, second.first_offset) == (StoreOutcome.STORED, 501)
    assert state.info().ready == state.info().stored == 502


def test_the_bytes_of_a_batch_are_kept_as_they_came() -> None:
    batch, raw = sample_batch(3)
    entry = sample_queue().store(batch, raw, now_ms=0).entry
    assert entry is not None
    assert entry.raw is raw
    assert entry.batch is batch


def test_what_a_stream_already_brought_is_answered_as_stored_and_not_stored() -> None:
    state = sample_queue(5)
    assert state.store(*sample_batch(5), now_ms=0).outcome is StoreOutcome.RESENT
    assert state.store(*sample_batch(2, first_seq=3), now_ms=0).outcome is StoreOutcome.RESENT
    assert state.store(*sample_batch(5, stream=2), now_ms=0).outcome is StoreOutcome.STORED
    assert state.info().ready == 10


def test_of_a_batch_that_overlaps_only_the_rest_is_stored() -> None:
    state = sample_queue(5)
    result = state.store(*sample_batch(5, first_seq=4), now_ms=0)
    assert (result.outcome, result.first_offset) == (StoreOutcome.STORED, 6)
    assert result.entry is not None
    assert result.entry.batch is not None
    assert (result.entry.count, result.entry.batch.first_seq) == (3, 6)
    assert bytes(result.entry.batch.bodies[:8]) == b"1:6....."


def test_a_dedup_id_enters_once_within_its_window() -> None:
    state = sample_queue()
    assert state.store(*sample_batch(dedup_id="order-1"), now_ms=0).outcome is StoreOutcome.STORED
    again = sample_batch(first_seq=2, dedup_id="order-1")
    assert state.store(*again, now_ms=WINDOW_MS - 1).outcome is StoreOutcome.DUPLICATE
    assert state.store(*again, now_ms=WINDOW_MS - 1).outcome is StoreOutcome.DUPLICATE
    assert state.info().duplicates == 2
    assert state.store(*again, now_ms=WINDOW_MS).outcome is StoreOutcome.STORED


def test_messages_that_share_a_dedup_id_are_refused_and_change_nothing() -> None:
    state = sample_queue()
    with pytest.raises(InvalidArgument, match="dedup_id"):
        state.store(*sample_batch(2, dedup_id="order-1"), now_ms=0)
    assert state.store(*sample_batch(dedup_id="order-1"), now_ms=0).outcome is StoreOutcome.STORED


# ---- messages go out ----


def test_nothing_leaves_without_a_consumer_or_without_a_message() -> None:
    state = sample_queue(5)
    assert (state.can_dispatch, state.dispatch()) == (False, [])
    sample_consumer(state)
    assert (state.can_dispatch, len(state.dispatch())) == (True, 1)
    assert (state.can_dispatch, state.dispatch()) == (False, [])


def test_a_whole_batch_leaves_in_one_slice() -> None:
    state = sample_queue(5, 7)
    sample_consumer(state)
    deliveries = state.dispatch()
    assert shape(deliveries) == [(1, 1, 5, 1), (1, 6, 7, 1)]
    assert [(d.entry.first_offset, d.start, d.settled) for d in deliveries] == [(1, 0, False), (6, 0, False)]


def test_consumers_share_equally_and_take_turns() -> None:
    state = sample_queue(9)
    for number in (1, 2, 3):
        sample_consumer(state, number)
    assert shape(state.dispatch()) == [(1, 1, 3, 1), (2, 4, 3, 1), (3, 7, 3, 1)]


def test_turns_go_on_from_call_to_call() -> None:
    state = sample_queue(1)
    sample_consumer(state, 1)
    sample_consumer(state, 2)
    served = [d.consumer for d in state.dispatch()]
    for seq in range(2, 6):
        state.store(*sample_batch(first_seq=seq), now_ms=0)
        served += [d.consumer for d in state.dispatch()]
    assert served == [1, 2, 1, 2, 1]


def test_nobody_gets_more_than_its_prefetch_and_the_others_get_the_rest() -> None:
    state = sample_queue(10)
    sample_consumer(state, 1, prefetch=2)
    sample_consumer(state, 2, prefetch=6)
    assert shape(state.dispatch()) == [(1, 1, 2, 1), (2, 3, 5, 1), (2, 8, 1, 1)]
    assert state.info().ready == 2


def test_credit_comes_back_with_the_settle() -> None:
    state = sample_queue(10)
    sample_consumer(state, prefetch=4)
    state.dispatch()
    assert state.dispatch() == []
    state.settle(1, 1, Outcome.ACK, [2, 3])
    assert shape(state.dispatch()) == [(1, 5, 2, 1)]


def test_auto_ack_messages_are_gone_when_they_leave() -> None:
    state = sample_queue(5)
    sample_consumer(state, auto_ack=True)
    (delivery,) = state.dispatch()
    assert delivery.settled
    assert delivery.entry.raw is not None
    info = state.info()
    assert (info.ready, info.unacked, info.acked, info.bytes) == (0, 0, 5, 0)
    assert state.settle(1, 1, Outcome.ACK, [1, 5]).unknown == 5


def test_an_auto_ack_round_is_bounded_and_goes_on_in_the_next() -> None:
    state = sample_queue(AUTO_ACK_ROUND_MAX, 10)
    sample_consumer(state, prefetch=1, auto_ack=True)
    assert sum(d.count for d in state.dispatch()) == AUTO_ACK_ROUND_MAX
    assert state.can_dispatch
    assert sum(d.count for d in state.dispatch()) == 10


def test_a_slice_never_mixes_attempts() -> None:
    state = sample_queue(6)
    sample_consumer(state, prefetch=3)
    state.dispatch()
    state.remove_consumer(1, 1)
    sample_consumer(state)
    assert shape(state.dispatch()) == [(1, 1, 3, 2), (1, 4, 3, 1)]
    assert (state.info().delivered, state.info().redelivered) == (9, 3)


def test_only_the_oldest_consumer_is_served_where_one_is_active() -> None:
    state = sample_queue(4, single_active_consumer=True)
    sample_consumer(state, 1, prefetch=2)
    sample_consumer(state, 2)
    assert shape(state.dispatch()) == [(1, 1, 2, 1)]
    assert [(c.consumer, c.is_active) for c in state.consumers()] == [(1, True), (2, False)]
    state.remove_consumer(1, 1)
    assert shape(state.dispatch()) == [(2, 1, 2, 2), (2, 3, 2, 1)]


def test_a_paused_session_gets_nothing_and_a_new_session_of_its_number_is_not_paused() -> None:
    state = sample_queue(4)
    sample_consumer(state)
    state.pause(1, is_paused=True)
    assert (state.can_dispatch, state.dispatch()) == (False, [])
    state.remove_session(1)
    sample_consumer(state)
    assert shape(state.dispatch()) == [(1, 1, 4, 1)]


# ---- consumers come and go ----


def test_what_a_consumer_held_is_ready_again_when_it_leaves() -> None:
    state = sample_queue(6)
    sample_consumer(state, 1, prefetch=3)
    sample_consumer(state, 2, prefetch=3)
    state.dispatch()
    assert state.remove_consumer(1, 1) == [(1, 3)]
    assert state.remove_consumer(1, 1) == []
    assert (state.info().ready, state.info().consumers) == (3, 1)


def test_a_session_takes_all_it_had_with_it() -> None:
    state = sample_queue(9)
    sample_consumer(state, 1, session=1, prefetch=2)
    sample_consumer(state, 2, session=1, prefetch=2)
    sample_consumer(state, 1, session=2, prefetch=2)
    state.dispatch()
    assert state.get_one(1, 1, auto_ack=False) is not None
    assert state.remove_session(1).requeued == [(1, 4), (7, 7)]
    assert [(c.client, c.unacked) for c in state.consumers()] == [("program 2", 2)]
    assert state.remove_session(1).requeued == []


def test_an_exclusive_queue_serves_its_owner_only() -> None:
    state = sample_queue(1, exclusive=True, owner=1)
    with pytest.raises(ResourceLocked, match="exclusive"):
        sample_consumer(state, session=2)
    with pytest.raises(ResourceLocked):
        state.get_one(2, 2, auto_ack=True)
    sample_consumer(state, session=1)
    assert len(state.dispatch()) == 1


def test_an_exclusive_consumer_keeps_the_others_out() -> None:
    state = sample_queue(1)
    sample_consumer(state, exclusive=True)
    with pytest.raises(ResourceLocked):
        sample_consumer(state, session=2)
    assert state.info().consumers == 1


# ---- one by one ----


def test_get_one_gives_the_lowest_message_until_none_is_ready() -> None:
    state = sample_queue(2)
    first = state.get_one(1, 1, auto_ack=False)
    second = state.get_one(1, 1, auto_ack=True)
    assert first is not None
    assert second is not None
    assert (first.session, first.consumer, first.first_offset, first.settled) == (1, 0, 1, False)
    assert (second.first_offset, second.settled) == (2, True)
    assert state.get_one(1, 1, auto_ack=True) is None
    assert (state.info().unacked, state.info().consumers) == (1, 0)
    assert state.settle(1, 0, Outcome.ACK, [1, 2]) == ([(1, 1)], 1, None)


def test_get_one_from_an_empty_queue_leaves_nothing_behind() -> None:
    state = sample_queue()
    assert state.get_one(1, 1, auto_ack=False) is None
    assert state.settle(1, 0, Outcome.ACK, [1, 1]).unknown == 1


# ---- looking, cleaning, deleting ----


def test_purge_removes_what_is_ready_and_leaves_what_is_held() -> None:
    state = sample_queue(4, 4)
    sample_consumer(state, prefetch=6)
    state.dispatch()
    state.settle(1, 1, Outcome.NACK, [1, 2])
    assert state.purge() == [(1, 2), (7, 8)]
    assert state.purge() == []
    assert (state.info().ready, state.info().unacked) == (0, 4)


def test_delete_can_ask_for_an_unused_or_an_empty_queue() -> None:
    state = sample_queue(3)
    sample_consumer(state)
    with pytest.raises(PreconditionFailed, match="1 consumers"):
        state.prepare_delete(if_unused=True, if_empty=False)
    with pytest.raises(PreconditionFailed, match="3 messages"):
        state.prepare_delete(if_unused=False, if_empty=True)
    assert len(state.dispatch()) == 1
    with pytest.raises(PreconditionFailed, match="3 messages"):
        state.prepare_delete(if_unused=False, if_empty=True)


def test_a_queue_that_is_being_deleted_refuses_work() -> None:
    state = sample_queue(3)
    sample_consumer(state)
    assert state.prepare_delete(if_unused=False, if_empty=False) == 3
    with pytest.raises(UnknownQueue):
        state.store(*sample_batch(first_seq=4), now_ms=0)
    with pytest.raises(UnknownQueue):
        sample_consumer(state, 2)
    with pytest.raises(UnknownQueue):
        state.get_one(1, 1, auto_ack=True)
    assert not state.can_dispatch
    assert state.dispatch() == []
    assert sample_queue().prepare_delete(if_unused=True, if_empty=True) == 0


# ---- the journal and the memory ----


def test_a_batch_in_no_journal_pins_nothing_and_is_never_shed() -> None:
    state = sample_queue()
    state.store(*sample_batch(3), now_ms=0)
    state.storage.shed(0)
    assert state.storage.lowest_position() is None
    assert state.storage.bytes_in_memory > 0


def test_a_position_for_a_batch_that_is_gone_means_nothing() -> None:
    state = sample_queue(1)
    state.purge()
    state.storage.placed(1, 200)
    assert state.storage.lowest_position() is None


def test_one_old_message_does_not_pin_the_journal_once_it_is_moved() -> None:
    state = sample_queue(5, 5, 5)
    sample_consumer(state)
    state.dispatch()
    state.settle(1, 1, Outcome.ACK, [1, 2, 4, 13])
    assert state.storage.lowest_position() == 100
    (entry,) = state.storage.entries_below(102)
    assert state.storage.live_ranges(entry) == [3, 3, 1]
    state.storage.placed(entry.first_offset, 103)
    assert state.storage.lowest_position() == 102


def test_shed_bytes_are_missing_from_the_delivery_until_they_are_restored() -> None:
    state = sample_queue(5)
    batch, raw = sample_batch(5)
    sample_consumer(state)
    state.storage.shed(0)
    (delivery,) = state.dispatch()
    assert (delivery.entry.raw, state.storage.bytes_in_memory) == (None, 0)
    state.storage.restore(delivery.entry, batch, raw)
    assert delivery.entry.raw is raw
    assert state.storage.bytes_in_memory == delivery.entry.footprint


def test_a_mark_says_what_the_messages_do_not() -> None:
    state = sample_queue(5)
    state.store(*sample_batch(stream=2, dedup_id="order-1"), now_ms=9)
    mark = state.storage.mark()
    sample_consumer(state)
    state.dispatch()
    assert (mark.next_offset, mark.streams, mark.dedup_ids) == (7, [1, 5, 2, 1], {"order-1": 9})
    assert (mark.counters.stored, mark.counters.delivered) == (6, 0)
