"""Requests about dead letters, checked and ready to be sent, and their answers as a program sees them.

Pure. Both clients ask through these functions. Times are aware datetimes in UTC.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, final

from posthouse.arguments import check_count, check_seconds
from posthouse.requests import Request
from posthouse.transport.batch import headers_of
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import (
    Cause,
    DeadLetterFilter,
    DeadLetterInfo,
    DeadLetterStatus,
    DeadLetterStoreInfo,
    Death,
    GetDeadLetter,
    ListCauses,
    ListDeadLetters,
    PurgeDeadLetters,
    Redrive,
    RedriveInfo,
    RedriveStatus,
)
from posthouse.transport.names import DEAD_LETTER, check_headers, check_name

REASONS: Final = (
    "rejected",
    "attempts_exhausted",
    "expired",
    "max_length",
    "no_subscriber",
    "delivery_failed",
    "too_many_hops",
)
LIST_MAX: Final = 1_000
ID_MAX: Final = (1 << 63) - 1
CANARY_MAX: Final = 1_000
AGE_S_MAX: Final = 1e9


@final
@dataclass(frozen=True)
class FailedAttempt:
    """One delivery that failed: when, with which consumer, how, and the error that consumer sent."""

    attempt: int
    at: datetime
    consumer: str
    how: str
    error_type: str
    error: str
    traceback: str


@final
@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be handled. `body`, `headers` and `history` are there when it was fetched by `get`."""

    id: int
    reason: str
    queue: str
    exchange: str
    routing_key: str
    message_id: str
    attempt: int
    first_at: datetime
    last_at: datetime
    fingerprint: str
    cause: str = ""
    size: int = 0
    is_leaving: bool = False
    body: bytes | None = None
    headers: dict[str, Any] | None = None
    history: list[FailedAttempt] = field(default_factory=list)


# ---- requests ----


def letters(wanted: DeadLetterFilter, limit: int, after: int) -> Request[list[DeadLetterInfo]]:
    """`shown` makes dead letters of the answer."""
    check_count("limit", limit, 1, LIST_MAX)
    check_count("after", after, 0, ID_MAX)
    return Request(DEAD_LETTER, lambda number: ListDeadLetters(number, wanted, limit, after), list[DeadLetterInfo])


def causes(wanted: DeadLetterFilter, limit: int) -> Request[list[Cause]]:
    check_count("limit", limit, 1, LIST_MAX)
    return Request(DEAD_LETTER, lambda number: ListCauses(number, wanted, limit), list[Cause])


def one(id: int) -> Request[tuple[DeadLetterInfo, Death, Batch]]:
    """`shown_whole` makes a dead letter of the answer."""
    check_count("id", id, 1, ID_MAX)
    return Request(DEAD_LETTER, lambda number: GetDeadLetter(number, id), tuple[DeadLetterInfo, Death, Batch])


def status() -> Request[DeadLetterStoreInfo]:
    return Request(DEAD_LETTER, DeadLetterStatus, DeadLetterStoreInfo)


def purge(wanted: DeadLetterFilter) -> Request[int]:
    """Answered with how many were removed."""
    return Request(DEAD_LETTER, lambda number: PurgeDeadLetters(number, wanted), int)


def redrive(
    wanted: DeadLetterFilter,
    *,
    to: str | None,
    rate: float | None,
    canary: int | None,
    failure_share: float,
    dry_run: bool,
) -> Request[RedriveInfo]:
    """Answered when it has begun, or with what it would move."""
    target = None if to is None else check_name("queue", to)
    pace = 0.0 if rate is None else _rate(rate)
    first = 0 if canary is None else check_count("canary", canary, 1, CANARY_MAX)
    share = _share(failure_share)
    if share and not first:
        raise InvalidArgument("failure_share is of the canary; say how many messages that is, as in canary=10")
    return Request(
        DEAD_LETTER, lambda number: Redrive(number, wanted, target, pace, first, share, dry_run), RedriveInfo
    )


