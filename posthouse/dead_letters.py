"""The dead letters, as a program sees them: list, look, redrive, purge.

Values and checks here; questions are put by the client that made it. Times are aware datetimes in UTC.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, final

from posthouse.arguments import check_count, check_seconds
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
POLL_S: Final = 0.02
Causes = list[Cause]
ID_MAX: Final = (1 << 63) - 1

Ask = Callable[[str, Callable[[int], Any], Any], Any]
"""Asks an actor and waits for the answer, of a type."""

Pause = Callable[[float], None]
"""Waits so many seconds, and lets the connection live meanwhile."""


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


@final
class DeadLetters:
    """The dead letters of one broker; `broker.dead_letters`."""

    def __init__(self, ask: Ask, pause: Pause, timeout_s: float) -> None:
        self._ask = ask
        self._pause = pause
        self._timeout_s = timeout_s

    def list(
        self,
        queue: str | None = None,
        reason: str | None = None,
        fingerprint: str | None = None,
        limit: int = 100,
        *,
        after: int = 0,
        **more: Any,
    ) -> list[DeadLetter]:
        """Dead letters, oldest first, from above the id `after`.

        Keywords narrow it further: `since` and `before` (aware datetimes, of the death), `older_than_s`, `headers`
        (all must be there and equal), `ids`. Raises InvalidArgument.
        """
        wanted = make_filter(queue, reason, fingerprint, more)
        check_count("limit", limit, 1, LIST_MAX)
        check_count("after", after, 0, ID_MAX)
        found = self._ask(
            DEAD_LETTER, lambda number: ListDeadLetters(number, wanted, limit, after), list[DeadLetterInfo]
        )
        return [_letter(info) for info in found]

    def causes(
        self,
        queue: str | None = None,
        reason: str | None = None,
        fingerprint: str | None = None,
        limit: int = 100,
        **more: Any,
    ) -> Causes:
        """The same letters by what they died of, the most frequent cause first."""
        wanted = make_filter(queue, reason, fingerprint, more)
        check_count("limit", limit, 1, LIST_MAX)
        found: Causes = self._ask(DEAD_LETTER, lambda number: ListCauses(number, wanted, limit), Causes)
        return found

    def get(self, id: int) -> DeadLetter:
        """One dead letter with body, headers and history. Raises UnknownDeadLetter."""
        check_count("id", id, 1, ID_MAX)
        info, death, batch = self._ask(
            DEAD_LETTER, lambda number: GetDeadLetter(number, id), tuple[DeadLetterInfo, Death, Batch]
        )
        return _letter(info, death, batch)

    def status(self) -> DeadLetterStoreInfo:
        """How much is in the store, and how much it takes."""
        found: DeadLetterStoreInfo = self._ask(DEAD_LETTER, DeadLetterStatus, DeadLetterStoreInfo)
        return found

    def purge(
        self, queue: str | None = None, reason: str | None = None, fingerprint: str | None = None, **more: Any
    ) -> int:
        """Remove dead letters for good; returns how many. Without a filter: all. Narrowed as in `list`."""
        wanted = make_filter(queue, reason, fingerprint, more)
        return int(self._ask(DEAD_LETTER, lambda number: PurgeDeadLetters(number, wanted), int))

    def redrive(
        self,
        queue: str | None = None,
        reason: str | None = None,
        fingerprint: str | None = None,
        *,
        to: str | None = None,
        rate: float | None = None,
        canary: int | None = None,
        failure_share: float = 0.0,
        dry_run: bool = False,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: Callable[[RedriveInfo], None] | None = None,
        **more: Any,
    ) -> RedriveInfo:
        """Send dead letters back to the queue they died in, or `to` another. Narrowed as in `list`.

        `rate`: messages a second. `canary`: so many go first; when more than `failure_share` of them fail, the rest
        stays. `dry_run` only counts. Returns when it is over (`state` done or stopped, `text` says why), or as it
        stands after `timeout_s` (None: as long as it takes) or at once without `wait`; it goes on either way.
        Raises UnknownQueue, InvalidArgument, PreconditionFailed.
        """
        asked = Redrive(
            request=0,
            filter=make_filter(queue, reason, fingerprint, more),
            to=None if to is None else check_name("queue", to),
            rate=0.0 if rate is None else _rate(rate),
            canary=0 if canary is None else check_count("canary", canary, 1, 1_000),
            failure_share=_share(failure_share),
            dry_run=dry_run,
        )
        deadline = None if timeout_s is None else time.monotonic() + check_seconds("timeout_s", timeout_s)
        info: RedriveInfo = self._ask(DEAD_LETTER, lambda number: _numbered(asked, number), RedriveInfo)
        while wait and info.state in ("running", "canary") and (deadline is None or time.monotonic() < deadline):
            if on_progress is not None:
                on_progress(info)
            self._pause(POLL_S)
            info = self.redrive_status(info.id)
        return info

    def redrive_status(self, id: int) -> RedriveInfo:
        """A redrive as it stands. Raises UnknownDeadLetter for one that ended with the actor's life."""
        found: RedriveInfo = self._ask(DEAD_LETTER, lambda number: RedriveStatus(number, id), RedriveInfo)
        return found

    def redrive_stop(self, id: int) -> RedriveInfo:
        """Send nothing more in this redrive; what is on its way arrives."""
        found: RedriveInfo = self._ask(DEAD_LETTER, lambda number: RedriveStatus(number, id, True), RedriveInfo)
        return found


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
        older_ms = int((time.time() - check_seconds("older_than_s", more["older_than_s"])) * 1_000)
        before_ms = older_ms if before_ms is None else min(before_ms, older_ms)
    ids = more.get("ids")
    if ids is not None:
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


def _numbered(asked: Redrive, number: int) -> Redrive:
    return Redrive(number, asked.filter, asked.to, asked.rate, asked.canary, asked.failure_share, asked.dry_run)


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


def _at(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC)


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
