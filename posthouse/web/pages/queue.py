"""One queue: its figures, who consumes it, what leads to it, its first messages, and what an operator may do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from posthouse import aio
from posthouse.actors.measure import SECONDS
from posthouse.transport.errors import InvalidArgument, PosthouseError
from posthouse.transport.messages import ConsumerInfo, QueueInfo
from posthouse.transport.messages_monitor import ActorReading
from posthouse.web.pages.bodies import WHOLE_BYTES_MAX, Body, shown_body
from posthouse.web.pages.drawing import quantile
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import When, plural, readable_map, when

PEEKED: Final = 10
PEEKED_MAX: Final = 100
PEEKED_BYTES_MAX: Final = 16 * 1024 * 1024
"""Bodies travel whole from the queue to this process; of large ones fewer are looked at."""


@final
class Peeked(NamedTuple):
    """A message looked at."""

    offset: int
    message_id: str
    why: str
    exchange: str
    routing_key: str
    headers: str
    content_type: str
    published: When
    attempt: int
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
    wanted = visit.query.whole("count", PEEKED, 1, PEEKED_MAX)
    count = peek_count(info, wanted)
    messages = [peeked(message, snapshot.now_ms, count == 1) for message in await broker.peek(name, count)]
    return {
        "info": info,
        "reading": reading,
        "properties": properties(info),
        "consumers": [one for one in await _consumers(broker) if one.queue == name],
        "bindings": [one for one in await broker.bindings() if one.destination == name and not one.to_exchange],
        "messages": messages,
        "asked": wanted,
        "is_cut": count < wanted,
        "latencies": latencies(reading),
        "readable_map": readable_map,
    }


async def _consumers(broker: aio.Broker) -> Sequence[ConsumerInfo]:
    try:
        return await broker.consumers()
    except PosthouseError:
        return []  # Another queue is away, and the answer waits for all; this one can be shown without.


def peek_count(info: QueueInfo, wanted: int) -> int:
    """How many messages may be looked at, so that their bodies stay within bounds."""
    total = info.ready + info.unacked + info.waiting + info.leaving
    if not total or not info.bytes:
        return wanted
    return max(1, min(wanted, int(PEEKED_BYTES_MAX / (info.bytes / total))))


def peeked(message: aio.Message, now_ms: int, is_alone: bool) -> Peeked:
    """One message for people."""
    return Peeked(
        offset=message.offset,
        message_id=message.message_id,
        why=url("/why", id=message.message_id),
        exchange=message.exchange,
        routing_key=message.routing_key,
        headers=readable_map(message.headers),
        content_type=message.content_type or "",
        published=when(message.published_at, now_ms),
        attempt=message.attempt,
        body=shown_body(message.body, WHOLE_BYTES_MAX) if is_alone else shown_body(message.body),
    )


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
    return {"half": quantile(counts, SECONDS, 0.5), "most": quantile(counts, SECONDS, 0.99)}


async def purge_view(visit: Visit) -> Mapping[str, Any]:
    """Before everything that is ready is deleted. Raises UnknownQueue."""
    return {"info": await (await visit.broker()).queue_info(visit.query.text("name"))}


# ---- actions ----


async def publish(visit: Visit, form: Fields) -> Done:
    """A test message, through the default exchange or the one that is named."""
    name, exchange = form.text("name"), form.text("exchange")
    key = form.text("key") or (name if not exchange else "")
    options = {"content_type": form.line("content_type"), "delay_s": form.number("delay_s")}
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
