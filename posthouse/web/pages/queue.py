"""One queue: its figures, who consumes it, what leads to it, its first messages, and what an operator may do to it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple, final

from posthouse.admin import OFFSET_MAX, Looked
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import QueueInfo
from posthouse.transport.messages_monitor import ActorReading
from posthouse.web.pages.bodies import SHOWN_BYTES_MAX, WHOLE_BYTES_MAX, Body, shown_body
from posthouse.web.pages.drawing import seconds_at
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import When, plural, readable_map, when

LOOKED_AT: Final = 10
LOOKED_AT_MAX: Final = 100
PLACES: Final = {
    "": "wherever they are",
    "ready": "ready",
    "unacked": "held by consumers",
    "waiting": "waiting for another attempt",
    "leaving": "on their way to the dead letters",
}


@final
class Shown(NamedTuple):
    """A message looked at. `place` says in words where it is, and since when."""

    offset: int
    href: str
    message_id: str
    why: str
    exchange: str
    routing_key: str
    headers: str
    content_type: str
    published: When
    attempt: int
    place: str
    moment: When | None
    body: Body


@final
class Property(NamedTuple):
    """One line of what a queue is."""

    name: str
    text: str


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows. Raises UnknownQueue."""
    name = visit.query.text("name")
    broker, snapshot = await visit.broker(), await visit.snapshot()
    info = await broker.queue_info(name)
    reading = snapshot.named("queue", name) or ActorReading(id="", kind="queue")
    return {
        "info": info,
        "reading": reading,
        "is_paused": info.is_paused,
        "properties": properties(info),
        "latencies": latencies(reading),
        "consumers": await broker.consumers(name),
        "readable_map": readable_map,
        **({} if visit.is_live else await _still(visit, name, snapshot.now_ms)),
    }


async def _still(visit: Visit, name: str, now_ms: int) -> Mapping[str, Any]:
    """What does not change by itself while somebody reads it: the messages above all."""
    broker = await visit.broker()
    count = visit.query.whole("count", LOOKED_AT, 1, LOOKED_AT_MAX)
    after, place = visit.query.whole("after", 0, 0, OFFSET_MAX), visit.query.choice("place", tuple(PLACES))
    found = await broker.admin.look(name, count, after=after, place=place or None, body_bytes=SHOWN_BYTES_MAX)
    # Fewer come where the bodies are large, so only an empty answer says for certain that there is nothing more.
    more = url("/queue", name=name, after=found[-1].message.offset, place=place, count=count) if found else ""
    return {
        "bindings": [one for one in await broker.bindings() if one.destination == name and not one.to_exchange],
        "messages": [shown_message(one, name, now_ms) for one in found],
        "count": count,
        "after": after,
        "place": place,
        "places": PLACES,
        "more": f"{more}#messages" if more else "",
    }


async def message_view(visit: Visit) -> Mapping[str, Any]:
    """One message with more of its body. Raises UnknownQueue."""
    name, offset = visit.query.text("name"), visit.query.whole("offset", 1, 1, OFFSET_MAX)
    broker, snapshot = await visit.broker(), await visit.snapshot()
    found = await broker.admin.look(name, 1, after=offset - 1, body_bytes=WHOLE_BYTES_MAX)
    one = found[0] if found and found[0].message.offset == offset else None
    return {
        "name": name,
        "offset": offset,
        "one": None if one is None else shown_message(one, name, snapshot.now_ms, WHOLE_BYTES_MAX),
    }


def shown_message(one: Looked, queue: str, now_ms: int, bytes_max: int = SHOWN_BYTES_MAX) -> Shown:
    """One message for people."""
    message = one.message
    place, at = _place(one)
    return Shown(
        offset=message.offset,
        href=url("/queue/message", name=queue, offset=message.offset),
        message_id=message.message_id,
        why=url("/why", id=message.message_id),
        exchange=message.exchange,
        routing_key=message.routing_key,
        headers=readable_map(message.headers),
        content_type=message.content_type or "",
        published=when(message.published_at, now_ms),
        attempt=message.attempt,
        place=place,
        moment=None if at is None else when(at, now_ms),
        body=shown_body(message.body, bytes_max, whole=one.size),
    )


