"""The dead letters: which there are, why each is dead, and which are on their way back to a queue.

A deterministic core. Every letter has an id, 1, 2, 3, … for ever; letters that died together are one *group* with
consecutive ids, and a letter is in exactly one place: resting, leaving for one queue, or gone. The index is in memory,
a few hundred bytes a group; bodies and histories are on disk and read when somebody looks. A burial under a number of a
stream that was stored before changes nothing. It must not know of clocks, sockets or files.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, final

import msgspec

from posthouse.actors.dead_letter_records import Counters, Mark
from posthouse.actors.move import Admission, Intent, Outbox, admission
from posthouse.actors.offsets import RangeMap, merged
from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_streams import Streams
from posthouse.actors.stored_batch import Bytes, StoredBatch, stored
from posthouse.transport.errors import QueueFull, UnknownDeadLetter
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import Bury, Cause, DeadLetterFilter, DeadLetterInfo, Death

Range = tuple[int, int]


@final
class StoreLimits(NamedTuple):
    """With so much in the store nothing more is taken: it stays where it died."""

    messages_max: int = 500_000
    bytes_max: int = 4 * 1024 * 1024 * 1024
    memory_bytes_max: int = 2 * 1024 * 1024
    disk_free_bytes_min: int = 64 * 1024 * 1024


@final
class Group(msgspec.Struct, frozen=True, gc=False):
    """Letters `first_id … last_id`, which died together: what a filter looks at and a listing shows."""

    first_id: int
    last_id: int
    reason: str
    queue: str
    exchange: str
    routing_key: str
    attempt: int
    first_ms: int
    died_ms: int
    fingerprint: str
    cause: str
    size: int


@final
class _Tally(msgspec.Struct):
    """What is counted of one cause."""

    first_ms: int
    last_ms: int = 0
    count: int = 0
    cause: str = ""
    queues: set[str] = msgspec.field(default_factory=set)
    reasons: set[str] = msgspec.field(default_factory=set)


class Return(NamedTuple):
    """Letters that move to a queue together."""

    queue: str
    ranges: list[Range]


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
        self._groups: dict[int, Group] = {}
        # Groups of which letters have gone; of all others, a look at the group says which letters there are.
        self._partial: set[int] = set()

    # ---- letters come in ----

    @property
    def is_full(self) -> bool:
        return self.backlog.live >= self.limits.messages_max or self.backlog.body_bytes >= self.limits.bytes_max

    def admission(self, bury: Bury) -> Admission:
        """What to do with a burial, room aside."""
        last_seq = bury.first_seq + bury.count - 1
        return admission(self.streams.last(bury.stream), bury.floor, bury.first_seq, last_seq)

    def bury(self, bury: Bury, batch: Batch, raw: Bytes) -> StoredBatch:
        """Take letters that `admission` called new. Raises QueueFull; nothing has changed then."""
        if self.is_full:
            raise QueueFull(
                f"the dead-letter store holds {self.backlog.live} messages of {self.limits.messages_max} and "
                f"{self.backlog.body_bytes} bytes of {self.limits.bytes_max}; redrive or purge some"
            )
        self.streams.saw(bury.stream, bury.first_seq + bury.count - 1)
        entry = self._add(self.next_id, batch, raw, bury.death)
        self.counters.buried += entry.count
        return entry

    def _add(self, first_id: int, batch: Batch, raw: Bytes, death: Death) -> StoredBatch:
        entry = stored(first_id, batch, raw)
        self.next_id = max(self.next_id, entry.last_offset + 1)
        self.backlog.add(entry)
        self.resting.put(first_id, entry.last_offset, 0)
        self._groups[first_id] = Group(
            first_id,
            entry.last_offset,
            sys.intern(death.reason),
            sys.intern(death.queue),
            sys.intern(batch.exchange),
            sys.intern(batch.routing_key),
            death.attempt,
            death.first_ms,
            death.died_ms,
            sys.intern(death.fingerprint),
            sys.intern(death.cause),
            entry.body_bytes // entry.count,
        )
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
        for entry in self.backlog.since(after):
            group = self._groups[entry.first_offset]
            if (
                group.last_id > after
                and (wanted.queue is None or group.queue == wanted.queue)
                and (wanted.reason is None or group.reason == wanted.reason)
                and (wanted.fingerprint is None or group.fingerprint == wanted.fingerprint)
                and (wanted.after_ms is None or group.died_ms >= wanted.after_ms)
                and (wanted.before_ms is None or group.died_ms < wanted.before_ms)
                and (ids is None or any(group.first_id <= number <= group.last_id for number in ids))
                and (wanted.headers is None or _has(headers(group), wanted.headers))
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

    def causes(self, wanted: DeadLetterFilter, headers: Headers, limit: int) -> list[Cause]:
        """What the letters that a filter means died of, the most frequent first."""
        found: dict[str, _Tally] = {}
        for group in self.groups(wanted, headers):
            count = sum(last - first + 1 for first, last in self.ranges(group, wanted, with_leaving=True))
            if not count:
                continue
            tally = found.get(group.fingerprint)
            if tally is None:
                tally = found[group.fingerprint] = _Tally(first_ms=group.first_ms)
            tally.count += count
            tally.cause = group.cause
            tally.queues.add(group.queue)
            tally.reasons.add(group.reason)
            tally.first_ms = min(tally.first_ms, group.first_ms)
            tally.last_ms = max(tally.last_ms, group.died_ms)
        causes = [
            Cause(
                fingerprint=fingerprint,
                cause=tally.cause,
                count=tally.count,
                queues=tuple(sorted(tally.queues)),
                reasons=tuple(sorted(tally.reasons)),
                first_ms=tally.first_ms,
                last_ms=tally.last_ms,
            )
            for fingerprint, tally in found.items()
        ]
        return sorted(causes, key=lambda cause: (-cause.count, cause.fingerprint))[:limit]

    # ---- letters go ----

    def purge(self, wanted: DeadLetterFilter, headers: Headers) -> list[Range]:
        """Forget the resting letters that a filter means. Returns their ids."""
        purged = [piece for group in self.groups(wanted, headers) for piece in self.ranges(group, wanted)]
        for first, last in purged:
            self.resting.take(first, last)
            self.settle(first, last)
            self.counters.purged += last - first + 1
        return merged(purged)

    def leave(self, queue: str, ranges: list[Range], first_seq: int | None = None) -> Intent[Return]:
        """Resting letters are to be moved to a queue. The sequence is given by a replay."""
        count = sum(last - first + 1 for first, last in ranges)
        size = 0
        for first, last in ranges:
            entry = self.backlog.find(first)
            size += entry.size * (last - first + 1) // entry.count
        intent = self.outboxes[queue].add(count, size, Return(queue, ranges), first_seq)
        for first, last in ranges:
            self.resting.take(first, last)
            self.leaving.put(first, last, (queue, intent.first_seq))
        return intent

    def left(self, ranges: list[Range]) -> None:
        """Their queue has them."""
        for first, last in ranges:
            self.leaving.take(first, last)
            self.settle(first, last)
            self.counters.redriven += last - first + 1

    def returned(self, ranges: list[Range]) -> None:
        """Their queue did not take them: they rest again."""
        for first, last in ranges:
            for low, high, _ in self.leaving.take(first, last):
                self.resting.put(low, high, 0)

    def settle(self, first: int, last: int) -> None:
        """These letters are in no index any more; groups without letters are forgotten."""
        low = first
        while low <= last:
            entry = self.backlog.find(low)
            high = min(last, entry.last_offset)
            self.backlog.settle(low, high)
            if entry.live:
                self._partial.add(entry.first_offset)
            else:
                del self._groups[entry.first_offset]
                self._partial.discard(entry.first_offset)
            low = high + 1

    # ---- the journal ----

    def mark(self) -> Mark:
        """What the head of a new journal segment must say."""
        targets = {queue: [outbox.stream, outbox.next_seq] for queue, outbox in self.outboxes.items()}
        return Mark(self.next_id, self.streams.flat(), targets, msgspec.structs.replace(self.counters))

    def live_ranges(self, entry: StoredBatch) -> list[int]:
        """The ids of a group that are there, flat."""
        bounds = (entry.first_offset, entry.last_offset)
        pieces = [(low, high) for low, high, _ in self.resting.pieces(*bounds)]
        pieces += [(low, high) for low, high, _ in self.leaving.pieces(*bounds)]
        return [number for pair in merged(sorted(pieces)) for number in pair]

    def intents_in(self, entry: StoredBatch) -> list[tuple[str, Intent[Return]]]:
        """The moves that letters of this group are part of."""
        keys = {key for _, _, key in self.leaving.pieces(entry.first_offset, entry.last_offset)}
        found = [(queue, self.outboxes[queue].get(first_seq)) for queue, first_seq in sorted(keys)]
        return [(queue, intent) for queue, intent in found if intent is not None]

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


def info_of(group: Group, number: int, message_id: str, *, is_leaving: bool) -> DeadLetterInfo:
    """A letter as a listing shows it."""
    return DeadLetterInfo(
        id=number,
        reason=group.reason,
        queue=group.queue,
        exchange=group.exchange,
        routing_key=group.routing_key,
        message_id=message_id,
        attempt=group.attempt,
        first_ms=group.first_ms,
        last_ms=group.died_ms,
        fingerprint=group.fingerprint,
        cause=group.cause,
        size=group.size,
        is_leaving=is_leaving,
    )


def _has(headers: dict[str, Any] | None, wanted: dict[str, Any]) -> bool:
    return headers is not None and all(
        name in headers and type(headers[name]) is type(value) and headers[name] == value
        for name, value in wanted.items()
    )
