"""A queue with a breaker: when it pauses, what it tries, and which attempts count."""

from __future__ import annotations

from posthouse.actors import queue_records
from posthouse.actors.queue_consumers import AUTO_ACK_ROUND_MAX
from posthouse.actors.queue_failures import Fate
from posthouse.actors.queue_history import Failure, Histories
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_restated import restated
from posthouse.actors.queue_state import QueueState
from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.messages import Outcome
from tests.support.queue_samples import sample_batch, sample_consumer, sample_queue, shape

BREAKER = BreakerSpec(window=3, failure_share=1.0, probe_after_ms=100, max_probe_after_ms=400)
POLICY = RetrySpec(kind="fixed", max_attempts=2, first_delay_ms=0)


def queue(*counts: int, prefetch: int = 3, **spec: object) -> QueueState:
    state = sample_queue(*counts, **{"retry": POLICY, "dead_letter": "store", "breaker": BREAKER, **spec})
    sample_consumer(state, prefetch=prefetch)
    return state


def nack(state: QueueState, first: int, last: int, now_ms: int = 0) -> Fate:
    fate = state.settle(1, 1, Outcome.NACK, [first, last], True, Failure(now_ms)).fate
    assert fate is not None
    return fate


def breaker(state: QueueState) -> tuple[str, int]:
    info = state.info()
    return info.breaker, info.breaker_opened


def test_a_queue_pauses_when_everything_fails_and_one_ack_makes_it_go_on() -> None:
    state = queue(5)
    state.dispatch(0)
    nack(state, 1, 3)
    assert (breaker(state), state.can_dispatch, state.dispatch(50)) == (("open", 1), False, [])
    assert state.next_ms() == 100
    state.pass_time(100, 0.0)
    assert (breaker(state), state.can_dispatch) == (("probing", 1), True)
    assert shape(state.dispatch(100)) == [(1, 4, 1, 1)]
    assert (state.can_dispatch, state.dispatch(100)) == (False, [])
    state.settle(1, 1, Outcome.ACK, [4, 4])
    assert breaker(state) == ("closed", 1)
    assert shape(state.dispatch(100)) == [(1, 1, 3, 2)]


def test_an_outage_drains_nothing_into_the_dead_letters_however_long_it_lasts() -> None:
    state = queue(10, prefetch=10)
    state.dispatch(0)
    assert nack(state, 1, 10).leaving == []
    now_ms, probed = 0, []
    for _ in range(50):
        due_ms = state.next_ms()
        assert due_ms is not None
        now_ms = due_ms
        state.pass_time(now_ms, 0.0)
        (probe,) = state.dispatch(now_ms)
        probed.append(probe.first_offset)
        assert nack(state, probe.first_offset, probe.first_offset, now_ms).leaving == []
    assert sorted(set(probed)) == list(range(1, 11)), "probes go round"
    assert (state.info().ready, state.info().leaving, breaker(state)) == (10, 0, ("open", 1))


def test_attempts_from_before_an_outage_count_those_in_it_do_not() -> None:
    state = queue(5, prefetch=5)
    state.dispatch(0)
    assert [retry.excused for retry in nack(state, 1, 1).retries] == [0]
    nack(state, 2, 3)
    state.dispatch(0)
    assert breaker(state) == ("open", 1)
    for now_ms in (100, 300):
        state.pass_time(now_ms, 0.0)
        (probe,) = state.dispatch(now_ms)
        assert nack(state, probe.first_offset, probe.first_offset, now_ms).leaving == []
    state.pass_time(700, 0.0)
    (probe,) = state.dispatch(700)
    state.settle(1, 1, Outcome.ACK, [probe.first_offset, probe.first_offset])
    state.dispatch(700)
    assert len(nack(state, 1, 1, 700).leaving) == 1, "its first attempt counted, the one of the probe did not"


