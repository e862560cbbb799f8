"""Queues and the messages in them: declare, look, publish, purge, pause."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal, final

import msgspec

from posthouse.admin import Looked
from posthouse.breaker import Breaker
from posthouse.message import Message
from posthouse.receipt import PublishReceipt
from posthouse.retry import Retry
from posthouse.transport.descriptions import QueueInfo
from posthouse.transport.errors import InvalidArgument
from posthouse.web.api_topology import Done
from posthouse.web.bodies import BODY_BYTES_DEFAULT, BodyShown, body_of, check_body_bytes, show_body
from posthouse.web.listing import Window, is_named, listing_of, part_of
from posthouse.web.operation import Call, Operation

LOOK_MAX: Final = 200


@final
class QueueQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`name`: with that text in the name. `state`: in that state only."""

    name: str | None = None
    state: str | None = None


@final
class RetryWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What becomes of a message whose delivery failed."""

    kind: Literal["exponential", "linear", "fixed", "off"] = "exponential"
    max_attempts: int = 5
    first_delay_s: float = 1.0
    factor: float = 2.0
    max_delay_s: float = 600.0
    jitter: bool = True


@final
class BreakerWish(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """When the queue stops delivering because nearly everything fails."""

    window: int = 20
    failure_share: float = 0.8
    probe_after_s: float = 5.0
    max_probe_after_s: float = 60.0


@final
class QueueDeclaration(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """As `declare_queue` takes it. An exclusive queue belongs to a connection, so there is none here."""

    durable: bool = True
    auto_delete: bool = False
    single_active_consumer: bool = False
    priority: bool = False
    retry: RetryWish | None = None
    breaker: BreakerWish | None = None
    ttl_s: float | None = None
    ack_timeout_s: float | None = None
    expires_s: float | None = None
    max_length: int | None = None
    max_bytes: int | None = None
    overflow: Literal["drop-head", "reject-publish", "dead-letter"] = "drop-head"
    dead_letter: Literal["store", "off"] = "store"
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None


@final
class DeleteQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`if_unused`: not when it has consumers. `if_empty`: not when it has messages."""

    if_unused: bool = False
    if_empty: bool = False


@final
class Removed(msgspec.Struct, frozen=True):
    """How many messages went."""

    removed: int


@final
class PeekQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`count` messages above the offset `after`. `place`: only those that are there. `body_bytes`: of each body."""

    count: int = 10
    after: int = 0
    place: Literal["ready", "unacked", "waiting", "leaving"] | None = None
    body_bytes: int = BODY_BYTES_DEFAULT


@final
class GetQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`requeue`: it returns to its place once it was shown. `body_bytes`: of its body."""

    requeue: bool = False
    body_bytes: int = BODY_BYTES_DEFAULT


