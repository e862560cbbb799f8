"""What a queue's journal says of a message: stored, given, failed, retried, settled, moved away.

Fed twice with the records of one journal: `find` looks where the message is, `tell` makes events of what is said of
those offsets. Pure. What no record says (a consumer that gave a message back unseen, the end of a process) is told from
what must have happened between two that do, and its text says so.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.actors import queue_records as records
from posthouse.actors.queue_records import Kind
from posthouse.biography.events import Copy, Moment, Told, arrived, clock, copy_of, routed, sent
from posthouse.biography.wanted import Wanted, batch_of
from posthouse.transport.batch import lengths_of
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import TAKEN_BACK, Attempt
from posthouse.transport.names import shown

PLACES_MAX: Final = 100
"""Messages of one name whose story one queue tells; a name may be given to any number of messages."""

_ENDINGS: Final = {
    Kind.SETTLED: ("acked", "acked"),
    Kind.REJECTED: ("gone", "gone: it was rejected or failed for the last time, and this queue keeps no dead letters"),
    Kind.PURGED: ("purged", "purged: somebody emptied the queue"),
    Kind.LEFT: ("dead_lettered", "handed over: the dead letters have it on disk, so it has left the queue"),
    Kind.EXPIRED: ("expired", "expired: its time to live was over, and this queue keeps no dead letters"),
    Kind.DROPPED: ("dropped", "dropped: the queue was over its limit"),
    Kind.LATE: ("late", "dropped unprocessed: it is a call whose deadline had passed"),
}


@final
class Place(msgspec.Struct):
    """The message at one offset, and how its life there stands."""

    offset: int
    stored: Told | None = None
    times: int = 0
    holder: str | None = None
    held_by: int = 0
    failed_to: int = 0
    move: tuple[int, int] | None = None
    now: str = "ready"
    is_over: bool = False


@final
class QueueStory:
    """One queue."""

    def __init__(self, queue: str, wanted: Wanted) -> None:
        self.actor = f"queue:{queue}"
        self.events: list[Told] = []
        self.copies: list[Copy] = []
        self.notes: list[str] = []
        self._queue = queue
        self._wanted = wanted
        self._places: dict[int, Place] = {}
        self._too_many = False

    @property
    def is_found(self) -> bool:
        return bool(self._places)

    @property
    def is_over(self) -> bool:
        """Nothing that the journal says from here on concerns the message."""
        return all(place.is_over for place in self._places.values())

    @property
    def now(self) -> list[str]:
        """Where the message is, or how it ended."""
        return [f"queue {shown(self._queue)}, offset {place.offset}: {place.now}" for place in self._places.values()]

    # ---- finding ----

    def batch_in(self, kind: int, payload: memoryview) -> tuple[int, Batch] | None:
        """First offset and batch of a record that has one. Raises JournalCorrupt."""
        if kind == Kind.STORE:
            first, raw = records.decode_store(payload)
            return first, batch_of(raw)
        if kind == Kind.MOVED:
            moved = records.decode_moved(payload)
            return moved.first_offset, batch_of(moved.raw)
        return None

    def find(self, kind: int, payload: memoryview) -> None:
        found = self.batch_in(kind, payload)
        if found is None:
            return
        first, batch = found
        for index in self._wanted.indexes(batch):
            if first + index in self._places:
                continue
            if len(self._places) == PLACES_MAX:
                if not self._too_many:
                    self.notes.append(
                        f"{self.actor} has more than {PLACES_MAX} messages of that name; these are the first"
                    )
                self._too_many = True
                return
            self._places[first + index] = Place(first + index)

    # ---- telling ----

    def tell(self, moment: Moment, position: int, kind: int, payload: memoryview) -> None:
        """Make events of one record. Raises JournalCorrupt."""
        for place in self._places.values():
            if place.holder is not None and place.held_by < moment.generation:
                self._restarted(moment, place)
        if kind in (Kind.STORE, Kind.MOVED):
            if any(
                place.stored is None and place.offset >= _first_offset(kind, payload) for place in self._places.values()
            ):
                found = self.batch_in(kind, payload)
                assert found is not None
                self._stored(moment, position, kind, *found, payload)
        elif kind == Kind.GIVEN or kind == Kind.TAKEN:
            for receiver in records.decode_receivers(payload):
                for place in self._touched(receiver.ranges):
                    self._given(moment, position, place, receiver.client_name, receiver.consumer)
                    if kind == Kind.TAKEN:
                        self._ended(
                            moment, position, place, "acked", "settled as it was sent: the consumer has auto-ack"
                        )
        elif kind == Kind.DELIVERED:
            for place in self._touched(records.decode_ranges(payload)):
                self._given(moment, position, place, "", 0)
        elif kind in _ENDINGS:
            what, text = _ENDINGS[Kind(kind)]
            for place in self._touched(records.decode_ranges(payload)):
                if kind == Kind.SETTLED and place.holder:
                    text = f"acked by {place.holder}"
                self._ended(moment, position, place, what, text)
        elif kind == Kind.RETRY:
            self._retried(moment, position, records.decode_retry(payload))
        elif kind == Kind.LEAVING:
            self._leaving(moment, position, records.decode_leaving(payload))
        elif kind == Kind.EXPIRES:
            expires = records.decode_expires(payload)
            for place in self._touched([expires.first, expires.last]):
                if place.stored is not None:
                    place.stored.details["expires_at"] = clock(expires.expires_ms)

    def _touched(self, ranges: list[int]) -> list[Place]:
        pairs = list(zip(ranges[::2], ranges[1::2], strict=True))
        return [
            place for offset, place in self._places.items() if any(first <= offset <= last for first, last in pairs)
        ]

    def _say(self, at_ms: int, what: str, text: str, place: Place, **details: Any) -> Told:
        told = Told(at_ms, self.actor, what, text, {"offset": place.offset, **details})
        self.events.append(told)
        return told

    def _stored(self, moment: Moment, position: int, kind: int, first: int, batch: Batch, payload: memoryview) -> None:
        for place in self._touched([first, first + batch.count - 1]):
            if place.stored is not None:
                continue
            index = place.offset - first
            is_copy = kind == Kind.MOVED
            copy = copy_of(batch, index, lengths_of(batch)[index], 0 if is_copy else moment.at_ms, self.actor)
            self.copies.append(copy)
            if not is_copy:
                place.stored = self._say(moment.at_ms, "stored", f"stored at offset {place.offset}", place,
                                         position=position, generation=moment.generation, stream=f"{copy.stream:x}",
                                         number=copy.seq, size=copy.size)  # fmt: skip
                mark = sent(copy.stream, copy.seq)
                place.stored.after = (mark, routed(mark))
                place.stored.marks = (arrived(copy.stream, copy.seq),)
                continue
            live = records.decode_moved(payload).live
            times = [
                n for low, high, n in zip(live[::3], live[1::3], live[2::3], strict=True) if low <= place.offset <= high
            ]
            if not times:
                continue  # It was settled, and the copy says nothing of when.
            place.times = max(place.times, times[0])
            text = (
                f"stored at offset {place.offset} some time before, and copied forward now: "
                f"the segment with its beginning is gone. Given {times[0]} times until here"
            )
            place.stored = self._say(moment.at_ms, "kept", text, place, position=position, given=times[0])

    def _given(self, moment: Moment, position: int, place: Place, client: str, consumer: int) -> None:
        if place.holder is not None:
            text = f"came back unsettled: {place.holder} gave it back, failed without a word, or left"
            self._say(0, "returned", text, place)
        place.times += 1
        place.holder = client or "a consumer whose name was not written down"
        place.held_by = moment.generation
        how = " (asked for one by one)" if client and not consumer else ""
        place.now = f"held by {place.holder}, which has not settled it"
        self._say(moment.at_ms, "delivered", f"given to {place.holder}{how}, attempt {place.times}", place,
                  position=position, consumer=client, number=consumer, attempt=place.times)  # fmt: skip

    def _restarted(self, moment: Moment, place: Place) -> None:
        """The first word of a life that knows nothing of who held the message in the one before."""
        text = (
            f"back in its place: the queue's process (generation {place.held_by}) ended while {place.holder} held it, "
            f"and generation {moment.generation} goes on"
        )
        self._say(moment.at_ms, "restarted", text, place, generation=moment.generation)
        place.holder = None
        place.now = "ready again"

    def _failed(self, place: Place, attempts: tuple[Attempt, ...]) -> None:
        for attempt in attempts:
            if attempt.attempt <= place.failed_to:
                continue
            place.failed_to = attempt.attempt
            place.holder = None
            self.events.append(failure(self.actor, attempt, offset=place.offset))

    def _retried(self, moment: Moment, position: int, record: records.RetryRecord) -> None:
        for place in self._touched(record.ranges):
            if record.attempts and record.attempts[-1].attempt <= place.failed_to:
                continue  # Said again behind a copy.
            self._failed(place, record.attempts)
            at_ms = record.attempts[-1].at_ms if record.attempts else moment.at_ms
            if record.due_ms:
                place.now = f"waits for its next attempt until {clock(record.due_ms)}, then it is ready"
                self._say(at_ms, "waits", f"waits until {clock(record.due_ms)} for its next attempt", place,
                          position=position, due=clock(record.due_ms), excused=record.excused)  # fmt: skip
            else:
                place.now = "ready again"
                self._say(at_ms, "requeued", "back in its place, ready at once", place, position=position)

    def _leaving(self, moment: Moment, position: int, record: records.LeavingRecord) -> None:
        death = record.death
        for place in self._touched([record.first, record.last]):
            if place.move is not None:
                continue
            place.move = (record.stream, record.first_seq + place.offset - record.first)
            self._failed(place, death.history)
            place.holder = None
            place.now = f"on its way to the dead letters: {death.reason}"
            text = f"leaves for the dead letters: {death.reason}"
            if death.reason == TAKEN_BACK:
                text = "leaves for the dead letters: the redrive that brought it was undone"
            told = self._say(death.died_ms or moment.at_ms, "died", text, place, position=position,
                             reason=death.reason, attempt=death.attempt, cause=death.cause,
                             fingerprint=death.fingerprint)  # fmt: skip
            told.marks = (sent(*place.move),)

    def _ended(self, moment: Moment, position: int, place: Place, what: str, text: str) -> None:
        if place.is_over:
            return
        place.is_over = True
        place.holder = None
        place.now = text
        told = self._say(moment.at_ms, what, text, place, position=position)
        if what == "dead_lettered" and place.move is not None:
            told.after = (arrived(*place.move),)


def _first_offset(kind: int, payload: memoryview) -> int:
    return records.decode_store(payload)[0] if kind == Kind.STORE else records.decode_moved(payload).first_offset


FAILURES: Final = {
    "nack": "was given back (nack)",
    "reject": "was rejected",
    "consumer_gone": "failed: its consumer was gone",
    "ack_timeout": "failed: it was held too long without an ack",
}
"""How an attempt fails, in words; what else a history holds are remarks of the store."""


def failure(actor: str, attempt: Attempt, **details: Any) -> Told:
    """A failed attempt, as a queue or a dead letter remembers it."""
    error = ": ".join(filter(None, (attempt.error_type, attempt.error)))
    how = FAILURES.get(attempt.how, f"failed ({attempt.how})")
    who = f" by {attempt.consumer}" if attempt.consumer and attempt.how in ("nack", "reject") else ""
    text = f"attempt {attempt.attempt} {how}{who}" + (f": {error}" if error else "")
    said = {"attempt": attempt.attempt, "how": attempt.how, "consumer": attempt.consumer,
            "error_type": attempt.error_type, "error": attempt.error, "traceback": attempt.traceback}  # fmt: skip
    return Told(attempt.at_ms, actor, "failed", text, {**details, **said})
