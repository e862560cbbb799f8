"""Requests about dead letters, checked and ready to be sent, and their answers as a program sees them.

Pure. Both clients ask through these functions. Times are aware datetimes in UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, final

from posthouse.arguments import check_count, check_seconds
from posthouse.requests import Request
from posthouse.transport.batch import headers_of
from posthouse.transport.errors import InvalidArgument, PreconditionFailed
from posthouse.transport.messages import Batch, FollowDeadLetters
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
    UndoRedrive,
)
from posthouse.transport.names import DEAD_LETTER, REGISTRY, check_headers, check_name

REASONS: Final = (
    "rejected",
    "attempts_exhausted",
    "expired",
    "max_length",
    "no_subscriber",
    "delivery_failed",
    "too_many_hops",
    "taken_back",
)
LIST_MAX: Final = 1_000
ID_MAX: Final = (1 << 63) - 1
CANARY_MAX: Final = 1_000
WAY_LETTERS_MAX: Final = 100
AGE_S_MAX: Final = 1e9


@final
@dataclass(frozen=True)
class FailedAttempt:
    """One delivery that failed: when, with which consumer, how, and the error that consumer sent.

    `reason` is what a reject said. A remark of the store, such as `taken_back`, has no consumer.
    """

    attempt: int
    at: datetime
    consumer: str
    how: str
    error_type: str
    error: str
    traceback: str
    reason: str = ""


@final
@dataclass(frozen=True)
class DeadLetter:
    """A message that could not be handled. `body`, `headers` and `history` are there when it was fetched by `get`.

    `earlier` is the id of the dead letter it was before it was sent on and died again; `life` counts its deaths.
    """

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
    earlier: int | None = None
    life: int = 1
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
    to_exchange: str | None,
    rate: float | None,
    canary: int | None,
    failure_share: float,
    dry_run: bool,
) -> Request[RedriveInfo]:
    """Answered when it has begun, or with what it would move."""
    target = None if to is None else check_name("queue", to)
    exchange = None if to_exchange is None else check_name("exchange", to_exchange, may_be_empty=True)
    if exchange is not None and target is not None:
        raise InvalidArgument("a redrive goes to a queue or through an exchange; give `to` or `to_exchange`")
    if exchange is not None and canary is not None:
        raise InvalidArgument("canaries are followed in a queue; through an exchange nobody knows where they went")
    pace = 0.0 if rate is None else _rate(rate)
    first = 0 if canary is None else check_count("canary", canary, 1, CANARY_MAX)
    share = _share(failure_share)
    if share and not first:
        raise InvalidArgument("failure_share is of the canary; say how many messages that is, as in canary=10")
    return Request(
        DEAD_LETTER,
        lambda number: Redrive(number, wanted, target, pace, first, share, dry_run, exchange),
        RedriveInfo,
    )


def way_of(
    queue: str, wanted: DeadLetterFilter
) -> tuple[Request[list[DeadLetterInfo]], Callable[[list[DeadLetterInfo]], Request[list[str]]]]:
    """Two questions: which letters would go (some of them), and whether what dies in the queue comes back to it."""

    def circle(some: list[DeadLetterInfo]) -> Request[list[str]]:
        keys = tuple(dict.fromkeys(info.routing_key for info in some)) or ("",)
        return Request(REGISTRY, lambda number: FollowDeadLetters(number, queue, keys), list[str])

    return letters(wanted, WAY_LETTERS_MAX, 0), circle


def refuse_circle(circle: list[str]) -> None:
    """Raise PreconditionFailed where letters that die again would come back to the queue they are sent to."""
    if circle:
        raise PreconditionFailed(
            f"what dies in queue {circle[0]!r} comes back to it ({' → '.join(circle)}), and so would these letters; "
            "send them to another queue, or allow the circle if it is meant (allow_circle=True, --allow-circle)"
        )


def redrive_status(id: int, *, stop: bool = False) -> Request[RedriveInfo]:
    check_count("id", id, 1, ID_MAX)
    return Request(DEAD_LETTER, lambda number: RedriveStatus(number, id, stop), RedriveInfo)


def redrive_undo(id: int) -> Request[RedriveInfo]:
    """Answered when the queues have let go of what nobody was given yet."""
    check_count("id", id, 1, ID_MAX)
    return Request(DEAD_LETTER, lambda number: UndoRedrive(number, id), RedriveInfo)


def is_running(info: RedriveInfo) -> bool:
    """Is there more to come of this redrive?"""
    return info.state in ("running", "canary")


# ---- what is meant ----


def make_filter(
    queue: str | None, reason: str | None, fingerprint: str | None, more: dict[str, Any]
) -> DeadLetterFilter:
    """What a caller means. Raises InvalidArgument."""
    for name in more:
        if name not in ("since", "before", "older_than_s", "newer_than_s", "headers", "ids"):
            raise InvalidArgument(f"dead letters have no argument {name!r}")
    if reason is not None and reason not in REASONS:
        raise InvalidArgument(f"the reason is {reason!r}; it is one of {', '.join(REASONS)}")
    if fingerprint is not None and not isinstance(fingerprint, str):
        raise InvalidArgument(f"a fingerprint is a text, not {fingerprint!r}")
    before = [_epoch_ms("before", more.get("before")), _ago_ms("older_than_s", more.get("older_than_s"))]
    after = [_epoch_ms("since", more.get("since")), _ago_ms("newer_than_s", more.get("newer_than_s"))]
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
        after_ms=max((at_ms for at_ms in after if at_ms is not None), default=None),
        before_ms=min((at_ms for at_ms in before if at_ms is not None), default=None),
        headers=check_headers(more.get("headers")),
        ids=ids,
    )


def _ago_ms(name: str, value: object) -> int | None:
    if value is None:
        return None
    age_s = check_seconds(name, value)
    if age_s > AGE_S_MAX:
        raise InvalidArgument(f"{name} is {value!r}; it is at most {AGE_S_MAX:g} seconds")
    return int((time.time() - age_s) * 1_000)


def _rate(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value <= 1_000_000.0:
        raise InvalidArgument(f"rate is {value!r}; it is above 0 and up to 1000000 messages a second")
    return float(value)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value < 1.0:
        raise InvalidArgument(f"failure_share is {value!r}; it is a number from 0 to below 1")
    return float(value)


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
        earlier=info.earlier or None,
        life=info.life,
        body=None if batch is None else bytes(batch.bodies),
        headers=None if batch is None else headers_of(batch) or {},
        history=[
            FailedAttempt(
                one.attempt, _at(one.at_ms), one.consumer, one.how, one.error_type, one.error, one.traceback, one.reason
            )
            for one in history
        ],
    )
