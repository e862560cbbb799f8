"""The audit of the dead letters: each fault of a store shows in a sentence of its own, and in no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from posthouse.dead_letter_requests import DeadLetter, FailedAttempt
from posthouse.demo_letters import faults_of_history, faults_of_letters, story_of
from posthouse.retry import Retry

RETRY = Retry(max_attempts=3, first_delay_s=0.5, factor=2.0, jitter=False)
ERRORS = {1: "ValueError", 2: "KeyError"}
AT = datetime(2013, 1, 1, tzinfo=UTC)
GOOD = DeadLetter(
    id=1,
    reason="attempts_exhausted",
    queue="rebooking",
    exchange="notices",
    routing_key="",
    message_id="1",
    attempt=3,
    first_at=AT,
    last_at=AT,
    fingerprint="0123456789ab",
    cause="ValueError: no such minute",
)
OTHER = replace(GOOD, id=2, message_id="2", cause="KeyError: 'gate'")


def failed(attempt: int, how: str = "nack", error_type: str = "ValueError", traceback: str = "File x") -> FailedAttempt:
    return FailedAttempt(attempt, AT + timedelta(seconds=attempt), "handler", how, error_type, "no minute", traceback)


HISTORY = [failed(1), failed(2), failed(3)]


def test_a_store_that_holds_what_it_has_to_is_good() -> None:
    assert faults_of_letters([OTHER, GOOD], ERRORS, 3) == []


def test_an_attempt_that_a_crash_cut_off_may_come_on_top() -> None:
    assert faults_of_letters([replace(GOOD, attempt=4), OTHER], ERRORS, 3) == []


@pytest.mark.parametrize(
    ("letters", "fault"),
    [
        ([GOOD], "1 missing"),
        ([GOOD, OTHER, replace(OTHER, id=3)], "1 there twice"),
        ([GOOD, OTHER, replace(GOOD, message_id="3")], "1 astray"),
        ([GOOD, OTHER, replace(GOOD, message_id="7f-1")], "1 astray"),
        ([replace(GOOD, reason="rejected"), OTHER], "1 of another reason"),
        ([replace(GOOD, attempt=2), OTHER], "1 with too few attempts"),
        ([GOOD, replace(OTHER, cause="ValueError: 2")], "1 of another error"),
    ],
)
def test_a_fault_is_said_in_its_own_words(letters: list[DeadLetter], fault: str) -> None:
    assert faults_of_letters(letters, ERRORS, 3) == [f"dead letters: {fault}"]


def test_a_history_that_tells_of_every_failed_attempt_is_good() -> None:
    assert faults_of_history(replace(GOOD, history=HISTORY), "ValueError", RETRY) == []


def test_an_attempt_that_ended_with_its_consumer_needs_no_error() -> None:
    history = [failed(1), failed(2, "consumer_gone", "", ""), failed(3)]

    assert faults_of_history(replace(GOOD, history=history), "ValueError", RETRY) == []


@pytest.mark.parametrize(
    "history",
    [
        [],
        [failed(1), failed(2)],
        [failed(2), failed(1), failed(3)],
        [failed(1), failed(2, error_type="KeyError"), failed(3)],
        [failed(1), failed(2), failed(3, traceback="")],
        [failed(3, "consumer_gone")],
    ],
)
def test_a_history_with_a_gap_in_its_story_is_named_with_its_flight(history: list[FailedAttempt]) -> None:
    (fault,) = faults_of_history(replace(GOOD, history=history), "ValueError", RETRY)

    assert fault.startswith("flight 1 should have 3 attempts with ValueError")


def test_an_attempt_before_its_pause_was_over_is_a_fault() -> None:
    history = [failed(1), failed(2), replace(failed(3), at=failed(2).at + timedelta(seconds=0.9))]

    assert faults_of_history(replace(GOOD, history=history), "ValueError", RETRY) != []


def test_after_a_redrive_the_pauses_begin_anew_and_the_count_goes_on() -> None:
    history = [*HISTORY, replace(failed(4), at=failed(3).at), failed(5), failed(6)]

    assert faults_of_history(replace(GOOD, history=history, attempt=6), "ValueError", RETRY) == []


def test_a_history_is_told_in_a_line() -> None:
    history = [failed(1), failed(2, "consumer_gone", ""), failed(3)]

    assert story_of(replace(GOOD, history=history)) == (
        "1: ValueError, 2: consumer_gone after 1000 ms, 3: ValueError after 1000 ms"
    )
