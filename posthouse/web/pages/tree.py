"""The supervision tree: every actor with its lives, its state, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple, final

from posthouse.transport.messages_monitor import ActorReading
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import When, when_ms

GROUPS: Final = {
    "broker": "what everything hangs on",
    "stores": "delayed messages and dead letters",
    "queues": "one process each",
    "exchanges": "one process each",
    "edge": "doors to the outside, and who watches",
}
"""From the top of the tree down."""
ROWS_MAX: Final = 100
"""Of one group; what is not up comes first, so nothing worth a look is left out."""


@final
class Row(NamedTuple):
    """One actor."""

    reading: ActorReading
    href: str
    since: When | None
    busy: float
    replay_s: float


@final
class Group(NamedTuple):
    """A supervisor's children."""

    name: str
    text: str
    rows: list[Row]
    actors: int
    not_up: int
    restarts: int


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    snapshot = await visit.snapshot()
    return {"groups": groups(snapshot.overview.actors, snapshot.now_ms), "pid": snapshot.overview.pid}


def groups(actors: Iterable[ActorReading], now_ms: int) -> list[Group]:
    """The tree from the top down."""
    by_name: dict[str, list[ActorReading]] = {name: [] for name in GROUPS}
    for actor in actors:
        by_name.setdefault(actor.group, []).append(actor)
    return [_group(name, found, now_ms) for name, found in by_name.items() if found]


def _group(name: str, actors: list[ActorReading], now_ms: int) -> Group:
    shown = sorted(actors, key=lambda actor: (actor.state == "up", -actor.restarts, actor.id))[:ROWS_MAX]
    if len(actors) <= ROWS_MAX:
        shown.sort(key=lambda actor: (actor.state == "up", actor.id if name != "broker" else ""))
    return Group(
        name,
        GROUPS.get(name, ""),
        [_row(actor, now_ms) for actor in shown],
        len(actors),
        sum(actor.state != "up" for actor in actors),
        sum(actor.restarts for actor in actors),
    )


def _row(actor: ActorReading, now_ms: int) -> Row:
    since = when_ms(int(actor.started_at * 1000), now_ms) if actor.started_at else None
    return Row(
        actor, place_of(actor), since, actor.rates.get("busy_seconds", 0.0), actor.values.get("replay_seconds", 0.0)
    )


def place_of(actor: ActorReading) -> str:
    """The page about what this actor does; empty where there is none."""
    match actor.kind:
        case "queue":
            return url("/queue", name=actor.name)
        case "exchange":
            return url("/exchange", name=actor.name or None)
        case "delay":
            return "/delayed"
        case "dead-letter":
            return "/dead-letters"
        case _:
            return ""
