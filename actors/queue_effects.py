"""What a queue tells its shell to do: the values that the calls of `QueueState` return.

Frozen records without behaviour. Offsets are inclusive; `start` and `stop` are indexes into a stored batch.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import NamedTuple, final

import msgspec

from posthouse.actors.offsets import merged
from posthouse.actors.queue_failures import Fate
from posthouse.actors.queue_records import Kind
from posthouse.actors.stored_batch import StoredBatch
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Outcome


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
    expires_ms: int | None = None


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

    @property
    def last_offset(self) -> int:
        return self.first_offset + self.count - 1


@final
class Settlement(NamedTuple):
    """What a settle did. `settled` was acked and has left the queue; what was not acked is in `fate`.

    `unknown` messages were not held by that consumer: it came too late, no error.
    """

    settled: list[tuple[int, int]]
    unknown: int
    fate: Fate | None = None


Receivers = list[tuple[str, int, list[int]]]
"""Client name, number of the consumer, and the flat ranges it got."""


def by_receiver(deliveries: list[Delivery], name_of: Callable[[int], str]) -> list[tuple[Kind, Receivers]]:
    """What the journal says of deliveries, a record for those to be settled and one for those with auto-ack.

    `name_of` is the name of the client of a session. One delivery, as messages that come one by one make it, is the
    case that has to be cheap.
    """
    if len(deliveries) == 1:
        one = deliveries[0]
        ranges = [one.first_offset, one.first_offset + one.count - 1]
        return [(Kind.TAKEN if one.settled else Kind.GIVEN, [(name_of(one.session), one.consumer, ranges)])]
    found: dict[tuple[bool, int, int], list[tuple[int, int]]] = {}
    for one in deliveries:
        found.setdefault((one.settled, one.session, one.consumer), []).append((one.first_offset, one.last_offset))
    records: dict[Kind, Receivers] = {}
    for (is_settled, session, consumer), pairs in found.items():
        flat = [offset for pair in merged(pairs) for offset in pair]
        records.setdefault(Kind.TAKEN if is_settled else Kind.GIVEN, []).append((name_of(session), consumer, flat))
    return list(records.items())


def pairs_of(outcome: int, ranges: list[int]) -> list[tuple[int, int]]:
    """Flat ranges as pairs. Raises InvalidArgument for what is no outcome or no range."""
    if outcome not in (Outcome.ACK, Outcome.NACK, Outcome.REJECT, Outcome.RELEASE):
        raise InvalidArgument(f"{outcome} is no way to settle: 0 is ack, 1 nack, 2 reject, 3 release")
    if len(ranges) % 2:
        raise InvalidArgument(f"{len(ranges)} numbers are not pairs of a first and a last offset")
    pairs = list(zip(ranges[::2], ranges[1::2], strict=True))
    for first, last in pairs:
        if not 1 <= first <= last:
            raise InvalidArgument(f"offsets {first} to {last} are no range")
    return pairs
