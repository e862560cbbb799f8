"""Recurrence: the instants of intervals and cron expressions, daylight saving, what was missed, and nonsense."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.actors.recurrence import (
    CATCH_UP_CRON_MS_MAX,
    CATCH_UP_INTERVALS_MAX,
    MISSED_AFTER_MS,
    Firing,
    Rule,
    anchor_of,
    check_rule,
    firing,
    next_after,
)
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import DELAY_MS_MAX

NOW = 1_800_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
intervals = st.integers(100, 10 * DAY)


def at(text: str) -> int:
    """A moment with its offset, in milliseconds."""
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def instants(rule: Rule, start: str, count: int) -> list[str]:
    """The next instants after a moment, by the clock of the rule's zone."""
    zone, time_ms, found = ZoneInfo(rule.zone or "UTC"), at(start), []
    for _ in range(count):
        after = next_after(rule, 0, time_ms)
        assert after is not None
        found.append(datetime.fromtimestamp(after / 1000, zone).strftime("%m-%d %H:%M %Z"))
        time_ms = after
    return found


# ---- intervals ----


@given(every=intervals, anchor=st.integers(0, NOW), time=st.integers(0, 2 * NOW))
def test_an_interval_is_counted_from_its_anchor_and_the_next_instant_is_the_first_later_one(
    every: int, anchor: int, time: int
) -> None:
    found = next_after(Rule(every), anchor, time)
    assert found is not None
    assert found > time
    assert found >= anchor
    assert (found - anchor) % every == 0
    assert found - every <= time or found == anchor


@given(every=intervals, start=st.none() | st.integers(NOW - DAY, NOW + DAY))
def test_the_first_instant_is_an_interval_from_now_or_the_start_and_never_before_now(
    every: int, start: int | None
) -> None:
    rule = Rule(every, start_ms=start)
    first = next_after(rule, anchor_of(rule, NOW), NOW)
    assert first is not None
    assert first > NOW
    if start is None:
        assert first == NOW + every
    elif start > NOW:
        assert first == start


def test_until_is_the_last_instant_there_can_be() -> None:
    rule = Rule(1_000, until_ms=5_000)
    assert next_after(rule, 0, 4_999) == 5_000
    assert next_after(rule, 0, 5_000) is None


# ---- daylight saving ----


@pytest.mark.parametrize(
    ("zone", "spring", "autumn", "names"),
    [
        ("Europe/Berlin", "2027-03-28", "2027-10-31", ("CET", "CEST")),
        ("America/New_York", "2027-03-14", "2027-11-07", ("EST", "EDT")),
    ],
)
def test_a_job_at_a_named_time_runs_once_a_day_also_when_the_clock_jumps(
    zone: str, spring: str, autumn: str, names: tuple[str, str]
) -> None:
    """Berlin's clock goes from 2 to 3 and from 3 to 2; New York's from 2 to 3 and from 2 to 1."""
    winter, summer = names
    hour = "02" if zone == "Europe/Berlin" else "01"
    before, day, after = (f"{spring[5:8]}{int(spring[8:]) + step:02}" for step in (-1, 0, 1))
    job = Rule(cron="30 2 * * *", zone=zone)
    assert instants(job, f"2027-{before}T00:00+00:00", 3)[:3] == [
        f"{before} 02:30 {winter}",
        f"{day} 03:00 {summer}",
        f"{after} 02:30 {summer}",
    ]
    day = autumn[5:]
    job = Rule(cron=f"30 {int(hour)} * * *", zone=zone)
    following = "11-01" if day == "10-31" else "11-08"
    assert instants(job, f"{autumn}T00:00-04:00" if hour == "01" else f"{autumn}T00:00+02:00", 2) == [
        f"{day} {hour}:30 {summer}",
        f"{following} {hour}:30 {winter}",
    ]


def test_several_times_that_a_jump_leaves_out_run_once_together() -> None:
    job = Rule(cron="0,20,40 2,3 * * *", zone="Europe/Berlin")
    assert instants(job, "2027-03-28T00:00+01:00", 4) == [
        "03-28 03:00 CEST",
        "03-28 03:20 CEST",
        "03-28 03:40 CEST",
        "03-29 02:00 CEST",
    ]


@pytest.mark.parametrize(
    ("zone", "spring", "autumn"),
    [("Europe/Berlin", "2027-03-28T01:00Z", "2027-10-31T01:00Z"),
     ("America/New_York", "2027-03-14T07:00Z", "2027-11-07T06:00Z")],
)  # fmt: skip
def test_a_beat_goes_on_evenly_when_the_clock_jumps(zone: str, spring: str, autumn: str) -> None:
    for cron, step in (("*/30 * * * *", 30 * MINUTE), ("7 * * * *", HOUR)):
        for change in (at(spring), at(autumn)):
            time = change - 2 * HOUR
            found: list[int] = []
            while len(found) < 8:
                after = next_after(Rule(cron=cron, zone=zone), 0, time)
                assert after is not None
                found.append(after)
                time = after
            assert {later - earlier for earlier, later in pairwise(found)} == {step}


