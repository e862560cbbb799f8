"""Recurrence: at which instants a schedule fires, and what becomes of instants that nobody was there for.

Pure: a rule and a time in, the next instant out; the same always gives the same. Intervals are counted from their
anchor, so they do not drift. Cron expressions are read by cronsim, which is asked about wall-clock time only; how wall
clocks and instants belong together is decided here, in one place, and stated in `docs/delayed.md`. Times are
milliseconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, final
from zoneinfo import ZoneInfo

import msgspec
from cronsim import CronSim, CronSimError

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import CRON_CHARACTERS_MAX, DELAY_MS_MAX, REPEAT_EVERY_MS_MIN
from posthouse.transport.names import shown

MISSED_AFTER_MS: Final = 1_000
"""An instant is missed when it is longer past than this at its turn. A scheduler that hiccups has not missed it."""

CATCH_UP_INTERVALS_MAX: Final = 10_000
CATCH_UP_CRON_MS_MAX: Final = 366 * 24 * 3_600_000
"""How far back `all` makes up for what was missed: so many intervals, or so much time of a cron expression."""

MISFIRES: Final = ("once", "skip", "all")

_SHIFT_MAX: Final = timedelta(hours=3)
"""No clock is set back by more than this at once."""

_NEVER: Final = "never fires"


@final
class Rule(msgspec.Struct, frozen=True, array_like=True):
    """What a user said: one of `every_ms` and `cron`, and the bounds. Part of a journal record: append only."""

    every_ms: int | None = None
    cron: str | None = None
    zone: str | None = None
    start_ms: int | None = None
    until_ms: int | None = None
    max_count: int | None = None
    misfire: str = "once"


@final
class Firing(NamedTuple):
    """The next firing is for `instant_ms`; with it all instants up to `passed_ms` are done with."""

    instant_ms: int
    passed_ms: int


def anchor_of(rule: Rule, now_ms: int) -> int:
    """What a schedule that is made now counts its intervals from. What lies before now never fires.

    Without a start the first interval ends one interval from now; with one the start is the first instant.
    """
    return now_ms if rule.start_ms is None else rule.start_ms


def check_rule(rule: Rule, now_ms: int) -> None:
    """Raise InvalidArgument for a rule that contradicts itself, that cannot be read, or that never fires."""
    if (rule.every_ms is None) == (rule.cron is None):
        raise InvalidArgument("say every_s or cron, one of them")
    if rule.misfire not in MISFIRES:
        raise InvalidArgument(f"misfire is {shown(rule.misfire)}; it is one of {', '.join(MISFIRES)}")
    if rule.max_count is not None and not 1 <= rule.max_count < 1 << 62:
        raise InvalidArgument(f"max_count is {shown(rule.max_count)}; it is 1 or more")
    if rule.start_ms is not None and not 0 < rule.start_ms <= now_ms + DELAY_MS_MAX:
        raise InvalidArgument("start_at is before 1970 or more than a century away")
    if rule.until_ms is not None and not now_ms < rule.until_ms < 1 << 62:
        raise InvalidArgument("until has passed; nothing would ever fire")
    if rule.every_ms is not None:
        if rule.zone is not None:
            raise InvalidArgument("zone belongs to cron; an interval has none")
        if not REPEAT_EVERY_MS_MIN <= rule.every_ms <= DELAY_MS_MAX:
            least, most = REPEAT_EVERY_MS_MIN / 1000, DELAY_MS_MAX // 1000
            raise InvalidArgument(f"every_s is {rule.every_ms / 1000}; it is {least} to {most} seconds, a century")
    else:
        _check_cron(rule.cron or "")
        zone_of(rule)
    if next_after(rule, anchor_of(rule, now_ms), now_ms) is None:
        what = "the interval" if rule.cron is None else f"the cron expression {shown(rule.cron)}"
        until = "" if rule.until_ms is None else " before until"
        raise InvalidArgument(f"{what} {_NEVER}{until}; cron expressions are searched for 50 years")


def _check_cron(cron: str) -> None:
    if len(cron) > CRON_CHARACTERS_MAX:
        raise InvalidArgument(f"the cron expression has {len(cron)} characters, the limit is {CRON_CHARACTERS_MAX}")
    count = len(cron.split())
    if count != 5:
        raise InvalidArgument(
            f"the cron expression {shown(cron)} has {count} field{'' if count == 1 else 's'}; it needs 5: minute, "
            "hour, day of month, month, day of week. For seconds say every_s"
        )
    try:
        CronSim(cron, datetime(2000, 1, 1))
    except CronSimError as error:
        never = f"; a day that no month has {_NEVER}" if "day-of-month" in str(error) else ""
        raise InvalidArgument(f"the cron expression {shown(cron)} cannot be read: {error}{never}") from None
    except (AssertionError, IndexError, TypeError, ValueError):
        raise InvalidArgument(f"the cron expression {shown(cron)} cannot be read") from None


def zone_of(rule: Rule) -> ZoneInfo:
    """The time zone of a cron rule, UTC unless it names one. Raises InvalidArgument for an unknown one."""
    name = "UTC" if rule.zone is None else rule.zone
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise InvalidArgument(f"there is no time zone {shown(name)}; zones have names like Europe/Berlin") from None


def firing(rule: Rule, anchor_ms: int, passed_ms: int, now_ms: int) -> Firing | None:
    """What fires next, now or later, when all instants up to `passed_ms` are done with; None when nothing ever."""
    first = next_after(rule, anchor_ms, passed_ms)
    if first is None or first >= now_ms - MISSED_AFTER_MS:
        return None if first is None else Firing(first, first)
    if rule.misfire == "once":
        return Firing(first, now_ms)
    if rule.misfire == "skip":
        first = next_after(rule, anchor_ms, now_ms)
    else:
        back_ms = CATCH_UP_CRON_MS_MAX if rule.every_ms is None else CATCH_UP_INTERVALS_MAX * rule.every_ms
        first = next_after(rule, anchor_ms, max(passed_ms, now_ms - back_ms))
    return None if first is None else Firing(first, first)


def next_after(rule: Rule, anchor_ms: int, time_ms: int) -> int | None:
    """The first instant later than a time; None when there is none. `rule` was checked."""
    if rule.start_ms is not None:
        time_ms = max(time_ms, rule.start_ms - 1)
    if rule.every_ms is not None:
        found = anchor_ms + max(0, (time_ms - anchor_ms) // rule.every_ms + 1) * rule.every_ms
    else:
        after = _cron_after(rule, datetime.fromtimestamp(time_ms // 1000, UTC))
        if after is None:
            return None
        found = int(after.timestamp()) * 1000
    return found if rule.until_ms is None or found <= rule.until_ms else None


# ---- wall clocks ----


def _cron_after(rule: Rule, time: datetime) -> datetime | None:
    """The first instant of a cron rule later than a time, in UTC.

    A job that names its hours and minutes runs once for each wall-clock time that matches: the clock's jump forward
    runs it, and its jump back does not run it again. A job with a star for the hour or the minute is a beat: it runs
    at every instant at which the wall clock matches.
    """
    assert rule.cron is not None
    minute, hour = rule.cron.split()[:2]
    zone = zone_of(rule)
    wall = _wall(time, zone)
    if not (minute.startswith("*") or hour.startswith("*")):
        runs = (_ran_at(match, zone) for match in _matches(rule.cron, wall))
        return next((run for run in runs if run > time), None)
    first = next((at for match in _matches(rule.cron, wall) for at in _shown_at(match, zone) if at > time), None)
    if _wall(time + _SHIFT_MAX, zone).utcoffset() != wall.utcoffset():
        # If that is a jump back, it shows once more what has been passed on this side of it.
        change = _change(time, time + _SHIFT_MAX, zone)
        after = _wall(change, zone) - timedelta(seconds=1)
        shown_again = (at for match in _matches(rule.cron, after) for at in _shown_at(match, zone))
        again = next((at for at in shown_again if at >= change), None)
        first = min((at for at in (first, again) if at is not None), default=None)
    return first


def _matches(cron: str, wall: datetime) -> Iterator[datetime]:
    """Wall-clock times later than this one that the expression names, for as long as there is one in 50 years."""
    return iter(CronSim(cron, wall.replace(tzinfo=None, fold=0)))


def _wall(time: datetime, zone: ZoneInfo) -> datetime:
    return time.astimezone(zone)


def _shown_at(match: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants at which the clocks of a zone show this: one, none in a jump forward, two around a jump back."""
    before: datetime | None = None
    for fold in (0, 1):
        at = match.replace(tzinfo=zone, fold=fold).astimezone(UTC)
        if at != before and _wall(at, zone).replace(tzinfo=None, fold=0) == match:
            yield at
        before = at


def _ran_at(match: datetime, zone: ZoneInfo) -> datetime:
    """The one instant that stands for this wall-clock time: the first that shows it, or the jump that leaves it out."""
    at = next(_shown_at(match, zone), None)
    if at is not None:
        return at
    early, late = (match.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    return _change(early, late, zone)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first second at which a zone's clocks stand as they do at `after`, and not as at `before`."""
    offset = _wall(before, zone).utcoffset()
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _wall(datetime.fromtimestamp(middle, UTC), zone).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
