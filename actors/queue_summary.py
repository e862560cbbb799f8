"""What a queue's journal says of many messages of a round at once, so that a replay need not read each of them.

A part of the queue actor's shell. Messages that were published one by one are a record each; a round that brought many
of them ends with one record more, which repeats what the queue must know of them before it delivers them. Rounds of
batches, and of few messages, cost a look. It says nothing of what its publisher asked something of the queue for.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import final

from posthouse.actors.queue_records import Summary
from posthouse.actors.stored_batch import StoredBatch
from posthouse.transport.messages import Batch, Options


@final
class Summing:
    """The messages of this round so far that follow one another in the journal and in the queue."""

    __slots__ = ("_batches", "_count_min", "_entries", "_next")

    def __init__(self, count_min: int) -> None:
        self._count_min = count_min
        self._entries: list[StoredBatch] = []
        self._batches: list[Batch] = []
        self._next = (0, 0)

    def stored(self, batch: Batch, entry: StoredBatch) -> None:
        """One more is in the journal."""
        entries = self._entries
        if entry.count != 1 or (batch.options is not None and is_heeded(batch.options)):
            return
        if entries and (entry.first_offset, entry.position) != self._next:
            self._clear()
        assert entry.position is not None, "it is told of what is in the journal"
        self._next = (entry.first_offset + 1, entry.position + 1)
        entries.append(entry)
        self._batches.append(batch)

    def take(self, next_position: int) -> Summary | None:
        """The record that belongs at this position, if one is worth it. A new round begins."""
        entries, batches = self._entries, self._batches
        if not entries:
            return None
        summary = None
        if len(entries) >= self._count_min and self._next[1] == next_position:
            body_bytes = [entry.body_bytes for entry in entries]
            published_ms = [entry.published_ms for entry in entries]
            streams, seqs = [batch.stream for batch in batches], [batch.first_seq for batch in batches]
            summary = sum_up(entries[0].first_offset, streams, seqs, body_bytes, published_ms)
        self._clear()
        return summary

    def _clear(self) -> None:
        self._entries.clear()
        self._batches.clear()


def is_heeded(options: Options) -> bool:
    """Whether the queue must know what the publisher asked for, before it delivers the message."""
    return options.dedup_id is not None or options.deadline_ms is not None or options.priority != 0


def sum_up(
    first_offset: int, streams: list[int], seqs: list[int], body_bytes: list[int], published_ms: list[int]
) -> Summary | None:
    """One value of each list for each message; None where a time does not fit into its place."""
    try:
        sizes, times = packed("I", body_bytes), packed("Q", published_ms)
    except OverflowError:
        return None
    return Summary(first_offset, _last_seqs(streams, seqs), sizes, times)


def packed(code: str, numbers: Iterable[int]) -> bytes:
    """Numbers as little-endian integers of the size that the code says. Raises OverflowError."""
    return _swapped(array(code, numbers)).tobytes()


def unpacked(code: str, data: bytes) -> array[int]:
    """The inverse."""
    numbers = array(code)
    numbers.frombytes(data)
    return _swapped(numbers)


def _swapped(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":  # pragma: no cover - no such machine at hand
        numbers.byteswap()
    return numbers


def _last_seqs(streams: list[int], seqs: list[int]) -> list[int]:
    first = streams[0]
    if streams.count(first) == len(streams):
        return [first, max(seqs)]
    highest = dict(sorted(zip(streams, seqs, strict=True)))
    # As a queue remembers its streams, the one that was quiet longest comes first.
    return [number for stream in reversed(dict.fromkeys(reversed(streams))) for number in (stream, highest[stream])]
