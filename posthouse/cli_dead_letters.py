"""The dead letters: list, causes, show, purge; `cli_redrive.py` sends them back.

Thousands of dead letters are usually a few causes, so there is a listing of each.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import (
    Column,
    count,
    name_of,
    note,
    print_json,
    print_table,
    printable,
    readable_body,
    readable_map,
    say,
    size,
)
from posthouse.cli_values import HEADER_HELP, parse_duration_s, parse_headers
from posthouse.client import Broker
from posthouse.dead_letter_requests import LIST_MAX, REASONS, DeadLetter
from posthouse.transport.messages_dead import Cause

EMPTY: Final = "There are no such dead letters."


class Reason(StrEnum):
    """Why a message is dead."""

    REJECTED = "rejected"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    EXPIRED = "expired"
    MAX_LENGTH = "max_length"
    NO_SUBSCRIBER = "no_subscriber"
    DELIVERY_FAILED = "delivery_failed"
    TOO_MANY_HOPS = "too_many_hops"
    TAKEN_BACK = "taken_back"


Queue = Annotated[str | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Those that died in this queue.")]
Why = Annotated[Reason | None, typer.Option("--reason", "-r", metavar="REASON", help=", ".join(REASONS))]
Fingerprint = Annotated[
    str | None, typer.Option("--fingerprint", "-f", metavar="HEX", help="Those of one cause, as a listing names it.")
]
OlderThan = Annotated[
    float | None,
    typer.Option("--older-than", metavar="S", parser=parse_duration_s, help="Those that died so long ago: 30s, 2h."),
]
NewerThan = Annotated[
    float | None,
    typer.Option("--newer-than", metavar="S", parser=parse_duration_s, help="Those that died since: 30s, 2h."),
]
Headers = Annotated[list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help=HEADER_HELP)]
Ids = Annotated[list[int] | None, typer.Option("--id", metavar="ID", help="This one. May be repeated.")]
Limit = Annotated[int, typer.Option(metavar="N", help="So many rows at most.")]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def wanted_by(
    queue: str | None,
    reason: Reason | None,
    fingerprint: str | None,
    older: float | None,
    newer: float | None,
    header: list[str] | None,
    ids: list[int] | None,
) -> dict[str, Any]:
    return {
        "queue": queue,
        "reason": None if reason is None else reason.value,
        "fingerprint": fingerprint,
        "older_than_s": older,
        "newer_than_s": newer,
        "headers": parse_headers(header),
        "ids": ids or None,
    }


@with_broker
def list_letters(
    broker: Broker,
    queue: Queue = None,
    reason: Why = None,
    fingerprint: Fingerprint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    header: Headers = None,
    limit: Limit = 100,
    after: Annotated[int, typer.Option(metavar="ID", help="Go on after this one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List the dead letters, oldest first; `posthouse dlq causes` groups them.

    Example:  posthouse dlq list --queue newark --reason rejected
    """
    wanted = wanted_by(queue, reason, fingerprint, older_than, newer_than, header, None)
    letters = broker.dead_letters.list(limit=limit, after=after, **wanted)
    if as_json:
        print_json([_as_map(letter) for letter in letters])
        return
    columns = (
        Column("id", is_number=True), Column("reason"), Column("queue", can_shrink=True),
        Column("key", can_shrink=True), Column("attempts", is_number=True), Column("died"),
        Column("fingerprint"), Column("cause", can_shrink=True),
    )  # fmt: skip
    rows = [
        (
            str(letter.id), letter.reason, name_of(letter.queue), printable(letter.routing_key),
            count(letter.attempt), _time(letter.last_at), letter.fingerprint, printable(letter.cause),
        )
        for letter in letters
    ]  # fmt: skip
    print_table(columns, rows, EMPTY)
    if len(letters) == limit:
        found = broker.dead_letters.causes(limit=LIST_MAX, **wanted)
        what = "1 cause" if len(found) == 1 else f"{count(len(found))} causes"
        note(f"{letters_text(sum(cause.count for cause in found))}, {what}; more with --after {letters[-1].id},")
        note("or by cause: posthouse dlq causes")


