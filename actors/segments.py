"""The segments of a queue's journal: beginning a new one, letting old ones go.

A part of the queue actor's shell. One old message never pins the journal: what lives in the oldest quarter is copied
forward when the journal has become much larger than what lives in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from posthouse.actors.queue_records import Kind, encode_mark, encode_moved
from posthouse.actors.queue_storage import QueueStorage
from posthouse.actors.stored_batch import Bytes, StoredBatch
from posthouse.supervisor.journal import Journal

COMPACT_RATIO: Final = 4
"""The journal may be this many times as large as what lives in it before live batches are copied forward."""

MOVE_BYTES_MAX: Final = 16 * 1024 * 1024


def rotate(
    journal: Journal, storage: QueueStorage, bytes_of: Callable[[StoredBatch], Bytes], compact_bytes_min: int
) -> None:
    """Begin a new segment; let go of those that nothing needs, and copy forward what pins an old one.

    Nothing is copied while the journal is no larger than `compact_bytes_min`.
    """
    journal.commit()
    journal.rotate([(Kind.MARK, encode_mark(storage.mark()))])
    _trim(journal, storage)
    size = journal.stats().bytes
    if size > compact_bytes_min and size > COMPACT_RATIO * storage.body_bytes:
        span = journal.next_position - journal.first_position
        moved = 0
        for entry in storage.entries_below(journal.first_position + span // 4):
            parts = encode_moved(entry.first_offset, storage.live_ranges(entry), bytes_of(entry))
            storage.placed(entry.first_offset, journal.append(Kind.MOVED, *parts))
            for kind, payload in storage.restated(entry.first_offset, entry.last_offset):
                journal.append(kind, payload)
            moved += entry.size
            if moved > MOVE_BYTES_MAX:
                break
        # What was copied must be safe before the original goes.
        journal.commit()
        _trim(journal, storage)


def _trim(journal: Journal, storage: QueueStorage) -> None:
    lowest = storage.lowest_position()
    journal.trim(journal.next_position if lowest is None else lowest)
