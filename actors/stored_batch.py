"""One batch as a queue holds it: its offsets, how many of its messages live, its bytes while in memory.

A plain record; `queue_backlog.py` keeps its numbers true. The bytes are those the publisher sent, never
encoded again: a whole batch is delivered and journaled as it came.
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias, final

import msgspec

from posthouse.transport.messages import Batch

Bytes: TypeAlias = bytes | memoryview

FOOTPRINT_BYTES: Final = 552
SLICEABLE_FOOTPRINT_BYTES: Final = 1_288
"""Measured with a hundred thousand batches of each kind."""


@final
class StoredBatch(msgspec.Struct, eq=False, gc=False):
    """Messages `first_offset … last_offset`; message i of the batch has offset `first_offset + i`.

    `raw` is its exact MessagePack, None when the bytes are only in the journal; `size` is its length. `batch` is its
    decoded form, kept for what may be sliced: of a single message it would be several times the bytes, and decoding
    those again costs a quarter of a microsecond. `position` is the journal's, None when the batch is in no journal.
    `live` of its messages are not settled; `live_bytes` is their share of `body_bytes`, exact when all bodies have the
    same length. `deadline_ms` is there when its messages are calls. `priority` is what its publisher asked for, whether
    the queue has priorities or not; `published_ms` is the publisher's word.
    """

    first_offset: int
    last_offset: int
    count: int
    batch: Batch | None
    raw: Bytes | None
    size: int
    body_bytes: int
    live: int
    live_bytes: int
    position: int | None = None
    deadline_ms: int | None = None
    priority: int = 0
    published_ms: int = 0

    @property
    def footprint(self) -> int:
        """What it costs in memory, about: its bytes and the objects around them."""
        return self.size + (FOOTPRINT_BYTES if self.count == 1 else SLICEABLE_FOOTPRINT_BYTES)


def stored(first_offset: int, batch: Batch, raw: Bytes) -> StoredBatch:
    """A batch that has just got its offsets; all of it lives."""
    count, body_bytes = batch.count, batch.bodies.nbytes
    last_offset = first_offset + count - 1
    kept = batch if count > 1 else None
    entry = StoredBatch(first_offset, last_offset, count, kept, raw, len(raw), body_bytes, count, body_bytes)
    entry.published_ms = batch.published_ms
    if batch.options is not None:
        entry.deadline_ms = batch.options.deadline_ms
        entry.priority = batch.options.priority
    return entry


@final
class Slice(NamedTuple):
    """Messages `start` up to `stop` of `entry`, all at the same attempt."""

    first_offset: int
    attempt: int
    entry: StoredBatch
    start: int
    stop: int
