"""The dead letters: which there are, why each is dead, and which are on their way to a queue or an exchange.

A deterministic core. Every letter has an id, 1, 2, 3, … for ever; letters that died together are one *group* with
consecutive ids, and a letter is in exactly one place: resting, leaving for one destination, or gone. The index is in
memory, a few hundred bytes a group; bodies and histories are on disk and read when somebody looks. A burial under a
number of a stream that was stored before changes nothing. It must not know of clocks, sockets or files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.actors.dead_letter_causes import causes_of
from posthouse.actors.dead_letter_group import Group, group_of, has_headers, is_meant, mask_of
from posthouse.actors.dead_letter_records import Counters, Mark, RedriveRecord
from posthouse.actors.destinations import destination_of
from posthouse.actors.move import Admission, Intent, Outbox, admission
from posthouse.actors.offsets import RangeMap, merged
from posthouse.actors.past_lives import PastLives
from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_streams import Streams
from posthouse.actors.stored_batch import Bytes, StoredBatch, stored
from posthouse.transport.batch import headers_of
from posthouse.transport.errors import QueueFull, UnknownDeadLetter
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import Attempt, Bury, Cause, DeadLetterFilter, Death

NOTES_MAX: Final = 4
REDRIVES_REMEMBERED: Final = 100

Range = tuple[int, int]


@final
class StoreLimits(NamedTuple):
    """With so much in the store nothing more is taken: it stays where it died."""

    messages_max: int = 500_000
    bytes_max: int = 4 * 1024 * 1024 * 1024
    memory_bytes_max: int = 2 * 1024 * 1024
    disk_free_bytes_min: int = 64 * 1024 * 1024
    compact_bytes_min: int = 64 * 1024 * 1024
    """A journal that is larger is relieved of old segments in which little lives."""
    past_bytes_max: int = 32 * 1024 * 1024
    """Journal that no letter needs is kept up to this size, so that what dies again goes on with its history."""


class Return(NamedTuple):
    """Letters that move to one destination together; `redrive` 0: to the dead-letter exchange of their queue."""

    key: str
    ranges: list[Range]
    redrive: int = 0


Headers = Callable[[Group], dict[str, Any] | None]
"""How to get at a group's headers, which are on disk."""


