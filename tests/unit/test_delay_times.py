"""What programs say about time, and what of it is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from posthouse.delay_times import due_after, due_at, due_of_options, moment_ms, moment_of
from posthouse.delayed import Delayed
from posthouse.publisher import make_options
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Options
from posthouse.transport.messages_delay import (
    CancelDelayed,
    DelayedInfo,
    DelayInfo,
    DelayStatus,
    FireDelayed,
    ListDelayed,
    RescheduleDelayed,
)
from posthouse.transport.names import shown

NOW_NS = 1_700_000_000_123_456_789


@pytest.mark.parametrize(
    ("delay_s", "due_ms"), [(1, 1_700_000_001_124), (0.5, 1_700_000_000_624), (1e-9, 1_700_000_000_124)]
)
def test_a_delay_rounds_up_so_that_it_is_never_early(delay_s: float, due_ms: int) -> None:
    assert due_after(delay_s, NOW_NS) == due_ms
    assert due_ms * 1_000_000 >= NOW_NS + delay_s * 1e9


@pytest.mark.parametrize("delay_s", [0, -1, math.nan, math.inf, -math.inf, 1e12, True, "5", None, 10**400], ids=shown)
def test_a_delay_that_nobody_can_mean_is_refused(delay_s: Any) -> None:
    with pytest.raises(InvalidArgument, match="delay_s"):
        due_after(delay_s, NOW_NS)


def test_a_moment_is_the_same_in_every_zone_and_comes_back() -> None:
    moment = datetime(2027, 1, 31, 9, 0, 0, 1_001, tzinfo=UTC)
    assert due_at(moment, NOW_NS) == due_at(moment.astimezone(timezone(timedelta(hours=5))), NOW_NS)
    assert moment_of(moment_ms("at", moment)) == datetime(2027, 1, 31, 9, 0, 0, 2_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        (datetime(2027, 1, 31), "no time zone"),
        (datetime(2001, 1, 1, tzinfo=UTC), "has passed"),
        (datetime(2300, 1, 1, tzinfo=UTC), "more than a century"),
        (1_800_000_000, "is a datetime"),
        ("2027-01-31T09:00:00Z", "is a datetime"),
    ],
)
def test_a_moment_that_nobody_can_mean_is_refused(moment: Any, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        due_at(moment, NOW_NS)


def test_a_delay_and_a_moment_exclude_each_other_and_a_key_needs_one() -> None:
    soon = datetime(2027, 1, 31, tzinfo=UTC)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"delay_s": 1, "deliver_at": soon}, "exclude"),
        ({"schedule_key": "k"}, "delay_s or deliver_at with it"),
        ({"delay_s": 1, "schedule_key": ""}, "1 to 255"),
        ({"delay_s": 1, "schedule_key": 7}, "1 to 255"),
        ({"delay_s": 1, "schedule_key": "é" * 128}, "1 to 255"),
    ]
    for options, says in wrong:
        with pytest.raises(InvalidArgument, match=says):
            due_of_options(options, NOW_NS)
    assert due_of_options({"dedup_id": "d", "delay_s": None}, NOW_NS) == 0
    assert due_of_options({"deliver_at": soon, "schedule_key": "k"}, NOW_NS) == moment_ms("at", soon)


def test_options_say_that_each_message_has_a_time_of_its_own() -> None:
    assert make_options({"delay_s": 5, "schedule_key": "k"}) == Options(deliver_at_ms=0, schedule_key="k")
    assert make_options({"delay_s": None}) is None


class Asked:
    """Notes what the scheduler would be asked."""

    def __init__(self, answer: Any = None) -> None:
        self.requests: list[Any] = []
        self.removals: list[bool] = []
        self._answer = answer

    def __call__(self, make: Any, kind: Any, is_removal: bool) -> Any:
        self.requests.append(make(1))
        self.removals.append(is_removal)
        return self._answer


def test_messages_are_named_by_id_or_by_key() -> None:
    asked = Asked()
    delayed = Delayed(asked)
    soon = datetime(2027, 1, 31, tzinfo=UTC)
    delayed.cancel("4711")
    delayed.cancel(schedule_key="k")
    delayed.reschedule("4711", soon)
    delayed.fire(schedule_key="k")
    assert asked.requests == [
        CancelDelayed(1, 4_711, None),
        CancelDelayed(1, 0, "k"),
        RescheduleDelayed(1, moment_ms("at", soon), 4_711, None),
        FireDelayed(1, 0, "k"),
    ]
    assert asked.removals == [True, True, False, True]


WRONG_NAMES: tuple[dict[str, Any], ...] = (
    {},
    {"scheduled_id": "1", "schedule_key": "k"},
    {"scheduled_id": "x"},
    {"scheduled_id": "0"},
    {"scheduled_id": "-1"},
    {"scheduled_id": True},
    {"scheduled_id": str(1 << 48)},
    {"schedule_key": ""},
    {"schedule_key": 5},
)


@pytest.mark.parametrize("named", WRONG_NAMES, ids=str)
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(named: dict[str, Any]) -> None:
    asked = Asked()
    with pytest.raises(InvalidArgument):
        Delayed(asked).cancel(**named)
    assert asked.requests == []


def test_a_list_comes_back_as_messages_with_moments() -> None:
    asked = Asked(
        [
            DelayedInfo(scheduled_id=3, schedule_key="k", exchange="e", routing_key="r", deliver_at_ms=1_500, size=9),
            DelayedInfo(
                scheduled_id=4,
                schedule_key=None,
                exchange="e",
                routing_key="r",
                deliver_at_ms=0,
                size=9,
                state="failed",
            ),
        ]
    )
    first, failed = Delayed(asked).list("e", 7, schedule_key="k")
    assert asked.requests == [ListDelayed(1, "e", "k", 7)]
    assert (first.scheduled_id, first.deliver_at) == ("3", datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC))
    assert (failed.state, failed.deliver_at) == ("failed", None)
    for limit in (0, 1_001):
        with pytest.raises(InvalidArgument, match="limit"):
            Delayed(asked).list(limit=limit)


def test_counts_are_asked_for() -> None:
    asked = Asked(DelayInfo(waiting=3))
    assert Delayed(asked).info() == DelayInfo(waiting=3)
    assert asked.requests == [DelayStatus(1)]
