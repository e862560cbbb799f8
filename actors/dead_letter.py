"""The dead-letter actor: keeps what could not be handled, shows it, and sends it back.

A burial is a round like a queue's store: appended, synced once, and only then settled. What has a dead-letter exchange
goes on to it (`outgoing.py`); redrives are moves back (`returns.py`). A full store refuses and the messages stay where
they died.

Fails with: DiskFault (its journal; the supervisor decides), assertions (ours; the next life replays the journal).
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.actors import measures
from posthouse.actors.actor import Context
from posthouse.actors.dead_letter_group import Group, info_of
from posthouse.actors.dead_letter_records import (
    Grave,
    Kind,
    Leaving,
    Noted,
    decode_buried,
    encode_buried,
    encode_leaving,
    encode_mark,
    encode_noted,
    encode_ranges,
)
from posthouse.actors.dead_letter_replay import replay_record
from posthouse.actors.dead_letter_store import DeadLetterStore, StoreLimits
from posthouse.actors.death_headers import has_come_too_far
from posthouse.actors.move import Admission
from posthouse.actors.outgoing import Outgoing
from posthouse.actors.past_lives import continued, forgotten
from posthouse.actors.returns import Returns
from posthouse.actors.stored_batch import Bytes, StoredBatch
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.batch import check_batch, headers_of, message_id_of, slice_batch
from posthouse.transport.errors import InvalidArgument, ProtocolViolation, QueueFull
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import Batch, Failed, Message, Receipt, Reply, StoreNote
from posthouse.transport.messages_dead import (
    TAKEN_BACK,
    Bury,
    DeadLetterInfo,
    DeadLetterStatus,
    DeadLetterStoreInfo,
    Death,
    GetDeadLetter,
    ListCauses,
    ListDeadLetters,
    PurgeDeadLetters,
    Redrive,
    RedriveStatus,
    UndoRedrive,
)
from posthouse.transport.messages_sessions import ListSessions

LIST_MAX: Final = 1_000
COMPACT_RATIO: Final = 4
MOVE_BYTES_MAX: Final = 16 * 1024 * 1024
DISK_LOOK_MS: Final = 1_000
TRIM_PARTS: Final = 16
TOO_MANY_HOPS: Final = "too_many_hops"

STORE_FULL: Final = "dead_letters_full"
"""The alarm: nothing more can be taken, and is kept where it died."""


@final
class DeadLetterActor:
    """The one store of dead letters."""

    def __init__(self, context: Context, limits: StoreLimits | None = None) -> None:
        self._context = context
        self._limits = limits or StoreLimits()
        self._store = DeadLetterStore(self._limits)
        self._outgoing = Outgoing(context, self._store, self._batch_of, self._store.find)
        self._returns = Returns(context, self._store, self._outgoing, self._batch_of, self._headers_of)
        self._is_disk_low = False
        self._is_alarmed = False
        self._looked_at: dict[int, Batch] = {}
        self._looked_at_bytes = 0
        self._refused = 0

    # ---- life ----

    def start(self) -> None:
        self._look_at_disk()
        for records in self._context.journal.replay_chunks():
            for record in records:
                replay_record(self._store, record.position, record.kind, record.payload)
            self._store.backlog.shed(self._limits.memory_bytes_max)
        self._store.replayed()
        self._outgoing.start()
        self._returns.start()

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        link = arrived.link
        if type(message) is Bury:
            self._bury(link, message)
        elif isinstance(message, Reply | Failed | StoreNote | Receipt) and self._outgoing.hears(link):
            self._outgoing.heard(link, message)
        else:
            self._request(link, message)

    def link_opened(self, link: Link) -> None:
        """Sources and clients come and go; nothing is kept of them."""

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        if self._outgoing.owns(link) and abandoned:
            self._outgoing.abandoned(abandoned)

    def settled(self, link: Link, contexts: list[Any]) -> None:
        if self._outgoing.owns(link):
            self._outgoing.settled(contexts)

    def wake(self, key: str) -> None:
        if key == "disk":
            self._look_at_disk()
        else:
            self._outgoing.wake(key)
            self._returns.wake(key)

    def measure(self, meter: Meter) -> None:
        backlog = self._store.backlog
        meter.set(measures.LETTERS, backlog.live)
        meter.set(measures.LETTER_BYTES, backlog.body_bytes)
        meter.set(measures.STORE_FULL, self._is_alarmed)

    def noticed(self, message: control.FromSupervisor) -> None:
        self._outgoing.noticed(message)
        self._returns.noticed(message)

    def finish_round(self) -> None:
        self._returns.work()
        self._outgoing.send()
        self._looked_at.clear()
        self._looked_at_bytes = 0
        if self._context.journal.segment_is_full:
            self._rotate()
        self._store.backlog.shed(self._limits.memory_bytes_max)

    def _look_at_disk(self) -> None:
        self._is_disk_low = self._context.journal.free_bytes() < self._limits.disk_free_bytes_min
        self._context.set_timer("disk", self._context.monotonic_ms + DISK_LOOK_MS)

    # ---- letters in ----

    def _bury(self, link: Link, bury: Bury) -> None:
        batch = messages.decode(bury.batch)
        if not isinstance(batch, Batch) or batch.count != bury.count or bury.first_seq < 1:
            raise ProtocolViolation("a Bury carries another number of messages than it says")
        check_batch(batch, self._context.limits)
        admission = self._store.admission(bury)
        if admission is Admission.SEEN:
            return
        if admission is Admission.GAP:
            self._refuse(link, bury, "gap", f"numbers before {bury.first_seq} are missing")
            return
        try:
            if self._is_disk_low:
                raise QueueFull("the broker's disk is nearly full; make room")
            self._store.refuse_when_full()
        except QueueFull as error:
            self._refused += bury.count
            self._alarm(str(error))
            self._refuse(link, bury, error.code, str(error))
            return
        self._all_clear()
        # A power cut may have kept the first of several records.
        seen = max(0, self._store.streams.last(bury.stream) + 1 - bury.first_seq)
        for start, stop, death in self._lives(bury, batch):
            if stop > seen:
                self._take(bury, slice_batch(batch, max(start, seen), stop), death, bury.first_seq + stop - 1)
        if bury.death.reason != TAKEN_BACK:
            self._returns.died_again(batch.stream, batch.first_seq, batch.count)

    def _take(self, bury: Bury, batch: Batch, death: Death, last_seq: int) -> None:
        """Letters with one earlier life, or none."""
        if death.republish_to is not None and has_come_too_far(headers_of(batch)):
            death = msgspec.structs.replace(death, reason=TOO_MANY_HOPS, republish_to=None)
        raw = memoryview(bury.batch) if batch.count == bury.count else messages.encode(batch)
        entry = self._store.bury(bury.stream, last_seq, death, batch, raw)
        grave = Grave(bury.stream, last_seq + 1 - batch.count, death)
        parts = encode_buried(entry.first_offset, grave, raw)
        self._store.placed(entry.first_offset, self._context.append(Kind.BURIED, *parts))
        if death.republish_to is not None:
            self._outgoing.republish(self._store.find(entry.first_offset))

    def _lives(self, bury: Bury, batch: Batch) -> list[tuple[int, int, Death]]:
        """The batch cut where its messages had different earlier lives, and how each goes on."""
        if self._store.key_of(batch.stream) is None:
            return [(0, batch.count, bury.death)]
        found: list[tuple[int, int, Death]] = []
        for life in self._store.past.find(batch.stream, batch.first_seq, batch.count):
            try:
                record = self._context.journal.read(life.position)
                earlier = decode_buried(record.payload)
                death = continued(bury.death, earlier.grave.death, life.first_id)
            except LookupError:
                death = forgotten(bury.death, life.first_id)
            found.append((life.start, life.stop, death))
        return found

    def _all_clear(self) -> None:
        if self._is_alarmed:
            self._is_alarmed = False
            self._context.tell_supervisor(control.Alarm(STORE_FULL, {}, is_over=True))

    def _alarm(self, text: str) -> None:
        """Said once, until something was taken again."""
        if not self._is_alarmed:
            self._is_alarmed = True
            self._context.tell_supervisor(
                control.Alarm(STORE_FULL, {"reason": f"nothing more is taken, and stays where it is: {text}"})
            )

    def _refuse(self, link: Link, bury: Bury, code: str, text: str) -> None:
        self._context.send(link, StoreNote(bury.stream, bury.first_seq, bury.count, code, text))

    # ---- requests ----

    def _request(self, link: Link, message: Message) -> None:
        context, store = self._context, self._store
        match message:
            case ListDeadLetters(request, wanted, limit, after):
                _check_limit(limit)
                found = store.letters(wanted, self._headers_of, after, limit)
                context.reply(link, request, [self._info(*letter) for letter in found])
            case ListCauses(request, wanted, limit):
                _check_limit(limit)
                context.reply(link, request, store.causes(wanted, self._headers_of, limit))
            case GetDeadLetter(request, number):
                context.reply(link, request, self._one(number))
            case PurgeDeadLetters(request, wanted):
                purged = store.purge(wanted, self._headers_of)
                if purged:
                    context.append(Kind.PURGED, encode_ranges(purged))
                context.reply(link, request, sum(last - first + 1 for first, last in purged))
            case Redrive():
                self._returns.begin(link, message)
            case RedriveStatus(request, number, stop):
                context.reply(link, request, self._returns.status(number, stop=stop))
            case UndoRedrive():
                self._returns.undo(link, message)
            case ListSessions(request):
                context.reply(link, request, context.sessions())
            case DeadLetterStatus(request):
                context.reply(link, request, self._status())
            case _:
                raise ProtocolViolation(f"the dead letters do not understand {type(message).__name__}")

    def _status(self) -> DeadLetterStoreInfo:
        store = self._store
        return DeadLetterStoreInfo(
            messages=store.backlog.live,
            leaving=store.leaving.count,
            bytes=store.backlog.body_bytes,
            messages_max=self._limits.messages_max,
            bytes_max=self._limits.bytes_max,
            is_full=store.is_full or self._is_disk_low,
            buried=store.counters.buried,
            redriven=store.counters.redriven,
            purged=store.counters.purged,
            refused=self._refused,
            journal_bytes=self._context.journal.stats().bytes,
            republished=store.counters.republished,
        )

    def _info(self, group: Group, number: int, is_leaving: bool) -> DeadLetterInfo:
        message_id = message_id_of(self._batch_of(group.first_id), number - group.first_id)
        return info_of(group, number, message_id, is_leaving=is_leaving)

    def _one(self, number: int) -> tuple[DeadLetterInfo, Death, Batch]:
        group = self._store.find(number)
        entry = self._store.backlog.find(number)
        assert entry.position is not None
        death = decode_buried(self._context.journal.read(entry.position).payload).grave.death
        notes = [remark for _, _, remarks in self._store.notes.pieces(number, number) for remark in remarks]
        if notes:
            death = msgspec.structs.replace(death, history=(*death.history, *notes))
        is_leaving = bool(self._store.leaving.pieces(number, number))
        index = number - group.first_id
        batch = slice_batch(self._batch_of(group.first_id), index, index + 1)
        return self._info(group, number, is_leaving), death, batch

    def _headers_of(self, group: Group) -> dict[str, Any] | None:
        return headers_of(self._batch_of(group.first_id))

    def _batch_of(self, first_id: int) -> Batch:
        """The batch, from the journal if it is not in memory. What was read is kept for the rest of the round, since
        what is chosen in a round is mostly sent in it.
        """
        known = self._looked_at.get(first_id)
        if known is not None:
            return known
        entry = self._store.backlog.get(first_id)
        assert entry is not None
        batch = entry.batch or _decode(self._raw_of(entry))
        if entry.batch is None and self._looked_at_bytes + entry.size <= self._limits.memory_bytes_max:
            self._looked_at[first_id] = batch
            self._looked_at_bytes += entry.size
        return batch

    def _raw_of(self, entry: StoredBatch) -> Bytes:
        """The batch's bytes, from the journal if they are not in memory.

        The index does not keep them: whoever lists looks at each letter about once. Nor is room made for them, since
        what came in this round is in memory only until its end.
        """
        if entry.raw is not None:
            return entry.raw
        assert entry.position is not None, "only what is in the journal is ever dropped from memory"
        return decode_buried(self._context.journal.read(entry.position).payload).raw

    # ---- the journal ----

    def _rotate(self) -> None:
        """Begin a new segment; let go of those that nothing needs, and copy forward what pins an old one."""
        journal, backlog = self._context.journal, self._store.backlog
        journal.commit()
        journal.rotate([(Kind.MARK, encode_mark(self._store.mark()))])
        self._trim()
        size = journal.stats().bytes
        if size > self._limits.compact_bytes_min and size > COMPACT_RATIO * backlog.body_bytes:
            span = journal.next_position - journal.first_position
            moved = 0
            for entry in backlog.placed_below(journal.first_position + span // 4):
                self._move_forward(entry)
                moved += entry.size
                if moved > MOVE_BYTES_MAX:
                    break
            journal.commit()
            self._trim()

    def _move_forward(self, entry: StoredBatch) -> None:
        journal, store = self._context.journal, self._store
        assert entry.position is not None
        old = decode_buried(journal.read(entry.position).payload)
        grave = Grave(old.grave.stream, old.grave.first_seq, old.grave.death, store.live_ranges(entry))
        parts = encode_buried(entry.first_offset, grave, old.raw)
        store.placed(entry.first_offset, journal.append(Kind.MOVED, *parts))
        for first, last, remarks in store.notes.pieces(entry.first_offset, entry.last_offset):
            for remark in remarks:
                journal.append(Kind.NOTED, encode_noted(Noted([first, last], remark)))
        for intent in store.intents_in(entry.first_offset, entry.last_offset):
            flat = [number for pair in intent.item.ranges for number in pair]
            key, redrive = intent.item.key, intent.item.redrive
            leaving = Leaving(key, store.outboxes[key].stream, intent.first_seq, flat, redrive)
            journal.append(Kind.LEAVING, encode_leaving(leaving))

    def _trim(self) -> None:
        """Let old segments go, but for as much as is kept of earlier lives."""
        journal = self._context.journal
        lowest = self._store.backlog.lowest_position()
        needed = journal.next_position if lowest is None else lowest
        first = journal.first_position
        for part in range(1, TRIM_PARTS + 1):
            if journal.stats().bytes <= self._limits.past_bytes_max + self._store.backlog.body_bytes:
                break
            journal.trim(min(needed, first + (journal.next_position - first) * part // TRIM_PARTS))


def _decode(raw: Bytes) -> Batch:
    batch = messages.decode(raw)
    assert isinstance(batch, Batch)
    return batch


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= LIST_MAX:
        raise InvalidArgument(f"a listing shows 1 to {LIST_MAX} entries, not {limit}")
