"""Rebuilding a queue from its journal, record by record.

Records may begin anywhere (older segments are gone), refer to offsets that are long settled, or come twice:
`record` passes over positions it has seen, so the same journal fed in again changes nothing. Afterwards
everything unsettled is ready, in its place, with the number of times it was delivered. It must not be used
once the queue has consumers.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_records import (
    Counters,
    Kind,
    Mark,
    Moved,
    decode_mark,
    decode_moved,
    decode_ranges,
    decode_store,
)
from posthouse.actors.stored_batch import Bytes, stored
from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import Batch, Outcome

_SETTLED_HOW: Final[dict[int, Outcome | None]] = {
    Kind.SETTLED: Outcome.ACK,
    Kind.REJECTED: Outcome.REJECT,
    Kind.PURGED: None,
}
"""What takes messages out and is no call that came too late."""


@final
class QueueReplay:
    """Applies what the journal says to the contents of one queue, which nobody else may change meanwhile."""

    __slots__ = ("_contents", "_position", "_stored_to")

    def __init__(self, contents: QueueContents) -> None:
        self._contents = contents
        self._position = 0
        # Not the same as `next_offset`: a mark may be written between a store and its record.
        self._stored_to = 0

    def record(self, position: int, kind: int, payload: Bytes) -> None:
        """Apply one record; positions seen before are passed over. Raises JournalCorrupt."""
        if position <= self._position:
            return
        if kind == Kind.STORE:
            first_offset, raw = decode_store(payload)
            self.store(first_offset, _batch(raw, position), raw, position)
        elif kind == Kind.DELIVERED:
            self.delivered(decode_ranges(payload))
        elif kind in _SETTLED_HOW:
            self.settled(decode_ranges(payload), _SETTLED_HOW[kind])
        elif kind == Kind.LATE:
            self.late(decode_ranges(payload))
        elif kind == Kind.MARK:
            self.mark(decode_mark(payload))
        elif kind == Kind.MOVED:
            moved = decode_moved(payload)
            self.moved(moved, _batch(moved.raw, position), position)
        else:
            raise JournalCorrupt(
                f"the record at {position} has kind {kind}, which this version does not know; "
                "start the version that wrote it",
                ((position, position),),
            )
        self._position = position

    def store(self, first_offset: int, batch: Batch, raw: Bytes, position: int) -> None:
        """A batch was stored. Stores are in the order of their offsets: an old offset is a repetition."""
        contents = self._contents
        entry = stored(first_offset, batch, raw)
        contents.streams.saw(batch.stream, batch.first_seq + batch.count - 1)
        if batch.options is not None and batch.options.dedup_id is not None:
            contents.dedup.add(batch.options.dedup_id, batch.published_ms)
        if entry.last_offset <= self._stored_to:
            return
        self._stored_to = entry.last_offset
        contents.next_offset = max(contents.next_offset, entry.last_offset + 1)
        contents.counters.stored += entry.count
        contents.backlog.add(entry)
        contents.backlog.place(entry, position)
        contents.ready.put(first_offset, entry.last_offset, 0)
        contents.calls.add(entry)

    def delivered(self, ranges: list[int]) -> None:
        """Flat ranges were sent to consumers once more."""
        ready, counters = self._contents.ready, self._contents.counters
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            for low, high, times in ready.take(first, last):
                ready.put(low, high, times + 1)
                counters.delivered += high - low + 1
                if times:
                    counters.redelivered += high - low + 1

    def settled(self, ranges: list[int], how: Outcome | None = Outcome.ACK) -> None:
        """Flat ranges are gone; None means that they were purged."""
        contents = self._contents
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            for low, high, _ in contents.ready.take(first, last):
                contents.backlog.settle(low, high)
                if how is Outcome.ACK:
                    contents.counters.acked += high - low + 1
                elif how is not None:
                    contents.counters.rejected += high - low + 1

    def late(self, ranges: list[int]) -> None:
        """Flat ranges of calls were dropped, since their deadline had passed."""
        contents = self._contents
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            for low, high, _ in contents.ready.take(first, last):
                contents.backlog.settle(low, high)
                contents.counters.late_calls += high - low + 1

    def mark(self, mark: Mark) -> None:
        """The state of everything but messages at the head of a segment. Nothing ever goes back."""
        contents = self._contents
        contents.next_offset = max(contents.next_offset, mark.next_offset)
        for stream, last_seq in zip(mark.streams[::2], mark.streams[1::2], strict=True):
            contents.streams.saw(stream, last_seq)
        for dedup_id, seen_ms in mark.dedup_ids.items():
            contents.dedup.add(dedup_id, seen_ms)
        for name in Counters.__struct_fields__:
            highest = max(getattr(contents.counters, name), getattr(mark.counters, name))
            setattr(contents.counters, name, highest)

    def moved(self, moved: Moved, batch: Batch, position: int) -> None:
        """A batch was copied forward to `position`, and exactly what the record lists of it lives."""
        backlog, ready = self._contents.backlog, self._contents.ready
        entry = backlog.get(moved.first_offset)
        live = list(zip(moved.live[::3], moved.live[1::3], moved.live[2::3], strict=True))
        count = sum(last - first + 1 for first, last, _ in live)
        if entry is None:
            entry = stored(moved.first_offset, batch, moved.raw)
            backlog.add(entry)
            self._contents.calls.add(entry)
            self._contents.next_offset = max(self._contents.next_offset, entry.last_offset + 1)
        elif entry.position is not None and entry.position >= position:
            return
        if not live or live[0][0] < entry.first_offset or live[-1][1] > entry.last_offset:
            raise JournalCorrupt(
                f"the record at {position} moves offsets that are not in its batch", ((position, position),)
            )
        ready.take(entry.first_offset, entry.last_offset)
        for first, last, times in live:
            ready.put(first, last, times)
        backlog.revive(entry, count)
        backlog.place(entry, position)


def _batch(raw: memoryview, position: int) -> Batch:
    """The batch of a record, which the queue checked when it took it in."""
    try:
        batch = messages.decode(raw)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"the batch at {position} cannot be read: {error}", ((position, position),)) from error
    if not isinstance(batch, Batch):
        raise JournalCorrupt(f"the record at {position} holds no batch", ((position, position),))
    return batch
