"""The answers an exchange owes its publishers: which batches are on their way, what was said of them, one receipt each.

It promises that a batch is answered once, when every actor on its route has settled it, to every session that sent
it meanwhile; and that batches which share stream and route are answered together. It knows nothing of routing.
"""

from __future__ import annotations

from typing import Final, final

from posthouse.actors import measures
from posthouse.actors.actor import Context
from posthouse.actors.tallies import Tally
from posthouse.transport.errors import NoResponders, OutcomeUnknown
from posthouse.transport.links import Arrived
from posthouse.transport.messages import Batch, Receipt, StoreNote
from posthouse.transport.messages_delay import Scheduled

DUPLICATE: Final = "duplicate"
"""The code of a `StoreNote` for a `dedup_id` that the queue has seen within its window."""

Key = tuple[int, int]
"""Stream and first sequence number of a batch."""


@final
class Pending:
    """A batch that was sent to its queues, or to the scheduler, and not yet settled by all of them."""

    __slots__ = (
        "arrived", "began_us", "count", "durability", "first_seq", "is_held", "queues", "remaining", "repeats",
        "stream", "was_interrupted",
    )  # fmt: skip

    def __init__(
        self, arrived: Arrived, batch: Batch, queues: tuple[str, ...], durability: int, *, is_held: bool = False
    ) -> None:
        self.arrived = arrived
        self.stream = batch.stream
        self.first_seq = batch.first_seq
        self.count = batch.count
        self.queues = queues
        self.remaining = len(queues)
        self.durability = durability
        self.is_held = is_held
        self.began_us = -1
        self.repeats: tuple[Arrived, ...] = ()
        """Frames of later sessions in which the publisher sent the same batch meanwhile."""
        self.was_interrupted = False
        """A queue on its route died meanwhile: what that life did with it nobody knows."""


@final
class Receipts:
    """Those of one exchange."""

    __slots__ = ("_context", "_finished", "_notes", "_pending", "_unanswering", "confirms", "refusals", "unconfirmed")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pending: dict[Key, Pending] = {}
        self._finished: list[Pending] = []
        self._notes: dict[Key, list[StoreNote | Scheduled]] = {}
        self._unanswering: dict[Key, set[str]] = {}
        self.unconfirmed = 0
        """Messages on their way."""
        self.refusals = 0
        """Messages that one of their route refused."""
        self.confirms = Tally(measures.CONFIRM)

    def is_repeat(self, arrived: Arrived, batch: Batch) -> bool:
        """Its publisher came back in a new session with a batch that is on its way.

        What becomes of that copy is the answer to both; with a second one nobody could tell which of the two a
        queue's note is about.
        """
        known = self._pending.get((batch.stream, batch.first_seq))
        if known is None or known.count != batch.count:
            return False
        self._context.hold(arrived)
        known.repeats += (arrived,)
        return True

    def owe(self, pending: Pending) -> None:
        """An answer is due when all of its route has settled; at the end of this round if that is nobody."""
        self._context.hold(pending.arrived)
        if pending.remaining:
            self._pending[pending.stream, pending.first_seq] = pending
            self.unconfirmed += pending.count
            pending.began_us = self._context.monotonic_us
        else:
            self._finished.append(pending)

    def note(self, note: StoreNote | Scheduled, queue: str = "") -> None:
        """Somebody on the route has something to say, before it settles the batch."""
        key = (note.stream, note.first_seq)
        if isinstance(note, StoreNote) and note.code == NoResponders.code:
            self._unanswering.setdefault(key, set()).add(queue)
        self._notes.setdefault(key, []).append(note)

    def settled(self, pending: Pending) -> None:
        """One of the route is done with it."""
        pending.remaining -= 1
        if pending.remaining == 0:
            self._finished.append(pending)

    def refused(self, pending: Pending, code: str, text: str) -> None:
        """One of the route will never settle it."""
        self.note(StoreNote(pending.stream, pending.first_seq, pending.count, code, text))
        self.settled(pending)

    def interrupted(self, queue: str) -> None:
        """A life of the queue is over; the next one gets what is on its way again."""
        for pending in self._pending.values():
            pending.was_interrupted = pending.was_interrupted or queue in pending.queues

    def send(self) -> None:
        """Answer everything that is finished."""
        finished, self._finished = self._finished, []
        self._time(finished)
        index = 0
        while index < len(finished):
            index = self._send(finished, index)

    def _time(self, finished: list[Pending]) -> None:
        """How long they took. What came in one round began at the same moment, and is mostly answered together."""
        began_us, batches = -1, 0
        for pending in finished:
            if pending.began_us >= 0:
                self.unconfirmed -= pending.count
                if pending.began_us != began_us:
                    if batches:
                        self.confirms.observe(self._context.monotonic_us - began_us, batches)
                    began_us, batches = pending.began_us, 0
                batches += 1
        if batches:
            self.confirms.observe(self._context.monotonic_us - began_us, batches)

    def _send(self, finished: list[Pending], index: int) -> int:
        """One receipt for as many neighbours as share stream and queues; returns the index after them."""
        first = finished[index]
        link, stream, queues = first.arrived.link, first.stream, first.queues
        notes = self._notes
        if first.repeats or (notes and (stream, first.first_seq) in notes):
            self._send_alone(first, notes.pop((stream, first.first_seq), []))
            return index + 1
        next_seq = first.first_seq
        durability: int = first.durability
        while index < len(finished):
            pending = finished[index]
            if pending.stream != stream or pending.first_seq != next_seq or pending.queues != queues:
                break
            if pending.arrived.link is not link or pending.repeats or (notes and (stream, next_seq) in notes):
                break
            if pending.is_held is not first.is_held:
                break
            self._pending.pop((stream, next_seq), None)
            next_seq += pending.count
            durability = min(durability, pending.durability)
            self._context.release(pending.arrived)
            index += 1
        count = next_seq - first.first_seq
        self._context.send(link, Receipt(stream, first.first_seq, count, queues, durability, held=first.is_held))
        return index

    def _send_alone(self, pending: Pending, notes: list[StoreNote | Scheduled]) -> None:
        """A batch that came in several sessions, or that somebody had something to say on: it was a duplicate in a
        queue, or was refused, or is scheduled.
        """
        remarks = [note for note in notes if isinstance(note, StoreNote)]
        refusals = [note for note in remarks if note.code != DUPLICATE]
        queues = pending.queues
        unanswering = self._unanswering.pop((pending.stream, pending.first_seq), None)
        if unanswering is not None and not unanswering.issuperset(queues):
            # A call that somebody may answer goes on, and where nobody would it is not.
            refusals = [note for note in refusals if note.code != NoResponders.code]
            queues = tuple(queue for queue in queues if queue not in unanswering)
        code, text = (refusals[0].code, refusals[0].text) if refusals else (None, "")
        if code == NoResponders.code and pending.was_interrupted:
            code, text = OutcomeUnknown.code, f"the queue died meanwhile and may have had somebody who answers: {text}"
        receipt = Receipt(
            pending.stream,
            pending.first_seq,
            pending.count,
            queues,
            pending.durability,
            duplicate=any(note.code == DUPLICATE for note in remarks),
            code=code,
            text=text,
            scheduled_id=max((note.first_id for note in notes if isinstance(note, Scheduled)), default=0),
            held=pending.is_held,
        )
        if code is not None:
            self.refusals += pending.count
        self._pending.pop((pending.stream, pending.first_seq), None)
        for arrived in (pending.arrived, *pending.repeats):
            self._context.release(arrived)
            self._context.send(arrived.link, receipt)
