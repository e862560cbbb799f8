"""Messages that were stored one by one, and that nobody has looked at since the journal was read.

A queue of a hundred thousand messages that share no batch would begin its life with a hundred thousand records in
memory, and take most of its start to make them; the first consumer waits for the first few. So a run of STORE records
is folded: what the queue must know of it at once is in the summary behind it, or is read in passing where there is
none, and a record for each message is made when the first of them is needed. The bytes stay in the journal until they
are delivered, as those of any long backlog.

Only what makes no difference until it is delivered is folded: batches of one message, offsets without a gap, no dedup
id, no deadline, no priority. It must not know of the queue.
"""

from __future__ import annotations

from array import array
from itertools import repeat
from typing import Final, final

import msgspec

from posthouse.actors.queue_records import STORE_BYTES, Summary
from posthouse.actors.queue_summary import is_heeded, sum_up, unpacked
from posthouse.actors.stored_batch import StoredBatch
from posthouse.transport.messages import Batch

FOLD_MIN: Final = 4
"""What is shorter is not worth it."""

FOLD_MAX: Final = 256
"""Messages that are unfolded together: a quarter of a millisecond. While they are read they fit into a cache."""


_decode = msgspec.msgpack.Decoder(Batch).decode


@final
class Fold:
    """Messages `first_offset … last_offset`, each a batch of its own, in the journal from `position` on.

    All of them live, until it is unfolded or forgotten; `alive` is then what is left of it, by position.
    """

    __slots__ = ("_payload_bytes", "alive", "body_bytes", "count", "first_offset", "last_offset", "position", "summary")

    def __init__(self, position: int, summary: Summary, payload_bytes: array[int]) -> None:
        self.position = position
        self.summary = summary
        self.count = summary.count
        self.first_offset = summary.first_offset
        self.last_offset = summary.last_offset
        self.body_bytes = sum(unpacked("I", summary.body_bytes))
        self.alive: dict[int, StoredBatch] | None = None
        self._payload_bytes = payload_bytes

    def unfold(self) -> list[StoredBatch]:
        """A record for each message, once; their bytes are in the journal only."""
        assert self.alive is None
        offsets = range(self.first_offset, self.last_offset + 1)
        positions = range(self.position, self.position + self.count)
        one, none, zero = repeat(1), repeat(None), repeat(0)
        sizes = [size - STORE_BYTES for size in self._payload_bytes]
        body_bytes = unpacked("I", self.summary.body_bytes)
        published_ms = unpacked("Q", self.summary.published_ms)
        entries = list(map(StoredBatch, offsets, offsets, one, none, none, sizes, body_bytes, one, body_bytes,
                           positions, none, zero, published_ms))  # fmt: skip
        self.alive = dict(zip(positions, entries, strict=True))
        return entries

    def forget(self) -> None:
        """All of it is settled, and was never needed one by one."""
        self.alive = {}


def fold(position: int, offsets: list[int], raws: list[memoryview]) -> Fold | None:
    """STORE records that follow one another from `position` on, as one; None when they do not lend themselves to it,
    or cannot be read: who takes them one by one will say why.
    """
    first = offsets[0]
    if offsets != list(range(first, first + len(offsets))):
        return None
    try:
        batches = list(map(_decode, raws))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if sum([batch.count for batch in batches]) != len(batches):
        return None
    if any([is_heeded(batch.options) for batch in batches if batch.options is not None]):
        return None
    body_bytes = [batch.bodies.nbytes for batch in batches]
    published_ms = [batch.published_ms for batch in batches]
    summary = sum_up(
        first, [batch.stream for batch in batches], [batch.first_seq for batch in batches], body_bytes, published_ms
    )
    if summary is None:
        return None
    return Fold(position, summary, array("I", [len(raw) + STORE_BYTES for raw in raws]))