@final
class MessageShown(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `place`: ready, unacked (held by `client` since `since`), waiting (until `due`) or leaving."""

    offset: int
    message_id: str
    exchange: str
    routing_key: str
    headers: dict[str, Any]
    body: BodyShown
    correlation_id: str | None
    reply_to: str | None
    content_type: str | None
    published_at: datetime
    attempt: int
    redelivered: bool
    place: str = ""
    client: str = ""
    consumer: int = 0
    since: datetime | None = None
    due: datetime | None = None


@final
class Publication(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A message to be published. `body` is text; what is no text goes into `body_base64`."""

    exchange: str = ""
    routing_key: str = ""
    body: str | None = None
    body_base64: str | None = None
    headers: dict[str, Any] | None = None
    durability: Literal["sync", "os", "memory"] | None = None
    ttl_s: float | None = None
    priority: int | None = None
    delay_s: float | None = None
    deliver_at: datetime | None = None
    schedule_key: str | None = None
    message_id: str | None = None
    correlation_id: str | None = None
    content_type: str | None = None
    dedup_id: str | None = None


async def queues(call: Call) -> Any:
    """All queues, by name, each as it says itself."""
    wanted: QueueQuery = call.query
    broker = await call.broker()
    names = [name for name in await broker.admin.queue_names() if is_named(name, wanted.name)]
    if wanted.state is not None:
        return part_of([one for one in await broker.queues(names) if one.state == wanted.state], wanted)
    part = part_of(names, wanted)
    return {"items": await broker.queues(part["items"]), "total": part["total"]}


async def queue(call: Call) -> Any:
    """One queue."""
    return await (await call.broker()).queue_info(call.path["queue"])


async def declare_queue(call: Call) -> Any:
    """Make a queue, or check that it is as described."""
    wished = msgspec.structs.asdict(call.body)
    retry, breaker = wished.pop("retry"), wished.pop("breaker")
    return await (await call.broker()).declare_queue(
        call.path["queue"],
        retry=None if retry is None else Retry(**msgspec.structs.asdict(retry)),
        breaker=None if breaker is None else Breaker(**msgspec.structs.asdict(breaker)),
        **wished,
    )


async def delete_queue(call: Call) -> Any:
    """Remove a queue, its bindings and its messages."""
    wanted: DeleteQuery = call.query
    broker = await call.broker()
    return Removed(await broker.delete_queue(call.path["queue"], if_unused=wanted.if_unused, if_empty=wanted.if_empty))


async def purge(call: Call) -> Any:
    """Remove what is ready or waits. What consumers hold stays."""
    return Removed(await (await call.broker()).purge_queue(call.path["queue"]))


async def pause(call: Call) -> Any:
    """Deliver nothing until it is resumed, restarts included. Messages still come in."""
    await (await call.broker()).admin.pause_queue(call.path["queue"])
    return Done()


async def resume(call: Call) -> Any:
    """Deliver again."""
    await (await call.broker()).admin.resume_queue(call.path["queue"])
    return Done()


async def peek(call: Call) -> Any:
    """Look at messages, changing nothing: in the order of their offsets, wherever they are, with who holds them.

    To go on, ask again with `after` the last offset. A part of the answer may be missing at its end where it would be
    too large.
    """
    wanted: PeekQuery = call.query
    if not 1 <= wanted.count <= LOOK_MAX:
        raise InvalidArgument(f"count is {wanted.count}; it is 1 to {LOOK_MAX}")
    broker = await call.broker()
    found = await broker.admin.look(
        call.path["queue"],
        wanted.count,
        after=wanted.after,
        place=wanted.place,
        body_bytes=check_body_bytes(wanted.body_bytes),
    )
    return [_looked(one, wanted.body_bytes) for one in found]


async def get(call: Call) -> Any:
    """Take one message out of the queue, or null when nothing is ready.

    It is gone when it is shown; with `requeue` it returns to its place instead, and counts as delivered once more.
    """
    wanted: GetQuery = call.query
    bytes_max = check_body_bytes(wanted.body_bytes)
    broker = await call.broker()
    message = await broker.get(call.path["queue"], auto_ack=not wanted.requeue)
    if message is None:
        return None
    found = _shown(message.received, bytes_max)
    if wanted.requeue:
        await message.nack(retry_after_s=0.0)
    return found


async def publish(call: Call) -> Any:
    """Publish one message, and wait until every queue it reaches has it on disk. Exchange "": to a queue by name."""
    wished = msgspec.structs.asdict(call.body)
    body = body_of(wished.pop("body"), wished.pop("body_base64"))
    exchange, routing_key, headers = (wished.pop(name) for name in ("exchange", "routing_key", "headers"))
    options = {name: value for name, value in wished.items() if value is not None}
    return await (await call.broker()).publish(exchange, body, routing_key, headers, **options)


def _shown(message: Message, bytes_max: int, **more: Any) -> MessageShown:
    return MessageShown(
        offset=message.offset,
        message_id=message.message_id,
        exchange=message.exchange,
        routing_key=message.routing_key,
        headers=message.headers,
        body=more.pop("body", None) or show_body(message.body, bytes_max),
        correlation_id=message.correlation_id,
        reply_to=message.reply_to,
        content_type=message.content_type,
        published_at=message.published_at,
        attempt=message.attempt,
        redelivered=message.redelivered,
        **more,
    )


def _looked(one: Looked, bytes_max: int) -> MessageShown:
    return _shown(
        one.message,
        bytes_max,
        body=show_body(one.message.body, bytes_max, one.size),
        place=one.place,
        client=one.client,
        consumer=one.consumer,
        since=one.since,
        due=one.due,
    )


OPERATIONS: Final = (
    Operation("list_queues", "GET", "/queues", queues, listing_of(QueueInfo), query=QueueQuery),
    Operation("get_queue", "GET", "/queues/{queue}", queue, QueueInfo),
    Operation(
        "declare_queue", "PUT", "/queues/{queue}", declare_queue, QueueInfo,
        body=QueueDeclaration, is_body_optional=True,
    ),
    Operation("delete_queue", "DELETE", "/queues/{queue}", delete_queue, Removed, query=DeleteQuery),
    Operation("purge_queue", "POST", "/queues/{queue}/purge", purge, Removed),
    Operation("pause_queue", "POST", "/queues/{queue}/pause", pause, Done),
    Operation("resume_queue", "POST", "/queues/{queue}/resume", resume, Done),
    Operation("peek", "GET", "/queues/{queue}/messages", peek, list[MessageShown], query=PeekQuery),
    Operation("get_message", "POST", "/queues/{queue}/get", get, MessageShown | None, query=GetQuery),
    Operation("publish", "POST", "/publish", publish, PublishReceipt, body=Publication),
)  # fmt: skip
