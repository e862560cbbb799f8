"""The listings: queues, exchanges and bindings, as tables and as JSON.

They show what the broker answers and change nothing.
"""

from __future__ import annotations

from typing import Annotated, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_output import (
    Cell,
    Column,
    Row,
    count,
    name_of,
    print_json,
    print_table,
    printable,
    readable_map,
    size,
    state,
    yes,
)
from posthouse.client import Broker
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.messages import BindingSpec, QueueInfo

_QUEUES: Final = (
    Column("queue", can_shrink=True),
    Column("state"),
    Column("ready", is_number=True),
    Column("unacked", is_number=True),
    Column("consumers", is_number=True),
    Column("size", is_number=True),
    Column("properties", can_shrink=True),
)
_QUEUE_TOTALS: Final = (
    Column("stored", is_number=True),
    Column("delivered", is_number=True),
    Column("redelivered", is_number=True),
    Column("acked", is_number=True),
    Column("rejected", is_number=True),
    Column("duplicates", is_number=True),
    Column("late", is_number=True),
    Column("journal", is_number=True),
)


@with_broker
def queues(
    broker: Broker,
    as_json: AsJson = False,
    wide: Annotated[bool, typer.Option("--wide", help="Also what happened since the queue's actor started.")] = False,
) -> None:
    """List the queues with what is in them.

    \b
    Examples:
      posthouse queues --wide
      posthouse queues --json | jq '.[] | select(.ready > 1000) | .name'
    """
    found = sorted(broker.queues(), key=lambda queue: queue.name)
    if as_json:
        print_json(found)
        return
    columns = (*_QUEUES, *_QUEUE_TOTALS) if wide else _QUEUES
    rows = [(*_queue_row(queue), *_queue_totals(queue)) if wide else _queue_row(queue) for queue in found]
    print_table(columns, rows, "There are no queues. Make one: posthouse declare queue NAME")


def _queue_row(queue: QueueInfo) -> tuple[str | Cell, ...]:
    return (
        name_of(queue.name),
        state(queue.state),
        count(queue.ready),
        count(queue.unacked),
        # A queue that fills while nobody takes from it is what people look for in this table.
        Cell(count(queue.consumers), "yellow" if queue.ready and not queue.consumers else ""),
        size(queue.bytes),
        queue_properties(queue),
    )


def _queue_totals(queue: QueueInfo) -> tuple[str | Cell, ...]:
    return (
        count(queue.stored),
        count(queue.delivered),
        count(queue.redelivered),
        count(queue.acked),
        count(queue.rejected),
        count(queue.duplicates),
        count(queue.late_calls),
        size(queue.journal_bytes),
    )


def queue_properties(queue: QueueInfo) -> str:
    """What is special about a queue, in words."""
    return _words(
        yes(not queue.durable, "transient"),
        yes(queue.exclusive, "exclusive"),
        yes(queue.auto_delete, "auto-delete"),
        yes(queue.single_active_consumer, "single-active"),
        yes(bool(queue.ready_by_priority), "priorities"),
        yes(queue.is_paused, "paused"),
        yes(queue.breaker in ("open", "probing"), "paused by breaker"),
    )


@with_broker
def exchanges(broker: Broker, as_json: AsJson = False) -> None:
    """List the exchanges with their kind and what they do with what no queue wants.

    Example:  posthouse exchanges
    """
    found = sorted(broker.exchanges(), key=lambda exchange: exchange.name)
    if as_json:
        print_json(found)
        return
    columns = (
        Column("exchange", can_shrink=True),
        Column("kind"),
        Column("unrouted"),
        Column("held", is_number=True),
        Column("properties", can_shrink=True),
    )
    print_table(columns, map(_exchange_row, found), "There are no exchanges.")


def _exchange_row(exchange: ExchangeInfo) -> Row:
    unrouted = exchange.unrouted
    if exchange.alternate is not None:
        unrouted += f" {name_of(exchange.alternate).text}"
    properties = _words(
        yes(not exchange.durable, "transient"),
        yes(exchange.auto_delete, "auto-delete"),
        yes(exchange.internal, "internal"),
    )
    return name_of(exchange.name), exchange.kind, unrouted, count(exchange.held), properties


@with_broker
def bindings(broker: Broker, as_json: AsJson = False) -> None:
    """List the bindings: from which exchange to which queue or exchange, and for which messages.

    Example:  posthouse bindings --json | jq '.[] | select(.destination == "newark")'
    """
    found = sorted(broker.bindings(), key=lambda binding: (binding.source, binding.destination, binding.key))
    if as_json:
        print_json(found)
        return
    columns = (
        Column("from", can_shrink=True),
        Column("to", can_shrink=True),
        Column("is a"),
        Column("key", can_shrink=True),
        Column("headers", can_shrink=True),
    )
    print_table(
        columns,
        map(_binding_row, found),
        "There are no bindings. Make one: posthouse bind EXCHANGE QUEUE KEY",
    )


def _binding_row(binding: BindingSpec) -> Row:
    return (
        name_of(binding.source),
        name_of(binding.destination),
        "exchange" if binding.to_exchange else "queue",
        printable(binding.key),
        readable_map(binding.arguments),
    )


def _words(*words: str) -> str:
    return ", ".join(filter(None, words))
