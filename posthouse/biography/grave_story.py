"""What the dead letters' journal says of a message: buried and why, redriven, sent on, back again, purged.

Fed twice with the records of one journal: `find`, then `tell`. Pure. A burial brings the history of attempts along, so
failures are known from here even when the queue's own segments are gone.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.actors import dead_letter_records as records
from posthouse.actors.dead_letter_records import Buried, Kind, Leaving
from posthouse.actors.destinations import destination_of
from posthouse.biography.events import Copy, Moment, Told, arrived, copy_of, sent
from posthouse.biography.wanted import Wanted, batch_of
from posthouse.transport.batch import lengths_of
from posthouse.transport.messages import Batch
from posthouse.transport.messages_dead import Attempt


@final
class Letter(msgspec.Struct):
    """One dead letter of that message, and how its life in the store stands."""

    id: int
    reason: str = ""
    is_told: bool = False
    destination: str = ""
    redrive: int = 0
    move: tuple[int, int] = (0, 0)
    now: str = "kept"


@final
class GraveStory:
    """The dead letters."""

    def __init__(self, wanted: Wanted) -> None:
        self.actor = "dead-letter"
        self.events: list[Told] = []
        self.copies: list[Copy] = []
        self.notes: list[str] = []
        self.moves: dict[tuple[int, int], str] = {}
        """Numbers of streams under which it left from here."""
        self.failures: list[tuple[str, Attempt]] = []
        """What burials remember of attempts, with the queue; the queues' own journals may say the same."""
        self._wanted = wanted
        self._letters: dict[int, Letter] = {}

    @property
    def is_found(self) -> bool:
        return bool(self._letters)

    @property
    def now(self) -> list[str]:
        return [f"dead letter {letter.id}: {letter.now}" for letter in self._letters.values()]

    def batch_in(self, kind: int, payload: memoryview) -> tuple[int, Batch] | None:
        """First id and batch of a record that has one. Raises JournalCorrupt."""
        if kind not in (Kind.BURIED, Kind.MOVED):
            return None
        buried = records.decode_buried(payload)
        return buried.first_id, batch_of(buried.raw)

    def find(self, kind: int, payload: memoryview) -> None:
        found = self.batch_in(kind, payload)
        if found is not None:
            first_id, batch = found
            for index in self._wanted.indexes(batch):
                self._letters.setdefault(first_id + index, Letter(first_id + index))

    def tell(self, moment: Moment, position: int, kind: int, payload: memoryview) -> None:
        """Make events of one record. Raises JournalCorrupt."""
        if kind in (Kind.BURIED, Kind.MOVED):
            buried = records.decode_buried(payload)
            self._buried(moment, position, kind, buried, batch_of(buried.raw))
        elif kind == Kind.LEAVING:
            self._leaving(moment, position, records.decode_leaving(payload))
        elif kind == Kind.LEFT:
            for letter in self._touched(records.decode_ranges(payload)):
                what = "redriven" if letter.redrive else "republished"
                letter.now = f"gone: {letter.destination} has it" if letter.destination else "gone from the store"
                text = f"handed over: {letter.destination or 'its destination'} has it on disk"
                told = self._say(moment.at_ms, what, text, letter, redrive=letter.redrive)
                told.after = (arrived(*letter.move),)
        elif kind == Kind.RETURNED:
            for letter in self._touched(records.decode_ranges(payload)):
                letter.now = f"kept: {letter.destination or 'its destination'} did not take it"
                self._say(
                    moment.at_ms,
                    "returned",
                    f"stays: {letter.destination or 'its destination'} did not take it",
                    letter,
                )
        elif kind == Kind.PURGED:
            for letter in self._touched(records.decode_ranges(payload)):
                letter.now = "purged"
                self._say(moment.at_ms, "purged", "purged from the dead letters", letter)
        elif kind == Kind.NOTED:
            noted = records.decode_noted(payload)
            for letter in self._touched(records.pairs_of(noted.ranges)):
                text = f"remark ({noted.remark.how}): {noted.remark.error}"
                self._say(noted.remark.at_ms, "noted", text, letter)

    def _touched(self, pairs: list[tuple[int, int]]) -> list[Letter]:
        return [
            letter for number, letter in self._letters.items() if any(first <= number <= last for first, last in pairs)
        ]

    def _say(self, at_ms: int, what: str, text: str, letter: Letter, **details: Any) -> Told:
        told = Told(at_ms, self.actor, what, text, {"dead_letter": letter.id, **details})
        self.events.append(told)
        return told

    def _buried(self, moment: Moment, position: int, kind: int, buried: Buried, batch: Batch) -> None:
        death = buried.grave.death
        for letter in self._touched([(buried.first_id, buried.first_id + batch.count - 1)]):
            if letter.is_told:
                continue
            letter.is_told = True
            letter.reason = death.reason
            letter.now = f"kept: {death.reason}"
            index = letter.id - buried.first_id
            is_copy = kind == Kind.MOVED
            copy = copy_of(batch, index, lengths_of(batch)[index], 0 if is_copy else moment.at_ms, self.actor)
            self.copies.append(copy)
            self.failures += [(death.queue, attempt) for attempt in death.history]
            details = {
                "reason": death.reason, "queue": death.queue, "cause": death.cause, "attempt": death.attempt,
                "fingerprint": death.fingerprint, "earlier": death.earlier, "life": death.life, "position": position,
            }  # fmt: skip
            cause = f", {death.cause}" if death.cause not in ("", death.reason) else ""
            text = f"dead letter {letter.id}: {death.reason}{cause}"
            if is_copy:
                text += " (copied forward; the segment with its burial is gone)"
            told = self._say(death.died_ms if is_copy else moment.at_ms, "buried", text, letter, **details)
            move = (buried.grave.stream, buried.grave.first_seq + index)
            told.after, told.marks = (sent(*move),), (arrived(*move),)

    def _leaving(self, moment: Moment, position: int, leaving: Leaving) -> None:
        pairs = records.pairs_of(leaving.ranges)
        touched = self._touched(pairs)
        for letter in touched:
            place = sum(min(last, letter.id - 1) - first + 1 for first, last in pairs if first < letter.id)
            move = (leaving.stream, leaving.first_seq + place)
            if move in self.moves:
                continue
            letter.destination = destination_of(leaving.key).text
            letter.move = move
            letter.redrive = leaving.redrive
            if leaving.redrive:
                text = f"redrive {leaving.redrive} sends it to {letter.destination}"
                self.moves[move] = f"redriven by redrive {leaving.redrive}"
            else:
                text = f"sent on to {letter.destination}, the dead-letter exchange of its queue"
                self.moves[move] = "sent on to a dead-letter exchange"
            letter.now = f"on its way to {letter.destination}"
            what = "redrive" if leaving.redrive else "republish"
            told = self._say(moment.at_ms, what, text, letter, position=position, destination=letter.destination,
                             redrive=leaving.redrive)  # fmt: skip
            told.marks = (sent(*move),)
