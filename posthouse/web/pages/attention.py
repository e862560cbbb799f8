"""What needs somebody's attention, the worst first: one list, made of everything the broker knows. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, final

from posthouse.transport.messages_alerts import Alert
from posthouse.transport.messages_dead import Cause
from posthouse.transport.messages_monitor import ActorReading, BrokerEvent, Machine
from posthouse.web.pages.snapshot import Snapshot
from posthouse.web.pages.visit import url
from posthouse.web.pages.words import When, duration, plural, share, size, when_ms

CAUSES_SHOWN: Final = 3
FREE_SHARE_MIN: Final = 0.1
TONES: Final = ("bad", "warn", "note")


@final
class Matter(NamedTuple):
    """`tone`: bad, warn or note. `advice` is what to do, `href` the place to do it."""

    tone: str
    title: str
    text: str
    href: str
    advice: str
    since: When | None = None
    subject: str = ""
    """The actor it is about, so that nothing is told twice."""


def matters(snapshot: Snapshot, causes: Sequence[Cause], alerts: Sequence[Alert] = ()) -> list[Matter]:
    """Everything, the worst first; within one tone in the order in which one would look."""
    now_ms = snapshot.now_ms
    firing = [_alert(alert, now_ms) for alert in alerts if alert.state == "firing"]
    told = {matter.subject for matter in firing}
    standing = [event for event in snapshot.overview.standing if event.kind not in _TOLD_OTHERWISE]
    found = [
        *(matter for actor in snapshot.overview.actors if (matter := _actor(actor)) is not None),
        *(_standing(event, now_ms) for event in standing),
        *_machine(snapshot.overview.machine),
        *(matter for queue in snapshot.of("queue") if (matter := _queue(queue)) is not None),
        *_stores(snapshot),
        *_causes(causes, now_ms),
        *(matter for exchange in snapshot.of("exchange") if (matter := _exchange(exchange)) is not None),
    ]
    every = [*firing, *(matter for matter in found if not matter.subject or matter.subject not in told)]
    return sorted(every, key=lambda matter: TONES.index(matter.tone))


def _alert(alert: Alert, now_ms: int) -> Matter:
    tone = {"critical": "bad", "info": "note"}.get(alert.severity, "warn")
    advice = f"Rule {alert.rule}{', silenced' if alert.silence else ''}"
    told = alert.text.removeprefix(f"{alert.subject}: ")
    text = told[:1].upper() + told[1:]
    since = when_ms(alert.since_ms, now_ms) if alert.since_ms else None
    title = alert.name or alert.subject
    return Matter("note" if alert.silence else tone, title, text, "/alerts", advice, since, alert.subject)


_TOLD_OTHERWISE: Final = frozenset({"breaker_opened"})
"""Alarms that a figure of the same actor tells better."""


def _actor(actor: ActorReading) -> Matter | None:
    if actor.state == "up":
        return None
    last = f"Its last life {actor.last_exit}." if actor.last_exit else ""
    if actor.state == "quarantined":
        advice = "Look at its last exit; exit code 20 means a damaged journal: posthouse journal verify"
        return Matter("bad", f"{actor.id} is quarantined", last, "/actors", advice, subject=actor.id)
    advice = "The supervisor is at it; watch the actors"
    return Matter("warn", f"{actor.id} is {actor.state}", last, "/actors", advice, subject=actor.id)


def _standing(event: BrokerEvent, now_ms: int) -> Matter:
    text = event.text.removeprefix(f"{event.actor}: ")
    since = when_ms(event.at_ms, now_ms)
    return Matter("bad", f"{event.actor} alarms", text, "/events", "Look at the events", since, event.actor)


def _machine(machine: Machine) -> Iterator[Matter]:
    for name, free, whole, advice in (
        ("disk", machine.disk_free_bytes, machine.disk_bytes, "Make room, or consume: settled segments are deleted"),
        ("memory", machine.memory_free_bytes, machine.memory_bytes, "Look which actors use it"),
    ):
        if whole and free / whole < FREE_SHARE_MIN:
            text = f"{size(free)} of {size(whole)} are free, {share(free / whole)}."
            yield Matter("warn", f"The {name} is nearly full", text, "/actors", advice, subject="machine")


def _queue(queue: ActorReading) -> Matter | None:
    href = url("/queue", name=queue.name)
    if queue.values.get("breaker_open"):
        text = f"{plural(int(queue.values.get('ready', 0)), 'message')} wait while it tries one now and then."
        title, advice = f"Nearly every delivery of {queue.name} fails", "Look at what its consumers depend on"
        return Matter("warn", title, text, href, advice, subject=queue.id)
    if queue.values.get("paused"):
        text = f"An operator paused it; {plural(int(queue.values.get('ready', 0)), 'message')} wait."
        return Matter("note", f"{queue.name} is paused", text, href, "Resume it when it may go on")
    return None


def _stores(snapshot: Snapshot) -> Iterator[Matter]:
    if snapshot.value("dead-letter", "store_full"):
        advice = "Redrive or purge dead letters"
        yield Matter("bad", "The dead-letter store is full", "Queues keep what they give up.", "/dead-letters", advice)
    if overdue := int(snapshot.value("delay", "overdue")):
        title = f"{plural(overdue, 'delayed message')} overdue"
        yield Matter("warn", title, "They are due and have not left.", "/delayed", "Look which exchange takes nothing")


def _causes(causes: Sequence[Cause], now_ms: int) -> Iterator[Matter]:
    for cause in causes[:CAUSES_SHOWN]:
        reasons = ", ".join(cause.reasons).replace("_", " ")
        where = f" in {', '.join(cause.queues)}" if cause.queues else ""
        text = f"{cause.cause or 'No error was told'} · {reasons}{where}"
        href, last = url("/dead-letters/cause", fingerprint=cause.fingerprint), when_ms(cause.last_ms, now_ms)
        yield Matter("warn", plural(cause.count, "dead letter"), text, href, "Read one, then redrive", last)
    if rest := sum(cause.count for cause in causes[CAUSES_SHOWN:]):
        text = f"of {plural(len(causes) - CAUSES_SHOWN, 'further cause')}"
        yield Matter("note", plural(rest, "dead letter"), text, "/dead-letters", "See all causes")


def _exchange(exchange: ActorReading) -> Matter | None:
    held = int(exchange.values.get("held", 0))
    if not held:
        return None
    age = exchange.values.get("oldest_held_age_seconds")
    text = f"No queue wants them{'' if age is None else f'; the oldest waits {duration(age)}'}."
    title = f"{exchange.name or 'the default exchange'} holds {plural(held, 'message')}"
    return Matter("note", title, text, url("/held", exchange=exchange.name), "Bind a queue, or let go of them")
