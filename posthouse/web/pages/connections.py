"""Who is connected: which program, from where, since when, and which actors it talks to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, final

from posthouse.transport.messages_sessions import ConnectionInfo, SessionInfo
from posthouse.transport.names import REGISTRY, name_of_actor
from posthouse.web.pages.listing import Listing
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import When, when_ms

PARTNERS_MAX: Final = 4
TONES: Final = {"open": "good", "slow": "warn", "silent": "bad"}


@final
class Partner(NamedTuple):
    """An actor that a client talks to."""

    actor: str
    href: str


@final
class ConnectionRow(NamedTuple):
    """One client. `more`: so many actors besides those that are named."""

    connection: ConnectionInfo
    program: str
    where: str
    since: When
    tone: str
    partners: list[Partner]
    more: int


SORTS: Final[dict[str, Callable[[ConnectionInfo], Any]]] = {
    "since": lambda one: one.since_ms,
    "client": lambda one: one.client.casefold(),
    "in": lambda one: one.received,
    "out": lambda one: one.sent,
    "waiting": lambda one: one.waiting,
}


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    found = await visit.desk.connected.take(await visit.broker())
    search = visit.query.text("q").strip()
    wanted = [one for one in found if is_wanted(one, search.casefold())]
    listing = Listing(
        "/connections", visit.query, wanted, SORTS, rising=frozenset({"since", "client"}), kept={"q": search}
    )
    now_ms = (await visit.snapshot()).now_ms
    return {
        "list": listing,
        "rows": [row_of(one, now_ms) for one in listing.rows],
        "search": search,
        "total": len(found),
    }


def is_wanted(connection: ConnectionInfo, text: str) -> bool:
    """Has it the text in its name, program, address, or in an actor it talks to?"""
    said = (connection.client, connection.program, connection.host, connection.remote, connection.via)
    return any(text in one.casefold() for one in (*said, *(session.actor for session in connection.sessions)))


def row_of(connection: ConnectionInfo, now_ms: int) -> ConnectionRow:
    """The row of one client."""
    # Everybody talks to the registry; those that talk to others too are told by the others.
    partners = [_partner(session) for session in connection.sessions if session.actor != REGISTRY]
    return ConnectionRow(
        connection,
        f"{connection.program} [{connection.pid}]" if connection.program else "",
        connection.remote or connection.host,
        when_ms(connection.since_ms, now_ms),
        TONES.get(connection.state, "warn"),
        partners[:PARTNERS_MAX],
        max(0, len(partners) - PARTNERS_MAX),
    )


def _partner(session: SessionInfo) -> Partner:
    kind, _, _ = session.actor.partition(":")
    name = name_of_actor(session.actor)
    match kind:
        case "queue":
            return Partner(name, url("/queue", name=name))
        case "exchange":
            return Partner(name or "default exchange", url("/exchange", name=name or None))
        case "delay":
            return Partner("delay", "/delayed")
        case "dead-letter":
            return Partner("dead letters", "/dead-letters")
        case _:
            return Partner(session.actor, "/actors")
