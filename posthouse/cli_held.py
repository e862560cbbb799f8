"""Held messages on the command line: look at what waits for a queue, let go of it, make dead letters of it."""

from __future__ import annotations

import time
from typing import Annotated, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import Column, Row, count, duration, name_of, print_json, print_table, printable, say, size
from posthouse.client import Broker
from posthouse.held_requests import LIST_MAX, HeldMessage

Exchange = Annotated[str, typer.Argument(metavar="EXCHANGE", show_default=False)]

_COLUMNS: Final = (
    Column("number", is_number=True),
    Column("exchange", can_shrink=True),
    Column("routing key", can_shrink=True),
    Column("message id", can_shrink=True),
    Column("held for", is_number=True),
    Column("dead in", is_number=True),
    Column("size", is_number=True),
)


@with_broker
def list_held(
    broker: Broker,
    exchange: Annotated[str | None, typer.Argument(metavar="[EXCHANGE]", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIST_MAX, metavar="N", help="At most so many.")] = 100,
    after: Annotated[int, typer.Option(min=0, metavar="NUMBER", help="From above this number of EXCHANGE.")] = 0,
    as_json: AsJson = False,
) -> None:
    """List what exchanges hold for queues to come, oldest first.

    Example:  posthouse held list flights
    """
    found = broker.held.list(exchange, limit, after=after)
    if as_json:
        print_json(found)
        return
    now_s = time.time()
    print_table(_COLUMNS, (_row(message, now_s) for message in found), "Nothing is held.")


def _row(message: HeldMessage, now_s: float) -> Row:
    return (
        str(message.number),
        name_of(message.exchange),
        printable(message.routing_key),
        printable(message.message_id),
        duration(max(0.0, now_s - message.held_at.timestamp())),
        duration(max(0.0, message.until.timestamp() - now_s)),
        size(message.size),
    )


@with_broker
def release(
    broker: Broker,
    exchange: Exchange,
    to: Annotated[
        str | None, typer.Option("--to", metavar="QUEUE", help="Not by the bindings, but to this queue.")
    ] = None,
) -> None:
    """Let go of what an exchange holds: by its bindings, or to a queue.

    A binding does this by itself for what it matches.

    Example:  posthouse held release flights --to newark
    """
    released = broker.held.release(exchange, to)
    say(f"released {count(released)} of exchange {name_of(exchange).text}")


@with_broker
def expire(broker: Broker, exchange: Exchange) -> None:
    """Make dead letters of all that an exchange holds.

    Example:  posthouse held expire flights
    """
    expired = broker.held.expire(exchange)
    say(f"{count(expired)} of exchange {name_of(exchange).text} are dead letters now")


@with_broker
def status(broker: Broker, exchange: Exchange, as_json: AsJson = False) -> None:
    """How much an exchange holds, its bounds, and what became of what it held.

    Example:  posthouse held status flights
    """
    found = broker.held.status(exchange)
    if as_json:
        print_json(found)
        return
    say(
        f"holds {count(found.messages)} of {count(found.messages_max)} messages, {size(found.bytes)} of "
        f"{size(found.bytes_max)}, for {duration(found.hold_for_ms / 1000)} at most"
    )
    say(f"on their way {count(found.leaving)}")
    say(f"since it was made: held {count(found.held)}, released {count(found.released)}, dead {count(found.dead)}")
