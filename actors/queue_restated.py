"""What a queue's journal must say again of a batch that is copied forward."""

from __future__ import annotations

from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_records import (
    ExpiresRecord,
    Kind,
    LeavingRecord,
    encode_expires,
    encode_leaving,
    encode_retry,
)


def restated(contents: QueueContents, first: int, last: int) -> list[tuple[Kind, bytes]]:
    """What a journal says of a batch besides where it is: written again behind its MOVED record.

    The records of waits, deaths and histories may be in segments that go away with the batch's old place.
    """
    records: list[tuple[Kind, bytes]] = []
    waiting: list[tuple[int, int, int]] = [
        (low, high, due_ms) for low, high, (_, due_ms) in contents.waiting.ranges.pieces(first, last)
    ]
    for low, high, due_ms in waiting:
        told = contents.histories.told(low, high)
        for start, end, history, excused in told:
            records.append((Kind.RETRY, encode_retry(due_ms, history, [(start, end)], excused)))
        silent = _without((low, high), [(start, end) for start, end, _, _ in told])
        if silent:
            records.append((Kind.RETRY, encode_retry(due_ms, (), silent)))
    for low, high, history, excused in contents.histories.told(first, last):
        still = _without((low, high), [(start, end) for start, end, _ in waiting])
        if still:
            records.append((Kind.RETRY, encode_retry(0, history, still, excused)))
    seen: set[int] = set()
    for _, _, first_seq in contents.leaving.pieces(first, last):
        intent = contents.outbox.get(first_seq)
        if intent is not None and first_seq not in seen:
            seen.add(first_seq)
            leave = intent.item
            record = LeavingRecord(contents.outbox.stream, first_seq, leave.first, leave.last, leave.death)
            records.append((Kind.LEAVING, encode_leaving(record)))
    for low, high, expires_ms in contents.expiries.pieces(first, last):
        records.append((Kind.EXPIRES, encode_expires(ExpiresRecord(expires_ms, low, high))))
    return records


def _without(piece: tuple[int, int], ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of a range when these, lowest first, are taken out of it."""
    left: list[tuple[int, int]] = []
    low, last = piece
    for start, end in ranges:
        if start > low:
            left.append((low, min(last, start - 1)))
        low = max(low, end + 1)
        if low > last:
            break
    if low <= last:
        left.append((low, last))
    return left
