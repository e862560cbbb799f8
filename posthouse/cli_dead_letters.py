"""The dead letters: list, show, redrive, purge.

A listing groups by cause unless single letters are asked for: thousands of dead letters are usually a few causes.
"""

from __future__ import annotations

import sys
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
from posthouse.dead_letter_requests import REASONS, DeadLetter
from posthouse.transport.messages_dead import RedriveInfo

EMPTY: Final = "There are no such dead letters."
NOT_ALL: Final = 1


class Reason(StrEnum):
    """Why a message is dead."""

    REJECTED = "rejected"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    EXPIRED = "expired"
    MAX_LENGTH = "max_length"
    NO_SUBSCRIBER = "no_subscriber"
    DELIVERY_FAILED = "delivery_failed"
    TOO_MANY_HOPS = "too_many_hops"


Queue = Annotated[str | None, typer.Option("--queue", "-q", metavar="QUEUE", help="Those that died in this queue.")]
Why = Annotated[Reason | None, typer.Option("--reason", "-r", metavar="REASON", help=", ".join(REASONS))]
Fingerprint = Annotated[
    str | None, typer.Option("--fingerprint", "-f", metavar="HEX", help="Those of one cause, as a listing names it.")
]
OlderThan = Annotated[
    float | None,
    typer.Option("--older-than", metavar="S", parser=parse_duration_s, help="Those that died so long ago: 30s, 2h."),
]
Headers = Annotated[list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help=HEADER_HELP)]
Ids = Annotated[list[int] | None, typer.Option("--id", metavar="ID", help="This one. May be repeated.")]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _wanted(
    queue: str | None,
    reason: Reason | None,
    fingerprint: str | None,
    older: float | None,
    header: list[str] | None,
    ids: list[int] | None,
) -> dict[str, Any]:
    return {
        "queue": queue,
        "reason": None if reason is None else reason.value,
        "fingerprint": fingerprint,
        "older_than_s": older,
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
    header: Headers = None,
    each: Annotated[bool, typer.Option("--each", help="Single letters instead of causes.")] = False,
    limit: Annotated[int, typer.Option(metavar="N", help="So many rows at most.")] = 100,
    after: Annotated[int, typer.Option(metavar="ID", help="With --each: go on after this one.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List the dead letters: their causes, or with --each every one.

    Example:  posthouse dlq list --queue newark --reason rejected --each
    """
    wanted = _wanted(queue, reason, fingerprint, older_than, header, None)
    if each:
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
        return
    causes = broker.dead_letters.causes(limit=limit, **wanted)
    if as_json:
        print_json(causes)
        return
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
    """Show one dead letter with its body, headers and the history of its attempts."""
    letter = broker.dead_letters.get(id)
    if as_json:
        print_json(_as_map(letter) | {"body": letter.body, "headers": letter.headers, "history": _history(letter)})
        return
    say(f"dead letter {letter.id}: {letter.reason}, in queue {printable(letter.queue)}")
    say(f"message      {printable(letter.message_id)}")
    say(f"published    exchange {name_of(letter.exchange).text}, key {printable(letter.routing_key)}")
    say(f"died         {_time(letter.last_at)}, first failure {_time(letter.first_at)}")
    say(f"cause        {letter.fingerprint}  {printable(letter.cause)}")
    say(f"headers      {readable_map(letter.headers)}")
    say(f"body         {size(letter.size)}  {readable_body(letter.body or b'', 200)}")
    for one in letter.history:
        what = ": ".join(filter(None, (one.error_type, one.error)))
        say(f"attempt {one.attempt}    {_time(one.at)}  {one.how} by {printable(one.consumer)}  {printable(what)}")
    last = letter.history[-1].traceback if letter.history else ""
    for line in last.splitlines():
        say(f"    {printable(line)}")


@with_broker
def redrive(
    broker: Broker,
    queue: Queue = None,
    reason: Why = None,
    fingerprint: Fingerprint = None,
    older_than: OlderThan = None,
    header: Headers = None,
    id: Ids = None,
    to: Annotated[str | None, typer.Option(metavar="QUEUE", help="To this queue, not to where they died.")] = None,
    rate: Annotated[float | None, typer.Option(metavar="N", help="So many a second at most.")] = None,
    canary: Annotated[
        int | None, typer.Option(metavar="N", help="Send so many first, and stop when they fail.")
    ] = None,
    failure_share: Annotated[
        float, typer.Option(metavar="SHARE", help="So many of the canaries may fail: 0 to below 1.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to their queues. They are moved: exactly once, whatever crashes.

    \b
    Examples:
      posthouse dlq redrive --fingerprint 8d8be5ad2bca --dry-run
      posthouse dlq redrive --queue newark --canary 10 --rate 500
    """
    show_progress = sys.stderr.isatty() and not as_json
    info = broker.dead_letters.redrive(
        **_wanted(queue, reason, fingerprint, older_than, header, id),
        to=to,
        rate=rate,
        canary=canary,
        failure_share=failure_share,
        dry_run=dry_run,
        on_progress=_progress if show_progress else None,
    )
    if show_progress:
        print(end="\r\033[K", file=sys.stderr)
    if as_json:
        print_json(info)
    elif dry_run:
        say(f"{_letters(info.matched)} would be redriven")
    else:
        say(f"redrove {info.moved:,} of {_letters(info.matched)}")
    if info.text:
        note(f"stopped: {printable(info.text)}")
        raise typer.Exit(NOT_ALL)


@with_broker
def purge(
    broker: Broker,
    queue: Queue = None,
    reason: Why = None,
    fingerprint: Fingerprint = None,
    older_than: OlderThan = None,
    header: Headers = None,
    id: Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="Needed when nothing narrows it down.")] = False,
    is_sure: Sure = False,
) -> None:
    """Remove dead letters for good."""
    wanted = _wanted(queue, reason, fingerprint, older_than, header, id)
    if all(value is None for value in wanted.values()) and not everything:
        raise typer.BadParameter("say which, or --all", param_hint="--all")
    if not is_sure:
        if not sys.stdin.isatty():
            raise typer.BadParameter("nobody can be asked here; say --yes", param_hint="--yes")
        matched = broker.dead_letters.redrive(**wanted, dry_run=True).matched
        typer.confirm(f"Remove {_letters(matched)} for good?", abort=True)
    say(f"removed {_letters(broker.dead_letters.purge(**wanted))}")


def _progress(info: RedriveInfo) -> None:
    done = info.moved * 30 // max(1, info.matched)
    bar = "#" * done + "-" * (30 - done)
    print(end=f"\r[{bar}] {info.moved:,} of {info.matched:,}  {info.state}", file=sys.stderr, flush=True)


def _letters(number: int) -> str:
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
