"""One batch as a queue holds it: its offsets, how many of its messages live, its bytes while in memory.

A plain record; `queue_backlog.py` keeps its numbers true. The bytes are those the publisher sent, never
encoded again: a whole batch is delivered and journaled as it came.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias, final

import msgspec

from posthouse.transport.messages import Batch

Bytes: TypeAlias = bytes | memoryview


@final
class StoredBatch(msgspec.Struct, eq=False, gc=False):
    """Messages `first_offset … last_offset`; message i of the batch has offset `first_offset + i`.

    `batch` and `raw` (its exact MessagePack) are both None when the bytes are only in the journal; `size` is
    the length of `raw`. `position` is the journal's, None when the batch is in no journal. `live` of its
    messages are not settled; `live_bytes` is their share of `body_bytes`, exact when all bodies have the
    same length.
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


def stored(first_offset: int, batch: Batch, raw: Bytes) -> StoredBatch:
    """A batch that has just got its offsets; all of it lives."""
    count, body_bytes = batch.count, batch.bodies.nbytes
    last_offset = first_offset + count - 1
    return StoredBatch(first_offset, last_offset, count, batch, raw, len(raw), body_bytes, count, body_bytes)


@final
class Slice(NamedTuple):
    """Messages `start` up to `stop` of `entry`, all at the same attempt."""

    first_offset: int
    attempt: int
    entry: StoredBatch
    start: int
    stop: int
