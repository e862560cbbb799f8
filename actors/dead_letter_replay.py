"""The dead-letter store rebuilt from its journal, record by record.

Records may begin anywhere (older segments are gone) and refer to letters that left long ago. Afterwards every letter is
resting, or leaving under the number it was given, to be sent again.
"""

from __future__ import annotations

import msgspec

from posthouse.actors.dead_letter_records import (
    Kind,
    decode_buried,
    decode_leaving,
    decode_mark,
    decode_ranges,
    pairs_of,
)
from posthouse.actors.dead_letter_store import DeadLetterStore, Range
from posthouse.actors.move import Outbox
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
    elif kind in (Kind.LEFT, Kind.RETURNED, Kind.PURGED):
        for first, last in decode_ranges(payload):
            _ended(store, Kind(kind), first, last)
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
    outbox = store.outboxes.setdefault(leaving.queue, Outbox(leaving.stream))
    pairs = pairs_of(leaving.ranges)
    count = sum(last - first + 1 for first, last in pairs)
    there: list[Range] = [(low, high) for pair in pairs for low, high, _ in store.resting.pieces(*pair)]
    if outbox.get(leaving.first_seq) is None and sum(last - first + 1 for first, last in there) == count:
        store.leave(leaving.queue, pairs, leaving.first_seq)
    outbox.next_seq = max(outbox.next_seq, leaving.first_seq + count)


def _ended(store: DeadLetterStore, kind: Kind, first: int, last: int) -> None:
    for _, _, (queue, first_seq) in store.leaving.pieces(first, last):
        intent = store.outboxes[queue].get(first_seq)
        if intent is not None:
            store.outboxes[queue].drop(intent)
    if kind is Kind.RETURNED:
        store.returned([(first, last)])
        return
    pieces = [(low, high) for low, high, _ in store.resting.take(first, last)]
    pieces += [(low, high) for low, high, _ in store.leaving.take(first, last)]
    for low, high in pieces:
        store.settle(low, high)
        count = high - low + 1
        if kind is Kind.LEFT:
            store.counters.redriven += count
        else:
            store.counters.purged += count


def _mark(store: DeadLetterStore, payload: Bytes) -> None:
    mark = decode_mark(payload)
    store.next_id = max(store.next_id, mark.next_id)
    for stream, last_seq in zip(mark.streams[::2], mark.streams[1::2], strict=True):
        store.streams.saw(stream, last_seq)
    for queue, (stream, next_seq) in mark.targets.items():
        outbox = store.outboxes.setdefault(queue, Outbox(stream))
        outbox.next_seq = max(outbox.next_seq, next_seq)
    for name in mark.counters.__struct_fields__:
        highest = max(getattr(store.counters, name), getattr(mark.counters, name))
        setattr(store.counters, name, highest)
