"""All queues: searched, sorted, in pages. A thousand of them cost one question to the monitor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, final

from posthouse.transport.messages_monitor import ActorReading
from posthouse.web.pages.listing import Listing
from posthouse.web.pages.visit import Visit, url


@final
class QueueRow(NamedTuple):
    """One queue in the list. Ages in seconds, None where there is nothing that old."""

    name: str
    href: str
    state: str
    ready: int
    unacked: int
    waiting: int
    consumers: int
    taken: float
    acked: float
    oldest_s: float | None
    bytes: int


SORTS: Final[dict[str, Callable[[QueueRow], Any]]] = {
    "name": lambda row: row.name.casefold(),
    "ready": lambda row: row.ready,
    "unacked": lambda row: row.unacked,
    "waiting": lambda row: row.waiting,
    "in": lambda row: row.taken,
    "acked": lambda row: row.acked,
    "oldest": lambda row: row.oldest_s or 0.0,
    "consumers": lambda row: row.consumers,
    "size": lambda row: row.bytes,
}
SHOWS: Final[dict[str, tuple[str, Callable[[QueueRow], bool]]]] = {
    "": ("all queues", lambda row: True),
    "waiting": ("with messages", lambda row: row.ready + row.unacked + row.waiting > 0),
    "alone": ("with messages and no consumer", lambda row: row.ready > 0 and not row.consumers),
    "trouble": ("in trouble", lambda row: row.state != "up"),
}


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    snapshot = await visit.snapshot()
    search, shown = visit.query.text("q").strip(), visit.query.choice("show", tuple(SHOWS))
    every = [row_of(reading) for reading in snapshot.of("queue")]
    wanted, is_wanted = search.casefold(), SHOWS[shown][1]
    found = [row for row in every if wanted in row.name.casefold() and is_wanted(row)]
    listing = Listing("/queues", visit.query, found, SORTS, kept={"q": search, "show": shown})
    return {"list": listing, "search": search, "shown": shown, "shows": SHOWS, "total": len(every)}


def row_of(reading: ActorReading) -> QueueRow:
    """The row of a queue."""
    values = reading.values
    return QueueRow(
        name=reading.name,
        href=url("/queue", name=reading.name),
        state=state_of(reading),
        ready=int(values.get("ready", 0)),
        unacked=int(values.get("unacked", 0)),
        waiting=int(values.get("waiting", 0)),
        consumers=int(values.get("consumers", 0)),
        taken=reading.rates.get("stored", 0.0),
        acked=reading.rates.get("acked", 0.0),
        oldest_s=values.get("oldest_ready_age_seconds"),
        bytes=int(values.get("body_bytes", 0)),
    )


def state_of(reading: ActorReading) -> str:
    """The actor's state; where it is up, what keeps its messages back."""
    if reading.state != "up":
        return reading.state
    if reading.values.get("paused"):
        return "paused"
    return "breaker open" if reading.values.get("breaker_open") else "up"
