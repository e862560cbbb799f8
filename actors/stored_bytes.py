"""The bytes of a queue's batches, from memory or read back from the journal.

A part of the queue actor's shell. What is in memory is bounded elsewhere; what was read back counts there again.

Fails with: DiskFault (the journal cannot be read).
"""

from __future__ import annotations

from typing import final

from posthouse.actors.actor import Context
from posthouse.actors.queue_records import Kind, decode_moved, decode_store
from posthouse.actors.queue_storage import QueueStorage
from posthouse.actors.stored_batch import Bytes, Slice, StoredBatch
from posthouse.transport import messages
from posthouse.transport.batch import slice_batch
from posthouse.transport.messages import Batch


@final
class StoredBytes:
    """Of one queue."""

    def __init__(self, context: Context, storage: QueueStorage) -> None:
        self._context = context
        self._storage = storage

    def of_slice(self, part: Slice) -> Bytes:
        """A batch of its own for a part of one; a whole batch is as its publisher sent it."""
        entry = part.entry
        raw = self.of(entry)
        if part.start or part.stop != entry.count:
            return messages.encode(slice_batch(entry.batch or _decode(raw), part.start, part.stop))
        return raw

    def of(self, entry: StoredBatch) -> Bytes:
        """The batch's bytes, read back from the journal if they are not in memory."""
        if entry.raw is not None:
            return entry.raw
        assert entry.position is not None, "only what is in the journal is ever dropped from memory"
        record = self._context.journal.read(entry.position)
        if record.kind == Kind.STORE:
            _, raw = decode_store(record.payload)
        else:
            raw = decode_moved(record.payload).raw
        self._storage.restore(entry, _decode(raw), raw)
        return raw


def _decode(raw: Bytes) -> Batch:
    batch = messages.decode(raw)
    assert isinstance(batch, Batch)
    return batch
