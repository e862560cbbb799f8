"""Delayed batches, and a scheduler's core on a journal that is a list.

`Desk` does what the shell does between core and journal, no more: no links, no timers, no limits of memory. What it
journals can be replayed into another core, whole or from any position on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from posthouse.actors import delay_records as records
from posthouse.actors.delay_bodies import Body
from posthouse.actors.delay_moves import Move
from posthouse.actors.delay_records import Kind
from posthouse.actors.delay_state import DelayState
from posthouse.transport import messages
from posthouse.transport.batch import pack_due, pack_lengths
from posthouse.transport.messages import NIL, Batch, Options

NOW_MS = 1_700_000_000_000


def delayed_batch(
    *dues: int,
    stream: int = 1,
    first_seq: int = 1,
    exchange: str = "flights",
    key: str | None = None,
    bodies: Sequence[bytes] = (),
    options: Options | None = None,
) -> Batch:
    """A batch whose messages are due so many milliseconds after NOW_MS; bodies say `stream:seq` unless given."""
    bodies = bodies or [f"{stream}:{first_seq + index}".encode() for index in range(len(dues))]
    return Batch(
        exchange=exchange,
        routing_key="UA",
        stream=stream,
        first_seq=first_seq,
        count=len(dues),
        published_ms=NOW_MS,
        headers=NIL,
        lengths=pack_lengths([len(body) for body in bodies]),
        bodies=memoryview(b"".join(bodies)),
        options=options or Options(deliver_at_ms=0, schedule_key=key),
        due=pack_due([NOW_MS + due for due in dues]),
    )


@final
class Desk:
    """One life after another of a scheduler's core."""

    def __init__(self) -> None:
        self.journal: list[tuple[int, bytes]] = []
        self.state = DelayState()
        self._streams = 1_000

    def append(self, kind: Kind, *parts: bytes | memoryview) -> int:
        """Journal a record; returns its position, from 1."""
        self.journal.append((kind, b"".join(parts)))
        return len(self.journal)

    def store(self, batch: Batch, now_ms: int = NOW_MS) -> int:
        """Take a batch in; returns its first id."""
        admission = self.state.admit(batch, now_ms)
        if admission.batch is not None:
            raw = messages.encode(admission.batch)
            position = self.append(Kind.STORE, *records.encode_store(admission.first_id, raw))
            self.state.store(admission, len(raw), position, 0)
        return admission.first_id

    def cancel(self, message_id: int) -> None:
        self.state.cancel(self.state.find(message_id, None))
        self.append(Kind.CANCELLED, records.encode([message_id]))

    def reschedule(self, message_id: int, due_ms: int) -> None:
        self.state.reschedule(self.state.find(message_id, None), due_ms)
        self.append(Kind.RESCHEDULED, records.encode(records.Rescheduled(message_id, due_ms)))

    def announce(self, ids: list[int], due_ms: int) -> Move:
        """One move of messages that were taken as due."""
        self._streams += 1
        number = self.state.ledger.place(ids[0]).exchange
        batch = delayed_batch(0, exchange=self.state.ledger.exchange_name(number))
        body = Body(self.state.bodies.template_of(batch), b"", None)
        move = self.state.announce(due_ms, ids, body, due_ms, self._streams)
        self.append(Kind.FIRE, records.encode(move.record()))
        return move

    def fired(self, move: Move) -> None:
        self.state.contents.fired(move)
        self.append(Kind.FIRED, records.encode([(*move.key, len(move.ids))]))

    def failed(self, move: Move) -> None:
        self.state.contents.failed(move, "unroutable", "no queue")
        self.append(Kind.FAILED, records.encode(records.Failed(*move.key, "unroutable", "no queue")))

    def bury(self, ids: list[int]) -> int:
        """Messages that have failed set out for the dead letters; returns the number of the move."""
        outbox = self.state.contents.burials
        burial = records.Burial(5, outbox.next_seq, 1, "unroutable", "no queue", ids)
        self.state.contents.bury(burial)
        self.append(Kind.BURY, records.encode(burial))
        return burial.first_seq

    def buried(self, first_seq: int) -> None:
        """The dead letters have them."""
        contents = self.state.contents
        intent = contents.burials.get(first_seq)
        assert intent is not None
        contents.burials.drop(intent)
        contents.buried(intent.item)
        self.append(Kind.BURIED, records.encode([first_seq]))

    def returned(self, move: Move, due_ms: int) -> None:
        self.state.returned(move, due_ms)
        self.append(Kind.RETURNED, records.encode(records.Returned(*move.key, due_ms)))

    def restart(self, start: int = 1, repeats: int = 1) -> DelayState:
        """The next life, from the journal from a position on, replayed so many times over."""
        self.state = DelayState()
        for _ in range(repeats):
            for position, (kind, payload) in enumerate(self.journal, start=1):
                if position >= start:
                    self.state.replay.record(position, kind, memoryview(payload))
        self.state.rebuilt()
        return self.state


def waiting(state: DelayState) -> dict[int, int]:
    """Everything that is there: id → due, or FAILED, FIRING."""
    return {message_id: due for message_id, due, _ in state.ledger.entries()}
