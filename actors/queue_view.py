"""A queue looked at: its counts, its consumers, its first messages. Nothing here changes it.

Functions over the contents and the consumers of one queue. Costs are per range and per batch looked at.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_effects import Slice
from posthouse.actors.stored_batch import StoredBatch
from posthouse.transport.messages import ConsumerInfo, QueueInfo, QueueSpec


def queue_info(spec: QueueSpec, contents: QueueContents, consumers: Consumers) -> QueueInfo:
    """The counts. `state` and `journal_bytes` are the shell's to fill in."""
    backlog, counters = contents.backlog, contents.counters
    return QueueInfo(
        name=spec.name,
        ready=contents.ready.count,
        unacked=backlog.live - contents.ready.count,
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
        late_calls=counters.late_calls,
    )


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
        )
        for consumer in consumers
    ]


def first_messages(contents: QueueContents, consumers: Consumers, count: int) -> list[Slice]:
    """The lowest `count` messages, ready or unacked. Of what is ready, the attempt is the one to come."""
    pieces: list[tuple[int, int, int]] = []
    left = count
    ready = ((first, last, times + 1) for first, last, times in contents.ready)
    unacked = (holder.unacked for holder in consumers.holders())
    for first, end, attempt in heapq.merge(ready, *unacked):
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
    for holder in consumers.holders():
        pieces += holder.unacked.pieces(first, last)
    return [number for piece in sorted(pieces) for number in piece]
