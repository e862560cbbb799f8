"""Exchanges: what each is, where it leads, and where a message would go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, final

from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.errors import UnknownExchange
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import BindingSpec
from posthouse.transport.messages_monitor import ActorReading
from posthouse.web.pages.listing import Listing
from posthouse.web.pages.snapshot import Snapshot
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import duration, readable_map

UNROUTED: Final = {
    "hold": "holds what no queue wants",
    "dead-letter": "makes dead letters of what no queue wants",
    "alternate": "passes on what no queue wants",
    "return": "tells the publisher when no queue wants it",
    "drop": "drops what no queue wants",
}
BINDINGS_MAX: Final = 500


@final
class ExchangeRow(NamedTuple):
    """One exchange in the list."""

    name: str
    href: str
    kind: str
    state: str
    published: float
    routed: float
    bindings: int
    unrouted: str
    held: int


SORTS: Final[dict[str, Callable[[ExchangeRow], Any]]] = {
    "name": lambda row: row.name.casefold(),
    "kind": lambda row: row.kind,
    "published": lambda row: row.published,
    "routed": lambda row: row.routed,
    "bindings": lambda row: row.bindings,
    "held": lambda row: row.held,
}


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    exchanges, bindings = await broker.exchanges(), await broker.bindings()
    search = visit.query.text("q").strip()
    rows = [row for row in rows_of(exchanges, bindings, snapshot) if search.casefold() in row.name.casefold()]
    listing = Listing("/exchanges", visit.query, rows, SORTS, rising=frozenset({"name", "kind"}), kept={"q": search})
    return {"list": listing, "search": search, "total": len(exchanges)}


def rows_of(exchanges: list[ExchangeInfo], bindings: list[BindingSpec], snapshot: Snapshot) -> list[ExchangeRow]:
    """The rows of all exchanges."""
    leaving: dict[str, int] = {}
    for binding in bindings:
        leaving[binding.source] = leaving.get(binding.source, 0) + 1
    readings = {reading.name: reading for reading in snapshot.of("exchange")}
    nothing = ActorReading(id="", kind="exchange", state="up")
    return [
        ExchangeRow(
            name=exchange.name,
            href=url("/exchange", name=exchange.name),
            kind=exchange.kind,
            state=(reading := readings.get(exchange.name, nothing)).state,
            published=reading.rates.get("published", 0.0),
            routed=reading.rates.get("routed", 0.0),
            bindings=leaving.get(exchange.name, 0),
            unrouted=exchange.unrouted,
            held=exchange.held,
        )
        for exchange in exchanges
    ]


async def one_view(visit: Visit) -> Mapping[str, Any]:
    """One exchange, its bindings, and the explanation that was asked for. Raises UnknownExchange."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    name = visit.query.text("name")
    exchange = next((one for one in await broker.exchanges() if one.name == name), None)
    if exchange is None:
        raise UnknownExchange(f"there is no exchange {name!r}")
    bindings = await broker.bindings()
    out = [one for one in bindings if one.source == name]
    return {
        "exchange": exchange,
        "reading": snapshot.named("exchange", name) or ActorReading(id="", kind="exchange"),
        "facts": facts(exchange),
        "out": out[:BINDINGS_MAX],
        "out_count": len(out),
        "into": [one for one in bindings if one.to_exchange and one.destination == name],
        "key": visit.query.text("key"),
        "headers": visit.query.raw("headers"),
        "found": await _explained(visit, name),
        "readable_map": readable_map,
    }


async def _explained(visit: Visit, name: str) -> Explanation | None:
    if not visit.query.text("explain"):
        return None
    headers = visit.query.headers("headers")
    return await (await visit.broker()).explain(name, routing_key=visit.query.text("key"), headers=headers)


def facts(exchange: ExchangeInfo) -> list[str]:
    """What it is, in a few words each."""
    unrouted = UNROUTED.get(exchange.unrouted, exchange.unrouted)
    if exchange.alternate is not None and exchange.unrouted == "alternate":
        unrouted += f" to {exchange.alternate or 'the default exchange'}"
    if exchange.unrouted == "hold" and exchange.hold_for_ms is not None:
        unrouted += f" for {duration(exchange.hold_for_ms / 1000)}"
    found = [exchange.kind, "durable" if exchange.durable else "gone with the broker", unrouted]
    if exchange.internal:
        found.append("takes messages from other exchanges only")
    if exchange.auto_delete:
        found.append("goes with its last binding")
    return found