def test_a_beat_within_the_hour_of_the_jump_is_left_out_in_spring_and_runs_twice_in_autumn() -> None:
    beat = Rule(cron="*/30 2 * * *", zone="Europe/Berlin")
    assert instants(beat, "2027-03-28T00:00+01:00", 1) == ["03-29 02:00 CEST"]
    assert instants(beat, "2027-10-31T00:00+02:00", 5) == [
        "10-31 02:00 CEST",
        "10-31 02:30 CEST",
        "10-31 02:00 CET",
        "10-31 02:30 CET",
        "11-01 02:00 CET",
    ]


CHANGES = [
    ("Europe/Berlin", "2027-03-28T01:00Z"),
    ("Europe/Berlin", "2027-10-31T01:00Z"),
    ("America/New_York", "2027-03-14T07:00Z"),
    ("America/New_York", "2027-11-07T06:00Z"),
    ("Australia/Lord_Howe", "2027-04-03T15:00Z"),
    ("Australia/Lord_Howe", "2027-10-02T15:30Z"),
    ("Africa/Cairo", "2027-04-29T22:00Z"),
    ("Asia/Kathmandu", "2027-04-29T22:00Z"),
]
FIELDS = ("*", "*/20", "0", "30", "10,40", "0-15")
HOURS = ("*", "*/2", "0", "1", "2", "1-3", "2,3")


def matching(field: str, size: int) -> set[int]:
    """A field of a cron expression, read by hand."""
    if field.startswith("*"):
        return set(range(0, size, int(field[2:] or 1)))
    found: set[int] = set()
    for part in field.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found