def redrive_status(id: int, *, stop: bool = False) -> Request[RedriveInfo]:
    check_count("id", id, 1, ID_MAX)
    return Request(DEAD_LETTER, lambda number: RedriveStatus(number, id, stop), RedriveInfo)


def is_running(info: RedriveInfo) -> bool:
    """Is there more to come of this redrive?"""
    return info.state in ("running", "canary")


# ---- what is meant ----


def make_filter(
    queue: str | None, reason: str | None, fingerprint: str | None, more: dict[str, Any]
) -> DeadLetterFilter:
    """What a caller means. Raises InvalidArgument."""
    for name in more:
        if name not in ("since", "before", "older_than_s", "headers", "ids"):
            raise InvalidArgument(f"dead letters have no argument {name!r}")
    if reason is not None and reason not in REASONS:
        raise InvalidArgument(f"the reason is {reason!r}; it is one of {', '.join(REASONS)}")
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise InvalidArgument(f"a fingerprint is a text, not {fingerprint!r}")
    before_ms = _epoch_ms("before", more.get("before"))
    if more.get("older_than_s") is not None:
        age_s = check_seconds("older_than_s", more["older_than_s"])
        if age_s > AGE_S_MAX:
            raise InvalidArgument(f"older_than_s is {more['older_than_s']!r}; it is at most {AGE_S_MAX:g} seconds")
        older_ms = int((time.time() - age_s) * 1_000)
        before_ms = older_ms if before_ms is None else min(before_ms, older_ms)
    ids = more.get("ids")
    if ids is not None:
        if not isinstance(ids, list | tuple | set | range):
            raise InvalidArgument(f"ids is {ids!r}; it is a list of numbers")
        ids = tuple(check_count("an id", number, 1, ID_MAX) for number in ids)
        if len(ids) > LIST_MAX:
            raise InvalidArgument(f"{len(ids)} ids are more than {LIST_MAX}; filter by something else")
    return DeadLetterFilter(
        queue=None if queue is None else check_name("queue", queue),
        reason=reason,
        fingerprint=fingerprint,
        after_ms=_epoch_ms("since", more.get("since")),
        before_ms=before_ms,
        headers=check_headers(more.get("headers")),
        ids=ids,
    )


def _rate(value: object) -> float:
    rate = check_seconds("rate", value)
    if not 0.0 < rate <= 1_000_000.0:
        raise InvalidArgument(f"rate is {value!r}; it is above 0 and up to 1000000 messages a second")
    return rate


def _share(value: object) -> float:
    share = check_seconds("failure_share", value)
    if share >= 1.0:
        raise InvalidArgument(f"failure_share is {value!r}; it is from 0 to below 1")
    return share


def _epoch_ms(name: str, value: object) -> int | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidArgument(f"{name} is {value!r}; it is a datetime with a time zone")
    return int(value.timestamp() * 1_000)


# ---- answers ----


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


def shown(found: list[DeadLetterInfo]) -> list[DeadLetter]:
    """Dead letters as a listing shows them."""
    return [_letter(info) for info in found]


def shown_whole(found: tuple[DeadLetterInfo, Death, Batch]) -> DeadLetter:
    """One dead letter with body, headers and history."""
    return _letter(*found)


def _letter(info: DeadLetterInfo, death: Death | None = None, batch: Batch | None = None) -> DeadLetter:
    history = () if death is None else death.history
    return DeadLetter(
        id=info.id,
        reason=info.reason,
        queue=info.queue,
        exchange=info.exchange,
        routing_key=info.routing_key,
        message_id=info.message_id,
        attempt=info.attempt,
        first_at=_at(info.first_ms),
        last_at=_at(info.last_ms),
        fingerprint=info.fingerprint,
        cause=info.cause,
        size=info.size,
        is_leaving=info.is_leaving,
        body=None if batch is None else bytes(batch.bodies),
        headers=None if batch is None else headers_of(batch) or {},
        history=[
            FailedAttempt(one.attempt, _at(one.at_ms), one.consumer, one.how, one.error_type, one.error, one.traceback)
            for one in history
        ],
    )
