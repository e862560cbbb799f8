"""Rebuilding the delay scheduler from its journal, record by record.

Records may begin anywhere (older segments are gone), speak of messages that are long gone, or come twice: `record`
passes over positions it has seen. Afterwards every message waits, has failed, or is on its way in a move that was
announced and not done with.
"""

from __future__ import annotations

from typing import final

import msgspec

from posthouse.actors import delay_records as records
from posthouse.actors.delay_contents import DelayContents
from posthouse.actors.delay_ledger import BURYING, FAILED, FIRING, GONE, Place
from posthouse.actors.delay_moves import Move
from posthouse.actors.delay_records import Counters, Fire, Kept, Kind, Mark, Occurred
from posthouse.transport import messages
from posthouse.transport.batch import due_of
from posthouse.transport.errors import InvalidArgument, JournalCorrupt
from posthouse.transport.messages import Batch


@final
class DelayReplay:
    """Applies what the journal says to the contents, which nobody else may change meanwhile."""

    __slots__ = ("_burying", "_contents", "_halves", "_position", "_stored_to")

    def __init__(self, contents: DelayContents) -> None:
        self._contents = contents
        self._position = 0
        # Not the same as `next_id`: a mark may be written between a store and its record.
        self._stored_to = 0
        self._halves: list[Move] = []
        self._burying: set[int] = set()

    def record(self, position: int, kind: int, payload: records.Bytes) -> None:
        """Apply one record; positions seen before are passed over. Raises JournalCorrupt."""
        if position <= self._position:
            return
        contents = self._contents
        if kind == Kind.STORE:
            first_id, raw = records.decode_store(payload)
            self._store(first_id, read_batch(raw, position), len(raw), position)
        elif kind == Kind.FIRE:
            self._fire(records.decode_fire(payload))
        elif kind == Kind.FIRED:
            for stream, first_seq, count in records.decode_fired(payload):
                move = contents.moves.get(stream, first_seq)
                if move is not None:
                    contents.fired(move)
                    contents.counters.fired += count - len(move.ids)
        elif kind == Kind.FAILED:
            failed = records.decode_failed(payload)
            move = contents.moves.get(failed.stream, failed.first_seq)
            if move is not None:
                contents.failed(move, failed.code, failed.text)
        elif kind == Kind.RETURNED:
            returned = records.decode_returned(payload)
            move = contents.moves.get(returned.stream, returned.first_seq)
            if move is not None:
                contents.returned(move, returned.due_ms)
        elif kind == Kind.CANCELLED:
            for message_id in records.decode_ids(payload):
                contents.counters.cancelled += contents.forget(message_id) != GONE
        elif kind == Kind.RESCHEDULED:
            changed = records.decode_rescheduled(payload)
            if contents.ledger.set(changed.message_id, changed.due_ms) == FAILED:
                contents.failures.pop(changed.message_id, None)
        elif kind == Kind.MARK:
            self._mark(records.decode_mark(payload))
        elif kind == Kind.KEPT:
            kept = records.decode_kept(payload)
            self._kept(kept, read_batch(kept.raw, position), position)
        elif kind == Kind.SCHEDULE:
            schedule = records.decode_schedule(payload)
            contents.schedules.put(schedule)
            contents.next_id = max(contents.next_id, schedule.schedule_id + 1)
        elif kind == Kind.OCCURRED:
            head, raw = records.decode_occurred(payload)
            self._occurred(head, read_batch(raw, position), len(raw), position)
        elif kind == Kind.STOPPED:
            contents.schedules.remove(records.decode_stopped(payload))
        elif kind == Kind.BURY:
            burial = records.decode_burial(payload)
            if contents.burials.get(burial.first_seq) is None:
                contents.bury(burial)
                self._burying.update(burial.ids)
        elif kind == Kind.BURIED:
            for first_seq in records.decode_ids(payload):
                self._buried(first_seq)
        else:
            raise JournalCorrupt(
                f"the record at {position} has kind {kind}, which this version does not know; "
                "start the version that wrote it",
                ((position, position),),
            )
        self._position = position

    def finish(self) -> None:
        """Every record was applied. A move without its end, of which a part has left the journal, has fired.

        For a part that waited again after another end leaves only after a sync, which holds that end as well.
        """
        for move in self._halves:
            if self._contents.moves.get(*move.key) is move:
                self._contents.fired(move)
        self._halves.clear()

        self._contents.burials.replayed()
        self._burying.clear()

    def _buried(self, first_seq: int) -> None:
        intent = self._contents.burials.get(first_seq)
        if intent is not None:
            self._contents.burials.drop(intent)
            self._contents.buried(intent.item)
            self._burying.difference_update(intent.item.ids)

    def _store(self, first_id: int, batch: Batch, size: int, position: int) -> None:
        contents = self._contents
        contents.streams.saw(batch.stream, batch.first_seq + batch.count - 1)
        if not self._extend(first_id, batch, size, position):
            return
        contents.remember(batch.stream, batch.first_seq, first_id)
        if batch.options is not None and batch.options.schedule_key is not None:
            before = contents.name(first_id, batch.options.schedule_key)
            contents.counters.replaced += contents.forget(before) != GONE if before else 0

    def _occurred(self, head: Occurred, batch: Batch, size: int, position: int) -> None:
        if self._extend(head.message_id, batch, size, position):
            self._contents.schedules.owns(head.message_id, head.schedule_id)
        self._contents.schedules.occurred(head)

    def _extend(self, first_id: int, batch: Batch, size: int, position: int) -> bool:
        """Messages that are new; False when they were here before."""
        if first_id <= self._stored_to:
            return False
        try:
            dues = due_of(batch)
        except InvalidArgument as error:
            raise JournalCorrupt(f"the batch at {position}: {error}", ((position, position),)) from error
        contents = self._contents
        self._stored_to = first_id + batch.count - 1
        contents.next_id = max(contents.next_id, self._stored_to + 1)
        contents.counters.accepted += batch.count
        contents.counters.accepted_bytes += size
        number = contents.ledger.exchange_number(batch.exchange)
        contents.ledger.extend(first_id, dues, position, number)
        return True

    def _fire(self, fire: Fire) -> None:
        ledger = self._contents.ledger
        # A segment goes with everything older, so of messages that were stored apart some may be long gone.
        known = [message_id for message_id in fire.ids if ledger.due(message_id) != GONE]
        move = Move(fire.exchange, fire.stream, fire.first_seq, fire.due_ms, known)
        if known and self._contents.moves.get(*move.key) is None:
            self._contents.moves.add(move)
            for message_id in known:
                ledger.set(message_id, FIRING)
            if len(known) < len(fire.ids):
                self._halves.append(move)

    def _mark(self, mark: Mark) -> None:
        """The state of everything but messages at the head of a segment. Nothing ever goes back."""
        contents = self._contents
        contents.next_id = max(contents.next_id, mark.next_id)
        for stream, last_seq in zip(mark.streams[::2], mark.streams[1::2], strict=True):
            contents.streams.saw(stream, last_seq)
        for name in Counters.__struct_fields__:
            highest = max(getattr(contents.counters, name), getattr(mark.counters, name))
            setattr(contents.counters, name, highest)

    def _kept(self, kept: Kept, batch: Batch, position: int) -> None:
        contents = self._contents
        if batch.count != len(kept.head.ids):
            raise JournalCorrupt(
                f"the record at {position} keeps {len(kept.head.ids)} messages in a batch of {batch.count}",
                ((position, position),),
            )
        number = contents.ledger.exchange_number(batch.exchange)
        for index, (message_id, due) in enumerate(zip(kept.head.ids, kept.head.dues, strict=True)):
            is_failed = due <= 0
            state = BURYING if message_id in self._burying else FAILED
            contents.ledger.put(message_id, state if is_failed else due, Place(position, index, number))
            if is_failed:
                contents.failures[message_id] = kept.head.failure or ("refused", "")
            if batch.options is not None and batch.options.schedule_key is not None:
                contents.rename(message_id, batch.options.schedule_key)
        contents.next_id = max(contents.next_id, kept.head.ids[-1] + 1)


def read_batch(raw: memoryview, position: int) -> Batch:
    """The batch of a record, which the scheduler checked when it took it in. Raises JournalCorrupt."""
    try:
        batch = messages.decode(raw)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"the batch at {position} cannot be read: {error}", ((position, position),)) from error
    if not isinstance(batch, Batch):
        raise JournalCorrupt(f"the record at {position} holds no batch", ((position, position),))
    return batch