def test_the_limit_of_attempts_counts_what_is_not_excused() -> None:
    state = queue(3)
    state.dispatch(0)
    fate = nack(state, 1, 3)
    assert [(retry.excused, retry.attempt.attempt) for retry in fate.retries] == [(1, 1)]
    state.pass_time(100, 0.0)
    state.dispatch(100)
    state.settle(1, 1, Outcome.ACK, [1, 1])
    state.dispatch(100)
    fate = nack(state, 2, 2, 100)
    assert (fate.leaving, [(retry.excused, retry.attempt.attempt) for retry in fate.retries]) == ([], [(1, 2)])
    state.dispatch(100)
    fate = nack(state, 2, 2, 100)
    assert [(i.item.death.reason, i.item.death.attempt) for i in fate.leaving] == [("attempts_exhausted", 3)]


def test_a_reject_is_the_consumers_word_also_in_an_outage() -> None:
    state = queue(4)
    state.dispatch(0)
    settlement = state.settle(1, 1, Outcome.REJECT, [1, 3], False, Failure(0))
    assert settlement.fate is not None
    assert sum(intent.count for intent in settlement.fate.leaving) == 3
    assert breaker(state) == ("open", 1)


def test_the_death_of_a_consumer_and_an_ack_timeout_are_failures() -> None:
    dying = queue(3)
    dying.dispatch(0)
    assert dying.remove_session(1, Failure(0, "consumer_gone")).leaving == []
    assert breaker(dying) == ("open", 1)
    slow = queue(3, ack_timeout_ms=50)
    slow.dispatch(0)
    slow.pass_time(50, 0.0)
    assert breaker(slow) == ("open", 1)
    assert slow.settle(1, 1, Outcome.ACK, [1, 3]).unknown == 3


def test_a_consumer_that_leaves_in_order_fails_nothing_and_a_probe_it_held_goes_to_another() -> None:
    state = queue(4)
    state.dispatch(0)
    state.remove_consumer(1, 1)
    assert breaker(state) == ("closed", 0)
    sample_consumer(state, prefetch=3)
    state.dispatch(0)
    nack(state, 1, 3)
    state.pass_time(100, 0.0)
    assert len(state.dispatch(100)) == 1
    state.remove_consumer(1, 1)
    sample_consumer(state)
    assert shape(state.dispatch(100)) == [(1, 4, 1, 2)]


def test_a_get_may_be_the_probe_and_finds_nothing_before() -> None:
    state = queue(4)
    state.dispatch(0)
    nack(state, 1, 3)
    assert state.get_one(7, 7, False, 10) is None
    state.pass_time(100, 0.0)
    found = state.get_one(7, 7, False, 100)
    assert found is not None
    assert found.first_offset == 4
    assert state.get_one(7, 7, False, 100) is None
    state.settle(7, 0, Outcome.ACK, [4, 4])
    assert state.get_one(7, 7, True, 100) is not None


def test_auto_acks_are_acks() -> None:
    state = queue(4)
    state.dispatch(0)
    nack(state, 1, 2)
    sample_consumer(state, 2, 2, auto_ack=True)
    state.remove_consumer(1, 1)
    assert [delivery.settled for delivery in state.dispatch(0)] == [True, True]
    opened = queue(5)
    opened.dispatch(0)
    nack(opened, 1, 3)
    opened.remove_consumer(1, 1)
    sample_consumer(opened, 2, 2, auto_ack=True)
    opened.pass_time(100, 0.0)
    assert len(opened.dispatch(100)) == 1
    assert breaker(opened) == ("closed", 1)


def test_whoever_has_no_credit_left_after_a_probe_steps_out_of_the_line() -> None:
    state = queue(3, prefetch=1)
    sample_consumer(state, 2, 1, prefetch=2)
    state.dispatch(0)
    for number, first, last in ((1, 1, 1), (2, 2, 3)):
        state.settle(1, number, Outcome.NACK, [first, last], True, Failure(0))
    state.remove_consumer(1, 2)
    state.pass_time(100, 0.0)
    assert shape(state.dispatch(100)) == [(1, 1, 1, 2)]
    assert state.info().breaker == "probing"
    state.settle(1, 1, Outcome.ACK, [1, 1])
    assert shape(state.dispatch(100)) == [(1, 2, 1, 2)]