def _place(one: Looked) -> tuple[str, datetime | None]:
    match one.place:
        case "unacked":
            return f"held by {one.client or 'a client without a name'}", one.since
        case "waiting":
            return "waits for its next attempt", one.due
        case "leaving":
            return "on its way to the dead letters", None
        case _:
            return "ready", None


def properties(info: QueueInfo) -> list[Property]:
    """What it is, in words."""
    kind = "exclusive" if info.exclusive else "durable" if info.durable else "gone with the broker"
    found = [Property("kind", kind + (", goes with its last consumer" if info.auto_delete else ""))]
    if info.single_active_consumer:
        found.append(Property("consumers", "one active at a time"))
    if info.ready_by_priority:
        by = [f"{number}: {count:,}" for number, count in enumerate(info.ready_by_priority) if count]
        found.append(Property("by priority", ", ".join(reversed(by)) or "nothing ready"))
    if info.breaker:
        found.append(Property("breaker", f"{info.breaker}, opened {plural(info.breaker_opened, 'time')}"))
    for name, count in (
        ("redelivered", info.redelivered),
        ("rejected", info.rejected),
        ("dead letters", info.dead_lettered),
        ("expired", info.expired),
        ("dropped", info.dropped),
        ("duplicates", info.duplicates),
    ):
        if count:
            found.append(Property(name, f"{count:,}"))
    return found


def latencies(reading: ActorReading) -> dict[str, float | None]:
    """From publishing to the first delivery, half of them and nearly all, in seconds."""
    counts = reading.histograms.get("delivery_seconds", [])
    return {"half": seconds_at(counts, 0.5), "most": seconds_at(counts, 0.99)}


async def purge_view(visit: Visit) -> Mapping[str, Any]:
    """Before everything that is ready is deleted. Raises UnknownQueue."""
    return {"info": await (await visit.broker()).queue_info(visit.query.text("name"))}


# ---- actions ----


async def publish(visit: Visit, form: Fields) -> Done:
    """A test message, through the default exchange or the one that is named."""
    name, exchange = form.text("name"), form.text("exchange")
    key = form.text("key") or (name if not exchange else "")
    options: dict[str, Any] = {"content_type": form.line("content_type"), "delay_s": form.number("delay_s")}
    given = {option: value for option, value in options.items() if value is not None}
    body = form.raw("body").replace("\r\n", "\n").encode()
    receipt = await (await visit.broker()).publish(exchange, body, key, form.headers("headers"), **given)
    back = url("/queue", name=name) if name else url("/exchange", name=exchange or None)
    if receipt.scheduled_id:
        return Done(back, f"Scheduled under the number {receipt.scheduled_id}.")
    if receipt.held:
        return Done(back, "No queue wants it: the exchange holds it.", "warn")
    reached = ", ".join(receipt.queues)
    return Done(back, f"Published, and on disk in {reached}." if reached else "Published, and no queue wanted it.")


async def purge(visit: Visit, form: Fields) -> Done:
    """Delete what is ready."""
    name = form.text("name")
    if form.text("typed") != name:
        raise InvalidArgument(f"the name you typed is not {name!r}; type it exactly to purge that queue")
    purged = await (await visit.broker()).purge_queue(name)
    return Done(url("/queue", name=name), f"Deleted {plural(purged, 'message')}.")


async def pause(visit: Visit, form: Fields) -> Done:
    """Deliver nothing until it is told to go on."""
    name = form.text("name")
    await (await visit.broker()).admin.pause_queue(name)
    return Done(url("/queue", name=name), "Paused: it takes messages in and delivers none, restarts included.")


async def resume(visit: Visit, form: Fields) -> Done:
    """Deliver again."""
    name = form.text("name")
    await (await visit.broker()).admin.resume_queue(name)
    return Done(url("/queue", name=name), "It delivers again.")
