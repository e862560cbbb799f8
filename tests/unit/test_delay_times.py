"""What programs say about time, and what of it is refused."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from posthouse.delay_times import due_after, due_at, due_of_many, due_of_options, moment_ms, moment_of, new_due_ms
from posthouse.publisher import make_options
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Options
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


@pytest.mark.parametrize(
    ("moment", "says"),
    [
        (datetime(2300, 1, 1, tzinfo=UTC), "more than a century"),
        (datetime(1969, 12, 31, tzinfo=UTC), "before 1970"),
        (datetime(2027, 1, 1), "no time zone"),
        ("tomorrow", "a datetime"),
    ],
)
def test_a_new_time_may_have_passed_but_not_mean_nothing(moment: Any, says: str) -> None:
    now_ns = 1_800_000_000 * 1_000_000_000
    assert new_due_ms(datetime(2000, 1, 1, tzinfo=UTC), now_ns) == 946_684_800_000
    with pytest.raises(InvalidArgument, match=says):
        new_due_ms(moment, now_ns)


def test_a_delay_and_a_moment_exclude_each_other_and_a_key_needs_one() -> None:
    soon = datetime(2027, 1, 31, tzinfo=UTC)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"delay_s": 1, "deliver_at": soon}, "exclude"),
        ({"schedule_key": "k"}, "delay_s or deliver_at with it"),
        ({"delay_s": 1, "schedule_key": ""}, "1 to 255"),
        ({"delay_s": 1, "schedule_key": 7}, "1 to 255"),
        ({"delay_s": 1, "schedule_key": "é" * 128}, "1 to 255"),
        ({"delay_s": 1, "schedule_key": "\ud800"}, "1 to 255"),
    ]
    for options, says in wrong:
        with pytest.raises(InvalidArgument, match=says):
            due_of_options(options, NOW_NS)
    assert due_of_options({"dedup_id": "d", "delay_s": None}, NOW_NS) == 0
    assert due_of_options({"deliver_at": soon, "schedule_key": "k"}, NOW_NS) == moment_ms("at", soon)


def test_options_say_that_each_message_has_a_time_of_its_own() -> None:
    assert make_options({"delay_s": 5, "schedule_key": "k"}) == Options(deliver_at_ms=0, schedule_key="k")
    assert make_options({"delay_s": None}) is None


def test_many_messages_share_a_time_or_bring_one_each() -> None:
    soon = datetime(2027, 1, 31, tzinfo=UTC)
    assert due_of_many({}, 3, NOW_NS) is None
    assert due_of_many({"deliver_at": soon}, 2, NOW_NS) == [moment_ms("at", soon)] * 2
    assert due_of_many({"delay_s": 1}, 2, NOW_NS) == [due_after(1, NOW_NS)] * 2
    assert due_of_many({"delay_s": [1, 2.5]}, 2, NOW_NS) == [due_after(1, NOW_NS), due_after(2.5, NOW_NS)]
    assert due_of_many({"delay_s": []}, 0, NOW_NS) == []
    assert due_of_many({"delay_s": 1, "schedule_key": "k"}, 1, NOW_NS) == [due_after(1, NOW_NS)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"delay_s": [1]}, "1 delays come with 2"),
        ({"delay_s": [1, math.nan]}, "delay_s is nan"),
        ({"delay_s": [1, -1]}, "delay_s is -1"),
        ({"delay_s": [1, 2], "deliver_at": datetime(2027, 1, 31, tzinfo=UTC)}, "exclude"),
        ({"delay_s": 1, "schedule_key": "k"}, "share a schedule_key"),
        ({"schedule_key": "k"}, "share a schedule_key"),
    ],
    ids=str,
)
def test_many_messages_are_refused_for_the_same_reasons(options: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        due_of_many(options, 2, NOW_NS)
