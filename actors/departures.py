"""How messages leave a queue for the dead letters: journaled, sent, stored there, and only then gone here.

A part of the queue actor's shell. It writes down what the core decided on failed deliveries, keeps the link to the
store, and follows every intent until the store has settled it. While the store is full or away the messages stay in the
queue, leaving, and are offered again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.move import Intent
from posthouse.actors.queue_contents import Leave
from posthouse.actors.queue_failures import Fate
from posthouse.actors.queue_records import Kind, LeavingRecord, encode_leaving, encode_ranges, encode_retry
from posthouse.actors.queue_state import QueueState
from posthouse.actors.stored_batch import Bytes, Slice
from posthouse.transport import messages
from posthouse.transport.errors import ProtocolViolation
from posthouse.transport.links import Link
from posthouse.transport.messages import Batch, QueueSpec, StoreNote
from posthouse.transport.messages_dead import Bury, TakeBack
from posthouse.transport.names import DEAD_LETTER

OFFER_AGAIN_MS: Final = 1_000
OFFER_AGAIN_MS_MAX: Final = 8_000
"""Refused by a full store, messages are offered again after a second, then after twice as long each time."""

LOOK_BATCHES_MAX: Final = 500
"""Looked at in one step of taking back: their bytes may have to come from the disk."""

TIMER: Final = "departures"


@final
class Departures:
    """The moves of one queue."""

    def __init__(
        self, context: Context, spec: QueueSpec, state: QueueState, bytes_of: Callable[[Slice], Bytes]
    ) -> None:
        self._context = context
        self._is_durable = spec.durable
        self._state = state
        self._bytes_of = bytes_of
        self._link: Link | None = None
        self._is_refused = False
        self._pause_ms = OFFER_AGAIN_MS

    def owns(self, link: Link) -> bool:
        """Is this the link to the dead letters?"""
        return link is self._link

    def carry_out(self, kind: Kind, fate: Fate, *, is_durable: bool = False) -> None:
        """Journal what became of messages. `kind` is the record for those that are gone."""
        stream = self._state.outbox.stream
        if fate.leaving and not stream:
            stream = self._state.outbox.stream = self._context.random.getrandbits(62) | 1
        if not self._is_durable:
            return
        append = self._context.append
        if fate.gone:
            append(kind, encode_ranges(fate.gone), is_durable=is_durable)
        for retry in fate.retries:
            record = encode_retry(retry.due_ms, (retry.attempt,), retry.ranges, retry.excused)
            append(Kind.RETRY, record, is_durable=is_durable)
        for intent in fate.leaving:
            append(Kind.LEAVING, encode_leaving(_record(stream, intent)))

    def send(self) -> None:
        """Send as much as there is room for on the way."""
        outbox = self._state.outbox
        if not outbox.has_unsent or self._is_refused:
            return
        if self._link is None:
            self._link = self._context.connect(DEAD_LETTER)
        while (intent := outbox.take()) is not None:
            piece = self._state.leaving_slice(intent.item)
            bury = Bury(
                stream=outbox.stream,
                first_seq=intent.first_seq,
                count=intent.count,
                floor=outbox.floor,
                death=intent.item.death,
                batch=msgspec.Raw(self._bytes_of(piece)),
            )
            encoded = messages.encode(bury)
            self._context.forward(self._link, encoded, len(encoded), intent.count, intent)

    def noted(self, note: StoreNote) -> None:
        """The store could not take it; its settlement follows."""
        self._state.outbox.refused(note.first_seq)

    def settled(self, contexts: list[Any]) -> None:
        """The store has settled intents: those that it did not refuse are gone from here."""
        left: list[tuple[int, int]] = []
        for intent in contexts:
            if self._state.outbox.answered(intent):
                self._state.left(intent)
                left.append((intent.item.first, intent.item.last))
                self._pause_ms = OFFER_AGAIN_MS
            else:
                self._offer_again()
        if left and self._is_durable:
            # A tombstone that is lost costs one more offer, which the store recognises.
            self._context.append(Kind.LEFT, encode_ranges(sorted(left)), is_durable=False)

    def abandoned(self, contexts: list[Any]) -> None:
        """The link ended for good, and these with it: they are offered again over the next one."""
        for intent in contexts:
            self._state.outbox.refused(intent.first_seq)
            self._state.outbox.answered(intent)
        self._offer_again()

    def take_back(self, asked: TakeBack, now_ms: int) -> tuple[int, int]:
        """Bury what nobody was given yet of a redrive. Returns how many, and the offset to go on from, or 0."""
        if len(asked.ranges) % 2:
            raise ProtocolViolation("a TakeBack carries half a range")
        wanted = list(zip(asked.ranges[::2], asked.ranges[1::2], strict=True))
        found: list[tuple[int, int]] = []
        looked, next_offset = self._state.failures.untouched(asked.from_offset, LOOK_BATCHES_MAX)
        for piece in looked:
            batch = messages.decode(self._bytes_of(piece))
            if not isinstance(batch, Batch) or batch.stream != asked.stream:
                continue
            last_seq = batch.first_seq + batch.count - 1
            for first, last in wanted:
                low, high = max(first, batch.first_seq), min(last, last_seq)
                if low <= high:
                    distance = piece.first_offset - batch.first_seq
                    found.append((low + distance, high + distance))
        if found:
            self.carry_out(Kind.REJECTED, self._state.failures.take_back(found, now_ms))
        return sum(last - first + 1 for first, last in found), next_offset

    def wake(self) -> None:
        """Time to offer again what was refused."""
        self._is_refused = False
        self._pause_ms = min(2 * self._pause_ms, OFFER_AGAIN_MS_MAX)

    def _offer_again(self) -> None:
        self._is_refused = True
        self._context.set_timer(TIMER, self._context.monotonic_ms + self._pause_ms)


def _record(stream: int, intent: Intent[Leave]) -> LeavingRecord:
    first, last, death = intent.item
    return LeavingRecord(stream, intent.first_seq, first, last, death)
