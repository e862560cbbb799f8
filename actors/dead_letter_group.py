"""A group: letters that died together, as the index in memory knows them and as a listing shows them."""

from __future__ import annotations

import sys
from typing import Any, final
from zlib import crc32

import msgspec

from posthouse.actors.stored_batch import StoredBatch
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import DeadLetterFilter, DeadLetterInfo, Death

_encode = msgspec.msgpack.Encoder().encode


@final
class Group(msgspec.Struct, frozen=True, gc=False):
    """Letters `first_id … last_id`: what a filter looks at and a listing shows."""

    first_id: int
    last_id: int
    reason: str
    queue: str
    exchange: str
    routing_key: str
    attempt: int
    first_ms: int
    died_ms: int
    fingerprint: str
    cause: str
    size: int
    republish_to: str | None = None
    republish_key: str | None = None
    earlier: int = 0
    life: int = 1
    mask: int = 0


def group_of(entry: StoredBatch, batch: Batch, death: Death, headers: dict[str, Any] | None) -> Group:
    """The letters of one record. Texts that occur again and again are kept once."""
    key = death.republish_key
    return Group(
        entry.first_offset,
        entry.last_offset,
        sys.intern(death.reason),
        sys.intern(death.queue),
        sys.intern(batch.exchange),
        sys.intern(batch.routing_key),
        death.attempt,
        death.first_ms,
        death.died_ms,
        sys.intern(death.fingerprint),
        sys.intern(death.cause),
        entry.body_bytes // entry.count,
        death.republish_to,
        None if key is None else sys.intern(key),
        death.earlier,
        death.life,
        mask_of(headers),
    )


def info_of(group: Group, number: int, message_id: str, *, is_leaving: bool) -> DeadLetterInfo:
    """A letter as a listing shows it."""
    return DeadLetterInfo(
        id=number,
        reason=group.reason,
        queue=group.queue,
        exchange=group.exchange,
        routing_key=group.routing_key,
        message_id=message_id,
        attempt=group.attempt,
        first_ms=group.first_ms,
        last_ms=group.died_ms,
        fingerprint=group.fingerprint,
        cause=group.cause,
        size=group.size,
        is_leaving=is_leaving,
        earlier=group.earlier + number - group.first_id if group.earlier else 0,
        life=group.life,
    )


def is_meant(group: Group, wanted: DeadLetterFilter) -> bool:
    """Does a filter mean this group, as far as can be said without its ids and headers?"""
    return (
        (wanted.queue is None or group.queue == wanted.queue)
        and (wanted.reason is None or group.reason == wanted.reason)
        and (wanted.fingerprint is None or group.fingerprint == wanted.fingerprint)
        and (wanted.after_ms is None or group.died_ms >= wanted.after_ms)
        and (wanted.before_ms is None or group.died_ms < wanted.before_ms)
    )


def mask_of(headers: dict[str, Any] | None) -> int:
    """Two bits of 120 for each header. Where one is missing the header is too, so a filter reads few letters.

    Of values that can be equal and look different (floats, lists, maps) only the name counts.
    """
    mask = 0
    for name, value in (headers or {}).items():
        item = name if isinstance(value, float | list | dict) else (name, value)
        number = crc32(_encode(item))
        mask |= 1 << number % 61 | 1 << 61 + (number >> 16) % 59
    return mask


def has_headers(headers: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    """Are these headers there, and equal in type and value?"""
    return headers is not None and all(
        name in headers and type(headers[name]) is type(value) and headers[name] == value
        for name, value in wanted.items()
    )