def by_hand(minute: str, hour: str, zone: ZoneInfo, start: int, stop: int) -> list[int]:
    """Every instant of a daily cron expression between two times, by looking at every minute."""
    minutes, hours = matching(minute, 60), matching(hour, 24)
    is_beat = minute.startswith("*") or hour.startswith("*")
    found = []
    wall_before: datetime | None = None
    for time in range(start, stop, MINUTE):
        local = datetime.fromtimestamp(time // 1000, zone)
        wall = local.replace(tzinfo=None, fold=0)
        is_match = wall.hour in hours and wall.minute in minutes and (is_beat or local.fold == 0)
        if wall_before is not None and not is_beat:
            left_out = int((wall - wall_before).total_seconds()) // 60 - 1
            for step in range(1, left_out + 1):
                skipped = (wall_before.hour * 60 + wall_before.minute + step) % 1440
                is_match = is_match or (skipped // 60 in hours and skipped % 60 in minutes)
        if is_match:
            found.append(time)
        wall_before = wall
    return found


@settings(deadline=None, max_examples=150)
@given(
    change=st.sampled_from(CHANGES),
    minute=st.sampled_from(FIELDS),
    hour=st.sampled_from(HOURS),
    offset=st.integers(-6 * HOUR, 6 * HOUR),
)
def test_cron_around_a_jump_of_the_clock_is_what_looking_at_every_minute_finds(
    change: tuple[str, str], minute: str, hour: str, offset: int
) -> None:
    zone, moment = change
    time = at(moment) + offset
    start = at(moment) - 7 * HOUR
    expected = [one for one in by_hand(minute, hour, ZoneInfo(zone), start, start + 2 * DAY) if one > time]
    assert next_after(Rule(cron=f"{minute} {hour} * * *", zone=zone), 0, time) == expected[0]


@settings(deadline=None, max_examples=150)
@given(
    cron=st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 0 29 2 *", "0 9 * * MON-FRI", "0 0 L * *", "1 */3 1,15 * *"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    time=st.integers(NOW, NOW + 4_000 * DAY),
    passed=st.floats(0, 0.999),
)
def test_cron_only_goes_forward_and_no_instant_is_left_out(cron: str, zone: str, time: int, passed: float) -> None:
    rule = Rule(cron=cron, zone=zone)
    found = next_after(rule, 0, time)
    assert found is not None
    assert found > time
    assert next_after(rule, 0, time + int((found - time) * passed)) == found
    following = next_after(rule, 0, found)
    assert following is not None
    assert following > found


# ---- what was missed ----


@pytest.mark.parametrize("misfire", ["once", "skip", "all"])
def test_an_instant_that_is_not_long_past_is_not_missed(misfire: str) -> None:
    rule = Rule(HOUR, misfire=misfire)
    assert firing(rule, 0, 0, HOUR - 5) == Firing(HOUR, HOUR)
    assert firing(rule, 0, 0, HOUR + MISSED_AFTER_MS) == Firing(HOUR, HOUR)


def test_after_a_downtime_once_fires_once_for_the_first_and_goes_on() -> None:
    rule, now = Rule(HOUR, misfire="once"), 10 * HOUR + 1_800_000
    assert firing(rule, 0, HOUR, now) == Firing(2 * HOUR, now)
    assert firing(rule, 0, now, now) == Firing(11 * HOUR, 11 * HOUR)


def test_after_a_downtime_skip_goes_on_with_the_next() -> None:
    assert firing(Rule(HOUR, misfire="skip"), 0, HOUR, 10 * HOUR + 5) == Firing(11 * HOUR, 11 * HOUR)
    assert firing(Rule(HOUR, misfire="skip", until_ms=10 * HOUR), 0, HOUR, 10 * HOUR + 5) is None


def test_after_a_downtime_all_fires_every_instant_oldest_first() -> None:
    rule, passed, found = Rule(HOUR, misfire="all"), HOUR, []
    while (fires := firing(rule, 0, passed, 5 * HOUR + MINUTE)) and fires.instant_ms <= 5 * HOUR:
        found.append(fires.instant_ms)
        passed = fires.passed_ms
    assert found == [2 * HOUR, 3 * HOUR, 4 * HOUR, 5 * HOUR]


def test_an_enormous_catch_up_is_cut() -> None:
    beat = Rule(100, misfire="all")
    first = firing(beat, 0, 0, 365 * DAY)
    assert first is not None
    assert first.instant_ms == 365 * DAY - 100 * CATCH_UP_INTERVALS_MAX + 100
    cron = firing(Rule(cron="* * * * *", misfire="all"), 0, NOW - 10 * CATCH_UP_CRON_MS_MAX, NOW)
    assert cron is not None
    assert 0 < cron.instant_ms - (NOW - CATCH_UP_CRON_MS_MAX) <= MINUTE


# ---- nonsense ----


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule(), "one of them"),
        (Rule(1_000, "* * * * *"), "one of them"),
        (Rule(0), "every_s"),
        (Rule(-1_000), "every_s"),
        (Rule(99), "every_s"),
        (Rule(DELAY_MS_MAX + 1), "every_s"),
        (Rule(1_000, zone="UTC"), "zone belongs to cron"),
        (Rule(1_000, misfire="later"), "misfire"),
        (Rule(1_000, max_count=0), "max_count"),
        (Rule(1_000, max_count=-1), "max_count"),
        (Rule(1_000, until_ms=NOW), "until has passed"),
        (Rule(1_000, until_ms=NOW + 999), "never fires before until"),
        (Rule(1_000, start_ms=-5), "start_at"),
        (Rule(1_000, start_ms=NOW + DELAY_MS_MAX + 1), "start_at"),
        (Rule(1_000, start_ms=NOW + DAY, until_ms=NOW + HOUR), "never fires"),
        (Rule(cron=""), "0 fields"),
        (Rule(cron="every day"), "2 fields"),
        (Rule(cron="* * * * * *"), "6 fields"),
        (Rule(cron="60 * * * *"), "Bad minute"),
        (Rule(cron="* 24 * * *"), "Bad hour"),
        (Rule(cron="*/0 * * * *"), "Bad minute"),
        (Rule(cron="5-1 * * * *"), "Bad minute"),
        (Rule(cron="* * * * MON#6"), "Bad day-of-week"),
        (Rule(cron="0 0 30 2 *"), "never fires"),
        (Rule(cron="0 0 31 4,6,9,11 *"), "never fires"),
        (Rule(cron="0 0 */30 * MON#3"), "never fires"),
        (Rule(cron="*" * 300), "300 characters"),
        (Rule(cron="\N{SUPERSCRIPT TWO} * * * *"), "Bad minute"),
        (Rule(cron="* * * * *", zone="Europe/Atlantis"), "no time zone"),
        (Rule(cron="* * * * *", zone=""), "no time zone"),
        (Rule(cron="* * * * *", zone="../../etc/passwd"), "no time zone"),
        (Rule(cron="* * * * *", zone="/etc/localtime"), "no time zone"),
        (Rule(cron="* * * * *", zone="Europe"), "no time zone"),
        (Rule(cron="* * * * *", zone="a\0b"), "no time zone"),
        (Rule(cron="* * * * *", zone="x" * 5_000), "no time zone"),
        (Rule(cron="* * * * *", zone="\ud800"), "no time zone"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: Rule, says: str) -> None:
    with pytest.raises(InvalidArgument, match=says):
        check_rule(rule, NOW)


five_fields = st.lists(st.text("0123456789*/,-#LW", min_size=1, max_size=6), min_size=5, max_size=5).map(" ".join)


@settings(deadline=None, max_examples=600)
@given(cron=five_fields | st.text("0123456789*/,-#LW ONM", max_size=24) | st.text(max_size=12))
def test_any_text_is_a_cron_expression_that_fires_or_is_refused(cron: str) -> None:
    rule = Rule(cron=cron)
    try:
        check_rule(rule, NOW)
    except InvalidArgument:
        return
    assert next_after(rule, NOW, NOW) is not None


def test_a_leap_day_is_found_years_ahead() -> None:
    rule = Rule(cron="0 12 29 2 *")
    leap = next_after(rule, 0, at("2096-03-01T00:00Z"))
    assert leap == at("2104-02-29T12:00Z")
    assert datetime.fromtimestamp(leap // 1000, UTC).year == 2104