@with_broker
def list_causes(
    broker: Broker,
    queue: Queue = None,
    reason: Why = None,
    fingerprint: Fingerprint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    header: Headers = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """List what the dead letters died of, the most frequent cause first.

    Example:  posthouse dlq causes --queue newark
    """
    wanted = wanted_by(queue, reason, fingerprint, older_than, newer_than, header, None)
    causes = broker.dead_letters.causes(limit=limit, **wanted)
    if as_json:
        print_json(causes)
        return
    print_causes(causes)


def print_causes(causes: Iterable[Cause]) -> None:
    """Thousands of letters are usually a few causes."""
    cause_columns = (
        Column("messages", is_number=True), Column("fingerprint"), Column("reason"),
        Column("queues", can_shrink=True), Column("last died"), Column("cause", can_shrink=True),
    )  # fmt: skip
    groups = [
        (
            count(cause.count), cause.fingerprint, ", ".join(cause.reasons), printable(", ".join(cause.queues)),
            _time(datetime.fromtimestamp(cause.last_ms / 1_000).astimezone()), printable(cause.cause),
        )
        for cause in causes
    ]  # fmt: skip
    print_table(cause_columns, groups, EMPTY)


@with_broker
def show(
    broker: Broker,
    id: Annotated[int, typer.Argument(metavar="ID", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter with its body, headers and the history of its attempts.

    Example:  posthouse dlq show 17
    """
    letter = broker.dead_letters.get(id)
    if as_json:
        print_json(_as_map(letter) | {"body": letter.body, "headers": letter.headers, "history": _history(letter)})
        return
    say(f"dead letter {letter.id}: {letter.reason}, in queue {printable(letter.queue)}")
    say(f"message      {printable(letter.message_id)}")
    say(f"published    exchange {name_of(letter.exchange).text}, key {printable(letter.routing_key)}")
    say(f"died         {_time(letter.last_at)}, first failure {_time(letter.first_at)}")
    say(f"cause        {letter.fingerprint}  {printable(letter.cause)}")
    if letter.earlier is not None:
        say(f"life         {letter.life}; before that it was dead letter {letter.earlier}")
    say(f"headers      {readable_map(letter.headers)}")
    say(f"body         {size(letter.size)}  {readable_body(letter.body or b'', 200)}")
    for one in letter.history:
        what = ": ".join(filter(None, (one.error_type, one.error)))
        why = one.reason if one.reason != one.error else ""
        who = f"by {printable(one.consumer)}" if one.consumer else ""
        label = "remark" if not one.attempt or one.how == "taken_back" else f"attempt {one.attempt}"
        said = "  ".join(filter(None, (printable(why), printable(what))))
        say(f"{label:<12} {_time(one.at)}  {' '.join(filter(None, (one.how, who)))}  {said}")
    last = letter.history[-1].traceback if letter.history else ""
    for line in last.splitlines():
        say(f"    {printable(line)}")


@with_broker
def purge(
    broker: Broker,
    queue: Queue = None,
    reason: Why = None,
    fingerprint: Fingerprint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    header: Headers = None,
    id: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Needed when nothing narrows it down.")] = False,
    is_sure: Sure = False,
) -> None:
    """Remove dead letters for good.

    Example:  posthouse dlq purge --fingerprint 8d8be5ad2bca --yes
    """
    wanted = wanted_by(queue, reason, fingerprint, older_than, newer_than, header, id)
    if all(value is None for value in wanted.values()) and not everything:
        raise typer.BadParameter("say which, or --all", param_hint="--all")
    if not is_sure:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody can be asked here; say --yes", param_hint="--yes")
        # Through the default exchange, which is always there, since the queue they died in may be gone.
        matched = broker.dead_letters.redrive(**wanted, to_exchange="", dry_run=True).matched
        typer.confirm(f"Remove {letters_text(matched)} for good?", abort=True)
    say(f"removed {letters_text(broker.dead_letters.purge(**wanted))}")


def letters_text(number: int) -> str:
    return "1 dead letter" if number == 1 else f"{count(number)} dead letters"


def _time(at: datetime) -> str:
    return at.astimezone().isoformat(sep=" ", timespec="seconds")


def _as_map(letter: DeadLetter) -> dict[str, Any]:
    return {
        name: getattr(letter, name)
        for name in letter.__dataclass_fields__
        if name not in ("body", "headers", "history")
    }


def _history(letter: DeadLetter) -> list[dict[str, Any]]:
    return [{name: getattr(one, name) for name in one.__dataclass_fields__} for one in letter.history]
