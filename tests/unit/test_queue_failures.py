"""What becomes of messages that fail, expire or are too many, by example."""

from __future__ import annotations

import pytest

from posthouse.actors.move import Intent
from posthouse.actors.queue_contents import Leave
from posthouse.actors.queue_history import (
    ATTEMPTS_KEPT,
    TEXTS_KEPT,
    TRACEBACK_CHARACTERS_MAX,
    Failure,
    Histories,
    death,
)
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_state import QueueState
from posthouse.transport.descriptions import RetrySpec
from posthouse.transport.errors import QueueFull
from posthouse.transport.messages import Options, Outcome
from posthouse.transport.messages_dead import Attempt
from tests.support.queue_samples import sample_batch, sample_consumer, sample_queue, shape

POLICY = RetrySpec(max_attempts=2, first_delay_ms=100, jitter=False)
ERROR = {"type": "KeyError", "message": "'amount'", "traceback": 'File "/a/b.py", line 3, in handle\n'}


def queue(*counts: int, **spec: object) -> QueueState:
    state = sample_queue(*counts, **{"retry": POLICY, "dead_letter": "store", **spec})
    sample_consumer(state)
    state.dispatch(0)
    return state


def left(intents: list[Intent[Leave]]) -> list[tuple[int, int, str, int]]:
    return [(i.item.first, i.item.last, i.item.death.reason, i.item.death.attempt) for i in intents]


def test_a_nack_waits_for_its_time_and_returns_to_its_place() -> None:
    state = queue(4)
    fate = state.settle(1, 1, Outcome.NACK, [2, 3], True, Failure(1_000)).fate
    assert fate is not None
    assert [(retry.due_ms, retry.ranges) for retry in fate.retries] == [(1_100, [(2, 3)])]
    assert (fate.requeued, state.info().waiting, state.next_ms()) == ([], 2, 1_100)
    assert state.pass_time(1_099, 0.0) == []
    assert state.dispatch() == []
    state.settle(1, 1, Outcome.NACK, [1, 1], True, Failure(1_000, retry_after_ms=0))
    state.pass_time(1_100, 0.0)
    assert shape(state.dispatch()) == [(1, 1, 3, 2)]


def test_the_consumers_wish_stands_in_for_the_policy() -> None:
    state = queue(1)
    state.settle(1, 1, Outcome.NACK, [1, 1], True, Failure(0, retry_after_ms=7_000))
    assert state.next_ms() == 7_000


def test_after_its_last_attempt_a_message_leaves_for_the_dead_letters_with_its_history() -> None:
    state = queue(2)
    state.settle(1, 1, Outcome.NACK, [1, 2], True, Failure(10, error=ERROR, retry_after_ms=0))
    state.dispatch()
    fate = state.settle(1, 1, Outcome.NACK, [1, 2], True, Failure(20, error=ERROR)).fate
    assert fate is not None
    assert left(fate.leaving) == [(1, 2, "attempts_exhausted", 2)]
    died = fate.leaving[0].item.death
    assert [(one.attempt, one.at_ms, one.consumer, one.error_type) for one in died.history] == [
        (1, 10, "program 1", "KeyError"), (2, 20, "program 1", "KeyError"),
    ]  # fmt: skip
    assert (died.first_ms, died.died_ms, died.cause) == (10, 20, "KeyError: 'amount'")
    assert (state.info().leaving, state.info().ready, state.dispatch()) == (2, 0, [])
    assert state.look_after(1, 2) == (2, 2)
    state.left(fate.leaving[0])
    assert (state.info().leaving, state.info().dead_lettered, state.info().bytes) == (0, 2, 0)


def test_a_reject_leaves_at_once_and_neighbours_of_one_batch_leave_together() -> None:
    state = queue(3, 3)
    fate = state.settle(1, 1, Outcome.REJECT, [2, 5], False, Failure(5, reason="no use")).fate
    assert fate is not None
    assert left(fate.leaving) == [(2, 3, "rejected", 1), (4, 5, "rejected", 1)]
    assert [intent.first_seq for intent in fate.leaving] == [1, 3]
    assert fate.leaving[0].item.death.cause == "reject: no use"
    assert state.info().rejected == 4
    piece = state.leaving_slice(fate.leaving[1].item)
    assert (piece.first_offset, piece.start, piece.stop) == (4, 0, 2)


def test_a_message_that_keeps_killing_its_consumer_ends_in_the_dead_letters() -> None:
    state = queue(1)
    fate = state.remove_session(1, Failure(10, "consumer_gone", consumer="worker"))
    assert (fate.requeued, fate.leaving) == ([(1, 1)], [])
    sample_consumer(state)
    assert shape(state.dispatch()) == [(1, 1, 1, 2)]
    fate = state.remove_session(1, Failure(20, "consumer_gone", consumer="worker"))
    assert left(fate.leaving) == [(1, 1, "attempts_exhausted", 2)]
    assert [one.how for one in fate.leaving[0].item.death.history] == ["consumer_gone", "consumer_gone"]


def test_a_consumer_that_leaves_in_order_ends_no_message_however_often() -> None:
    state = queue(3)
    for _ in range(5):
        state.remove_consumer(1, 1)
        sample_consumer(state)
        state.dispatch()
    assert (state.info().unacked, state.info().leaving) == (3, 0)


