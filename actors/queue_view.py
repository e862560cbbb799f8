"""A queue looked at: its counts, its consumers, its first messages. Nothing here changes it.

Functions over the contents and the consumers of one queue. Costs are per range and per batch looked at.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from itertools import chain

from posthouse.actors.breaker import Breaker
from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_ready import PriorityReady
from posthouse.actors.stored_batch import Slice, StoredBatch
from posthouse.transport.errors import PreconditionFailed
from posthouse.transport.messages import ConsumerInfo, QueueInfo, QueueSpec


def queue_info(
    spec: QueueSpec, contents: QueueContents, consumers: Consumers, breaker: Breaker | None = None
) -> QueueInfo:
    """The counts. `state` and `journal_bytes` are the shell's to fill in."""
    backlog, counters = contents.backlog, contents.counters
    return QueueInfo(
        name=spec.name,
        ready=contents.ready.count,
        unacked=backlog.live - contents.ready.count - len(contents.waiting) - contents.leaving.count,
        consumers=len(consumers),
        bytes=backlog.body_bytes,
        durable=spec.durable,
        exclusive=spec.exclusive,
        auto_delete=spec.auto_delete,
        single_active_consumer=spec.single_active_consumer,
        stored=counters.stored,
        delivered=counters.delivered,
        redelivered=counters.redelivered,
        acked=counters.acked,
        rejected=counters.rejected,
        duplicates=counters.duplicates,
        waiting=len(contents.waiting),
        leaving=contents.leaving.count,
        dead_lettered=counters.dead_lettered,
        expired=counters.expired,
        dropped=counters.dropped,
        late_calls=counters.late_calls,
        ready_by_priority=contents.ready.counts if isinstance(contents.ready, PriorityReady) else (),
        breaker="" if breaker is None else breaker.state,
        breaker_opened=0 if breaker is None else breaker.opened,
        is_paused=contents.is_paused,
    )


def oldest_ready_ms(contents: QueueContents) -> int | None:
    """When the first ready batch was published, by its publisher's clock; with priorities, the oldest of the firsts."""
    ready = contents.ready
    if not ready.count:
        return None
    firsts = ready.firsts if isinstance(ready, PriorityReady) else [ready.first]
    return min(contents.backlog.find(offset).published_ms for offset in firsts)


def consumer_infos(queue: str, consumers: Consumers) -> list[ConsumerInfo]:
    """Every consumer, oldest first. Sessions that ask for single messages are not consumers."""
    return [
        ConsumerInfo(
            queue=queue,
            consumer=consumer.consumer,
            client=consumer.client_name,
            prefetch=consumer.prefetch,
            unacked=consumer.unacked.count,
            auto_ack=consumer.auto_ack,
            is_active=consumers.is_active(consumer),
            client_id=consumer.client_id,
            since_ms=consumer.since_ms,
            is_slow=consumer.is_paused,
        )
        for consumer in consumers
    ]


def first_messages(contents: QueueContents, consumers: Consumers, count: int) -> list[Slice]:
    """The lowest `count` messages, wherever they are. Of what nobody holds, the attempt is the one to come.

    With priorities the lowest do not leave first: what is ready comes in the order in which it leaves, then the rest.
    """
    pieces: list[tuple[int, int, int]] = []
    left = count
    ready = ((first, last, times + 1) for first, last, times in contents.ready)
    waiting = ((first, last, times + 1) for first, last, (times, _) in contents.waiting.ranges)
    leaving = (
        (intent.item.first, intent.item.last, max(1, intent.item.death.attempt))
        for intent in sorted(contents.outbox.intents(), key=lambda intent: intent.item.first)
    )
    unacked = (holder.unacked for holder in consumers.holders())
    shown: Iterable[tuple[int, int, int]]
    if isinstance(contents.ready, PriorityReady):
        shown = chain(ready, heapq.merge(waiting, leaving, *unacked))
    else:
        shown = heapq.merge(ready, waiting, leaving, *unacked)
    for first, end, attempt in shown:
        if left <= 0:
            break
        last = min(end, first + left - 1)
        left -= last - first + 1
        pieces.append((first, last, attempt))
    return slices(contents.backlog, pieces)


def slices(backlog: Backlog, pieces: Iterable[tuple[int, int, int]]) -> list[Slice]:
    """Living ranges, each with its attempt, cut at the borders of their batches."""
    cut: list[Slice] = []
    for first, last, attempt in pieces:
        low = first
        while low <= last:
            entry = backlog.find(low)
            high = min(last, entry.last_offset)
            cut.append(Slice(low, attempt, entry, low - entry.first_offset, high + 1 - entry.first_offset))
            low = high + 1
    return cut


def live_ranges(contents: QueueContents, consumers: Consumers, entry: StoredBatch) -> list[int]:
    """What lives of a batch, for its MOVED record: flat, first, last, times delivered, …"""
    first, last = entry.first_offset, entry.last_offset
    pieces = contents.ready.pieces(first, last)
    pieces += [(low, high, times) for low, high, (times, _) in contents.waiting.ranges.pieces(first, last)]
    for low, high, first_seq in contents.leaving.pieces(first, last):
        intent = contents.outbox.get(first_seq)
        assert intent is not None
        pieces.append((low, high, intent.item.death.attempt))
    for holder in consumers.holders():
        pieces += holder.unacked.pieces(first, last)
    return [number for piece in sorted(pieces) for number in piece]


def look_after(contents: QueueContents, consumers: Consumers, first: int, last: int) -> tuple[int, int]:
    """How many of these offsets are still here, and how many of them have failed at least once."""
    alive = contents.ready.pieces(first, last)
    alive += [(low, high, times) for low, high, (times, _) in contents.waiting.ranges.pieces(first, last)]
    alive += contents.leaving.pieces(first, last)
    for holder in consumers.holders():
        alive += holder.unacked.pieces(first, last)
    failed = 0
    for low, high, _ in alive:
        failed += sum(end - start + 1 for start, end, history in contents.histories.pieces(low, high) if history)
    return sum(high - low + 1 for low, high, _ in alive), failed


def refuse_in_use(
    spec: QueueSpec, contents: QueueContents, consumers: Consumers, if_unused: bool, if_empty: bool
) -> None:
    """Raises PreconditionFailed for a queue that is in use, or not empty, where that was asked."""
    if if_unused and len(consumers):
        raise PreconditionFailed(
            f"queue {spec.name!r} has {len(consumers)} consumers; close them, or delete it without if_unused"
        )
    if if_empty and contents.backlog.live:
        raise PreconditionFailed(
            f"queue {spec.name!r} holds {contents.backlog.live} messages; purge it, or delete it without if_empty"
        )
