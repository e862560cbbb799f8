"""A round of deliveries is bounded in bytes, whatever the credit of the consumers."""

from __future__ import annotations

from tests.support.queue_samples import sample_consumer, sample_queue


def test_a_round_ends_when_its_bytes_are_on_their_way_and_the_next_goes_on() -> None:
    state = sample_queue(10, 10, 10)
    sample_consumer(state)
    assert [delivery.first_offset for delivery in state.dispatch(bytes_max=100)] == [1, 11]
    assert state.can_dispatch
    assert [delivery.first_offset for delivery in state.dispatch(bytes_max=100)] == [21]
    assert not state.can_dispatch


def test_a_message_larger_than_the_bound_is_delivered_all_the_same() -> None:
    state = sample_queue(1, 1)
    sample_consumer(state)
    assert [delivery.first_offset for delivery in state.dispatch(bytes_max=1)] == [1]
    assert [delivery.first_offset for delivery in state.dispatch(bytes_max=1)] == [2]


def test_consumers_keep_their_turns_when_a_round_is_cut_short() -> None:
    state = sample_queue(1, 1, 1, 1)
    sample_consumer(state, 1)
    sample_consumer(state, 2)
    served = [delivery.consumer for _ in range(4) for delivery in state.dispatch(bytes_max=1)]
    assert served == [1, 2, 1, 2]
