"""Which production actor stands behind a name, with limits so small that a short run meets them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from posthouse.actors.actor import Actor, Context
from posthouse.actors.dead_letter import DeadLetterActor
from posthouse.actors.dead_letter_store import StoreLimits
from posthouse.actors.declaration import may_hold
from posthouse.actors.delay import DelayActor, DelayLimits
from posthouse.actors.exchange import ExchangeActor
from posthouse.actors.holding import HoldLimits
from posthouse.actors.queue import QueueActor, QueueLimits
from posthouse.actors.registry import RegistryActor
from posthouse.supervisor.journal import JournalSettings
from posthouse.transport.limits import Limits
from posthouse.transport.messages import ExchangeSpec, QueueSpec
from posthouse.transport.names import DEAD_LETTER, DELAY, REGISTRY

LIMITS = Limits(window_messages=200, window_bytes=64 * 1024, ping_interval_ms=200)
JOURNAL = JournalSettings(segment_bytes_first=1024, segment_bytes_max=4096, preallocate=False)
QUEUE = QueueLimits(memory_bytes_max=2_000, disk_free_bytes_min=0, compact_bytes_min=2_048, summary_min=2)
DELAYS = DelayLimits(fire_per_s_max=2_000, memory_bytes_max=2_000, disk_free_bytes_min=0, compact_bytes_min=2_048)
HOLD = HoldLimits(memory_bytes_max=2_000, disk_free_bytes_min=0, compact_bytes_min=2_048)
STORE = StoreLimits(messages_max=8, memory_bytes_max=2_000, disk_free_bytes_min=0, compact_bytes_min=2_048)
STANDING = (REGISTRY, DEAD_LETTER, DELAY)
"""Actors that are always there."""

Make = Callable[[Context], Actor]


def standing(actor_id: str, boot: str) -> tuple[Make, str]:
    """How one of `STANDING` is made, and the directory of its journal."""
    if actor_id == DELAY:
        return lambda context: DelayActor(context, DELAYS), "/delay"
    if actor_id == DEAD_LETTER:
        return lambda context: DeadLetterActor(context, STORE), "/dead-letter"
    return lambda context: RegistryActor(context, boot=boot, remove_journal=lambda spec: None), "/registry"


def declared(kind: str, arguments: bytes) -> tuple[Make, str | None]:
    """How a queue or an exchange that the registry asked for is made, and its journal's directory, if any."""
    if kind == "exchange":
        exchange = msgspec.msgpack.decode(arguments, type=ExchangeSpec)
        home = f"/exchange-{exchange.serial}" if exchange.durable and may_hold(exchange) else None
        return lambda context: ExchangeActor(context, exchange, HOLD), home
    spec = msgspec.msgpack.decode(arguments, type=QueueSpec)
    return lambda context: QueueActor(context, spec, QUEUE), f"/{spec.serial}" if spec.durable else None