@final
class DeadLetterStore:
    """Groups by id, and the streams on which letters come and go."""

    def __init__(self, limits: StoreLimits) -> None:
        self.limits = limits
        self.backlog = Backlog()
        self.streams = Streams()
        self.outboxes: dict[str, Outbox[Return]] = {}
        self.counters = Counters()
        self.next_id = 1
        self.resting: RangeMap[int] = RangeMap()
        self.leaving: RangeMap[tuple[str, int]] = RangeMap()
        self.notes: RangeMap[tuple[Attempt, ...]] = RangeMap()
        self.redrives: dict[int, RedriveRecord] = {}
        self.past = PastLives()
        self._key_of: dict[int, str] = {}
        self._groups: dict[int, Group] = {}
        # Groups of which letters have gone; of all others, a look at the group says which letters there are.
        self._partial: set[int] = set()

    def open_outbox(self, key: str, stream: int) -> Outbox[Return]:
        """The moves to a destination; `stream` is theirs if they had none."""
        outbox = self.outboxes.setdefault(key, Outbox())
        outbox.stream = outbox.stream or stream
        self._key_of[outbox.stream] = key
        return outbox

    def key_of(self, stream: int) -> str | None:
        """The destination whose moves have this stream; None for streams of others."""
        return self._key_of.get(stream)

    # ---- letters come in ----

    @property
    def is_full(self) -> bool:
        return self.backlog.live >= self.limits.messages_max or self.backlog.body_bytes >= self.limits.bytes_max

    def admission(self, bury: Bury) -> Admission:
        """What to do with a burial, room aside."""
        last_seq = bury.first_seq + bury.count - 1
        return admission(self.streams.last(bury.stream), bury.floor, bury.first_seq, last_seq)

    def refuse_when_full(self) -> None:
        """Raises QueueFull."""
        if self.is_full:
            raise QueueFull(
                f"the dead-letter store holds {self.backlog.live} messages of {self.limits.messages_max} and "
                f"{self.backlog.body_bytes} bytes of {self.limits.bytes_max}; redrive or purge some"
            )

    def bury(self, stream: int, last_seq: int, death: Death, batch: Batch, raw: Bytes) -> StoredBatch:
        """Take letters whose numbers, up to `last_seq`, `admission` called new."""
        self.streams.saw(stream, last_seq)
        entry = self._add(self.next_id, batch, raw, death)
        self.counters.buried += entry.count
        return entry

    def _add(self, first_id: int, batch: Batch, raw: Bytes, death: Death) -> StoredBatch:
        entry = stored(first_id, batch, raw)
        self.next_id = max(self.next_id, entry.last_offset + 1)
        self.backlog.add(entry)
        self.resting.put(first_id, entry.last_offset, 0)
        self._groups[first_id] = group_of(entry, batch, death, headers_of(batch))
        return entry

    def placed(self, first_id: int, position: int) -> None:
        """The journal holds this group at `position`, for the first time or moved."""
        entry = self.backlog.get(first_id)
        if entry is not None:
            self.backlog.place(entry, position)

    # ---- letters are looked at ----

    def groups(self, wanted: DeadLetterFilter, headers: Headers, after: int = 0) -> Iterator[Group]:
        """The groups that a filter means, oldest first, with any letter above the id `after`."""
        ids = None if wanted.ids is None else set(wanted.ids)
        mask = mask_of(wanted.headers)
        for entry in self.backlog.since(after):
            group = self._groups[entry.first_offset]
            if (
                group.last_id > after
                and is_meant(group, wanted)
                and (ids is None or any(group.first_id <= number <= group.last_id for number in ids))
                and (wanted.headers is None or group.mask & mask == mask)
                and (wanted.headers is None or has_headers(headers(group), wanted.headers))
            ):
                yield group

    def ranges(self, group: Group, wanted: DeadLetterFilter, *, with_leaving: bool = False) -> list[Range]:
        """The letters of a group that a filter means."""
        if wanted.ids is None and group.first_id not in self._partial and (with_leaving or not self.leaving):
            return [(group.first_id, group.last_id)]
        found = [(first, last) for first, last, _ in self.resting.pieces(group.first_id, group.last_id)]
        if with_leaving:
            found += [(first, last) for first, last, _ in self.leaving.pieces(group.first_id, group.last_id)]
            found.sort()
        if wanted.ids is None:
            return found
        return [(number, number) for number in sorted(wanted.ids) for low, high in found if low <= number <= high]

    def count(self, wanted: DeadLetterFilter, headers: Headers) -> int:
        """How many resting letters a filter means."""
        if wanted == DeadLetterFilter():
            return self.resting.count
        return sum(
            last - first + 1 for group in self.groups(wanted, headers) for first, last in self.ranges(group, wanted)
        )

    def letters(
        self, wanted: DeadLetterFilter, headers: Headers, after: int, limit: int
    ) -> list[tuple[Group, int, bool]]:
        """The first letters that a filter means: group, id, and whether it is leaving."""
        found: list[tuple[Group, int, bool]] = []
        for group in self.groups(wanted, headers, after):
            for first, last in self.ranges(group, wanted, with_leaving=True):
                for number in range(max(first, after + 1), last + 1):
                    if len(found) == limit:
                        return found
                    found.append((group, number, bool(self.leaving.pieces(number, number))))
        return found

    def find(self, number: int) -> Group:
        """The group of a letter that is there. Raises UnknownDeadLetter."""
        if not self.resting.pieces(number, number) and not self.leaving.pieces(number, number):
            raise UnknownDeadLetter(f"there is no dead letter {number}; it was redriven, purged, or never there")
        return self._groups[self.backlog.find(number).first_offset]

    def causes(
        self, wanted: DeadLetterFilter, headers: Headers, limit: int, *, with_leaving: bool = True
    ) -> list[Cause]:
        """What the letters that a filter means died of, the most frequent first."""
        counted = (
            (group, sum(last - first + 1 for first, last in self.ranges(group, wanted, with_leaving=with_leaving)))
            for group in self.groups(wanted, headers)
        )
        return causes_of(counted, limit)

    # ---- letters go ----

    def purge(self, wanted: DeadLetterFilter, headers: Headers) -> list[Range]:
        """Forget the resting letters that a filter means. Returns their ids."""
        purged = [piece for group in self.groups(wanted, headers) for piece in self.ranges(group, wanted)]
        for first, last in purged:
            self.resting.take(first, last)
            self.settle(first, last)
            self.counters.purged += last - first + 1
        return merged(purged)

    def leave(self, key: str, ranges: list[Range], redrive: int = 0, first_seq: int | None = None) -> Intent[Return]:
        """Resting letters are to be moved to a destination. The sequence is given by a replay."""
        count = sum(last - first + 1 for first, last in ranges)
        size = 0
        for first, last in ranges:
            entry = self.backlog.find(first)
            size += entry.size * (last - first + 1) // entry.count
        intent = self.outboxes[key].add(count, size, Return(key, ranges, redrive), first_seq)
        for first, last in merged(ranges):
            self.resting.take(first, last)
            self.leaving.put(first, last, (key, intent.first_seq))
        record = self.redrives.get(redrive)
        if record is not None:
            record.went(key, intent.first_seq, count, ranges[-1][1])
        return intent

    def left(self, intent: Intent[Return]) -> None:
        """Their destination has them. What they were is remembered, in case they die again."""
        key, ranges, redrive = intent.item
        stream, seq = self.outboxes[key].stream, intent.first_seq
        for first, last in ranges:
            position = self.backlog.find(first).position
            self.past.remember(stream, seq, first, last - first + 1, position or 0)
            seq += last - first + 1
        for first, last in merged(ranges):
            self.leaving.take(first, last)
            self.settle(first, last)
        counters, record = self.counters, self.redrives.get(redrive)
        if redrive or not destination_of(key).is_exchange:
            counters.redriven += intent.count
        else:
            counters.republished += intent.count
        if record is not None:
            record.moved += intent.count

    def returned(self, intent: Intent[Return]) -> None:
        """Their destination did not take them: they rest again."""
        for first, last in intent.item.ranges:
            for low, high, _ in self.leaving.take(first, last):
                self.resting.put(low, high, 0)
        record = self.redrives.get(intent.item.redrive)
        if record is not None:
            record.back += intent.count

    def note(self, ranges: list[Range], remark: Attempt) -> None:
        """Remember a remark on letters that are there; of many, the first and the last ones."""
        for first, last in ranges:
            known = self.notes.pieces(first, last)
            self.notes.put(first, last, (remark,))
            for low, high, notes in known:
                kept = notes if len(notes) < NOTES_MAX else (notes[0], *notes[2:])
                self.notes.put(low, high, (*kept, remark))

    def keep_redrive(self, record: RedriveRecord) -> None:
        """A redrive began, or the journal tells of one. The oldest that are over are forgotten."""
        self.redrives[record.number] = record
        for number in [number for number, one in self.redrives.items() if one.is_over]:
            if len(self.redrives) <= REDRIVES_REMEMBERED:
                break
            del self.redrives[number]

    def settle(self, first: int, last: int) -> None:
        """These letters are in no index any more; groups without letters are forgotten."""
        entries = [self.backlog.find(first)]
        while entries[-1].last_offset < last:
            entries.append(self.backlog.find(entries[-1].last_offset + 1))
        self.backlog.settle(first, last)
        if self.notes:
            self.notes.take(first, last)
        for entry in entries:
            if entry.live:
                self._partial.add(entry.first_offset)
            else:
                del self._groups[entry.first_offset]
                self._partial.discard(entry.first_offset)

    # ---- the journal ----

    def mark(self) -> Mark:
        """What the head of a new journal segment must say."""
        targets = {key: [outbox.stream, outbox.next_seq] for key, outbox in self.outboxes.items()}
        counters = msgspec.structs.replace(self.counters)
        return Mark(self.next_id, self.streams.flat(), targets, counters, list(self.redrives.values()))

    def live_ranges(self, entry: StoredBatch) -> list[int]:
        """The ids of a group that are there, flat."""
        bounds = (entry.first_offset, entry.last_offset)
        pieces = [(low, high) for low, high, _ in self.resting.pieces(*bounds)]
        pieces += [(low, high) for low, high, _ in self.leaving.pieces(*bounds)]
        return [number for pair in merged(sorted(pieces)) for number in pair]

    def intents_in(self, first: int, last: int) -> list[Intent[Return]]:
        """The moves that these letters are part of."""
        moves = {move for _, _, move in self.leaving.pieces(first, last)}
        found = [self.outboxes[key].get(first_seq) for key, first_seq in sorted(moves)]
        return [intent for intent in found if intent is not None]

    def revive(self, first_id: int, batch: Batch, raw: Bytes, death: Death, live: list[Range], position: int) -> None:
        """The journal says: this group is at `position`, and of it these letters are there."""
        entry = self.backlog.get(first_id)
        if entry is None:
            entry = self._add(first_id, batch, raw, death)
            self.resting.take(entry.first_offset, entry.last_offset)
            for first, last in live:
                self.resting.put(first, last, 0)
            self.backlog.revive(entry, sum(last - first + 1 for first, last in live))
            if entry.live < entry.count:
                self._partial.add(first_id)
        self.backlog.place(entry, position)

    def replayed(self) -> None:
        """The journal has been read."""
        for outbox in self.outboxes.values():
            outbox.replayed()
