"""The explanation of a route: where a message would go and why, without publishing it."""

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
    say,
)
from posthouse.cli_values import HEADER_HELP, parse_headers
from posthouse.client import Broker
from posthouse.transport.explanation import ExplainedBinding, Explanation

_COLUMNS: Final = (
    Column(""),
    Column("from", can_shrink=True),
    Column("to", can_shrink=True),
    Column("binding", can_shrink=True),
    Column("reason", can_shrink=True),
)


@with_broker
def explain(
    broker: Broker,
    exchange: Annotated[
        str, typer.Argument(metavar="EXCHANGE", help="'' is the default exchange.", show_default=False)
    ],
    key: Annotated[str, typer.Option("--key", "-k", metavar="KEY", help="The routing key.")] = "",
    header: Annotated[list[str] | None, typer.Option("--header", "-H", metavar="NAME=VALUE", help=HEADER_HELP)] = None,
    as_json: AsJson = False,
) -> None:
    """Explain where a message would go, and why not elsewhere. Publishes nothing.

    \b
    Examples:
      posthouse explain flights --key UA.EWR.IAH
      posthouse explain by-headers -H carrier=UA -H cancelled:=true
    """
    found = broker.explain(exchange, routing_key=key, headers=parse_headers(header))
    if as_json:
        print_json(found)
        return
    say(_summary(found))
    for remark in found.notes:
        say(f"note: {printable(remark)}")
    rows: list[Row] = [_row(Cell("✓", "bold green"), binding) for binding in found.matched]
    rows += [_row(Cell("✗", "red"), binding) for binding in found.unmatched]
    say("")
    print_table(_COLUMNS, rows, "There is no binding to look at.")
    left_out = found.matched_count + found.unmatched_count - len(rows)
    if left_out > 0:
        say(f"… and {count(left_out)} more bindings ({count(found.matched_count)} match in all)")


def _summary(found: Explanation) -> str:
    what = f"a message to {name_of(found.exchange).text} with key {printable(found.routing_key)!r}"
    if found.queues:
        return f"{what} reaches {', '.join(map(printable, found.queues))}"
    return f"{what} reaches no queue; the exchange's policy: {found.unrouted}"


def _row(mark: Cell, binding: ExplainedBinding) -> Row:
    destination = name_of(binding.destination)
    if binding.to_exchange:
        destination = Cell(f"{destination.text} (exchange)", destination.style)
    wanted = " ".join(filter(None, (printable(binding.key), readable_map(binding.arguments))))
    return mark, name_of(binding.source), destination, wanted, printable(binding.reason)
