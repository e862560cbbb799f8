"""A queue looked into: its messages in the order of their offsets, where each is, who holds it, what waits for when.

A part of the queue's core; it changes nothing. Bodies are cut here, so that a queue of large ones can be looked into
without sending them. Costs are per range and per batch looked at, and per message that is shown.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, final

import msgspec

from posthouse.actors.offsets import RangeMap
from posthouse.actors.queue_consumers import Consumer, Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_ready import PriorityReady
from posthouse.actors.stored_batch import Bytes, StoredBatch
from posthouse.transport import messages
from posthouse.transport.batch import lengths_of, pack_lengths, slice_batch
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch
from posthouse.transport.messages_looking import (
    LOOK_BODY_BYTES_MAX,
    LOOK_MESSAGES_MAX,
    LookedAt,
    LookInto,
)

READY: Final = "ready"
UNACKED: Final = "unacked"
WAITING: Final = "waiting"
LEAVING: Final = "leaving"
PLACES: Final = ("", READY, UNACKED, WAITING, LEAVING)

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
READ_BYTES_MAX: Final = 32 * 1024 * 1024
"""Bytes of batches that one look reads, from memory or from disk, unless one batch alone has more."""

Given = Mapping[tuple[int, int], RangeMap[int]]
"""When each offset was given last, by session and number of the consumer that holds it."""


@final
class Found(NamedTuple):
    """A range of offsets at one place. `times`: how often it was delivered, `due_ms`: when it is ready again,
    `since_ms`: when its holder was given it.
    """

    first: int
    last: int
    times: int
    place: str
    holder: Consumer | None = None
    due_ms: int = 0
    since_ms: int = 0

    @property
    def attempt(self) -> int:
        """Which delivery it is in, or will be."""
        return self.times if self.place == UNACKED else max(1, self.times + (self.place != LEAVING))


def check_look(message: LookInto) -> None:
    """Raises InvalidArgument for what no look can be."""
    if not 1 <= message.count <= LOOK_MESSAGES_MAX:
        raise InvalidArgument(f"a look shows 1 to {LOOK_MESSAGES_MAX} messages, not {message.count}")
    if message.place not in PLACES:
        raise InvalidArgument(f"place is {message.place!r}; it is one of {', '.join(PLACES[1:])}, or empty")
    if not 0 <= message.body_bytes_max <= LOOK_BODY_BYTES_MAX:
        raise InvalidArgument(f"body_bytes_max is {message.body_bytes_max}; it is 0 to {LOOK_BODY_BYTES_MAX}")


def find(contents: QueueContents, consumers: Consumers, message: LookInto, given: Given) -> list[Found]:
    """The ranges that are asked for, cut at the borders of their batches and deliveries."""
    found: list[Found] = []
    left = message.count
    for one in heapq.merge(*_places(contents, consumers, message.place), key=lambda one: one.first):
        first = max(one.first, message.after + 1)
        while first <= one.last and left:
            entry = contents.backlog.find(first)
            last = min(one.last, entry.last_offset, first + left - 1)
            found += _cut(one._replace(first=first, last=last), given)
            left -= last - first + 1
            first = last + 1
        if not left:
            break
    return found


def _places(contents: QueueContents, consumers: Consumers, place: str) -> Iterator[Iterable[Found]]:
    if place in ("", READY):
        ready: Iterable[tuple[int, int, int]] = contents.ready
        if isinstance(contents.ready, PriorityReady):
            ready = sorted(ready)
        yield (Found(first, last, times, READY) for first, last, times in ready)
    if place in ("", UNACKED):
        for holder in consumers.holders():
            yield _held(holder)
    if place in ("", WAITING):
        waiting = contents.waiting.ranges
        yield (Found(first, last, times, WAITING, None, due_ms) for first, last, (times, due_ms) in waiting)
    if place in ("", LEAVING):
        intents = sorted(contents.outbox.intents(), key=lambda intent: intent.item.first)
        yield (Found(one.item.first, one.item.last, one.item.death.attempt, LEAVING) for one in intents)


def _cut(one: Found, given: Given) -> list[Found]:
    """What one consumer holds may have come to it in several deliveries."""
    if one.holder is None:
        return [one]
    moments = given.get((one.holder.session, one.holder.consumer), RangeMap[int]())
    pieces = moments.pieces(one.first, one.last)
    if sum(last - first + 1 for first, last, _ in pieces) != one.last - one.first + 1:
        return [one]
    return [one._replace(first=first, last=last, since_ms=at_ms) for first, last, at_ms in pieces]


def _held(holder: Consumer) -> Iterator[Found]:
    return (Found(first, last, times, UNACKED, holder) for first, last, times in holder.unacked)


def show(
    found: list[Found],
    entry_of: Callable[[int], StoredBatch],
    bytes_of: Callable[[StoredBatch], Bytes],
    body_bytes_max: int,
) -> list[LookedAt]:
    """What is told of them, as far as it fits into one answer; at least the first."""
    shown: list[LookedAt] = []
    read = answered = 0
    last: tuple[StoredBatch, Batch] | None = None
    for one in found:
        entry = entry_of(one.first)
        if last is None or last[0] is not entry:
            if shown and read + entry.size > READ_BYTES_MAX:
                break
            read += entry.size
            last = (entry, entry.batch or _decoded(bytes_of(entry)))
        batch = slice_batch(last[1], one.first - entry.first_offset, one.last + 1 - entry.first_offset)
        cut, sizes = cut_bodies(batch, body_bytes_max)
        if shown and answered + len(cut) > ANSWER_BYTES_MAX:
            break
        answered += len(cut)
        holder = one.holder
        shown.append(
            LookedAt(
                first_offset=one.first,
                attempt=one.attempt,
                place=one.place,
                batch=msgspec.Raw(cut),
                sizes=sizes,
                client="" if holder is None else holder.client_name,
                consumer=0 if holder is None else holder.consumer,
                since_ms=one.since_ms,
                due_ms=one.due_ms,
            )
        )
    return shown


def cut_bodies(batch: Batch, bytes_max: int) -> tuple[bytes, tuple[int, ...]]:
    """The batch with no more than so many bytes of each body, encoded; and what the bodies had."""
    sizes = tuple(lengths_of(batch))
    if any(size > bytes_max for size in sizes):
        kept = [min(size, bytes_max) for size in sizes]
        bodies = bytearray()
        start = 0
        for size, length in zip(sizes, kept, strict=True):
            bodies += batch.bodies[start : start + length]
            start += size
        batch = msgspec.structs.replace(batch, lengths=pack_lengths(kept), bodies=memoryview(bodies))
    return messages.encode(batch), sizes


def _decoded(raw: Bytes) -> Batch:
    batch = messages.decode(raw)
    assert isinstance(batch, Batch)
    return batch
