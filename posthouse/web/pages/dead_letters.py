"""Dead letters by what they died of, one by one, and with the whole history of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from posthouse.dead_letter_requests import DeadLetter, FailedAttempt
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import Cause
from posthouse.web.pages.bodies import WHOLE_BYTES_MAX, shown_body
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import When, plural, readable_map, when, when_ms

ROWS: Final = 50
CAUSES_MAX: Final = 200
ID_MAX: Final = (1 << 63) - 1

HOW: Final = {
    "nack": "was given back",
    "reject": "was rejected",
    "consumer_gone": "its consumer was gone",
    "ack_timeout": "was held too long",
    "republish": "could not be published again",
    "redrive": "could not be redriven",
    "taken_back": "was taken back",
}


@final
class CauseRow(NamedTuple):
    """Letters with one fingerprint. `part` is their share of all."""

    cause: Cause
    href: str
    first: When
    last: When
    part: float
    reasons: str


@final
class LetterRow(NamedTuple):
    """One letter in a list."""

    letter: DeadLetter
    href: str
    died: When


@final
class AttemptRow(NamedTuple):
    """One delivery that failed."""

    attempt: FailedAttempt
    at: When
    how: str


async def view(visit: Visit) -> Mapping[str, Any]:
    """All causes."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    queue, reason = visit.query.line("queue"), visit.query.line("reason")
    status = await broker.dead_letters.status()
    causes = await broker.dead_letters.causes(queue, reason, limit=CAUSES_MAX)
    return {
        "status": status,
        "causes": cause_rows(causes, snapshot.now_ms),
        "queue": queue or "",
        "reason": reason or "",
        "matching": sum(cause.count for cause in causes),
    }


def cause_rows(causes: Sequence[Cause], now_ms: int) -> list[CauseRow]:
    """The largest first."""
    total = sum(cause.count for cause in causes) or 1
    return [
        CauseRow(
            cause,
            url("/dead-letters/cause", fingerprint=cause.fingerprint),
            when_ms(cause.first_ms, now_ms),
            when_ms(cause.last_ms, now_ms),
            cause.count / total,
            ", ".join(cause.reasons).replace("_", " "),
        )
        for cause in causes
    ]


async def cause_view(visit: Visit) -> Mapping[str, Any]:
    """The letters of one cause, and the form that sends them on."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    fingerprint = visit.query.text("fingerprint")
    after = visit.query.whole("after", 0, 0, ID_MAX)
    causes = await broker.dead_letters.causes(fingerprint=fingerprint, limit=1)
    found = await broker.dead_letters.list(fingerprint=fingerprint, limit=ROWS + 1, after=after) if causes else []
    more = url("/dead-letters/cause", fingerprint=fingerprint, after=found[ROWS - 1].id) if len(found) > ROWS else ""
    return {
        "fingerprint": fingerprint,
        "row": cause_rows(causes, snapshot.now_ms)[0] if causes else None,
        "letters": [letter_row(letter, snapshot.now_ms) for letter in found[:ROWS]],
        "next": more,
        "is_first": after == 0,
    }


def letter_row(letter: DeadLetter, now_ms: int) -> LetterRow:
    """A letter in a list."""
    return LetterRow(letter, url("/dead-letter", id=letter.id), when(letter.last_at, now_ms))


async def letter_view(visit: Visit) -> Mapping[str, Any]:
    """One letter with all that is known of it. Raises UnknownDeadLetter."""
    snapshot = await visit.snapshot()
    letter = await (await visit.broker()).dead_letters.get(visit.query.whole("id", 0, 0, ID_MAX))
    return {
        "letter": letter,
        "headers": readable_map(letter.headers),
        "body": shown_body(letter.body or b"", WHOLE_BYTES_MAX),
        "first": when(letter.first_at, snapshot.now_ms),
        "died": when(letter.last_at, snapshot.now_ms),
        "history": [attempt_row(attempt, snapshot.now_ms) for attempt in letter.history],
        "cause_href": url("/dead-letters/cause", fingerprint=letter.fingerprint),
        "why": url("/why", id=letter.message_id),
        "earlier": url("/dead-letter", id=letter.earlier) if letter.earlier else "",
    }


def attempt_row(attempt: FailedAttempt, now_ms: int) -> AttemptRow:
    """One line of a letter's history."""
    return AttemptRow(attempt, when(attempt.at, now_ms), HOW.get(attempt.how, attempt.how.replace("_", " ")))


async def purge_view(visit: Visit) -> Mapping[str, Any]:
    """Before letters are deleted for good."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    fingerprint, number = visit.query.line("fingerprint"), visit.query.whole("id", 0, 0, ID_MAX)
    ids = (number,) if number else None
    causes = await broker.dead_letters.causes(fingerprint=fingerprint, limit=CAUSES_MAX, ids=ids)
    return {
        "causes": cause_rows(causes, snapshot.now_ms),
        "matching": sum(cause.count for cause in causes),
        "fingerprint": fingerprint,
        "id": number or None,
    }


async def purge(visit: Visit, form: Fields) -> Done:
    """Delete letters for good. What is typed is how many, so that nobody deletes more than they saw."""
    broker = await visit.broker()
    fingerprint, number = form.line("fingerprint"), form.whole("id", 0, 0, ID_MAX)
    wanted: dict[str, Any] = {"fingerprint": fingerprint, "ids": (number,) if number else None}
    if form.text("typed").strip().lower() != "delete":
        raise InvalidArgument("type the word delete to delete dead letters for good")
    purged = await broker.dead_letters.purge(**wanted)
    return Done("/dead-letters", f"Deleted {plural(purged, 'dead letter')} for good.")
