"""Figures as people read them: counts, rates, sizes, moments. Pure.

Whatever a message or a peer brought passes `visible` before it is shown, so that control characters and marks that turn
the direction of writing are seen instead of obeyed. HTML is escaped by the templates.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple, final

from posthouse.cli_output import count, duration, printable, readable_map, size

__all__ = ["When", "ago", "count", "duration", "moment", "plural", "rate", "readable_map", "share", "size", "span"]
__all__ += ["visible", "when", "when_ms"]

_SOON_S: Final = 2.0

visible = printable


@final
class When(NamedTuple):
    """A moment for a `<time>` element: for programs, in a few words, and in full."""

    iso: str
    text: str
    full: str


def plural(number: int, one: str, many: str = "") -> str:
    """1 message, 12,304 messages."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def rate(per_second: float) -> str:
    """0, 0.3, 12, 1,204: per second, no more digits than mean something."""
    if per_second < 0.05:
        return "0"
    return f"{per_second:.1f}" if per_second < 9.95 else f"{per_second:,.0f}"


def span(seconds: float) -> str:
    """Short times: 0.4 ms, 12 ms, 1.2 s; longer ones as `duration`."""
    if seconds >= 60:
        return duration(seconds)
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def share(part: float) -> str:
    """A share of one as percent: 0 %, 3 %, 0.4 %."""
    percent = part * 100
    return f"{percent:.1f} %" if 0.05 <= percent < 1 else f"{percent:.0f} %"


def ago(seconds: float) -> str:
    """How long since, or until."""
    if abs(seconds) < _SOON_S:
        return "now"
    return f"{duration(seconds)} ago" if seconds > 0 else f"in {duration(-seconds)}"


def moment(at: datetime) -> str:
    """In full, in UTC: 2026-01-04 09:12:44 UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def when(at: datetime, now_ms: int) -> When:
    """A moment beside now."""
    text = ago(now_ms / 1000 - at.timestamp())
    return When(at.astimezone(UTC).isoformat(timespec="seconds"), text, moment(at))


def when_ms(at_ms: int, now_ms: int) -> When:
    """The same from milliseconds since 1970."""
    return when(datetime.fromtimestamp(at_ms / 1000, UTC), now_ms)
