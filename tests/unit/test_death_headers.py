"""`x-death` by example: what RabbitMQ's users find in it, and when a message goes in circles."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors.death_headers import (
    HOPS_MAX,
    ROUNDS_MAX,
    LatestDeath,
    deaths_of,
    has_come_too_far,
    is_cycle,
    with_death,
)
from posthouse.transport.names import encode_headers


def died(queue: str = "work", reason: str = "rejected", **more: Any) -> LatestDeath:
    return LatestDeath(queue, reason, "jobs", "job.new", 1_700_000_000_999, **more)


def test_the_first_death_writes_one_entry_and_both_places() -> None:
    assert with_death({"kind": "book"}, died()) == {
        "kind": "book",
        "x-death": [
            {
                "queue": "work", "reason": "rejected", "count": 1, "time": 1_700_000_000, "exchange": "jobs",
                "routing-keys": ["job.new"],
            }
        ],
        "x-first-death-queue": "work", "x-first-death-reason": "rejected", "x-first-death-exchange": "jobs",
        "x-last-death-queue": "work", "x-last-death-reason": "rejected", "x-last-death-exchange": "jobs",
    }  # fmt: skip
    encode_headers(with_death(None, died()))


def test_a_second_death_at_the_same_place_raises_the_count_and_comes_to_the_front() -> None:
    headers = with_death(with_death(None, died()), died("pause", "expired", ttl_ms=5_000))
    assert [(one["queue"], one["count"]) for one in deaths_of(headers)] == [("pause", 1), ("work", 1)]
    assert deaths_of(headers)[0]["original-expiration"] == "5000"
    later = with_death(headers, died()._replace(died_ms=1_800_000_000_000))
    assert [(one["queue"], one["count"]) for one in deaths_of(later)] == [("work", 2), ("pause", 1)]
    assert deaths_of(later)[0]["time"] == 1_700_000_000, "of the first time"
    assert (later["x-first-death-queue"], later["x-last-death-queue"]) == ("work", "work")
    other = with_death(later, died(reason="expired"))
    assert [(one["queue"], one["reason"]) for one in deaths_of(other)][:2] == [
        ("work", "expired"), ("work", "rejected"),
    ]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), [("attempts_exhausted", "delivery_limit"), ("max_length", "maxlen")])
def test_reasons_are_named_as_in_rabbitmq(ours: str, theirs: str) -> None:
    told = with_death(None, died(reason=ours))
    assert (deaths_of(told)[0]["reason"], told["x-first-death-reason"]) == (theirs, theirs)
    assert deaths_of(with_death(told, died(reason=ours)))[0]["count"] == 2


@pytest.mark.parametrize("wrong", [7, "x", {"queue": "q"}, [7], [{}], [{"queue": 7}], [None]])
def test_what_a_publisher_wrote_there_and_makes_no_sense_is_no_death(wrong: Any) -> None:
    assert deaths_of({"x-death": wrong}) == []
    assert len(deaths_of(with_death({"x-death": wrong}, died()))) == 1


@pytest.mark.parametrize("count", ["many", None, -3, 1 << 62])
def test_a_count_that_makes_no_sense_begins_anew(count: Any) -> None:
    entry = {"queue": "work", "reason": "rejected", "count": count}
    assert deaths_of(with_death({"x-death": [entry]}, died()))[0]["count"] == 1


def test_a_message_has_come_too_far_in_places_or_in_rounds() -> None:
    places = [{"queue": f"q{number}", "reason": "expired", "count": 1} for number in range(HOPS_MAX)]
    assert has_come_too_far({"x-death": places})
    assert not has_come_too_far({"x-death": places[1:]})
    rounds = [{"queue": "work", "reason": "rejected", "count": ROUNDS_MAX - 2}, {"queue": "pause", "count": 1}]
    assert not has_come_too_far({"x-death": rounds})
    assert has_come_too_far({"x-death": [*rounds, {"queue": "other", "count": 1}]})
    assert not has_come_too_far({"x-death": [{"queue": "work", "count": count} for count in ("9999", None, 1 << 62)]})
    assert not has_come_too_far(None)


def test_a_message_goes_in_a_circle_when_it_comes_back_without_a_reject_in_between() -> None:
    expired = {"queue": "work", "reason": "expired"}
    rejected = {"queue": "pause", "reason": "rejected"}
    assert not is_cycle("work", [])
    assert is_cycle("work", [expired])
    assert is_cycle("work", [{"queue": "pause", "reason": "expired"}, expired])
    assert not is_cycle("other", [expired])
    assert not is_cycle("work", [{"queue": "work", "reason": "rejected"}])
    assert not is_cycle("work", [rejected, expired])
    assert is_cycle("work", [expired, rejected]), "the reject was before"
