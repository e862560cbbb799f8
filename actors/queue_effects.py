"""What a queue tells its shell to do: the values that the calls of `QueueState` return.

Frozen records without behaviour. Offsets are inclusive; `start` and `stop` are indexes into a stored batch.
"""

from __future__ import annotations

import enum
from typing import NamedTuple, final

import msgspec

from posthouse.actors.stored_batch import StoredBatch


class StoreOutcome(enum.Enum):
    """What became of a batch. Only what is STORED is new, and only that is journaled."""

    STORED = "stored"
    RESENT = "resent"
    DUPLICATE = "duplicate"
    LATE = "late"


@final
class StoreResult(msgspec.Struct, frozen=True, gc=False):
    """`first_offset` and `entry` are there when STORED; `entry.raw` is what belongs into the journal."""

    outcome: StoreOutcome
    first_offset: int = 0
    entry: StoredBatch | None = None


@final
class Delivery(msgspec.Struct, frozen=True, gc=False):
    """`count` messages from index `start` of `entry` for one consumer; `settled` when it is auto-ack.

    `entry.raw` is None when the bytes are only in the journal: read them back and call `QueueState.restore`.
    """

    session: int
    consumer: int
    first_offset: int
    count: int
    attempt: int
    entry: StoredBatch
    start: int
    settled: bool = False


@final
class Slice(NamedTuple):
    """Messages `start` up to `stop` of `entry`, all at the same attempt."""

    first_offset: int
    attempt: int
    entry: StoredBatch
    start: int
    stop: int


@final
class Settlement(NamedTuple):
    """What a settle did. `unknown` messages were not held by that consumer: it came too late, no error.

    `settled` has left the queue, `requeued` is ready again. `rejected` is what of `settled` was not acked,
    cut by batch, with the batches that hold its bytes.
    """

    settled: list[tuple[int, int]]
    requeued: list[tuple[int, int]]
    rejected: list[Slice]
    unknown: int
