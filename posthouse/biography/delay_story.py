"""What the delay scheduler's journal says of a message: scheduled, put off, sent when it was due, refused, cancelled.

Fed twice with the records of one journal: `find`, then `tell`. Pure. A message that its publisher gave no name gets
another one when it leaves, made of the scheduler's stream; `find` adds each to the names that are looked for, in either
direction, so it must be done before other journals are read.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.actors import delay_records as records
from posthouse.actors.delay_records import Burial, Fire, Kind
from posthouse.biography.events import Copy, Moment, Told, arrived, clock, copy_of, sent
from posthouse.biography.wanted import Wanted, batch_of
from posthouse.transport.batch import due_of, lengths_of
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch
from posthouse.transport.names import shown


@final
class Waiting(msgspec.Struct):
    """The message under one number of the scheduler. `fires` maps its moves to true once the exchange settled them."""

    number: int
    has_name: bool = False
    is_told: bool = False
    fires: dict[tuple[int, int], bool] = {}
    burials: dict[int, int] = {}
    now: str = "waits for its time"


@final
class DelayStory:
    """The scheduler."""

    def __init__(self, wanted: Wanted) -> None:
        self.actor = "delay"
        self.events: list[Told] = []
        self.copies: list[Copy] = []
        self.notes: list[str] = []
        self.moves: dict[tuple[int, int], str] = {}
        """Numbers of streams under which it left from here."""
        self._wanted = wanted
        self._waiting: dict[int, Waiting] = {}

    @property
    def is_found(self) -> bool:
        return bool(self._waiting)

    @property
    def now(self) -> list[str]:
        return [f"scheduler, number {one.number}: {one.now}" for one in self._waiting.values()]

    # ---- finding ----

    def batch_in(self, kind: int, payload: memoryview) -> tuple[list[int], Batch] | None:
        """The numbers and the batch of a record that has one. Raises JournalCorrupt."""
        if kind == Kind.STORE:
            first, raw = records.decode_store(payload)
            batch = batch_of(raw)
            return list(range(first, first + batch.count)), batch
        if kind == Kind.KEPT:
            kept = records.decode_kept(payload)
            return kept.head.ids, batch_of(kept.raw)
        if kind == Kind.OCCURRED:
            head, raw = records.decode_occurred(payload)
            return [head.message_id], batch_of(raw)
        return None

    def find(self, kind: int, payload: memoryview) -> None:
        found = self.batch_in(kind, payload)
        if found is not None:
            numbers, batch = found
            for index in self._wanted.indexes(batch):
                self._add(numbers[index])
        elif kind == Kind.FIRE:
            fire = records.decode_fire(payload)
            for index in self._wanted.numbers_within(fire.stream, fire.first_seq, len(fire.ids)):
                self._add(fire.ids[index])
        elif kind == Kind.BURY:
            burial = records.decode_burial(payload)
            for index in self._wanted.numbers_within(burial.stream, burial.first_seq, len(burial.ids)):
                self._add(burial.ids[index])

    def _add(self, number: int) -> None:
        self._waiting.setdefault(number, Waiting(number))

    # ---- telling ----

    def tell(self, moment: Moment, position: int, kind: int, payload: memoryview) -> None:
        """Make events of one record. Raises JournalCorrupt."""
        found = self.batch_in(kind, payload)
        if found is not None:
            self._stored(moment, position, kind, *found)
        elif kind == Kind.FIRE:
            self._leaves(moment, position, records.decode_fire(payload))
        elif kind == Kind.FIRED:
            for stream, first_seq, count in records.decode_fired(payload):
                for one in self._in_move(stream, first_seq, count):
                    one.now = "left: its exchange has settled it"
                    told = self._say(moment.at_ms, "fired", "handed over: its exchange has settled it", one)
                    told.after = tuple(arrived(*move) for move in self.moves)
        elif kind == Kind.FAILED:
            failed = records.decode_failed(payload)
            for one in self._in_move(failed.stream, failed.first_seq, 1):
                one.now = f"refused by its exchange: {failed.text}"
                self._say(moment.at_ms, "failed", f"its exchange refused it: {failed.text or failed.code}", one,
                          code=failed.code)  # fmt: skip
        elif kind == Kind.RETURNED:
            returned = records.decode_returned(payload)
            for one in self._in_move(returned.stream, returned.first_seq, 1):
                one.now = f"refused for now; waits until {clock(returned.due_ms)}"
                self._say(moment.at_ms, "waits", f"refused for now, so it waits until {clock(returned.due_ms)}", one)
        elif kind == Kind.CANCELLED:
            for one in self._of(records.decode_ids(payload)):
                one.now = "cancelled"
                self._say(moment.at_ms, "cancelled", "cancelled, or replaced by a later one of its schedule key", one)
        elif kind == Kind.RESCHEDULED:
            changed = records.decode_rescheduled(payload)
            for one in self._of([changed.message_id]):
                one.now = f"waits until {clock(changed.due_ms)}"
                self._say(moment.at_ms, "rescheduled", f"rescheduled to {clock(changed.due_ms)}", one)
        elif kind == Kind.BURY:
            self._dies(moment, position, records.decode_burial(payload))
        elif kind == Kind.BURIED:
            self._buried(moment, records.decode_ids(payload))

    def _of(self, numbers: list[int]) -> list[Waiting]:
        return [self._waiting[number] for number in numbers if number in self._waiting]

    def _in_move(self, stream: int, first_seq: int, count: int) -> list[Waiting]:
        """Those whose open move is, or begins, in this range of a stream; they are done with it."""
        found = []
        for one in self._waiting.values():
            for (road, first), is_over in one.fires.items():
                if road == stream and first_seq <= first < first_seq + count and not is_over:
                    one.fires = {**one.fires, (road, first): True}
                    found.append(one)
        return found

    def _say(self, at_ms: int, what: str, text: str, one: Waiting, **details: Any) -> Told:
        told = Told(at_ms, self.actor, what, text, {"scheduled_id": one.number, **details})
        self.events.append(told)
        return told

    def _stored(self, moment: Moment, position: int, kind: int, numbers: list[int], batch: Batch) -> None:
        for index, number in enumerate(numbers):
            one = self._waiting.get(number)
            if one is None or one.is_told:
                continue
            one.is_told = True
            is_copy = kind == Kind.KEPT
            copy = copy_of(batch, index, lengths_of(batch)[index], 0 if is_copy else moment.at_ms, self.actor)
            one.has_name = copy.chosen_id is not None
            if is_copy:
                text = "scheduled some time before, and copied forward now: the segment with its beginning is gone"
                self._say(moment.at_ms, "kept", text, one, position=position)
                continue
            self.copies.append(copy)
            if copy.stream or copy.chosen_id:
                self._wanted.add(copy.message_id)
            due_ms = _due_ms(batch, index)
            one.now = f"waits until {clock(due_ms)}"
            made = "made by a recurring schedule and " if kind == Kind.OCCURRED else ""
            told = self._say(moment.at_ms, "scheduled", f"{made}scheduled for {clock(due_ms)}", one, position=position,
                             due=clock(due_ms))  # fmt: skip
            told.after = (sent(copy.stream, copy.seq),)

    def _leaves(self, moment: Moment, position: int, fire: Fire) -> None:
        for index, number in enumerate(fire.ids):
            one = self._waiting.get(number)
            if one is None or (fire.stream, fire.first_seq) in one.fires:
                continue
            one.fires = {**one.fires, (fire.stream, fire.first_seq): False}
            one.now = "on its way to its exchange"
            seq = fire.first_seq + index
            self.moves[fire.stream, seq] = "delayed, then sent when it was due"
            if not one.has_name:
                self._wanted.add(f"{fire.stream:x}-{seq}")
            text = f"announced: it leaves for exchange {shown(fire.exchange)} at {clock(fire.due_ms)} or later"
            told = self._say(
                moment.at_ms, "due", text, one, position=position, due=clock(fire.due_ms), due_ms=fire.due_ms
            )
            told.marks = (sent(fire.stream, seq),)

    def _dies(self, moment: Moment, position: int, burial: Burial) -> None:
        for index, number in enumerate(burial.ids):
            one = self._waiting.get(number)
            if one is None or burial.first_seq in one.burials:
                continue
            one.burials = {**one.burials, burial.first_seq: index}
            one.now = "on its way to the dead letters"
            seq = burial.first_seq + index
            if not one.has_name:
                self._wanted.add(f"{burial.stream:x}-{seq}")
            text = "leaves for the dead letters: delivery_failed"
            told = self._say(burial.died_ms or moment.at_ms, "died", text, one, position=position, cause=burial.text)
            told.marks = (sent(burial.stream, seq),)

    def _buried(self, moment: Moment, firsts: list[int]) -> None:
        for one in self._waiting.values():
            if any(first in firsts for first in one.burials):
                one.now = "handed over to the dead letters"
                self._say(moment.at_ms, "dead_lettered", "handed over: the dead letters have it on disk", one)


def _due_ms(batch: Batch, index: int) -> int:
    try:
        return due_of(batch)[index]
    except InvalidArgument:
        return 0
