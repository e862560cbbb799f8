"""Delayed messages on the command line: look at what waits, cancel it, put it off, publish it now."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import (
    Cell,
    Column,
    Row,
    count,
    duration,
    name_of,
    print_json,
    print_table,
    printable,
    say,
    size,
)
from posthouse.cli_values import parse_duration_s, parse_moment
from posthouse.client import Broker
from posthouse.delay_times import due_after, moment_of
from posthouse.delayed import LIST_MESSAGES_MAX, Scheduled

Which = Annotated[
    str | None,
    typer.Argument(metavar="ID", help="Its id, as in `delayed list` or the receipt.", show_default=False),
]
ByKey = Annotated[str | None, typer.Option("--key", "-k", metavar="KEY", help="Its schedule key, instead of the id.")]

_COLUMNS: Final = (
    Column("id", is_number=True),
    Column("exchange", can_shrink=True),
    Column("routing key", can_shrink=True),
    Column("deliver at"),
    Column("in", is_number=True),
    Column("size", is_number=True),
    Column("key", can_shrink=True),
    Column("state", can_shrink=True),
)


@with_broker
def list_(
    broker: Broker,
    exchange: Annotated[
        str | None, typer.Option("--exchange", "-e", metavar="EXCHANGE", help="Only those for this exchange.")
    ] = None,
    key: ByKey = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MESSAGES_MAX, metavar="N", help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the messages that wait, the next one first, and at the end those that failed.

    Example:  posthouse delayed list --exchange flights --limit 20
    """
    found = broker.delayed.list(exchange, limit, schedule_key=key)
    if as_json:
        print_json(found)
        return
    now_s = time.time()
    print_table(_COLUMNS, (_row(message, now_s) for message in found), "No message waits.")


def _row(message: Scheduled, now_s: float) -> Row:
    at, left = "", ""
    if message.deliver_at is not None:
        at = message.deliver_at.strftime("%Y-%m-%d %H:%M:%SZ")
        left = duration(message.deliver_at.timestamp() - now_s)
    styles = {"firing": "green", "failed": "bold red"}
    state = message.state if message.code is None else f"{message.state}: {printable(message.text)}"
    return (
        message.scheduled_id,
        name_of(message.exchange),
        printable(message.routing_key),
        at,
        left,
        size(message.size),
        printable(message.schedule_key or ""),
        Cell(state, styles.get(message.state, "")),
    )


@with_broker
def info(broker: Broker, as_json: AsJson = False) -> None:
    """How much waits, and what became of all that ever did.

    Example:  posthouse delayed info --json | jq .waiting
    """
    found = broker.delayed.info()
    if as_json:
        print_json(found)
        return
    say(f"waiting {count(found.waiting)}, firing {count(found.firing)}, failed {count(found.failed)}")
    if found.next_due_ms:
        say(f"nothing is due before {moment_of(found.next_due_ms):%Y-%m-%d %H:%M:%S}Z")
    say(
        f"since it was made: accepted {count(found.accepted)}, fired {count(found.fired)}, "
        f"cancelled {count(found.cancelled)}, replaced {count(found.replaced)}, tried again {count(found.retried)}, "
        f"dead letters {count(found.dead_lettered)}"
    )
    say(f"journal {size(found.journal_bytes)}")


@with_broker
def cancel(broker: Broker, scheduled_id: Which = None, key: ByKey = None) -> None:
    """Forget a message that waits, or one that failed.

    \b
    Examples:
      posthouse delayed cancel 4711
      posthouse delayed cancel --key 'reindex 42'
    """
    _check_named(scheduled_id, key)
    broker.delayed.cancel(scheduled_id, schedule_key=key)
    say(f"cancelled {_name(scheduled_id, key)}")


@with_broker
def fire(broker: Broker, scheduled_id: Which = None, key: ByKey = None) -> None:
    """Publish a message now, or try one again that failed.

    \b
    Examples:
      posthouse delayed fire 4711
      posthouse delayed fire --key 'reindex 42'
    """
    _check_named(scheduled_id, key)
    broker.delayed.fire(scheduled_id, schedule_key=key)
    say(f"fires {_name(scheduled_id, key)}")


@with_broker
def reschedule(
    broker: Broker,
    scheduled_id: Which = None,
    key: ByKey = None,
    delay: Annotated[
        float | None,
        typer.Option("--delay", "-d", metavar="TIME", parser=parse_duration_s, help="From now: 5s, 2m, 1h, 1d."),
    ] = None,
    at: Annotated[
        datetime | None,
        typer.Option("--at", metavar="WHEN", parser=parse_moment, help="As 2027-01-31T09:00:00Z or with +01:00."),
    ] = None,
) -> None:
    """Give a message another time.

    \b
    Examples:
      posthouse delayed reschedule 4711 --delay 5m
      posthouse delayed reschedule --key 'reindex 42' --at 2027-01-31T09:00:00+01:00
    """
    _check_named(scheduled_id, key)
    if (delay is None) == (at is None):
        raise typer.BadParameter("give the new time as --delay or as --at, one of them", param_hint="--delay / --at")
    moment = at if at is not None else moment_of(due_after(delay, time.time_ns()))
    broker.delayed.reschedule(scheduled_id, moment, schedule_key=key)
    say(f"{_name(scheduled_id, key)} is due at {moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z")


def _check_named(scheduled_id: str | None, key: str | None) -> None:
    if (scheduled_id is None) == (key is None):
        raise typer.BadParameter("name the message by its ID or by --key, one of them", param_hint="ID / --key")


def _name(scheduled_id: str | None, key: str | None) -> str:
    return printable(key if scheduled_id is None and key is not None else str(scheduled_id))
