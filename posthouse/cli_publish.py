"""Publishing: one message with its receipt, or a stream of lines through a pipelined publisher."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum
from itertools import repeat
from typing import Annotated, Any

import typer

from posthouse.cli_connection import with_broker
from posthouse.cli_output import count as counted
from posthouse.cli_output import print_json, printable, say
from posthouse.cli_values import HEADER_HELP, parse_duration_s, parse_headers, parse_moment
from posthouse.client import Broker
from posthouse.receipt import PublishReceipt


class Level(StrEnum):
    """How safe a message is when its receipt arrives."""

    SYNC = "sync"
    OS = "os"
    MEMORY = "memory"


Exchange = Annotated[
    str,
    typer.Argument(metavar="EXCHANGE", help="'' sends to the queue named by --key.", show_default=False),
]
Body = Annotated[
    str | None,
    typer.Argument(metavar="BODY|-", help="'-' reads it from standard input.", show_default=False),
]
Header = Annotated[list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help=HEADER_HELP)]
Durability = Annotated[
    Level | None,
    typer.Option(metavar="LEVEL", help="How safe when confirmed: sync (default), os, memory.", show_default=False),
]
DedupId = Annotated[
    str | None, typer.Option(metavar="ID", help="Each queue takes the same id only once for ten minutes.")
]
Delay = Annotated[
    float | None,
    typer.Option(
        "--delay",
        "-d",
        metavar="TIME",
        parser=parse_duration_s,
        help="Deliver it later: 5s, 2m, 1h, 1d.",
        show_default=False,
    ),
]
At = Annotated[
    datetime | None,
    typer.Option(
        "--at", metavar="WHEN", parser=parse_moment, help="Deliver it then: 2027-01-31T09:00:00Z.", show_default=False
    ),
]
ScheduleKey = Annotated[
    str | None,
    typer.Option(metavar="KEY", help="A name for a delayed message; it replaces one that waits under the same."),
]


@with_broker
def publish(
    broker: Broker,
    exchange: Exchange,
    body: Body = None,
    key: Annotated[str, typer.Option("--key", "-k", metavar="KEY", help="The routing key.")] = "",
    header: Header = None,
    lines: Annotated[bool, typer.Option("--lines", help="Each line of standard input is a message.")] = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="Publish it N times.")] = 1,
    durability: Durability = None,
    content_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Such as application/json.")] = None,
    message_id: Annotated[str | None, typer.Option(metavar="ID", help="An id of your own.")] = None,
    dedup_id: DedupId = None,
    delay: Delay = None,
    at: At = None,
    schedule_key: ScheduleKey = None,
    ttl: Annotated[
        float | None,
        typer.Option(metavar="TIME", parser=parse_duration_s, help="It expires after: 30s, 2h.", show_default=False),
    ] = None,
    priority: Annotated[
        int | None, typer.Option(metavar="N", min=0, max=9, help="0 (default) to 9, for queues with priorities.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
) -> None:
    """Publish a message and wait until the broker has it safe.

    \b
    Examples:
      posthouse publish flights 'EWR to IAH' --key UA.EWR.IAH
      posthouse publish by-headers '' -H carrier=UA -H cancelled:=true
      posthouse publish flights 'boarding' --key UA.EWR.IAH --delay 5m
      posthouse publish '' - --key reports < report.pdf
      tail -f access.log | posthouse publish logs --lines
    """
    options = _given(
        routing_key=key,
        headers=parse_headers(header),
        durability=durability.value if durability is not None else None,
        content_type=content_type,
        message_id=message_id,
        dedup_id=dedup_id,
        delay_s=delay,
        deliver_at=at,
        schedule_key=schedule_key,
        ttl_s=ttl,
        priority=priority,
    )
    if lines and (body is not None or count != 1):
        raise typer.BadParameter(
            "it takes the messages from standard input; leave out BODY and --count", param_hint="--lines"
        )
    if (lines or count != 1) and (message_id is not None or dedup_id is not None):
        raise typer.BadParameter("an id is for one message, and here are many", param_hint="--message-id / --dedup-id")
    if (lines or count != 1) and schedule_key is not None:
        raise typer.BadParameter("each message would take the place of the one before", param_hint="--schedule-key")
    if not lines and body is None:
        raise typer.BadParameter("give the text, '-' to read it from standard input, or --lines", param_hint="BODY")
    if lines:
        _report_many(_publish_many(broker, exchange, _lines_of_stdin(), options), as_json)
    elif count > 1:
        _report_many(_publish_many(broker, exchange, repeat(bytes_of(body), count), options), as_json)
    else:
        _report_one(broker.publish(exchange, bytes_of(body), **options), as_json)


def _given(**options: Any) -> dict[str, Any]:
    """What was asked for; the rest is the client's to decide."""
    return {name: value for name, value in options.items() if value is not None}


def bytes_of(body: str | None) -> bytes:
    assert body is not None
    # An argument that is not UTF-8 arrives with surrogates; fsencode gives back the bytes that were typed.
    return sys.stdin.buffer.read() if body == "-" else os.fsencode(body)


def _lines_of_stdin() -> Iterator[bytes]:
    for line in sys.stdin.buffer:
        yield line.removesuffix(b"\n")


def _publish_many(broker: Broker, exchange: str, bodies: Iterable[bytes], options: dict[str, Any]) -> int:
    published = 0
    with broker.publisher(exchange) as out:
        for body in bodies:
            out.send(body, **options)
            published += 1
        out.flush()
    return published


def _report_many(published: int, as_json: bool) -> None:
    if as_json:
        print_json({"published": published})
    else:
        say(f"published {counted(published)} {'message' if published == 1 else 'messages'}")


def _report_one(receipt: PublishReceipt, as_json: bool) -> None:
    queues = list(receipt.queues)
    if as_json:
        said = {"durability": receipt.durability, "duplicate": receipt.duplicate, "held": receipt.held}
        known = {} if receipt.scheduled_id is None else {"scheduled_id": receipt.scheduled_id}
        print_json({"queues": queues, **said, **known})
    elif receipt.scheduled_id is not None:
        say(f"scheduled as {receipt.scheduled_id} ({receipt.durability})")
    elif receipt.duplicate:
        say(f"a duplicate: {', '.join(map(printable, queues)) or 'the broker'} had it already")
    elif queues:
        say(f"published to {', '.join(map(printable, queues))} ({receipt.durability})")
    elif receipt.held:
        say(f"held for a queue to come ({receipt.durability})")
    else:
        say("published, but no queue wanted it")
