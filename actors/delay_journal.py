"""The scheduler's journal as its shell uses it: bodies read back, and segments that nothing needs let go.

Reading ahead is done record by record in the order of the journal, a few in each round; a body that was not read ahead
is read when it is wanted. Old segments that hold little which still waits are emptied by copying that forward.
"""

from __future__ import annotations

from itertools import groupby, islice
from typing import Final, final

from posthouse.actors import delay_records as records
from posthouse.actors.actor import Context
from posthouse.actors.delay_bodies import Body, Template, kept
from posthouse.actors.delay_ledger import FIRING, GONE, Place
from posthouse.actors.delay_records import KeptHead, Kind
from posthouse.actors.delay_replay import read_batch
from posthouse.actors.delay_state import DelayState
from posthouse.actors.timetable import ID_BITS, ID_MASK
from posthouse.transport.messages import Batch

COMPACT_RATIO: Final = 4
"""The journal may be this many times as large as what waits in it before that is copied forward."""

KEEP_MESSAGES_MAX: Final = 65_536
"""Chosen at a time to be copied forward."""

KEEP_ROUND_MAX: Final = 256
"""Copied forward in one round: a few milliseconds, so that what is due is not late."""


@final
class DelayJournal:
    """Reads and tidies; the actor itself appends."""

    def __init__(self, context: Context, state: DelayState, compact_bytes_min: int) -> None:
        self._context = context
        self._state = state
        self._compact_bytes_min = compact_bytes_min
        self._ahead: list[int] = []
        self._to_keep: list[int] = []
        self._keep_below = 0

    # ---- bodies ----

    def bodies_of(self, ids: list[int]) -> list[Body]:
        """The bodies of messages that are not gone, in this order. They are kept in memory no longer."""
        bodies = [self._state.bodies.take(message_id) for message_id in ids]
        missing = [index for index, body in enumerate(bodies) if body is None]
        for index, body in zip(missing, self._read([ids[index] for index in missing]), strict=True):
            bodies[index] = body
        return [body for body in bodies if body is not None]

    def peek(self, ids: list[int]) -> list[Body]:
        """The bodies of messages that are not gone, in this order; nothing changes."""
        return self._read(ids)

    @property
    def is_reading_ahead(self) -> bool:
        return bool(self._ahead)

    def begin_to_read(self, ids: list[int]) -> None:
        """The bodies of these are wanted soon; all that are in one record will be read together."""
        state = self._state
        wanted = [one for one in ids if one not in state.bodies and state.ledger.due(one) > GONE]
        self._ahead = sorted([state.ledger.place(one).position << ID_BITS | one for one in wanted], reverse=True)

    def read_ahead(self, records_max: int, memory_bytes_max: int) -> bool:
        """Read bodies from at most so many records; True when some are left."""
        state, ahead = self._state, self._ahead
        for _ in range(records_max):
            if not ahead:
                break
            if state.bodies.size > memory_bytes_max:
                ahead.clear()
                break
            position = ahead[-1] >> ID_BITS
            wanted: list[int] = []
            while ahead and ahead[-1] >> ID_BITS == position:
                message_id = ahead.pop() & ID_MASK
                # Meanwhile it may have been fired, cancelled, put off, or copied forward.
                if state.ledger.due(message_id) > GONE and state.ledger.place(message_id).position == position:
                    wanted.append(message_id)
            for message_id, body in zip(wanted, self._read(wanted), strict=True):
                state.bodies.keep(message_id, body)
        return bool(ahead)

    def _read(self, ids: list[int]) -> list[Body]:
        places = [self._state.ledger.place(message_id) for message_id in ids]
        order = sorted(range(len(ids)), key=places.__getitem__)
        found: dict[int, Body] = {}
        for position, group in groupby(order, key=lambda index: places[index].position):
            wanted = list(group)
            bodies = self._state.bodies.cut(self._batch_at(position), [places[index].at for index in wanted])
            found.update(zip(wanted, bodies, strict=True))
        return [found[index] for index in range(len(ids))]

    def _batch_at(self, position: int) -> Batch:
        journal = self._context.journal
        if position > journal.written:
            journal.commit(sync=False)  # It came in this very round; the round's own commit syncs it.
        record = journal.read(position)
        if record.kind == Kind.STORE:
            return read_batch(records.decode_store(record.payload)[1], position)
        if record.kind == Kind.OCCURRED:
            return read_batch(records.decode_occurred(record.payload)[1], position)
        return read_batch(records.decode_kept(record.payload).raw, position)

    # ---- segments ----

    def tidy(self) -> None:
        """Begin a new segment; let go of those that nothing needs, and empty old ones of the rest."""
        journal, state = self._context.journal, self._state
        journal.commit()
        schedules = [(Kind.SCHEDULE, records.encode(schedule)) for schedule in state.contents.schedules]
        burials = [(Kind.BURY, records.encode(intent.item)) for intent in state.contents.burials.intents()]
        journal.rotate([(Kind.MARK, records.encode(state.mark())), *schedules, *burials])
        self._trim()
        size = journal.stats().bytes
        if size > self._compact_bytes_min and size > COMPACT_RATIO * state.live_bytes():
            span = journal.next_position - journal.first_position
            self._keep_below = journal.first_position + span // 4
            self._to_keep = list(islice(state.ledger.below(self._keep_below), KEEP_MESSAGES_MAX))
            self._to_keep.reverse()

    def _trim(self) -> None:
        journal = self._context.journal
        lowest = self._state.ledger.lowest_position()
        journal.trim(journal.next_position if lowest is None else lowest)

    def keep_some(self) -> bool:
        """Copy forward some of what was chosen; True when there is more. The last lets the old segments go."""
        if not self._to_keep:
            return False
        ledger = self._state.ledger
        part: list[int] = []
        while self._to_keep and len(part) < KEEP_ROUND_MAX:
            message_id = self._to_keep.pop()
            if ledger.due(message_id) not in (GONE, FIRING) and ledger.place(message_id).position < self._keep_below:
                part.append(message_id)
        groups: dict[tuple[Template, tuple[str, str] | None], tuple[list[int], list[Body]]] = {}
        for message_id, body in zip(part, self._read(part), strict=True):
            failure = self._state.contents.failures.get(message_id)
            group = groups.setdefault((body.template, failure), ([], []))
            group[0].append(message_id)
            group[1].append(body)
        for (template, failure), (members, bodies) in groups.items():
            self._keep(template, failure, members, bodies)
        if not self._to_keep:
            self._context.journal.commit()
            self._trim()
        return bool(self._to_keep)

    def _keep(self, template: Template, failure: tuple[str, str] | None, ids: list[int], bodies: list[Body]) -> None:
        ledger = self._state.ledger
        dues = [self._state.due_or_failed(message_id) for message_id in ids]
        parts = records.encode_kept(KeptHead(ids, dues, failure), kept(bodies))
        position = self._context.append(Kind.KEPT, *parts, is_durable=False)
        number = ledger.exchange_number(template.exchange)
        for index, message_id in enumerate(ids):
            ledger.put(message_id, ledger.due(message_id), Place(position, index, number))
