"""The journal of an exchange that holds messages: read at the start, written as the core decides, kept short.

A part of the exchange actor's shell, and nothing at all where the exchange is not durable.
"""

from __future__ import annotations

from typing import Final, final

from posthouse.actors.actor import Context
from posthouse.actors.held_batch import Held
from posthouse.actors.held_records import (
    Kind,
    LeavingRecord,
    decode_held,
    encode,
    encode_held,
    encode_numbers,
)
from posthouse.actors.held_replay import HeldReplay, read_batch
from posthouse.actors.held_state import HeldState
from posthouse.actors.stored_batch import Bytes
from posthouse.transport.messages import Batch

COMPACT_RATIO: Final = 4
"""The journal may be this many times as large as what is held before old batches are copied forward."""

COPY_BYTES_MAX: Final = 16 * 1024 * 1024


@final
class HeldJournal:
    """What one exchange writes down."""

    def __init__(self, context: Context, state: HeldState, compact_bytes_min: int, *, is_durable: bool) -> None:
        self.is_durable = is_durable
        self._context = context
        self._state = state
        self._compact_bytes_min = compact_bytes_min

    def replay(self, for_ms: int) -> None:
        """Rebuild what was held when the last life ended. Raises JournalCorrupt."""
        if not self.is_durable:
            return
        replay = HeldReplay(self._state, for_ms)
        for chunk in self._context.journal.replay_chunks():
            for record in chunk:
                replay.record(record.position, record.kind, record.payload)
        self._state.replayed()

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._context.journal.stats().bytes if self.is_durable else 0

    def free_bytes(self) -> int:
        """What the disk still has room for."""
        return self._context.journal.free_bytes()

    def held(self, entry: Held, *, is_synced: bool) -> None:
        """A batch is held."""
        assert entry.raw is not None
        parts = encode_held(entry.number, entry.held_ms, 0, entry.raw)
        self._state.placed(entry, self._context.append(Kind.HELD, *parts, is_durable=is_synced))

    def leaving(self, record: LeavingRecord) -> None:
        """Pieces are about to leave; nothing of them is sent before this is durable."""
        self._context.append(Kind.LEAVING, encode(record))

    def landed(self, ranges: list[tuple[int, int, int]]) -> None:
        """These have arrived. Lost, it costs one more offer, which the other end recognises."""
        flat: list[int] = []
        for stream, first_seq, last_seq in ranges:
            if flat and flat[-3] == stream and flat[-1] + 1 == first_seq:
                flat[-1] = last_seq
            else:
                flat += (stream, first_seq, last_seq)
        self._context.append(Kind.LANDED, encode_numbers(flat), is_durable=False)

    def abandoned(self, stream: int) -> None:
        """What was on its way there and had not landed waits again."""
        self._context.append(Kind.ABANDONED, encode_numbers([stream]))

    def batch_of(self, entry: Held) -> Batch:
        """A batch as it was published, read back if it is not in memory."""
        return read_batch(self._raw_of(entry), entry.position or 0)

    def _raw_of(self, entry: Held) -> Bytes:
        if entry.raw is not None:
            return entry.raw
        assert entry.position is not None, "only what is in the journal is ever dropped from memory"
        journal = self._context.journal
        if entry.position > journal.written:
            journal.commit(sync=False)  # It came in this very round; the round's own commit syncs it.
        return decode_held(journal.read(entry.position).payload).raw

    def tidy(self) -> None:
        """Where a segment is full begin a new one, let go of those that nothing needs, copy forward what pins one."""
        if not self.is_durable or not self._context.journal.segment_is_full:
            return
        journal, state = self._context.journal, self._state
        journal.commit()
        journal.rotate([(Kind.MARK, encode(state.mark()))])
        self._trim()
        size = journal.stats().bytes
        if size <= self._compact_bytes_min or size <= COMPACT_RATIO * state.bytes:
            return
        restated = state.restated()
        span = journal.next_position - journal.first_position
        copied = 0
        for entry in state.below(journal.first_position + span // 4):
            parts = encode_held(entry.number, entry.held_ms, entry.start, self._raw_of(entry))
            state.placed(entry, journal.append(Kind.KEPT, *parts))
            for record in restated.get(entry.number, ()):
                journal.append(Kind.LEAVING, encode(record))
            copied += entry.size
            if copied > COPY_BYTES_MAX:
                break
        # What was copied must be safe before the original goes.
        journal.commit()
        self._trim()

    def _trim(self) -> None:
        lowest = self._state.lowest_position()
        journal = self._context.journal
        journal.trim(journal.next_position if lowest is None else lowest)
