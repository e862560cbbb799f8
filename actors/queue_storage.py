"""The side of a queue that faces its journal and its memory: what must be kept, what may be dropped, what was seen.

A part of the queue's core. It changes where the bytes of messages are, never what becomes of a message.
"""

from __future__ import annotations

from typing import final

from posthouse.actors import queue_view
from posthouse.actors.move import Admission, admission
from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_records import Kind, Mark
from posthouse.actors.queue_restated import restated
from posthouse.actors.stored_batch import Bytes, StoredBatch
from posthouse.transport.messages import Batch


@final
class QueueStorage:
    """What the shell must know to keep the journal of a queue small and its memory bounded."""

    __slots__ = ("_backlog", "_consumers", "_contents")

    def __init__(self, contents: QueueContents, consumers: Consumers) -> None:
        self._contents = contents
        self._consumers = consumers
        self._backlog = contents.backlog

    # ---- what has come in before ----

    def has_seen(self, batch: Batch) -> bool:
        """All of this batch was stored before: its publisher sent it again because no receipt had reached it."""
        return self._contents.streams.last(batch.stream) >= batch.first_seq + batch.count - 1

    def admission(self, stream: int, floor: int, first_seq: int, last_seq: int) -> Admission:
        """May numbers of a stream of moves come in?"""
        return admission(self._contents.streams.last(stream), floor, first_seq, last_seq)

    # ---- the journal ----

    def mark(self) -> Mark:
        """What the head of a new journal segment must say."""
        return self._contents.mark()

    def placed(self, first_offset: int, position: int) -> None:
        """The journal holds this batch at `position`, for the first time or moved. It may be gone by now."""
        entry = self._backlog.get(first_offset)
        if entry is not None:
            self._backlog.place(entry, position)

    def lowest_position(self) -> int | None:
        """The lowest journal position still needed; None when no living message is in the journal."""
        return self._backlog.lowest_position()

    def entries_below(self, position: int) -> list[StoredBatch]:
        """Living batches that pin the journal below `position`: write them as MOVED, then say `placed`."""
        return self._backlog.placed_below(position)

    def live_ranges(self, entry: StoredBatch) -> list[int]:
        """What lives of a batch, for its MOVED record: flat, first, last, times delivered, …"""
        return queue_view.live_ranges(self._contents, self._consumers, entry)

    def restated(self, first: int, last: int) -> list[tuple[Kind, bytes]]:
        """The records that say behind a MOVED one what waits, expires, leaves and has failed in it."""
        return restated(self._contents, first, last)

    # ---- the memory ----

    @property
    def bytes_in_memory(self) -> int:
        """Bytes of the batches that are in memory."""
        return self._backlog.bytes_in_memory

    @property
    def body_bytes(self) -> int:
        """Bytes of the bodies that live, wherever they are."""
        return self._backlog.body_bytes

    def shed(self, limit_bytes: int) -> None:
        """Drop bytes that the journal can give back, furthest from delivery first, down to `limit_bytes`."""
        self._backlog.shed(limit_bytes)

    def restore(self, entry: StoredBatch, batch: Batch, raw: Bytes) -> None:
        """The journal gave back what `shed` had dropped."""
        self._backlog.restore(entry, batch, raw)
