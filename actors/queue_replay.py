"""Rebuilding a queue from its journal, record by record.

Records may begin anywhere (older segments are gone), refer to offsets that are long settled, or come twice:
`record` passes over positions it has seen, so the same journal fed in again changes nothing. Afterwards
everything unsettled is ready, in its place, with the number of times it was delivered. It must not be used
once the queue has consumers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, final

import msgspec

from posthouse.actors.queue_contents import QueueContents
from posthouse.actors.queue_failures import REJECTED
from posthouse.actors.queue_fold import FOLD_MAX, FOLD_MIN, Fold, fold
from posthouse.actors.queue_ready import PriorityReady
from posthouse.actors.queue_records import (
    Counters,
    Kind,
    LeavingRecord,
    Mark,
    Moved,
    RetryRecord,
    decode_expires,
    decode_leaving,
    decode_mark,
    decode_moved,
    decode_paused,
    decode_ranges,
    decode_receivers,
    decode_retry,
    decode_store,
    decode_stores,
    decode_summary,
)
from posthouse.actors.stored_batch import Bytes, StoredBatch, stored
from posthouse.supervisor.journal_chunk import Chunk
from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import Batch

_STORE: Final = int(Kind.STORE)
"""A member of an enumeration is looked up ten times as slowly."""

_SUMMARY: Final = bytes([Kind.SUMMARY])

_RUNS: Final = re.compile(b"%b+|[^%b]+" % (bytes([_STORE]), bytes([_STORE])))
"""Kinds of records that store, and of records that do not."""

_COUNTED_AS: Final[dict[int, str]] = {
    Kind.SETTLED: "acked",
    Kind.REJECTED: "rejected",
    Kind.PURGED: "",
    Kind.LEFT: "dead_lettered",
    Kind.EXPIRED: "expired",
    Kind.DROPPED: "dropped",
    Kind.LATE: "late_calls",
}


@final
class _Run:
    """STORE records that follow one another from `position` on: their first offsets and batches."""

    __slots__ = ("offsets", "position", "raws")

    def __init__(self) -> None:
        self.position = 0
        self.offsets: list[int] = []
        self.raws: list[memoryview] = []

    def goes_on_at(self, position: int) -> bool:
        """Whether a record there may be added."""
        count = len(self.offsets)
        return 0 < count < FOLD_MAX and self.position + count == position

    def clear(self) -> None:
        self.offsets.clear()
        self.raws.clear()


@final
class QueueReplay:
    """Applies what the journal says to the contents of one queue, which nobody else may change meanwhile."""

    __slots__ = ("_contents", "_position", "_stored_to")

    def __init__(self, contents: QueueContents) -> None:
        self._contents = contents
        self._position = 0
        # Not the same as `next_offset`: a mark may be written between a store and its record.
        self._stored_to = 0

    def chunks(self, chunks: Iterable[Chunk]) -> None:
        """The same as `record` for each in order, at a tenth of the cost for messages stored one after the other.

        Chunks of few messages are taken together where they follow one another.
        """
        run = _Run()
        for chunk in chunks:
            kinds, bounds = chunk.kinds, chunk.bounds()
            for match in _RUNS.finditer(kinds):
                start, stop = match.span()
                if kinds[stop : stop + 1] == _SUMMARY:
                    self._stores(run)
                    start = self._summed_up(chunk, bounds, start, stop)
                if start < stop and kinds[start] != _STORE:
                    self._stores(run)
                    for place in range(start, stop):
                        payload = chunk.body[bounds[place] : bounds[place + 1]]
                        self.record(chunk.first + place, kinds[place], payload)
                    continue
                while start < stop:
                    if not run.goes_on_at(chunk.first + start):
                        self._stores(run)
                        run.position = chunk.first + start
                    end = min(stop, start + FOLD_MAX - len(run.offsets))
                    decode_stores(chunk.body, bounds[start : end + 1], run.offsets, run.raws)
                    start = end
        self._stores(run)

    def _summed_up(self, chunk: Chunk, bounds: list[int], start: int, stop: int) -> int:
        """STORE records with a SUMMARY behind them; returns which of them is the next that must be looked at."""
        summary = decode_summary(chunk.body[bounds[stop] : bounds[stop + 1]])
        begin = stop - summary.count
        if begin != start or chunk.first + start <= self._position or summary.first_offset <= self._end():
            return start
        if not self._may_fold or not summary.is_of(chunk.body, bounds[begin], bounds[stop - 1]):
            return start
        self._take_in_fold(Fold(chunk.first + begin, summary, chunk.lengths(begin, stop)))
        return stop

    @property
    def _may_fold(self) -> bool:
        """Priorities need to know each message."""
        return not isinstance(self._contents.ready, PriorityReady)

    def _stores(self, run: _Run) -> None:
        """STORE records that follow one another; the run is empty afterwards."""
        if not run.offsets:
            return
        folded = None
        if (
            len(run.offsets) >= FOLD_MIN
            and run.position > self._position
            and run.offsets[0] > self._end()
            and self._may_fold
        ):
            folded = fold(run.position, run.offsets, run.raws)
        if folded is not None:
            self._take_in_fold(folded)
        else:
            self._one_by_one(run.position, run.offsets, run.raws)
        run.clear()

    def _take_in_fold(self, folded: Fold) -> None:
        contents = self._contents
        contents.backlog.fold(folded)
        last_seqs = folded.summary.last_seqs
        for stream, last_seq in zip(last_seqs[::2], last_seqs[1::2], strict=True):
            contents.streams.saw(stream, last_seq)
        contents.ready.put(folded.first_offset, folded.last_offset, 0)
        contents.next_offset = max(contents.next_offset, folded.last_offset + 1)
        contents.counters.stored += folded.count
        self._stored_to = folded.last_offset
        self._position = folded.position + folded.count - 1

    def _one_by_one(self, first: int, offsets: list[int], raws: list[memoryview]) -> None:
        run: list[StoredBatch] = []
        contents = self._contents
        end = self._end()
        for position, (first_offset, raw) in enumerate(zip(offsets, raws, strict=True), start=first):
            if position <= self._position:
                continue
            batch = _batch(raw, position)
            self._position = position
            if first_offset > end:
                entry = stored(first_offset, batch, raw)
                entry.position = position
                contents.streams.saw(batch.stream, batch.first_seq + entry.count - 1)
                if batch.options is not None:
                    self._heed(batch)
                    contents.calls.add(entry)
                run.append(entry)
                end = entry.last_offset
                continue
            if run:
                self._take_in(run)
                run = []
            self.store(first_offset, batch, raw, position)
            end = self._end()
        if run:
            self._take_in(run)

    def _end(self) -> int:
        """Behind it a stored batch is new, and the last."""
        return max(self._stored_to, self._contents.backlog.last_first_offset)

    def _take_in(self, run: list[StoredBatch]) -> None:
        """Stored batches whose offsets rise, each with its position."""
        contents = self._contents
        contents.backlog.extend(run)
        self._stored_to = last = run[-1].last_offset
        contents.next_offset = max(contents.next_offset, last + 1)
        first, end = run[0].first_offset, run[0].first_offset - 1
        for entry in run:
            if entry.first_offset != end + 1:
                contents.ready.put(first, end, 0)
                first = entry.first_offset
            end = entry.last_offset
            contents.counters.stored += entry.count
        contents.ready.put(first, end, 0)

    def record(self, position: int, kind: int, payload: Bytes) -> None:
        """Apply one record; positions seen before are passed over. Raises JournalCorrupt."""
        if position <= self._position:
            return
        if kind == Kind.STORE:
            first_offset, raw = decode_store(payload)
            self.store(first_offset, _batch(raw, position), raw, position)
        elif kind == Kind.DELIVERED:
            self.delivered(decode_ranges(payload))
        elif kind == Kind.GIVEN:
            for receiver in decode_receivers(payload):
                self.delivered(receiver.ranges)
        elif kind == Kind.TAKEN:
            for receiver in decode_receivers(payload):
                self.settled(receiver.ranges)
        elif kind in _COUNTED_AS:
            self.settled(decode_ranges(payload), _COUNTED_AS[kind])
        elif kind == Kind.MARK:
            self.mark(decode_mark(payload))
        elif kind == Kind.MOVED:
            moved = decode_moved(payload)
            self.moved(moved, _batch(moved.raw, position), position)
        elif kind == Kind.RETRY:
            self.retried(decode_retry(payload))
        elif kind == Kind.LEAVING:
            self.leaving(decode_leaving(payload))
        elif kind == Kind.PAUSED:
            self._contents.is_paused = decode_paused(payload)
        elif kind == Kind.EXPIRES:
            expires = decode_expires(payload)
            self._contents.expiries.put(expires.first, expires.last, expires.expires_ms)
        elif kind == Kind.SUMMARY:
            pass  # What it says is in the records before it as well.
        else:
            raise JournalCorrupt(
                f"the record at {position} has kind {kind}, which this version does not know; "
                "start the version that wrote it",
                ((position, position),),
            )
        self._position = position

    def store(self, first_offset: int, batch: Batch, raw: Bytes, position: int) -> None:
        """A batch was stored. Stores are in the order of their offsets: an old offset is a repetition."""
        contents = self._contents
        entry = stored(first_offset, batch, raw)
        contents.streams.saw(batch.stream, batch.first_seq + batch.count - 1)
        self._heed(batch)
        if entry.last_offset <= self._stored_to:
            return
        self._stored_to = entry.last_offset
        contents.next_offset = max(contents.next_offset, entry.last_offset + 1)
        contents.counters.stored += entry.count
        contents.backlog.add(entry)
        contents.backlog.place(entry, position)
        contents.ready.put(first_offset, entry.last_offset, 0)
        contents.calls.add(entry)

    def _heed(self, batch: Batch) -> None:
        if batch.options is not None and batch.options.dedup_id is not None:
            self._contents.dedup.add(batch.options.dedup_id, batch.published_ms)

    def delivered(self, ranges: list[int]) -> None:
        """Flat ranges were sent to consumers once more: so they were ready, whatever they had waited for."""
        contents = self._contents
        ready, counters = contents.ready, contents.counters
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            for low, high, times in [*ready.take(first, last), *contents.waiting.take(first, last)]:
                ready.put(low, high, times + 1)
                counters.delivered += high - low + 1
                if times:
                    counters.redelivered += high - low + 1

    def settled(self, ranges: list[int], counter: str = "acked") -> None:
        """Flat ranges are gone, and counted under that name; "" for what was purged."""
        contents = self._contents
        for first, last in zip(ranges[::2], ranges[1::2], strict=True):
            gone = [*contents.ready.take(first, last), *contents.waiting.take(first, last)]
            for low, high, first_seq in contents.leaving.take(first, last):
                gone.append((low, high, 0))
                intent = contents.outbox.get(first_seq)
                if intent is not None:
                    contents.outbox.drop(intent)
            for low, high, _ in gone:
                contents.gone(low, high)
                if counter:
                    count = getattr(contents.counters, counter) + high - low + 1
                    setattr(contents.counters, counter, count)

    def retried(self, record: RetryRecord) -> None:
        """An attempt failed; what it brought back waits, or is ready. What is leaving or gone stays so."""
        contents = self._contents
        for first, last in zip(record.ranges[::2], record.ranges[1::2], strict=True):
            back = [*contents.ready.take(first, last), *contents.waiting.take(first, last)]
            for low, high, times in back:
                for attempt in record.attempts:
                    contents.histories.add(low, high, attempt)
                contents.histories.excuse(low, high, record.excused)
                if record.due_ms:
                    contents.waiting.put(low, high, times, record.due_ms)
                else:
                    contents.ready.put(low, high, times)

    def leaving(self, record: LeavingRecord) -> None:
        """The intent of a move, written once or again; its messages are in one batch."""
        contents = self._contents
        contents.outbox.stream = record.stream
        if contents.outbox.get(record.first_seq) is None:
            taken = contents.ready.take(record.first, record.last)
            taken += contents.waiting.take(record.first, record.last)
            if taken:
                # What a compaction wrote again was counted before the mark ahead of it.
                if record.death.reason == REJECTED and record.first_seq >= contents.outbox.next_seq:
                    contents.counters.rejected += record.last - record.first + 1
                contents.leave(record.first, record.last, record.death, record.first_seq)
        contents.outbox.next_seq = max(contents.outbox.next_seq, record.first_seq + record.last - record.first + 1)

    def finish(self) -> None:
        """The journal has been read."""
        self._contents.outbox.replayed()

    def mark(self, mark: Mark) -> None:
        """The state of everything but messages at the head of a segment. Nothing ever goes back."""
        contents = self._contents
        contents.next_offset = max(contents.next_offset, mark.next_offset)
        for stream, last_seq in zip(mark.streams[::2], mark.streams[1::2], strict=True):
            contents.streams.saw(stream, last_seq)
        for dedup_id, seen_ms in mark.dedup_ids.items():
            contents.dedup.add(dedup_id, seen_ms)
        contents.is_paused = mark.is_paused
        if mark.move_stream:
            contents.outbox.stream = mark.move_stream
        contents.outbox.next_seq = max(contents.outbox.next_seq, mark.move_seq)
        for name in Counters.__struct_fields__:
            highest = max(getattr(contents.counters, name), getattr(mark.counters, name))
            setattr(contents.counters, name, highest)

    def moved(self, moved: Moved, batch: Batch, position: int) -> None:
        """A batch was copied forward to `position`, and exactly what the record lists of it lives."""
        contents = self._contents
        backlog, ready = contents.backlog, contents.ready
        entry = backlog.get(moved.first_offset)
        live = list(zip(moved.live[::3], moved.live[1::3], moved.live[2::3], strict=True))
        count = sum(last - first + 1 for first, last, _ in live)
        if entry is None:
            entry = stored(moved.first_offset, batch, moved.raw)
            backlog.add(entry)
            contents.calls.add(entry)
            contents.next_offset = max(contents.next_offset, entry.last_offset + 1)
        elif entry.position is not None and entry.position >= position:
            return
        if not live or live[0][0] < entry.first_offset or live[-1][1] > entry.last_offset:
            raise JournalCorrupt(
                f"the record at {position} moves offsets that are not in its batch", ((position, position),)
            )
        ready.take(entry.first_offset, entry.last_offset)
        for first, last, times in live:
            ready.put(first, last, times)
        # What waits or leaves is told again behind this record; where it is known already, it stays there.
        for known in (contents.waiting.ranges, contents.leaving):
            for first, last, _ in known.pieces(entry.first_offset, entry.last_offset):
                ready.take(first, last)
        backlog.revive(entry, count)
        backlog.place(entry, position)


def _batch(raw: memoryview, position: int) -> Batch:
    """The batch of a record, which the queue checked when it took it in."""
    try:
        batch = messages.decode(raw)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"the batch at {position} cannot be read: {error}", ((position, position),)) from error
    if not isinstance(batch, Batch):
        raise JournalCorrupt(f"the record at {position} holds no batch", ((position, position),))
    return batch
