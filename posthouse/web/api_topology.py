"""Exchanges and bindings, and where a message would go."""

from __future__ import annotations

from typing import Any, Final, Literal, final

import msgspec

from posthouse.transport.descriptions import BindingSpec, ExchangeInfo
from posthouse.transport.explanation import Explanation
from posthouse.web.listing import Window, is_named, listing_of, part_of
from posthouse.web.operation import Call, Operation


@final
class Done(msgspec.Struct, frozen=True):
    """It was done, or was so already."""

    done: bool = True


@final
class NameQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`name`: with that text in the name."""

    name: str | None = None


@final
class BindingQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`source`: from that exchange only; `destination`: to that queue or exchange only."""

    source: str | None = None
    destination: str | None = None


@final
class UnusedQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`if_unused`: not when it has bindings."""

    if_unused: bool = False


@final
class ExchangeDeclaration(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """As `declare_exchange` takes it. What is null is left to the broker."""

    kind: Literal["direct", "topic", "fanout", "headers"] = "direct"
    durable: bool = True
    auto_delete: bool = False
    internal: bool = False
    alternate: str | None = None
    unrouted: Literal["hold", "dead-letter", "alternate", "return", "drop"] | None = None
    hold_for_s: float | None = None
    hold_max_length: int | None = None
    hold_max_bytes: int | None = None


@final
class Binding(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A rule from an exchange to a queue, or with `to_exchange` to another exchange."""

    source: str
    destination: str
    to_exchange: bool = False
    key: str = ""
    arguments: dict[str, Any] | None = None


@final
class Route(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A message that is not published."""

    exchange: str = ""
    routing_key: str = ""
    headers: dict[str, Any] | None = None


async def exchanges(call: Call) -> Any:
    """All exchanges, by name, the default exchange "" first."""
    wanted: NameQuery = call.query
    return part_of([one for one in await (await call.broker()).exchanges() if is_named(one.name, wanted.name)], wanted)


async def declare_exchange(call: Call) -> Any:
    """Make an exchange, or check that it is as described."""
    wished = msgspec.structs.asdict(call.body)
    await (await call.broker()).declare_exchange(call.path["exchange"], wished.pop("kind"), **wished)
    return Done()


async def delete_exchange(call: Call) -> Any:
    """Remove an exchange and its bindings."""
    await (await call.broker()).delete_exchange(call.path["exchange"], if_unused=call.query.if_unused)
    return Done()


async def bindings(call: Call) -> Any:
    """All bindings."""
    wanted: BindingQuery = call.query
    found = [
        one
        for one in await (await call.broker()).bindings()
        if wanted.source in (None, one.source) and wanted.destination in (None, one.destination)
    ]
    return part_of(found, wanted)


async def bind(call: Call) -> Any:
    """Make a binding; one that is there already stays."""
    broker, wished = await call.broker(), call.body
    make = broker.bind_exchange if wished.to_exchange else broker.bind
    await make(wished.source, wished.destination, wished.key, arguments=wished.arguments)
    return Done()


async def unbind(call: Call) -> Any:
    """Take a binding back: the one that says exactly the same."""
    broker, wished = await call.broker(), call.body
    take_back = broker.unbind_exchange if wished.to_exchange else broker.unbind
    await take_back(wished.source, wished.destination, wished.key, arguments=wished.arguments)
    return Done()


async def explain(call: Call) -> Any:
    """Where a message would go, and why. Publishes nothing."""
    route: Route = call.body
    broker = await call.broker()
    return await broker.explain(route.exchange, routing_key=route.routing_key, headers=route.headers)


OPERATIONS: Final = (
    Operation("list_exchanges", "GET", "/exchanges", exchanges, listing_of(ExchangeInfo), query=NameQuery),
    Operation(
        "declare_exchange", "PUT", "/exchanges/{exchange}", declare_exchange, Done,
        body=ExchangeDeclaration, is_body_optional=True,
    ),
    Operation("delete_exchange", "DELETE", "/exchanges/{exchange}", delete_exchange, Done, query=UnusedQuery),
    Operation("list_bindings", "GET", "/bindings", bindings, listing_of(BindingSpec), query=BindingQuery),
    Operation("bind", "POST", "/bindings", bind, Done, body=Binding),
    Operation("unbind", "POST", "/bindings/delete", unbind, Done, body=Binding),
    Operation("explain", "POST", "/explain", explain, Explanation, body=Route),
)  # fmt: skip