def test_an_auto_ack_consumer_at_its_bound_goes_on_after_the_probe() -> None:
    state = queue(AUTO_ACK_ROUND_MAX - 1)
    state.remove_consumer(1, 1)
    sample_consumer(state, 1, 2, auto_ack=True)
    state.dispatch(0)
    state.pause(2, is_paused=True)
    sample_consumer(state, 1, 1, prefetch=3)
    state.store(*sample_batch(3, AUTO_ACK_ROUND_MAX), now_ms=0)
    state.dispatch(0)
    nack(state, AUTO_ACK_ROUND_MAX, AUTO_ACK_ROUND_MAX + 2)
    state.remove_consumer(1, 1)
    state.pause(2, is_paused=False)
    state.pass_time(100, 0.0)
    assert [delivery.count for delivery in state.dispatch(100)] == [1]
    assert [delivery.count for delivery in state.dispatch(100)] == [2]


def test_one_good_message_closes_however_many_are_poison() -> None:
    state = queue(3)
    state.dispatch(0)
    nack(state, 1, 3)
    state.store(*sample_batch(1, 4), now_ms=0)
    state.pass_time(100, 0.0)
    assert shape(state.dispatch(100)) == [(1, 4, 1, 1)]
    state.settle(1, 1, Outcome.ACK, [4, 4])
    assert breaker(state) == ("closed", 1)


def test_a_settle_of_nothing_opens_nothing() -> None:
    state = queue(3)
    state.settle(1, 1, Outcome.NACK, [1, 3], True, Failure(0))
    assert breaker(state) == ("closed", 0)


def test_excused_attempts_survive_a_restart_and_the_breaker_begins_closed() -> None:
    state = queue(3)
    state.dispatch(0)
    fate = nack(state, 1, 3)
    records: list[tuple[Kind, bytes]] = []
    for position, (offset, seq) in enumerate(((1, 1),), start=1):
        batch, raw = sample_batch(3, seq)
        assert position == offset
        records.append((Kind.STORE, b"".join(queue_records.encode_store(offset, raw))))
        assert batch.count == 3
    records.append((Kind.DELIVERED, queue_records.encode_ranges([(1, 3)])))
    (retry,) = fate.retries
    told = queue_records.encode_retry(retry.due_ms, (retry.attempt,), retry.ranges, retry.excused)
    records.append((Kind.RETRY, told))
    assert queue_records.decode_retry(told).excused == 1
    again = queue()
    for position, (kind, payload) in enumerate(records, start=1):
        again.replay.record(position, kind, payload)
    assert again.info().breaker == "closed"
    assert restated(again._contents, 1, 3) == [(Kind.RETRY, told)]
    again.dispatch(0)
    assert nack(again, 1, 1).leaving == []
    again.dispatch(0)
    assert len(nack(again, 1, 1).leaving) == 1


def test_what_was_excused_is_known_by_range_and_forgotten_with_its_messages() -> None:
    histories = Histories()
    histories.add(1, 9, histories.attempt(Failure(1), 1))
    histories.excuse(3, 5, 2)
    histories.excuse(1, 9, 0)
    assert histories.excused(2, 6) == [(2, 2, 0), (3, 5, 2), (6, 6, 0)]
    assert [(first, last, excused) for first, last, _, excused in histories.told(1, 20)] == [
        (1, 2, 0),
        (3, 5, 2),
        (6, 9, 0),
    ]
    histories.forget(4, 4)
    assert histories.excused(3, 5) == [(3, 3, 2), (4, 4, 0), (5, 5, 2)]
