"""The batch, the unit of work: built, checked, sliced and taken apart here.

Nothing in this file loops over messages except where a consumer or a check has to look at each; a slice costs one
pass over the lengths before it.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from posthouse.transport.errors import InvalidArgument, ProtocolViolation
from posthouse.transport.limits import (
    BATCH_MESSAGES_MAX,
    DEDUP_ID_BYTES_MAX,
    HEADERS_BYTES_MAX,
    NAME_BYTES_MAX,
    PRIORITIES,
    Limits,
)
from posthouse.transport.messages import NIL, Batch, Durability, Options
from posthouse.transport.messages_calls import REPLY_PREFIX
from posthouse.transport.names import decode_headers

Properties = list[tuple[str | None, str | None] | None]

_properties_decoder = msgspec.msgpack.Decoder(Properties)
_raw_list_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw])
_headers_decoder = msgspec.msgpack.Decoder(dict[str, Any] | None)
_encode = msgspec.msgpack.Encoder().encode


def pack_lengths(lengths: Sequence[int]) -> memoryview:
    """Body lengths as u32, little endian."""
    packed = array.array("I", lengths)
    if sys.byteorder == "big":
        packed.byteswap()
    return memoryview(packed).cast("B")


def lengths_of(batch: Batch) -> Sequence[int]:
    """The body lengths of a batch, without a copy on little-endian machines."""
    if sys.byteorder == "little":
        return batch.lengths.cast("B").cast("I")
    packed = array.array("I")
    packed.frombytes(batch.lengths)
    packed.byteswap()
    return packed


def check_batch(batch: Batch, limits: Limits) -> None:
    """Refuse a batch that contradicts itself or a limit.

    Raises ProtocolViolation where only broken software could have sent it, InvalidArgument for a value a user chose.
    """
    if not 1 <= batch.count <= BATCH_MESSAGES_MAX or batch.lengths.nbytes != 4 * batch.count:
        raise ProtocolViolation(f"a batch of {batch.count} messages carries {batch.lengths.nbytes} bytes of lengths")
    if batch.first_seq < 1 or batch.stream < 0 or batch.first_seq + batch.count > 1 << 62:
        raise ProtocolViolation("a batch has a negative stream or a sequence number out of range")
    lengths = lengths_of(batch)
    size = batch.bodies.nbytes
    if sum(lengths) != size:
        raise ProtocolViolation(f"a batch says {sum(lengths)} bytes of bodies and carries {size}")
    if size > limits.body_bytes_max and max(lengths) > limits.body_bytes_max:
        raise InvalidArgument(
            f"a body of {max(lengths)} bytes is over the limit of {limits.body_bytes_max}; "
            "split it, or raise body_bytes_max in the broker's configuration"
        )
    key_bytes = len(batch.routing_key.encode())
    if key_bytes > NAME_BYTES_MAX:
        raise InvalidArgument(f"the routing key has {key_bytes} bytes, the limit is {NAME_BYTES_MAX}")
    if batch.options is not None and not 0 <= batch.options.priority < PRIORITIES:
        raise InvalidArgument(f"the priority is {batch.options.priority}; it is 0 to {PRIORITIES - 1}")
    if len(memoryview(batch.headers)) > HEADERS_BYTES_MAX:
        raise InvalidArgument(f"the headers are over the limit of {HEADERS_BYTES_MAX} bytes")


def pack_due(due_ms: Sequence[int]) -> memoryview:
    """Due times as u64, little endian."""
    packed = array.array("Q", due_ms)
    if sys.byteorder == "big":
        packed.byteswap()
    return memoryview(packed).cast("B")


def due_of(batch: Batch) -> array.array[int]:
    """When each message of a delayed batch is due. Raises InvalidArgument where batch and options disagree."""
    deliver_at_ms = None if batch.options is None else batch.options.deliver_at_ms
    assert deliver_at_ms is not None, "the batch is not delayed"
    if batch.due is None:
        if not 0 < deliver_at_ms < 1 << 63:
            raise InvalidArgument(f"deliver_at_ms is {deliver_at_ms}, and the batch brings no times of its own")
        return array.array("q", [deliver_at_ms]) * batch.count
    if deliver_at_ms or batch.due.nbytes != 8 * batch.count:
        raise InvalidArgument(
            f"{batch.due.nbytes} bytes of due times come with {batch.count} messages and deliver_at_ms "
            f"{deliver_at_ms}; it is 8 bytes for each and 0"
        )
    due = array.array("q", batch.due.tobytes())
    if sys.byteorder == "big":
        due.byteswap()
    return due


def check_readable(batch: Batch) -> None:
    """Queues slice properties and consumers read headers and properties, so what cannot be read goes no further.

    Raises InvalidArgument.
    """
    decode_headers(batch.headers)
    try:
        properties = properties_of(batch)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidArgument(f"the properties are not pairs of two texts: {error}") from None
    if properties is not None and len(properties) != batch.count:
        raise InvalidArgument(f"{batch.count} messages come with the properties of {len(properties)}")
    options = batch.options
    if options is None:
        return
    if not Durability.MEMORY <= options.durability <= Durability.SYNC:
        raise InvalidArgument(f"durability is {options.durability}; it is 0 (memory), 1 (os) or 2 (sync)")
    if options.dedup_id is not None and not 0 < len(options.dedup_id.encode()) <= DEDUP_ID_BYTES_MAX:
        raise InvalidArgument(f"a dedup_id has 1 to {DEDUP_ID_BYTES_MAX} bytes")


def headers_of(batch: Batch) -> dict[str, Any] | None:
    """The headers as a dictionary, or None. Raises msgspec.DecodeError when they are not a map."""
    return None if batch.headers == NIL else _headers_decoder.decode(batch.headers)


def properties_of(batch: Batch) -> Properties | None:
    """One `(message_id, correlation_id)` or None per message; None when no message has any."""
    return None if batch.properties is None else _properties_decoder.decode(batch.properties)


def slice_batch(batch: Batch, start: int, stop: int) -> Batch:
    """Messages `start` up to `stop` of a batch as a batch of their own; bodies are shared, not copied."""
    if start == 0 and stop == batch.count:
        return batch
    lengths = lengths_of(batch)
    first_byte = sum(lengths[:start])
    last_byte = first_byte + sum(lengths[start:stop])
    properties: memoryview | None = None
    if batch.properties is not None:
        properties = memoryview(_encode(_raw_list_decoder.decode(batch.properties)[start:stop]))
    return Batch(
        exchange=batch.exchange,
        routing_key=batch.routing_key,
        stream=batch.stream,
        first_seq=batch.first_seq + start,
        count=stop - start,
        published_ms=batch.published_ms,
        headers=batch.headers,
        lengths=batch.lengths[4 * start : 4 * stop],
        bodies=batch.bodies[first_byte:last_byte],
        properties=properties,
        options=batch.options,
        due=None if batch.due is None else batch.due[8 * start : 8 * stop],
    )


def message_id_of(batch: Batch, index: int) -> str:
    """What its publisher chose, else one made of its stream and number: the same wherever the message is."""
    properties = properties_of(batch)
    chosen = None if properties is None else properties[index]
    if chosen is not None and chosen[0] is not None:
        return chosen[0]
    return f"{batch.stream:x}-{batch.first_seq + index}"


def joined(parts: Sequence[tuple[Batch, int, int]], stream: int, first_seq: int) -> Batch:
    """Slices `start … stop` of batches that share all but bodies, as one batch of another stream.

    Message ids stay what they were, so they are written out. A dedup id and a time to live have had their effect, and
    do not travel on.
    """
    first = parts[0][0]
    lengths: list[int] = []
    bodies: list[memoryview] = []
    properties: Properties = []
    for batch, start, stop in parts:
        cut = slice_batch(batch, start, stop)
        lengths += lengths_of(cut)
        bodies.append(cut.bodies)
        given = properties_of(cut)
        for index in range(cut.count):
            own = None if given is None else given[index]
            message_id = None if own is None else own[0]
            correlation_id = None if own is None else own[1]
            properties.append((message_id or f"{cut.stream:x}-{cut.first_seq + index}", correlation_id))
    options = first.options
    if options is not None:
        options = msgspec.structs.replace(options, dedup_id=None, ttl_ms=None)
    return msgspec.structs.replace(
        first,
        stream=stream,
        first_seq=first_seq,
        count=len(lengths),
        lengths=pack_lengths(lengths),
        bodies=bodies[0] if len(bodies) == 1 else memoryview(b"".join(bodies)),
        properties=memoryview(_encode(properties)),
        options=options,
    )


def deadline_of(batch: Batch) -> int | None:
    """When a call is worth nothing any more, in milliseconds since 1970; None for what is no call."""
    return None if batch.options is None else batch.options.deadline_ms


def is_reply(batch: Batch) -> bool:
    """It goes back to a caller and into no queue."""
    return not batch.exchange and batch.routing_key.startswith(REPLY_PREFIX)


def durability_of(batch: Batch) -> int:
    """The level its publisher asked for; `sync` unless it said otherwise."""
    return Options().durability if batch.options is None else batch.options.durability
