"""When a delayed message is due: what a program says, as milliseconds since 1970.

Every nonsense is refused here, before anything is sent. Times round up: a message is never early.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from posthouse.arguments import is_short_text
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import DELAY_MS_MAX, SCHEDULE_KEY_BYTES_MAX
from posthouse.transport.names import shown

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def due_after(delay_s: object, now_ns: int) -> int:
    """Now and so many seconds. Raises InvalidArgument unless it is above 0 and at most a century."""
    if isinstance(delay_s, bool) or not isinstance(delay_s, int | float):
        raise InvalidArgument(f"delay_s is {shown(delay_s)}; it is a number of seconds")
    if not 0 < delay_s <= DELAY_MS_MAX / 1000:  # Neither is true of NaN.
        raise InvalidArgument(
            f"delay_s is {shown(delay_s)}; it is more than 0 and at most {DELAY_MS_MAX // 1000} seconds, a century. "
            "Leave it out to publish now"
        )
    return -(-(now_ns + round(delay_s * 1e9)) // 1_000_000)


def due_at(deliver_at: object, now_ns: int) -> int:
    """A moment. Raises InvalidArgument unless it is a datetime with a zone, to come, within a century."""
    due_ms = new_due_ms(deliver_at, now_ns)
    if due_ms * 1_000_000 <= now_ns:
        raise InvalidArgument(f"deliver_at is {deliver_at}, which has passed; leave it out to publish now")
    return due_ms


def new_due_ms(deliver_at: object, now_ns: int) -> int:
    """A moment that may have passed, which means now. Raises InvalidArgument for one before 1970 or a century away."""
    due_ms = moment_ms("deliver_at", deliver_at)
    if due_ms <= 0:
        raise InvalidArgument(f"deliver_at is {deliver_at}, before 1970; any later moment that has passed means now")
    if due_ms > now_ns // 1_000_000 + DELAY_MS_MAX:
        raise InvalidArgument(f"deliver_at is {deliver_at}, which is more than a century away")
    return due_ms


def moment_ms(name: str, moment: object) -> int:
    """A datetime with a zone as milliseconds since 1970, rounded up. Raises InvalidArgument."""
    if not isinstance(moment, datetime):
        raise InvalidArgument(f"{name} is {moment!r}; it is a datetime")
    if moment.utcoffset() is None:
        raise InvalidArgument(f"{name} is {moment}, which has no time zone; say datetime.now(UTC) or give tzinfo")
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + -(-since.microseconds // 1000)


def moment_of(due_ms: int) -> datetime:
    """Milliseconds since 1970 as a datetime in UTC."""
    return datetime.fromtimestamp(due_ms // 1000, UTC).replace(microsecond=due_ms % 1000 * 1000)


def due_of_options(options: dict[str, object], now_ns: int) -> int:
    """What `delay_s` or `deliver_at` among keyword arguments say; 0 when neither is there. Raises InvalidArgument."""
    delay_s, deliver_at, key = options.get("delay_s"), options.get("deliver_at"), options.get("schedule_key")
    if delay_s is not None and deliver_at is not None:
        raise InvalidArgument("delay_s and deliver_at exclude each other; give one")
    if delay_s is None and deliver_at is None:
        if key is not None:
            raise InvalidArgument("schedule_key names a delayed message; give delay_s or deliver_at with it")
        return 0
    if key is not None and not is_short_text(key, SCHEDULE_KEY_BYTES_MAX):
        raise InvalidArgument(f"schedule_key is a text of 1 to {SCHEDULE_KEY_BYTES_MAX} bytes, not {shown(key)}")
    return due_at(deliver_at, now_ns) if delay_s is None else due_after(delay_s, now_ns)


def due_of_many(options: dict[str, object], count: int, now_ns: int) -> list[int] | None:
    """When each of `count` messages is due; None when they are not delayed. Raises InvalidArgument.

    `delay_s` may be a list with the delay of each.
    """
    if options.get("schedule_key") is not None and count > 1:
        raise InvalidArgument(f"{count} messages share a schedule_key, and each would take the other's place")
    delays = options.get("delay_s")
    if not isinstance(delays, list | tuple):
        due_ms = due_of_options(options, now_ns)
        return [due_ms] * count if due_ms else None
    if len(delays) != count:
        raise InvalidArgument(f"{len(delays)} delays come with {count} messages")
    due_of_options(options | {"delay_s": 1}, now_ns)
    return [due_after(delay_s, now_ns) for delay_s in delays]
