"""Taking and looking at messages: consume, get and peek.

A message is settled only after its body has been handed to the operating system, so that a pipe which closes
early loses nothing. A pipe gets bodies byte by byte, each followed by a line end; `--json` is for bodies that
hold line ends themselves.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final, final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import (
    Cell,
    Column,
    Row,
    is_terminal,
    note,
    print_body,
    print_json,
    print_json_line,
    print_table,
    printable,
    readable_body,
    readable_map,
)
from posthouse.cli_topology import Queue
from posthouse.cli_values import parse_duration_s
from posthouse.client import Broker
from posthouse.consumer import Consumer
from posthouse.message import Message
from posthouse.transport.limits import PREFETCH_MAX

PREFETCH: Final = 256
ROUND_MESSAGES_MAX: Final = 256
"""Printed, flushed and settled together."""

BODY_CHARACTERS_SHOWN: Final = 200
_WAIT_S: Final = 60.0

NoAck = Annotated[bool, typer.Option("--no-ack", help="Do not ack: what was printed returns to the queue at the end.")]


@with_broker
def consume(
    broker: Broker,
    queue: Queue,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, metavar="N", help="End after N messages.")
    ] = None,
    no_ack: NoAck = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per line and message.")] = False,
    timeout_idle: Annotated[
        float | None,
        typer.Option(metavar="S", parser=parse_duration_s, help="End when nothing came for so long: 5, 500ms, 2m."),
    ] = None,
) -> None:
    """Take messages from a queue and print them, until Ctrl-C.

    \b
    Examples:
      posthouse consume ewr --count 10
      posthouse consume ewr --json --timeout-idle 5s | jq -r .body
    """
    # Not more than was asked for, or other consumers would wait for what this one only gives back.
    prefetch = min(count or sys.maxsize, PREFETCH_MAX if no_ack else PREFETCH)
    # Without acks nothing more comes once the prefetch is used up.
    limit = prefetch if no_ack else count or sys.maxsize
    with broker.consume(queue, prefetch=prefetch) as messages:
        acks = None if no_ack else _Acks(messages, limit - prefetch)
        try:
            left = limit
            while left and (taken := _take(messages, min(left, ROUND_MESSAGES_MAX), timeout_idle)):
                for message in taken:
                    _print(message, as_json)
                sys.stdout.flush()
                left -= len(taken)
                if acks is not None:
                    acks.add(taken)
        finally:
            if acks is not None:
                acks.finish()


@final
class _Acks:
    """Acks what was printed, but the last ones only at the end.

    Each ack lets the queue deliver one more. Acks beyond `early_max` would bring messages that nobody asked
    for, and those would go back marked as redelivered.
    """

    def __init__(self, messages: Consumer, early_max: int) -> None:
        self._messages = messages
        self._early_left = early_max
        self._waiting: list[Message] = []

    def add(self, printed: list[Message]) -> None:
        self._waiting += printed
        early = self._waiting[: self._early_left]
        del self._waiting[: len(early)]
        self._early_left -= len(early)
        self._messages.ack_all(early)

    def finish(self) -> None:
        self._messages.ack_all(self._waiting)
        self._waiting = []


def _take(messages: Consumer, count_max: int, timeout_idle_s: float | None) -> list[Message]:
    """What is there, waiting for the first; empty when nothing came in time."""
    while True:
        taken = messages.batch(count_max, _WAIT_S if timeout_idle_s is None else timeout_idle_s)
        if taken or timeout_idle_s is not None:
            return taken


@with_broker
def get(broker: Broker, queue: Queue, no_ack: NoAck = False, as_json: AsJson = False) -> None:
    """Take one message from a queue and print it; says so when the queue is empty (null with --json).

    Example:  posthouse get ewr --json
    """
    message = broker.get(queue)
    if message is None:
        if as_json:
            print_json(None)
        else:
            note(f"the queue {printable(queue)} has no message ready")
        return
    if as_json:
        print_json(message_as_json(message))
    else:
        print_body(message.body)
    sys.stdout.flush()
    if no_ack:
        message.nack(retry_after_s=0.0)
    else:
        message.ack()


@with_broker
def peek(
    broker: Broker,
    queue: Queue,
    count: Annotated[int, typer.Option("--count", "-n", min=1, metavar="N", help="How many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Look at the first messages of a queue, ready or held by a consumer. Changes nothing.

    Example:  posthouse peek ewr --count 3
    """
    messages = broker.peek(queue, count=count)
    if as_json:
        print_json([message_as_json(message) for message in messages])
        return
    columns = (
        Column("offset", is_number=True),
        Column("published"),
        Column("attempt", is_number=True),
        Column("key", can_shrink=True),
        Column("headers", can_shrink=True),
        Column("body", can_shrink=True),
    )
    print_table(columns, map(_row, messages), f"The queue {printable(queue)} is empty.")


def _row(message: Message) -> Row:
    return (
        str(message.offset),
        f"{message.published_at.astimezone():%Y-%m-%d %H:%M:%S}",
        Cell(str(message.attempt), "yellow" if message.redelivered else ""),
        printable(message.routing_key),
        readable_map(message.headers),
        readable_body(message.body, BODY_CHARACTERS_SHOWN if is_terminal() else None),
    )


def _print(message: Message, as_json: bool) -> None:
    if as_json:
        print_json_line(message_as_json(message))
    else:
        print_body(message.body)


def message_as_json(message: Message) -> dict[str, Any]:
    """A message with all that is known of it. The keys never change their meaning; new ones may come."""
    return {
        "body": message.body,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "headers": message.headers,
        "message_id": message.message_id,
        "correlation_id": message.correlation_id,
        "reply_to": message.reply_to,
        "content_type": message.content_type,
        "published_at": message.published_at,
        "offset": message.offset,
        "attempt": message.attempt,
        "redelivered": message.redelivered,
    }
