"""The dead-letter store rebuilt from its journal, record by record.

Records may begin anywhere (older segments are gone) and refer to letters that left long ago. Afterwards every letter is
resting, or leaving under the number it was given, to be sent again; redrives are where they were.
"""

from __future__ import annotations

import msgspec

from posthouse.actors.dead_letter_records import (
    Kind,
    decode_buried,
    decode_leaving,
    decode_mark,
    decode_noted,
    decode_ranges,
    decode_redrive,
    pairs_of,
)
from posthouse.actors.dead_letter_store import DeadLetterStore, Range, Return
from posthouse.actors.move import Intent
from posthouse.actors.stored_batch import Bytes
from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import Batch


def replay_record(store: DeadLetterStore, position: int, kind: int, payload: Bytes) -> None:
    """Apply one record. Raises JournalCorrupt."""
    if kind in (Kind.BURIED, Kind.MOVED):
        _buried(store, position, payload)
    elif kind == Kind.LEAVING:
        _leaving(store, payload)
    elif kind == Kind.MARK:
        _mark(store, payload)
    elif kind in (Kind.LEFT, Kind.RETURNED):
        _moved(store, Kind(kind), decode_ranges(payload))
    elif kind == Kind.PURGED:
        _purged(store, decode_ranges(payload))
    elif kind == Kind.NOTED:
        _noted(store, payload)
    elif kind == Kind.REDRIVE:
        store.keep_redrive(decode_redrive(payload))
    else:
        raise JournalCorrupt(
            f"the record at {position} has kind {kind}, which this version does not know; "
            "start the version that wrote it",
            ((position, position),),
        )


def _buried(store: DeadLetterStore, position: int, payload: Bytes) -> None:
    buried = decode_buried(payload)
    try:
        batch = messages.decode(buried.raw)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"the batch at {position} cannot be read: {error}", ((position, position),)) from error
    if not isinstance(batch, Batch):
        raise JournalCorrupt(f"the record at {position} holds no batch", ((position, position),))
    grave = buried.grave
    store.streams.saw(grave.stream, grave.first_seq + batch.count - 1)
    live = pairs_of(grave.live) or [(buried.first_id, buried.first_id + batch.count - 1)]
    is_new = buried.first_id >= store.next_id
    store.revive(buried.first_id, batch, buried.raw, grave.death, live, position)
    if is_new:
        store.counters.buried += batch.count


def _leaving(store: DeadLetterStore, payload: Bytes) -> None:
    leaving = decode_leaving(payload)
    outbox = store.open_outbox(leaving.key, leaving.stream)
    pairs = pairs_of(leaving.ranges)
    count = sum(last - first + 1 for first, last in pairs)
    there: list[Range] = [(low, high) for pair in pairs for low, high, _ in store.resting.pieces(*pair)]
    if outbox.get(leaving.first_seq) is None and sum(last - first + 1 for first, last in there) == count:
        # What a compaction wrote again was counted before the mark ahead of it.
        is_counted = leaving.first_seq < outbox.next_seq
        record = store.redrives.pop(leaving.redrive, None) if is_counted else None
        store.leave(leaving.key, pairs, leaving.redrive, leaving.first_seq)
        if record is not None:
            store.redrives[leaving.redrive] = record
    outbox.next_seq = max(outbox.next_seq, leaving.first_seq + count)


def _moved(store: DeadLetterStore, kind: Kind, pairs: list[Range]) -> None:
    """Moves ended, whole ones: their letters arrived, or rest again."""
    moves: dict[tuple[str, int], Intent[Return]] = {}
    for pair in pairs:
        for intent in store.intents_in(*pair):
            moves[intent.item.key, intent.first_seq] = intent
    for (key, _), intent in moves.items():
        if kind is Kind.RETURNED:
            store.returned(intent)
        else:
            store.left(intent)
        store.outboxes[key].drop(intent)
    if kind is Kind.LEFT:
        # The intent may have been in a segment that is gone.
        for first, last in pairs:
            for low, high, _ in store.resting.take(first, last):
                store.settle(low, high)
                store.counters.redriven += high - low + 1


def _purged(store: DeadLetterStore, pairs: list[Range]) -> None:
    for first, last in pairs:
        for low, high, _ in store.resting.take(first, last):
            store.settle(low, high)
            store.counters.purged += high - low + 1


def _noted(store: DeadLetterStore, payload: Bytes) -> None:
    noted = decode_noted(payload)
    for first, last in pairs_of(noted.ranges):
        there = [*store.resting.pieces(first, last), *store.leaving.pieces(first, last)]
        store.note([(low, high) for low, high, _ in there], noted.remark)


def _mark(store: DeadLetterStore, payload: Bytes) -> None:
    mark = decode_mark(payload)
    store.next_id = max(store.next_id, mark.next_id)
    for stream, last_seq in zip(mark.streams[::2], mark.streams[1::2], strict=True):
        store.streams.saw(stream, last_seq)
    for key, (stream, next_seq) in mark.targets.items():
        outbox = store.open_outbox(key, stream)
        outbox.next_seq = max(outbox.next_seq, next_seq)
    for record in mark.redrives:
        store.keep_redrive(record)
    for name in mark.counters.__struct_fields__:
        highest = max(getattr(store.counters, name), getattr(mark.counters, name))
        setattr(store.counters, name, highest)
