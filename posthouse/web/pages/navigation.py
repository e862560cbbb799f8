"""The pages by name, and what stands beside their names: how much there is to look at. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple, final

from posthouse.web.pages.snapshot import Snapshot
from posthouse.web.pages.words import count

_PLACES: Final = (
    ("/", "Overview"),
    ("/queues", "Queues"),
    ("/exchanges", "Exchanges"),
    ("/delayed", "Delayed"),
    ("/dead-letters", "Dead letters"),
    ("/alerts", "Alerts"),
    ("/connections", "Connections"),
    ("/actors", "Actors"),
    ("/journals", "Journals"),
    ("/events", "Events"),
    ("/why", "Why"),
)
_BELONGS: Final = {
    "/queue": "/queues",
    "/queue/message": "/queues",
    "/queue/purge": "/queues",
    "/exchange": "/exchanges",
    "/held": "/exchanges",
    "/dead-letters/cause": "/dead-letters",
    "/dead-letter": "/dead-letters",
    "/redrive": "/dead-letters",
    "/dead-letters/purge": "/dead-letters",
}
"""Pages that are reached from another."""


@final
class Place(NamedTuple):
    """One entry. `badge` is a number worth a look, `tone` says how urgent."""

    path: str
    name: str
    is_here: bool
    badge: str = ""
    tone: str = ""


def navigation(snapshot: Snapshot | None, path: str) -> list[Place]:
    """All entries, with the one marked that `path` belongs to."""
    here = _BELONGS.get(path, path)
    badges = {} if snapshot is None else _badges(snapshot)
    return [Place(place, name, place == here, *badges.get(place, ("", ""))) for place, name in _PLACES]


def _badges(snapshot: Snapshot) -> dict[str, tuple[str, str]]:
    not_up = sum(reading.state != "up" for reading in snapshot.overview.actors)
    dead = int(snapshot.value("dead-letter", "letters"))
    firing = int(snapshot.value("monitor", "alerts_firing"))
    delayed = int(snapshot.value("delay", "scheduled"))
    found = {
        "/queues": (count(len(snapshot.of("queue"))), ""),
        "/exchanges": (count(len(snapshot.of("exchange"))), ""),
        "/delayed": (count(delayed), ""),
        "/dead-letters": (count(dead), "warn"),
        "/alerts": (count(firing), "bad"),
        "/actors": (f"{not_up} not up", "bad"),
    }
    return {path: badge for path, badge in found.items() if badge[0] not in ("0", "0 not up")}
