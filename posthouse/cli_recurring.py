"""Recurring schedules on the command line: make, list, stop, pause and resume them."""

from __future__ import annotations

import time
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import Cell, Column, Row, count, duration, name_of, print_json, print_table, printable, say
from posthouse.cli_publish import Body, Header, bytes_of
from posthouse.cli_values import parse_duration_s, parse_headers, parse_moment
from posthouse.client import Broker
from posthouse.recurring import Recurring


class Misfire(StrEnum):
    """What becomes of instants that were missed."""

    ONCE = "once"
    SKIP = "skip"
    ALL = "all"


Which = Annotated[str, typer.Argument(metavar="KEY|ID", help="As in `delayed recurring`.", show_default=False)]

_COLUMNS: Final = (
    Column("key", can_shrink=True),
    Column("id", is_number=True),
    Column("exchange", can_shrink=True),
    Column("routing key", can_shrink=True),
    Column("when", can_shrink=True),
    Column("next"),
    Column("in", is_number=True),
    Column("fired", is_number=True),
    Column("misfire"),
    Column("state", can_shrink=True),
)


@with_broker
def repeat(
    broker: Broker,
    exchange: Annotated[
        str,
        typer.Argument(metavar="EXCHANGE", help="'' sends to the queue named by --routing-key.", show_default=False),
    ],
    body: Body,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="Its name; one schedule of each.")],
    every: Annotated[
        float | None,
        typer.Option("--every", metavar="TIME", parser=parse_duration_s, help="The interval: 500ms, 5s, 5m, 1h, 1d."),
    ] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="EXPRESSION", help="Five fields, instead: '30 2 * * MON-FRI'.")
    ] = None,
    zone: Annotated[
        str | None, typer.Option("--zone", metavar="ZONE", help="Whose clock cron means: Europe/Berlin. Else UTC.")
    ] = None,
    routing_key: Annotated[str, typer.Option("--routing-key", "-k", metavar="KEY", help="The routing key.")] = "",
    header: Header = None,
    start: Annotated[
        datetime | None,
        typer.Option("--start", metavar="WHEN", parser=parse_moment, help="The first instant: 2027-01-31T09:00:00Z."),
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", metavar="WHEN", parser=parse_moment, help="The last instant.")
    ] = None,
    max_count: Annotated[int | None, typer.Option("--count", "-n", min=1, metavar="N", help="So many at most.")] = None,
    misfire: Annotated[
        Misfire, typer.Option(help="Of missed instants: one message for all, none, or one for each.")
    ] = Misfire.ONCE,
    as_json: AsJson = False,
) -> None:
    """Publish a message again and again. A schedule of the same key is replaced.

    \b
    Examples:
      posthouse delayed repeat flights 'are you there?' --key ping --every 5m
      posthouse delayed repeat reports go --key nightly --cron '30 2 * * *' --zone Europe/Berlin
    """
    if (every is None) == (cron is None):
        raise typer.BadParameter("say when as --every or as --cron, one of them", param_hint="--every / --cron")
    made = broker.delayed.repeat(
        exchange,
        bytes_of(body),
        key=key,
        every_s=every,
        cron=cron,
        zone=zone,
        routing_key=routing_key,
        headers=parse_headers(header),
        start_at=start,
        until=until,
        max_count=max_count,
        misfire=misfire.value,
    )
    if as_json:
        print_json(made)
        return
    say(f"{printable(made.key)} ({made.schedule_id}) fires {_when(made)}")
    for moment in made.next_at:
        say(f"  {moment:%Y-%m-%d %H:%M:%S}Z")


@with_broker
def recurring(broker: Broker, as_json: AsJson = False) -> None:
    """List the recurring schedules.

    Example:  posthouse delayed recurring --json
    """
    found = broker.delayed.recurring()
    if as_json:
        print_json(found)
        return
    now_s = time.time()
    print_table(_COLUMNS, (_row(schedule, now_s) for schedule in found), "No schedule recurs.")


@with_broker
def stop(broker: Broker, key_or_id: Which) -> None:
    """End a recurring schedule.

    Example:  posthouse delayed stop ping
    """
    broker.delayed.stop(key_or_id)
    say(f"stopped {printable(key_or_id)}")


@with_broker
def pause(broker: Broker, key_or_id: Which) -> None:
    """Halt a recurring schedule; what passes meanwhile never fires.

    Example:  posthouse delayed pause nightly
    """
    broker.delayed.pause(key_or_id)
    say(f"paused {printable(key_or_id)}")


@with_broker
def resume(broker: Broker, key_or_id: Which) -> None:
    """Let a paused schedule go on from now.

    Example:  posthouse delayed resume nightly
    """
    broker.delayed.resume(key_or_id)
    say(f"resumed {printable(key_or_id)}")


def _when(schedule: Recurring) -> str:
    if schedule.every_s is not None:
        is_short = schedule.every_s < 60 or schedule.every_s % 1
        return f"every {schedule.every_s:g} s" if is_short else f"every {duration(schedule.every_s)}"
    return printable(f"{schedule.cron} {schedule.zone or 'UTC'}")


def _row(schedule: Recurring, now_s: float) -> Row:
    at, left = "", ""
    if schedule.next_at:
        at = f"{schedule.next_at[0]:%Y-%m-%d %H:%M:%S}Z"
        left = duration(schedule.next_at[0].timestamp() - now_s)
    state = Cell("paused", "yellow") if schedule.is_paused else Cell("")
    if schedule.problem:
        state = Cell(printable(schedule.problem), "bold red")
    return (
        printable(schedule.key),
        schedule.schedule_id,
        name_of(schedule.exchange),
        printable(schedule.routing_key),
        _when(schedule),
        at,
        left,
        count(schedule.fired),
        schedule.misfire,
        state,
    )
