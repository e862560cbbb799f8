"""What `posthouse top` shows of each actor, in which order, and of the broker as a whole.

Pure: an `Overview` of the monitor in, rows and totals out. What an actor takes in, hands out and keeps has another name
in each kind; here they are put side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final, final

from posthouse.transport.messages_monitor import ActorReading, Overview


@final
class SortKey(StrEnum):
    """By what the rows are sorted, the most first; the name is sorted from A to Z."""

    ACTIVITY = "activity"
    READY = "ready"
    UNACKED = "unacked"
    IN = "in"
    OUT = "out"
    AGE = "age"
    MEMORY = "memory"
    CPU = "cpu"
    RESTARTS = "restarts"
    NAME = "name"


@final
@dataclass(frozen=True, slots=True)
class Row:
    """One actor. Rates are messages per second, `cpu` is the share of one core, `age_s` of the oldest message.

    `ready` counts what the actor keeps and could hand out: ready messages of a queue, held ones of an exchange,
    scheduled ones, dead letters.
    """

    id: str
    kind: str
    state: str
    ready: int
    unacked: int
    waiting: int
    in_per_s: float
    out_per_s: float
    acked_per_s: float
    dead_per_s: float
    age_s: float
    consumers: int
    rss_bytes: int
    journal_bytes: int
    cpu: float
    restarts: int
    started_at: float
    generation: int
    is_paused: bool


@final
@dataclass(frozen=True, slots=True)
class Totals:
    """The broker as a whole."""

    actors: int
    not_up: tuple[str, ...]
    restarts: int
    rss_bytes: int
    cpu: float
    published_per_s: float
    delivered_per_s: float
    acked_per_s: float
    ready: int
    unacked: int
    delayed: int
    held: int
    dead: int
    consumers: int


# Kind of actor: what it keeps, what comes in, what goes out, and the age of the oldest.
_WORDS: Final[dict[str, tuple[str, str, str, tuple[str, ...]]]] = {
    "queue": ("ready", "stored", "delivered", ("oldest_ready_age_seconds", "oldest_unacked_age_seconds")),
    "exchange": ("held", "published", "routed", ("oldest_held_age_seconds",)),
    "delay": ("scheduled", "taken", "fired", ()),
    "dead-letter": ("letters", "buried", "redriven", ()),
}


def rows_of(overview: Overview, pattern: str = "", sort: SortKey = SortKey.ACTIVITY) -> list[Row]:
    """The actors whose id has the text `pattern` in it, or matches it where it has `*` or `?`; sorted."""
    rows = [_row(actor) for actor in overview.actors if _is_wanted(actor.id, pattern)]
    if sort is SortKey.NAME:
        return sorted(rows, key=lambda row: row.id)
    most = _KEYS[sort]
    return sorted(rows, key=lambda row: (*(-value for value in most(row)), row.id))


def totals_of(overview: Overview) -> Totals:
    """Over all actors, whatever is filtered."""
    rows = [_row(actor) for actor in overview.actors]
    queues, exchanges = ([row for row in rows if row.kind == kind] for kind in ("queue", "exchange"))
    return Totals(
        actors=len(rows),
        not_up=tuple(row.id for row in rows if row.state != "up"),
        restarts=sum(row.restarts for row in rows),
        rss_bytes=sum(row.rss_bytes for row in rows),
        cpu=sum(row.cpu for row in rows),
        published_per_s=sum(row.in_per_s for row in exchanges),
        delivered_per_s=sum(row.out_per_s for row in queues),
        acked_per_s=sum(row.acked_per_s for row in queues),
        ready=sum(row.ready for row in queues),
        unacked=sum(row.unacked for row in queues),
        delayed=sum(row.ready for row in rows if row.kind == "delay"),
        held=sum(row.ready for row in exchanges),
        dead=sum(row.ready for row in rows if row.kind == "dead-letter"),
        consumers=sum(row.consumers for row in queues),
    )


_KEYS: Final[dict[SortKey, Callable[[Row], tuple[float, ...]]]] = {
    SortKey.ACTIVITY: lambda row: (row.in_per_s + row.out_per_s, row.ready + row.unacked, row.cpu),
    SortKey.READY: lambda row: (row.ready, row.unacked),
    SortKey.UNACKED: lambda row: (row.unacked, row.ready),
    SortKey.IN: lambda row: (row.in_per_s,),
    SortKey.OUT: lambda row: (row.out_per_s,),
    SortKey.AGE: lambda row: (row.age_s,),
    SortKey.MEMORY: lambda row: (row.rss_bytes,),
    SortKey.CPU: lambda row: (row.cpu,),
    SortKey.RESTARTS: lambda row: (row.restarts,),
}


def _is_wanted(actor_id: str, pattern: str) -> bool:
    if any(letter in pattern for letter in "*?"):
        return fnmatchcase(actor_id.lower(), pattern.lower())
    return pattern.lower() in actor_id.lower()


def _row(actor: ActorReading) -> Row:
    kept, comes, goes, ages = _WORDS.get(actor.kind, ("", "", "", ()))
    values, rates = actor.values, actor.rates
    return Row(
        id=actor.id,
        kind=actor.kind,
        state=actor.state,
        ready=int(values.get(kept, 0)),
        unacked=int(values.get("unacked", 0)),
        waiting=int(values.get("waiting", 0)),
        in_per_s=_sum(rates, comes),
        out_per_s=_sum(rates, goes),
        acked_per_s=rates.get("acked", 0.0),
        dead_per_s=rates.get("dead_lettered", 0.0),
        age_s=max((values.get(age, 0.0) for age in ages), default=0.0),
        consumers=int(values.get("consumers", 0)),
        rss_bytes=actor.rss_bytes,
        journal_bytes=int(values.get("journal_bytes", 0)),
        cpu=actor.cpu,
        restarts=actor.restarts,
        started_at=actor.started_at,
        generation=actor.generation,
        is_paused=values.get("breaker_open", 0) > 0,
    )


def _sum(rates: dict[str, float], word: str) -> float:
    """Of a measure with labels, over all of them."""
    return sum(_labelled(rates, word)) if word else 0.0


def _labelled(rates: dict[str, float], word: str) -> Iterable[float]:
    return (rate for key, rate in rates.items() if key == word or key.startswith(f"{word}:"))
