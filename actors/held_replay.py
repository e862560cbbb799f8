"""Rebuilding what an exchange holds from its journal, record by record.

Records may begin anywhere (older segments are gone) and refer to what was gone before. Afterwards everything without a
tombstone is where it was: waiting, or on its way and to be sent again under its old number.
"""

from __future__ import annotations

from typing import final

import msgspec

from posthouse.actors import held_records as records
from posthouse.actors.held_records import Kind, LeavingRecord, Mark
from posthouse.actors.held_state import HeldState, Road
from posthouse.actors.stored_batch import Bytes
from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import Batch


@final
class HeldReplay:
    """Applies what the journal says. `for_ms` is how long the exchange holds."""

    __slots__ = ("_by_stream", "_for_ms", "_state")

    def __init__(self, state: HeldState, for_ms: int) -> None:
        self._state = state
        self._for_ms = for_ms
        self._by_stream: dict[int, Road] = {}

    def record(self, position: int, kind: int, payload: Bytes) -> None:
        """Apply one record. Raises JournalCorrupt."""
        if kind in (Kind.HELD, Kind.KEPT):
            self._held(position, payload, is_new=kind == Kind.HELD)
        elif kind == Kind.LEAVING:
            self._leaving(records.decode(payload, LeavingRecord))
        elif kind == Kind.LANDED:
            numbers = records.decode_numbers(payload, 3)
            for stream, first_seq, last_seq in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
                self._landed(stream, first_seq, last_seq)
        elif kind == Kind.ABANDONED:
            for stream in records.decode_numbers(payload, 1):
                road = self._by_stream.pop(stream, None)
                if road is not None:
                    self._state.abandon(road)
        elif kind == Kind.MARK:
            self._mark(records.decode(payload, Mark))
        else:
            raise JournalCorrupt(
                f"the record at {position} has kind {kind}, which this version does not know; "
                "start the version that wrote it",
                ((position, position),),
            )

    def _held(self, position: int, payload: Bytes, *, is_new: bool) -> None:
        state = self._state
        number, held_ms, start, raw = records.decode_held(payload)
        entry = state.entries.get(number)
        if entry is None:
            entry = state.admit(number, read_batch(raw, position), raw, held_ms, self._for_ms, start)
            if is_new:
                state.counters.held += entry.count
        state.placed(entry, position)
        if entry.raw is not None:
            entry.raw = bytes(entry.raw)  # A view would keep the whole chunk of the journal in memory.

    def _leaving(self, record: LeavingRecord) -> None:
        state = self._state
        roads = [self._road(told.queue, told.serial, told.stream) for told in record.roads]
        offset = 0
        flat = record.pieces
        for number, start, stop in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            entry = state.entries.get(number)
            seqs = [told.seq + offset for told in record.roads]
            offset += stop - start
            if entry is None:
                state.left(record.reason, stop - start)
                for road, seq in zip(roads, seqs, strict=True):
                    road.outbox.next_seq = max(road.outbox.next_seq, seq + stop - start)
            elif all(road.outbox.get(seq) is None for road, seq in zip(roads, seqs, strict=True)):
                piece = state.part(entry, start, stop, record.reason, record.moved_ms)
                piece.has_landed = record.has_landed
                for road, seq in zip(roads, seqs, strict=True):
                    state.add(road, piece, seq)

    def _landed(self, stream: int, first_seq: int, last_seq: int) -> None:
        road = self._by_stream.get(stream)
        seq = first_seq
        while road is not None and seq <= last_seq:
            intent = road.outbox.get(seq)
            if intent is None:
                seq += 1
                continue
            seq += intent.count
            road.outbox.drop(intent)
            self._state.arrived(intent.item)

    def _mark(self, mark: Mark) -> None:
        state = self._state
        state.next_number = max(state.next_number, mark.next_number)
        state.counters = msgspec.structs.replace(mark.counters)
        for told in mark.roads:
            road = self._road(told.queue, told.serial, told.stream)
            road.outbox.next_seq = max(road.outbox.next_seq, told.seq)
        for stream, *ranges in mark.seen:
            for first_seq, last_seq in zip(ranges[::2], ranges[1::2], strict=True):
                state.seen.add(stream, first_seq, last_seq)

    def _road(self, queue: str, serial: int, stream: int) -> Road:
        road = self._state.road(queue, serial, is_durable=True, new_stream=stream)
        self._by_stream[stream] = road
        return road


def read_batch(raw: Bytes, position: int) -> Batch:
    """The batch of a record, which the exchange checked when it took it in. Raises JournalCorrupt."""
    try:
        batch = messages.decode(raw)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"the batch at {position} cannot be read: {error}", ((position, position),)) from error
    if not isinstance(batch, Batch):
        raise JournalCorrupt(f"the record at {position} holds no batch", ((position, position),))
    return batch
