"""What an exchange's journal says of a message that no queue wanted at first: held, released, landed, given up.

Fed twice with the records of one journal: `find`, then `tell`. Pure. An exchange journals nothing of what it routes at
once; that a message went through one shows in the journals of the queues.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.actors import held_records as records
from posthouse.actors.held_records import Kind, LeavingRecord
from posthouse.biography.events import Copy, Moment, Told, arrived, copy_of, routed, sent
from posthouse.biography.wanted import Wanted, batch_of
from posthouse.transport.batch import lengths_of
from posthouse.transport.messages import Batch
from posthouse.transport.names import shown


@final
class Piece(msgspec.Struct):
    """The message at one index of a held batch, and how its life there stands. `roads` maps streams to queues."""

    number: int
    index: int
    is_told: bool = False
    roads: dict[tuple[int, int], str] = {}
    landed: int = 0
    now: str = "held until a binding wants it, or its time is over"


@final
class HeldStory:
    """One exchange."""

    def __init__(self, exchange: str, wanted: Wanted) -> None:
        self.actor = f"exchange:{exchange}"
        self.events: list[Told] = []
        self.copies: list[Copy] = []
        self.notes: list[str] = []
        self.moves: dict[tuple[int, int], str] = {}
        """Numbers of streams under which it left from here, and whither."""
        self._exchange = exchange
        self._wanted = wanted
        self._pieces: list[Piece] = []

    @property
    def is_found(self) -> bool:
        return bool(self._pieces)

    @property
    def now(self) -> list[str]:
        return [f"exchange {shown(self._exchange)}: {piece.now}" for piece in self._pieces]

    def batch_in(self, kind: int, payload: memoryview) -> tuple[int, Batch] | None:
        """Number and batch of a record that has one. Raises JournalCorrupt."""
        if kind not in (Kind.HELD, Kind.KEPT):
            return None
        held = records.decode_held(payload)
        return held.number, batch_of(held.raw)

    def find(self, kind: int, payload: memoryview) -> None:
        found = self.batch_in(kind, payload)
        if found is not None:
            number, batch = found
            known = {(piece.number, piece.index) for piece in self._pieces}
            self._pieces += [
                Piece(number, index) for index in self._wanted.indexes(batch) if (number, index) not in known
            ]

    def tell(self, moment: Moment, position: int, kind: int, payload: memoryview) -> None:
        """Make events of one record. Raises JournalCorrupt."""
        found = self.batch_in(kind, payload)
        if found is not None:
            self._held(moment, position, records.decode_held(payload).held_ms, *found)
        elif kind == Kind.LEAVING:
            self._leaving(moment, position, records.decode(payload, LeavingRecord))
        elif kind == Kind.LANDED:
            flat = records.decode_numbers(payload, 3)
            for stream, first, last in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
                self._landed(moment, stream, first, last)
        elif kind == Kind.ABANDONED:
            for stream in records.decode_numbers(payload, 1):
                self._abandoned(moment, stream)

    def _say(self, at_ms: int, what: str, text: str, piece: Piece, **details: Any) -> Told:
        told = Told(at_ms, self.actor, what, text, {"held": piece.number + piece.index, **details})
        self.events.append(told)
        return told

    def _held(self, moment: Moment, position: int, held_ms: int, number: int, batch: Batch) -> None:
        for piece in self._pieces:
            if piece.number != number or piece.is_told or piece.index >= batch.count:
                continue
            piece.is_told = True
            copy = copy_of(batch, piece.index, lengths_of(batch)[piece.index], held_ms, self.actor)
            self.copies.append(copy)
            text = "held: no binding wanted it, and its exchange keeps such messages"
            told = self._say(held_ms or moment.at_ms, "held", text, piece, position=position)
            mark = sent(copy.stream, copy.seq)
            told.after = (mark, routed(mark))

    def _leaving(self, moment: Moment, position: int, record: LeavingRecord) -> None:
        offset = 0
        flat = record.pieces
        for number, start, stop in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            for piece in self._pieces:
                if piece.number == number and start <= piece.index < stop:
                    seqs = {(road.stream, road.seq + offset + piece.index - start): road.queue for road in record.roads}
                    self._leaves(moment, position, piece, record, seqs)
            offset += stop - start

    def _leaves(
        self, moment: Moment, position: int, piece: Piece, record: LeavingRecord, seqs: dict[tuple[int, int], str]
    ) -> None:
        if seqs.keys() <= piece.roads.keys():
            return  # Said again at the head of a segment, or behind a copy.
        piece.roads = {**piece.roads, **seqs}
        at_ms = record.moved_ms or moment.at_ms
        for (stream, number), queue in seqs.items():
            self.moves[stream, number] = f"held, then released to queue {shown(queue)}" if queue else "held in vain"
        if record.reason:
            text = f"leaves for the dead letters: {record.reason}"
            told = self._say(at_ms, "died", text, piece, position=position, reason=record.reason)
        else:
            queues = ", ".join(sorted(shown(queue) for queue in seqs.values()))
            text = f"released: a binding came that matches, so it leaves for {queues}"
            told = self._say(at_ms, "released", text, piece, position=position, queues=sorted(seqs.values()))
        told.marks = tuple(sent(*move) for move in seqs)
        piece.now = text

    def _landed(self, moment: Moment, stream: int, first: int, last: int) -> None:
        for piece in self._pieces:
            for (road, number), queue in piece.roads.items():
                if road == stream and first <= number <= last:
                    piece.landed += 1
                    where = f"queue {shown(queue)}" if queue else "the dead letters"
                    piece.now = f"left: {where} has it on disk"
                    told = self._say(moment.at_ms, "landed", f"handed over: {where} has it on disk", piece)
                    told.after = (arrived(road, number),)

    def _abandoned(self, moment: Moment, stream: int) -> None:
        for piece in self._pieces:
            for (road, _), queue in piece.roads.items():
                if road == stream and not piece.landed:
                    piece.now = "held again"
                    text = f"held again: queue {shown(queue)} was deleted before it had it"
                    self._say(moment.at_ms, "held", text, piece)
