"""How consumers settle what they hold, by example."""

from __future__ import annotations

import pytest

from posthouse.actors.queue_failures import Fate
from posthouse.actors.queue_state import QueueState
from posthouse.transport.descriptions import RetrySpec
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Outcome, QueueSpec
from tests.support.queue_samples import sample_batch, sample_consumer, sample_queue, shape


def test_an_ack_in_the_middle_leaves_the_rest_held() -> None:
    state = sample_queue(10)
    sample_consumer(state)
    state.dispatch()
    result = state.settle(1, 1, Outcome.ACK, [4, 6, 9, 9])
    assert result == ([(4, 6), (9, 9)], 0, None)
    info = state.info()
    assert (info.unacked, info.acked, info.bytes) == (6, 4, 48)


def test_ranges_may_span_batches_and_are_joined() -> None:
    state = sample_queue(3, 3, 3)
    sample_consumer(state)
    state.dispatch()
    assert state.settle(1, 1, Outcome.ACK, [1, 2, 3, 8]).settled == [(1, 8)]
    assert [piece.first_offset for piece in state.peek(9)] == [9]


def test_a_stale_settle_is_counted_and_not_an_error() -> None:
    state = sample_queue(4)
    sample_consumer(state)
    state.dispatch()
    state.settle(1, 1, Outcome.ACK, [1, 2])
    assert state.settle(1, 1, Outcome.ACK, [1, 3, 3, 3, 77, 80]) == ([(3, 3)], 7, None)
    assert state.settle(2, 1, Outcome.ACK, [4, 4]) == ([], 1, None)
    assert state.settle(1, 9, Outcome.NACK, [4, 4]).unknown == 1
    assert state.info().unacked == 1


def test_a_nack_returns_messages_to_their_place_with_their_attempt() -> None:
    state = sample_queue(6)
    sample_consumer(state, prefetch=4)
    state.dispatch()
    fate = state.settle(1, 1, Outcome.NACK, [2, 3]).fate
    assert fate is not None
    assert fate.requeued == [(2, 3)]
    assert shape(state.dispatch()) == [(1, 2, 2, 2)]
    state.settle(1, 1, Outcome.NACK, [1, 4])
    assert shape(state.dispatch()) == [(1, 1, 1, 2), (1, 2, 2, 3), (1, 4, 1, 2)]


def test_what_is_released_returns_and_is_never_the_last_attempt_that_failed() -> None:
    state = QueueState(QueueSpec(name="q", retry=RetrySpec(max_attempts=1)))
    state.store(*sample_batch(3), now_ms=0)
    sample_consumer(state, prefetch=3)
    state.dispatch()
    result = state.settle(1, 1, Outcome.RELEASE, [2, 3])
    assert result == ([], 0, Fate([(2, 3)], [], [], []))
    assert shape(state.dispatch()) == [(1, 2, 2, 2)]
    assert (state.info().leaving, state.info().waiting) == (0, 0)


@pytest.mark.parametrize(("outcome", "requeue"), [(Outcome.REJECT, True), (Outcome.NACK, False)])
def test_rejected_messages_are_gone_where_dead_letters_are_off(outcome: Outcome, requeue: bool) -> None:
    state = sample_queue(3, 3)
    sample_consumer(state)
    state.dispatch()
    result = state.settle(1, 1, outcome, [2, 5], requeue)
    assert result.fate is not None
    assert (result.settled, result.fate.gone, result.fate.leaving) == ([], [(2, 5)], [])
    assert (state.info().rejected, state.info().acked, state.info().unacked) == (4, 0, 2)


@pytest.mark.parametrize("ranges", [[1], [0, 4], [5, 4], [1, 2, -3, -2]])
def test_what_is_no_range_is_refused_and_settles_nothing(ranges: list[int]) -> None:
    state = sample_queue(5)
    sample_consumer(state)
    state.dispatch()
    with pytest.raises(InvalidArgument):
        state.settle(1, 1, Outcome.ACK, ranges)
    assert state.info().unacked == 5


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="no way to settle"):
        sample_queue().settle(1, 1, 7, [1, 1])
