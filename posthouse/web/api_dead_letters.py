"""Dead letters: what there are, what they died of, and sending them on again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, final

import msgspec

from posthouse.dead_letter_requests import ID_MAX, DeadLetter, FailedAttempt
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import Cause, DeadLetterStoreInfo, RedriveInfo
from posthouse.transport.names import shown
from posthouse.web.api_queues import Removed
from posthouse.web.bodies import BODY_BYTES_DEFAULT, BodyShown, check_body_bytes, show_body
from posthouse.web.operation import Call, Operation

_DIGITS_MAX: Final = len(str(ID_MAX))


class LetterFilter(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which dead letters are meant; what is left out is not asked. Times, with a zone, are those of the death."""

    queue: str | None = None
    reason: str | None = None
    fingerprint: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    older_than_s: float | None = None
    newer_than_s: float | None = None
    ids: list[int] = []


@final
class LetterQuery(LetterFilter, kw_only=True, forbid_unknown_fields=True):
    """`limit` letters, oldest first, from above the id `after`."""

    limit: int = 100
    after: int = 0


@final
class CauseQuery(LetterFilter, kw_only=True, forbid_unknown_fields=True):
    """The `limit` most frequent causes."""

    limit: int = 100


@final
class BodyQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`body_bytes`: of its body."""

    body_bytes: int = BODY_BYTES_DEFAULT


@final
class Selection(LetterFilter, kw_only=True, forbid_unknown_fields=True):
    """Without any filter nothing is meant, unless `all` says so. `headers`: all must be there and equal."""

    headers: dict[str, Any] | None = None
    all: bool = False


@final
class RedriveWish(LetterFilter, kw_only=True, forbid_unknown_fields=True):
    """Where to: the queue they died in, `to` another, or through `to_exchange`. `rate`: messages a second.

    `canary`: so many go first; when more than `failure_share` of them die again the rest stays. `dry_run` only counts.
    Without any filter nothing is meant, unless `all` says so.
    """

    headers: dict[str, Any] | None = None
    all: bool = False
    to: str | None = None
    to_exchange: str | None = None
    rate: float | None = None
    canary: int | None = None
    failure_share: float = 0.0
    dry_run: bool = False


@final
class LetterListed(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. `earlier`: the id of the one it was before it was sent on and died again; `life` counts those."""

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
    cause: str
    size: int
    is_leaving: bool
    earlier: int | None
    life: int


@final
class LetterShown(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter with body, headers, and the attempts that failed."""

    letter: LetterListed
    body: BodyShown
    headers: dict[str, Any]
    history: list[FailedAttempt]


async def letters(call: Call) -> Any:
    """Dead letters, oldest first. To go on, ask again with `after` the last id."""
    wanted: LetterQuery = call.query
    found = await (await call.broker()).dead_letters.list(limit=wanted.limit, after=wanted.after, **_filter_of(wanted))
    return [_listed(one) for one in found]


async def causes(call: Call) -> Any:
    """The same letters by what they died of, the most frequent cause first."""
    wanted: CauseQuery = call.query
    return await (await call.broker()).dead_letters.causes(limit=wanted.limit, **_filter_of(wanted))


async def status(call: Call) -> Any:
    """How much is in the store, and how much it takes."""
    return await (await call.broker()).dead_letters.status()


async def letter(call: Call) -> Any:
    """One dead letter with body, headers and history."""
    bytes_max = check_body_bytes(call.query.body_bytes)
    found = await (await call.broker()).dead_letters.get(_number(call, "id"))
    return LetterShown(
        letter=_listed(found),
        body=show_body(found.body or b"", bytes_max),
        headers=found.headers or {},
        history=found.history,
    )


async def purge(call: Call) -> Any:
    """Remove dead letters for good."""
    wished: Selection = call.body
    selected = _selected(wished, {"headers": wished.headers}, is_all=wished.all)
    return Removed(await (await call.broker()).dead_letters.purge(**selected))


async def redrive(call: Call) -> Any:
    """Send dead letters on again. Answered at once; `GET /redrives/{id}` says how far it is."""
    wished: RedriveWish = call.body
    selected = _selected(wished, {"headers": wished.headers}, is_all=wished.all)
    return await (await call.broker()).dead_letters.redrive(
        to=wished.to,
        to_exchange=wished.to_exchange,
        rate=wished.rate,
        canary=wished.canary,
        failure_share=wished.failure_share,
        dry_run=wished.dry_run,
        wait=False,
        **selected,
    )


async def redrive_status(call: Call) -> Any:
    """A redrive as it stands. The last hundred are remembered."""
    return await (await call.broker()).dead_letters.redrive_status(_number(call, "id"))


async def redrive_stop(call: Call) -> Any:
    """Send nothing more in this redrive. What is on its way arrives."""
    return await (await call.broker()).dead_letters.redrive_stop(_number(call, "id"))


async def redrive_undo(call: Call) -> Any:
    """Stop a redrive, and bring back what nobody was given yet."""
    return await (await call.broker()).dead_letters.redrive_undo(_number(call, "id"))


def _filter_of(wanted: LetterFilter) -> dict[str, Any]:
    found = {
        name: getattr(wanted, name)
        for name in ("queue", "reason", "fingerprint", "since", "before", "older_than_s", "newer_than_s")
    }
    return {name: value for name, value in found.items() if value is not None} | (
        {"ids": wanted.ids} if wanted.ids else {}
    )


def _selected(wanted: LetterFilter, more: dict[str, Any], *, is_all: bool) -> dict[str, Any]:
    """A filter for what changes something: an empty one is a mistake more often than a wish."""
    found = _filter_of(wanted) | {name: value for name, value in more.items() if value}
    if not found and not is_all:
        raise InvalidArgument("say which dead letters are meant, or all: true")
    return found


def _number(call: Call, name: str) -> int:
    text = call.path[name]
    if not text.isascii() or not text.isdecimal() or len(text) > _DIGITS_MAX or not 1 <= int(text) <= ID_MAX:
        raise InvalidArgument(f"the {name} is {shown(text)}; it is a number from 1")
    return int(text)


def _listed(one: DeadLetter) -> LetterListed:
    return LetterListed(**{name: getattr(one, name) for name in LetterListed.__struct_fields__})


OPERATIONS: Final = (
    Operation("list_dead_letters", "GET", "/dead-letters", letters, list[LetterListed], query=LetterQuery),
    Operation("list_causes", "GET", "/dead-letters/causes", causes, list[Cause], query=CauseQuery),
    Operation("dead_letter_status", "GET", "/dead-letters/status", status, DeadLetterStoreInfo),
    Operation("get_dead_letter", "GET", "/dead-letters/{id}", letter, LetterShown, query=BodyQuery),
    Operation("purge_dead_letters", "POST", "/dead-letters/purge", purge, Removed, body=Selection),
    Operation("redrive", "POST", "/redrives", redrive, RedriveInfo, body=RedriveWish),
    Operation("redrive_status", "GET", "/redrives/{id}", redrive_status, RedriveInfo),
    Operation("stop_redrive", "POST", "/redrives/{id}/stop", redrive_stop, RedriveInfo),
    Operation("undo_redrive", "POST", "/redrives/{id}/undo", redrive_undo, RedriveInfo),
)
