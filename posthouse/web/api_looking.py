"""What is going on: the broker at a glance, the figures of every actor, the tree, the consumers."""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.transport.descriptions import ConsumerInfo
from posthouse.transport.messages_monitor import Overview
from posthouse.transport.messages_sessions import ConnectionInfo
from posthouse.web.listing import Window, is_named, listing_of, part_of
from posthouse.web.operation import Call, Operation


@final
class Status(msgspec.Struct, frozen=True, kw_only=True):
    """The broker at a glance; `healthy` is false when an actor is not up. Counts are over all queues and actors."""

    healthy: bool
    address: str
    actors: int
    not_up: list[str]
    quarantined: list[str]
    restarts: int
    rss_bytes: int
    exchanges: int
    queues: int
    ready: int
    unacked: int
    held: int
    consumers: int
    version: str = ""
    pid: int = 0
    data: str = ""
    listen: str = ""
    http: str = ""
    uptime_s: float = 0.0


@final
class ActorNode(msgspec.Struct, frozen=True, kw_only=True):
    """One actor in the supervision tree. `started_at` is in epoch seconds, `ready_ms` from its start to ready."""

    id: str
    kind: str
    group: str
    state: str
    generation: int = 0
    pid: int = 0
    restarts: int = 0
    last_exit: str = ""
    started_at: float = 0.0
    ready_ms: int = 0
    rss_bytes: int = 0


@final
class OverviewQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`kinds`: of these kinds of actors only. `history`: with a point for each of the last seconds."""

    kinds: list[str] = []
    history: bool = False


@final
class ActorQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`state`: in that state only. `name`: with that text in the id."""

    state: str | None = None
    name: str | None = None


@final
class ConnectionQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`client`: with that text in the client's name."""

    client: str | None = None


@final
class ConsumerQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`queue`: of that queue only. `client`: with that text in the client's name."""

    queue: str | None = None
    client: str | None = None


async def status(call: Call) -> Any:
    """The broker at a glance."""
    return await (await call.broker()).status()


async def overview(call: Call) -> Any:
    """The figures of every actor, at most a second old, and the alarms that stand.

    Costs one question, however many actors there are.
    """
    wanted: OverviewQuery = call.query
    return await (await call.broker()).monitor.overview(wanted.kinds or None, with_history=wanted.history)


async def actors(call: Call) -> Any:
    """The supervision tree: every actor with its life, restarts, memory and last exit."""
    wanted: ActorQuery = call.query
    found = [
        node
        for node in await (await call.broker()).tree()
        if wanted.state in (None, node["state"]) and is_named(node["id"], wanted.name)
    ]
    return part_of(found, wanted)


async def consumers(call: Call) -> Any:
    """All consumers of all queues."""
    wanted: ConsumerQuery = call.query
    found = [one for one in await (await call.broker()).consumers(wanted.queue) if is_named(one.client, wanted.client)]
    return part_of(found, wanted)


async def connections(call: Call) -> Any:
    """Who is connected, the oldest first, each with the actors it talks to. The web itself is among them."""
    wanted: ConnectionQuery = call.query
    found = [one for one in await (await call.broker()).connections() if is_named(one.client, wanted.client)]
    return part_of(found, wanted)


OPERATIONS: Final = (
    Operation("status", "GET", "/status", status, Status),
    Operation("overview", "GET", "/overview", overview, Overview, query=OverviewQuery),
    Operation("list_actors", "GET", "/actors", actors, listing_of(ActorNode), query=ActorQuery),
    Operation(
        "list_connections", "GET", "/connections", connections, listing_of(ConnectionInfo), query=ConnectionQuery
    ),
    Operation("list_consumers", "GET", "/consumers", consumers, listing_of(ConsumerInfo), query=ConsumerQuery),
)
