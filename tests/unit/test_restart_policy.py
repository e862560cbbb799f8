"""Restart policy by example."""

from __future__ import annotations

import pytest

from posthouse.supervisor.child_spec import Restart, RestartIntensity
from posthouse.supervisor.restart_policy import (
    CrashHistory,
    Exit,
    RestartWindow,
    Verdict,
    backoff_ms,
    is_restarted,
)

CRASH = Exit(code=1)


@pytest.mark.parametrize(
    ("restart", "exit", "expected"),
    [
        (Restart.PERMANENT, Exit(code=0), True),
        (Restart.PERMANENT, CRASH, True),
        (Restart.TRANSIENT, Exit(code=0), False),
        (Restart.TRANSIENT, Exit(code=10), False),
        (Restart.TRANSIENT, Exit(signal=9), True),
        (Restart.TRANSIENT, CRASH, True),
        (Restart.TEMPORARY, CRASH, False),
        (Restart.TEMPORARY, Exit(code=0), False),
    ],
)
def test_the_restart_type_decides_which_exits_are_followed_by_a_start(
    restart: Restart, exit: Exit, expected: bool
) -> None:
    assert is_restarted(restart, exit) is expected


def test_an_exit_says_in_words_how_it_came() -> None:
    assert str(Exit(signal=9)) == "signal 9"
    assert str(Exit(code=3)) == "exit code 3"
    assert str(Exit(text="no memory")) == "no memory"


def test_the_first_restart_is_immediate_and_the_range_then_doubles_up_to_its_limit() -> None:
    assert [backoff_ms(crashes, 1.0) for crashes in range(5)] == [0, 0, 100, 200, 400]
    assert backoff_ms(10_000, 1.0) == 30_000
    assert backoff_ms(10_000, 0.0) == 0
    assert backoff_ms(4, 0.5) == 200
    assert backoff_ms(10_000, 1.0, 1_000) == 1_000


def test_a_window_is_exceeded_by_one_more_restart_than_allowed_within_the_period() -> None:
    window = RestartWindow(RestartIntensity(2, 1.0))
    assert [window.count(now) for now in (0, 10, 999)] == [False, False, True]


def test_a_window_forgets_restarts_older_than_the_period() -> None:
    window = RestartWindow(RestartIntensity(2, 1.0))
    assert [window.count(now) for now in (0, 10, 1000, 1009)] == [False, False, False, True]


def test_a_cleared_window_counts_from_zero_and_an_intensity_of_zero_allows_nothing() -> None:
    window = RestartWindow(RestartIntensity(1, 1.0))
    assert not window.count(0)
    window.clear()
    assert not window.count(1)
    assert RestartWindow(RestartIntensity(0, 1.0)).count(0)


def test_a_child_that_keeps_crashing_is_quarantined_and_tried_ever_more_rarely() -> None:
    history = CrashHistory(RestartIntensity(2, 5.0))
    verdicts = [history.judge(CRASH, 0, 1.0) for _ in range(4)]
    assert verdicts == [Verdict(False, 0), Verdict(False, 100), Verdict(True, 200), Verdict(True, 400)]
    assert history.is_exceeded


def test_a_life_that_was_up_for_a_whole_period_ends_the_row_of_crashes() -> None:
    history = CrashHistory(RestartIntensity(1, 5.0))
    history.judge(CRASH, 0, 1.0)
    assert history.judge(CRASH, 4_999, 1.0).is_quarantined
    assert history.judge(CRASH, 5_000, 1.0) == Verdict(False, 0)


def test_a_corrupt_journal_is_never_retried() -> None:
    history = CrashHistory(RestartIntensity(9, 5.0))
    assert history.judge(Exit(code=20), 60_000, 1.0) == Verdict(True, None)


def test_a_storage_fault_is_retried_twice_and_an_operator_gives_new_credit() -> None:
    history = CrashHistory(RestartIntensity(9, 5.0))
    fault = Exit(code=21)
    assert [history.judge(fault, 0, 0.0).retry_in_ms for _ in range(3)] == [0, 0, None]
    history.clear()
    assert history.judge(fault, 0, 0.0) == Verdict(False, 0)
