"""The first page: is the broker well, what needs attention, and how much goes through."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from posthouse.transport.errors import PosthouseError
from posthouse.transport.messages_alerts import Alert
from posthouse.transport.messages_dead import Cause
from posthouse.transport.messages_monitor import ActorReading, BrokerEvent, Point
from posthouse.web.pages.attention import Matter, matters
from posthouse.web.pages.drawing import Spark, spark
from posthouse.web.pages.snapshot import Snapshot
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import count, duration, plural, rate

BUSIEST: Final = 8
EVENTS_SHOWN: Final = 8
CAUSES_MAX: Final = 50


@final
class Figure(NamedTuple):
    """One number with the line of its last minutes."""

    label: str
    value: str
    unit: str
    spark: Spark | None
    href: str = ""


@final
class BusyQueue(NamedTuple):
    """A queue in the short list."""

    name: str
    href: str
    ready: int
    unacked: int
    taken: float
    acked: float
    consumers: int


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    snapshot = await visit.snapshot()
    broker = await visit.broker()
    causes: list[Cause] = []
    events: list[BrokerEvent] = []
    alerts: list[Alert] = []
    # What one of them does not tell must not hide what all others do; that it is not up is on this page.
    with contextlib.suppress(PosthouseError):
        if snapshot.value("dead-letter", "letters"):
            causes = await broker.dead_letters.causes(limit=CAUSES_MAX)
    with contextlib.suppress(PosthouseError):
        if not snapshot.problem:
            events = await broker.monitor.events(limit=EVENTS_SHOWN)
            alerts = (await broker.alerts.list()).alerts
    found = matters(snapshot, causes, alerts)
    return {
        "headline": headline(snapshot, found),
        "matters": found,
        "figures": figures(snapshot),
        "busiest": busiest(snapshot.of("queue")),
        "events": events[::-1],
        "uptime": uptime(snapshot),
        "machine": snapshot.overview.machine,
        "processes": sum(reading.rss_bytes for reading in snapshot.overview.actors),
        "cpu": sum(reading.cpu for reading in snapshot.overview.actors),
    }


def headline(snapshot: Snapshot, found: Sequence[Matter]) -> str:
    """The state of everything in a sentence."""
    bad = sum(matter.tone == "bad" for matter in found)
    warn = sum(matter.tone == "warn" for matter in found)
    if bad:
        return f"{_number(bad)} {'thing needs' if bad == 1 else 'things need'} you now."
    if warn:
        return f"{_number(warn)} {'thing deserves' if warn == 1 else 'things deserve'} a look."
    return "All is well."


def _number(number: int) -> str:
    words = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return words[number] if number < len(words) else count(number)


def figures(snapshot: Snapshot) -> list[Figure]:
    """What goes through, and what stands."""
    history = snapshot.overview.history
    now = history[-1] if history else Point(at_ms=snapshot.now_ms)
    return [
        _flow("published", now.published, [point.published for point in history]),
        _flow("delivered", now.delivered, [point.delivered for point in history]),
        _flow("acked", now.acked, [point.acked for point in history]),
        _stock("ready", now.ready, [point.ready for point in history], "/queues?sort=ready"),
        _stock("unacked", now.unacked, [point.unacked for point in history], "/queues?sort=unacked"),
        _stock("dead", now.dead, [point.dead for point in history], "/dead-letters"),
    ]


def _flow(label: str, now: float, values: list[float]) -> Figure:
    text = f"{label} per second over {_minutes(values)}: now {rate(now)}, at most {rate(max(values, default=0))}"
    return Figure(label, rate(now), "/s", spark(values, text))


def _stock(label: str, now: int, values: list[int], href: str) -> Figure:
    text = f"{label} messages over {_minutes(values)}: now {count(now)}, at most {count(max(values, default=0))}"
    return Figure(label, count(now), "", spark(values, text), href)


def _minutes(values: Sequence[float]) -> str:
    return f"the last {duration(len(values))}"


def busiest(queues: Sequence[ActorReading]) -> list[BusyQueue]:
    """Where most goes through, or most stands."""
    shown = [
        BusyQueue(
            queue.name,
            url("/queue", name=queue.name),
            int(queue.values.get("ready", 0)),
            int(queue.values.get("unacked", 0)),
            queue.rates.get("stored", 0.0),
            queue.rates.get("acked", 0.0),
            int(queue.values.get("consumers", 0)),
        )
        for queue in queues
    ]
    shown.sort(key=lambda queue: (-round(queue.taken + queue.acked), -queue.ready - queue.unacked, queue.name))
    return shown[:BUSIEST]


def uptime(snapshot: Snapshot) -> str:
    """Since when it runs, and with how many actors."""
    actors = plural(len(snapshot.overview.actors), "actor")
    if not snapshot.overview.started_at:
        return actors
    return f"{actors}, up {duration(snapshot.now_ms / 1000 - snapshot.overview.started_at)}"