def test_what_is_held_too_long_counts_as_a_failed_attempt_and_a_late_ack_for_nothing() -> None:
    state = sample_queue(2, retry=POLICY, dead_letter="store", ack_timeout_ms=50)
    sample_consumer(state)
    state.dispatch(1_000)
    state.settle(1, 1, Outcome.ACK, [1, 1])
    ((kind, fate),) = state.pass_time(1_050, 0.0)
    assert (kind, [retry.ranges for retry in fate.retries]) == (Kind.REJECTED, [[(2, 2)]])
    assert state.settle(1, 1, Outcome.ACK, [2, 2]).unknown == 1
    state.pass_time(1_150, 0.0)
    assert shape(state.dispatch(1_150)) == [(1, 2, 1, 2)]
    ((_, fate),) = state.pass_time(1_200, 0.0)
    assert left(fate.leaving) == [(2, 2, "attempts_exhausted", 2)]
    state.remove_session(1)
    assert state.pass_time(9_999, 0.0) == []


def test_an_expired_message_never_waits_behind_a_living_one() -> None:
    state = QueueState(sample_queue(retry=POLICY)._spec.__class__(name="ewr", retry=POLICY))
    living, living_raw = sample_batch(1, 1)
    state.store(living, living_raw, 0)
    batch, raw = sample_batch(2, 2)
    short = batch.__class__(**{n: getattr(batch, n) for n in batch.__struct_fields__} | {"options": Options(ttl_ms=30)})
    assert state.store(short, raw, 0).expires_ms == 30
    ((kind, fate),) = state.pass_time(30, 0.0)
    assert (kind, left(fate.leaving)) == (Kind.EXPIRED, [(2, 3, "expired", 0)])
    assert state.info().ready == 1


def test_what_a_consumer_holds_expires_when_it_comes_back() -> None:
    state = sample_queue(2, dead_letter="off", ttl_ms=30)
    sample_consumer(state)
    state.dispatch()
    assert state.pass_time(30, 0.0) == []
    assert state.next_ms() is None
    state.settle(1, 1, Outcome.ACK, [1, 1])
    state.settle(1, 1, Outcome.NACK, [2, 2])
    ((_, fate),) = state.pass_time(31, 0.0)
    assert fate.gone == [(2, 2)]
    assert (state.info().expired, state.info().ready) == (1, 0)


def test_a_queue_that_is_too_long_drops_its_oldest() -> None:
    state = sample_queue(3, max_length=4)
    assert state.drop_overflow(0) is None
    state.store(*sample_batch(3, 4), now_ms=0)
    fate = state.drop_overflow(0)
    assert fate is not None
    assert fate.gone == [(1, 2)]
    assert (state.info().ready, state.info().dropped) == (4, 2)


def test_too_many_bytes_count_too_and_the_oldest_may_go_to_the_dead_letters() -> None:
    state = sample_queue(3, max_bytes=20, overflow="dead-letter", dead_letter="store")
    fate = state.drop_overflow(0)
    assert fate is not None
    assert left(fate.leaving) == [(1, 1, "max_length", 0)]
    assert state.drop_overflow(0) is None


def test_what_consumers_hold_is_not_taken_from_them_by_overflow() -> None:
    state = sample_queue(2, max_length=1)
    sample_consumer(state)
    state.dispatch()
    assert state.drop_overflow(0) is None


@pytest.mark.parametrize("limit", [{"max_length": 3}, {"max_bytes": 30}])
def test_a_queue_may_refuse_what_is_too_much(limit: dict[str, int]) -> None:
    state = sample_queue(3, overflow="reject-publish", **limit)
    with pytest.raises(QueueFull, match="ewr"):
        state.store(*sample_batch(1, 4), now_ms=0)
    assert (state.info().stored, state.drop_overflow(0)) == (3, None)
    assert sample_queue(1, overflow="reject-publish", **limit).info().ready == 1


def test_a_purge_takes_what_waits_and_leaves_what_leaves() -> None:
    state = queue(3)
    state.settle(1, 1, Outcome.NACK, [1, 1], True, Failure(0))
    state.settle(1, 1, Outcome.REJECT, [2, 2], False, Failure(0))
    assert state.purge() == [(1, 1)]
    assert (state.info().waiting, state.info().leaving, state.info().unacked) == (0, 1, 1)


def test_histories_are_bounded_in_attempts_and_in_text() -> None:
    histories = Histories()
    for number in range(1, ATTEMPTS_KEPT + 5):
        failure = Failure(number, error={"type": "E", "message": "m" * 5_000, "traceback": "t" * 20_000})
        histories.add(1, 3, histories.attempt(failure, number))
    histories.add(2, 2, histories.attempt(Failure(9), 1))
    ((first, last, history),) = histories.pieces(1, 3)
    assert (first, last, len(history), history[0].attempt, history[-1].attempt) == (1, 3, 16, 1, ATTEMPTS_KEPT + 4)
    assert len(history[0].traceback) == TRACEBACK_CHARACTERS_MAX
    assert history[0].traceback is history[1].traceback
    for number in range(TEXTS_KEPT + 1):
        histories.attempt(Failure(0, reason=str(number)), 1)
    histories.forget(1, 2)
    assert histories.pieces(1, 4) == [(1, 2, ()), (3, 3, history), (4, 4, ())]


def test_a_death_without_an_error_is_grouped_by_its_reason() -> None:
    expired = death("ewr", "expired", 5, 1, ())
    assert (expired.cause, expired.first_ms) == ("expired", 5)
    assert expired.fingerprint == death("ewr", "expired", 9, 2, ()).fingerprint
    assert expired.fingerprint != death("jfk", "expired", 9, 2, ()).fingerprint
    gone = Attempt(attempt=1, at_ms=1, consumer="c", how="consumer_gone")
    assert death("ewr", "attempts_exhausted", 5, 1, (gone,)).cause == "consumer_gone"
