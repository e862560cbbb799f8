"""What may be asked of the dead letters, and how their answers read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from posthouse import dead_letter_requests as requests
from posthouse.dead_letter_requests import FailedAttempt, make_filter
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import (
    Attempt,
    DeadLetterFilter,
    DeadLetterInfo,
    Death,
    ListDeadLetters,
    Redrive,
    RedriveInfo,
    RedriveStatus,
)
from posthouse.transport.names import DEAD_LETTER
from tests.support.actor_bench import batch

EVERYTHING = DeadLetterFilter()
INFO = DeadLetterInfo(
    id=7, reason="rejected", queue="q", exchange="e", routing_key="k", message_id="m", attempt=2, first_ms=1_000,
    last_ms=2_500, fingerprint="8d8be5ad2bca", cause="ValueError: no", size=3,
)  # fmt: skip


def test_a_filter_is_what_was_said_and_times_are_moments() -> None:
    assert make_filter(None, None, None, {}) == EVERYTHING
    east = timezone(timedelta(hours=2))
    said = {"since": datetime(1970, 1, 1, 2, 0, 1, tzinfo=east), "headers": {"a": 1}, "ids": [3, 4]}
    assert make_filter("q", "expired", "8d8b", said) == DeadLetterFilter(
        queue="q", reason="expired", fingerprint="8d8b", after_ms=1_000, headers={"a": 1}, ids=(3, 4)
    )


def test_of_two_ends_in_time_the_earlier_counts() -> None:
    early = datetime(2000, 1, 1, tzinfo=UTC)
    both = make_filter(None, None, None, {"before": early, "older_than_s": 1})
    assert both.before_ms == int(early.timestamp() * 1_000)
    recent = make_filter(None, None, None, {"before": datetime(2999, 1, 1, tzinfo=UTC), "older_than_s": 1})
    assert recent.before_ms is not None
    assert recent.before_ms < datetime(2999, 1, 1, tzinfo=UTC).timestamp() * 1_000


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ({"reason": "boredom"}, {}),
        ({"fingerprint": 7}, {}),
        ({"queue": "two\nlines"}, {}),
        ({}, {"colour": "red"}),
        ({}, {"since": "yesterday"}),
        ({}, {"before": datetime(2000, 1, 1)}),
        ({}, {"older_than_s": -1}),
        ({}, {"older_than_s": float("nan")}),
        ({}, {"older_than_s": 1e300}),
        ({}, {"headers": {1: 2}}),
        ({}, {"ids": [0]}),
        ({}, {"ids": [True]}),
        ({}, {"ids": 5}),
        ({}, {"ids": range(1, 1_100)}),
    ],
    ids=str,
)
def test_a_filter_that_means_nothing_is_refused(what: dict[str, Any], more: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        make_filter(what.get("queue"), what.get("reason"), what.get("fingerprint"), more)


def test_a_redrive_travels_as_it_was_asked_for() -> None:
    asked = requests.redrive(EVERYTHING, to="q", rate=5, canary=3, failure_share=0.5, dry_run=False)
    assert asked.target == DEAD_LETTER
    assert asked.make(9) == Redrive(9, EVERYTHING, "q", 5.0, 3, 0.5, False)
    plain = requests.redrive(EVERYTHING, to=None, rate=None, canary=None, failure_share=0.0, dry_run=True)
    assert plain.make(1) == Redrive(1, EVERYTHING, dry_run=True)


@pytest.mark.parametrize(
    "wrong",
    [
        {"to": ""}, {"to": 7}, {"rate": 0}, {"rate": -1}, {"rate": float("nan")}, {"rate": float("inf")},
        {"rate": 1e9}, {"canary": 0}, {"canary": 1_001}, {"canary": 1.5}, {"failure_share": 0.1},
        {"canary": 1, "failure_share": 1.0}, {"canary": 1, "failure_share": -0.1}, {"dry_run": "perhaps"},
    ],
    ids=str,
)  # fmt: skip
def test_a_redrive_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"to": None, "rate": None, "canary": None, "failure_share": 0.0, "dry_run": False}
    with pytest.raises(InvalidArgument):
        requests.redrive(EVERYTHING, **{**asked, **wrong})


def test_counts_and_numbers_are_whole_and_within_bounds() -> None:
    assert requests.letters(EVERYTHING, 10, 5).make(2) == ListDeadLetters(2, EVERYTHING, 10, 5)
    assert requests.redrive_status(4, stop=True).make(3) == RedriveStatus(3, 4, True)
    wrong: Any
    for wrong in (0, -1, 1.5, True, "7", 1 << 63, None):
        with pytest.raises(InvalidArgument):
            requests.one(wrong)
        with pytest.raises(InvalidArgument):
            requests.redrive_status(wrong)
        with pytest.raises(InvalidArgument):
            requests.causes(EVERYTHING, wrong)
        with pytest.raises(InvalidArgument):
            requests.letters(EVERYTHING, wrong, 0)
    with pytest.raises(InvalidArgument):
        requests.letters(EVERYTHING, 1, -1)


def test_a_listed_letter_has_no_body_and_a_fetched_one_has_everything() -> None:
    (listed,) = requests.shown([INFO])
    assert (listed.id, listed.body, listed.headers, listed.history) == (7, None, None, [])
    assert (listed.first_at, listed.size) == (datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC), 3)
    attempt = Attempt(attempt=1, at_ms=1_000, consumer="c", how="nack", error_type="ValueError", error="no")
    death = Death(reason="rejected", queue="q", died_ms=2_500, history=(attempt,))
    whole = requests.shown_whole((INFO, death, batch(b"abc", headers={"a": 1})))
    assert (whole.body, whole.headers, whole.id) == (b"abc", {"a": 1}, 7)
    assert whole.history == [FailedAttempt(1, listed.first_at, "c", "nack", "ValueError", "no", "")]


@pytest.mark.parametrize(
    ("state", "goes_on"), [("running", True), ("canary", True), ("done", False), ("stopped", False), ("dry_run", False)]
)
def test_a_redrive_that_runs_has_more_to_come(state: str, goes_on: bool) -> None:
    assert requests.is_running(RedriveInfo(id=1, state=state, matched=3)) is goes_on
