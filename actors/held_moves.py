"""How what was held leaves its exchange: sent in order, followed until it has landed, offered again where refused.

A part of the exchange actor's shell. Queues get held messages on the link that direct traffic takes, and before
whatever is routed later. What a queue or the dead letters cannot take now is offered again; it is never dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby, islice
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.fingerprint import fingerprint
from posthouse.actors.held_batch import Held, Piece, moved
from posthouse.actors.held_journal import HeldJournal
from posthouse.actors.held_state import HeldState, Road
from posthouse.actors.move import Intent
from posthouse.transport import messages
from posthouse.transport.batch import slice_batch
from posthouse.transport.links import Link
from posthouse.transport.messages import StoreNote
from posthouse.transport.messages_dead import Bury, Death, Restore
from posthouse.transport.names import DEAD_LETTER

OFFER_TIMER: Final = "offer again"
OFFER_AGAIN_MS: Final = 1_000
PIECES_PER_RECORD_MAX: Final = 10_000


@final
class Onward(NamedTuple):
    """A piece on its way: what the link gives back when it is settled."""

    road: Road
    intent: Intent[Piece]


@final
class Direct(NamedTuple):
    """A batch that was routed while older ones for the same queue had yet to be sent."""

    raw: msgspec.Raw
    size: int
    messages: int
    context: Any


@final
class HeldMoves:
    """The moves of one exchange. `queue_link` is its link to a queue. `has_returned`: something waits once more."""

    def __init__(
        self,
        context: Context,
        exchange: str,
        state: HeldState,
        journal: HeldJournal,
        queue_link: Callable[[str], Link],
        now_ms: Callable[[], int],
    ) -> None:
        self.has_returned = False
        self._context = context
        self._exchange = exchange
        self._state = state
        self._journal = journal
        self._queue_link = queue_link
        self._now_ms = now_ms
        self._dead_letters: Link | None = None
        self._by_stream: dict[int, Road] = {}
        self._landed: list[tuple[int, int, int]] = []
        self._behind: dict[str, deque[Direct]] = {}

    def start(self) -> None:
        """The journal has been read."""
        self._by_stream = {road.outbox.stream: road for road in self._state.roads.values()}

    # ---- setting out ----

    def leave(self, chosen: list[tuple[Held, int]], queues: Iterable[tuple[str, int]], reason: str = "") -> None:
        """Waiting messages, up to the index beside each batch, set out for queues, each named with its serial."""
        whither = list(queues)
        for part, is_durable in _parts(chosen):
            roads = [self._road(queue, serial, is_durable=is_durable) for queue, serial in whither]
            record = self._state.leave(part, roads, reason, self._now_ms())
            if is_durable:
                self._journal.leaving(record)

    def bury(self, chosen: list[tuple[Held, int]], reason: str) -> None:
        """The same to the dead letters."""
        self.leave(chosen, [("", 0)], reason)

    @property
    def dead_road(self) -> Road:
        """The road to the dead letters."""
        return self._road("", 0, is_durable=self._journal.is_durable)

    def _road(self, queue: str, serial: int, *, is_durable: bool) -> Road:
        road = self._state.roads.get((queue, serial, is_durable))
        if road is None:
            new_stream = self._context.random.getrandbits(62) | 1
            road = self._state.road(queue, serial, is_durable=is_durable, new_stream=new_stream)
            self._by_stream[new_stream] = road
        return road

    # ---- on the way ----

    def must_wait(self, queue: str) -> bool:
        """Older messages for this queue have yet to be sent. Where it refuses them, nothing waits for them."""
        return queue in self._behind or any(
            road.queue == queue and road.outbox.has_unsent and not road.is_blocked
            for road in self._state.roads.values()
        )

    def wait(self, queue: str, direct: Direct) -> None:
        """Send this when what is older has been sent."""
        self._behind.setdefault(queue, deque()).append(direct)

    def finish_round(self) -> None:
        """Send what may leave, and write down what has landed."""
        if self._state.leaving:
            self._send()
        if self._behind:
            self._let_pass()
        self.write_landed()

    def _let_pass(self) -> None:
        for queue in list(self._behind):
            waiting = self._behind.pop(queue)
            if self.must_wait(queue):
                self._behind[queue] = waiting
                continue
            for direct in waiting:
                self._context.forward(self._queue_link(queue), *direct)

    def give_up(self, queue: str) -> list[Any]:
        """The queue takes nothing any more: what waited behind older messages, to be answered otherwise."""
        return [direct.context for direct in self._behind.pop(queue, ())]

    def _send(self) -> None:
        for road in self._state.roads.values():
            if road.is_blocked or not road.outbox.has_unsent:
                continue
            link = self._queue_link(road.queue) if road.queue else self._dead_letter_link()
            while (intent := road.outbox.take()) is not None:
                encoded = self._encoded(road, intent)
                self._context.forward(link, encoded, len(encoded), intent.count, Onward(road, intent))

    def _dead_letter_link(self) -> Link:
        if self._dead_letters is None:
            self._dead_letters = self._context.connect(DEAD_LETTER)
        return self._dead_letters

    def _encoded(self, road: Road, intent: Intent[Piece]) -> bytes:
        piece, outbox = intent.item, road.outbox
        batch = self._journal.batch_of(piece.entry)
        if road.queue:
            waited_ms = max(0, piece.moved_ms - piece.entry.held_ms)
            sent = moved(batch, piece, outbox.stream, intent.first_seq, waited_ms)
            return messages.encode(Restore(outbox.floor, msgspec.Raw(messages.encode(sent))))
        death = Death(
            reason=piece.reason,
            queue="",
            died_ms=piece.moved_ms,
            first_ms=piece.entry.held_ms,
            fingerprint=fingerprint(piece.reason, self._exchange),
            cause=f"no queue wanted it in exchange {self._exchange!r}",
        )
        cut = messages.encode(slice_batch(batch, piece.start, piece.stop))
        return messages.encode(
            Bury(outbox.stream, intent.first_seq, intent.count, outbox.floor, death, msgspec.Raw(cut))
        )

    def noted(self, note: StoreNote) -> bool:
        """True if the remark is about a piece. A duplicate is where it belongs; for the rest the settlement follows."""
        road = self._by_stream.get(note.stream)
        if road is None:
            return False
        if note.code != "duplicate":
            road.outbox.refused(note.first_seq)
        return True

    def settled(self, onward: Onward) -> None:
        """The other end has a piece, or has refused it."""
        road, intent = onward
        if self._state.landed(road, intent):
            if road.is_durable:
                self._landed.append((road.outbox.stream, intent.first_seq, intent.first_seq + intent.count - 1))
        else:
            road.is_refused = True
            self._block(road)

    def lost(self, moves: Iterable[Onward]) -> None:
        """The link ended for good, and these with it: they are offered again over the next one."""
        for road, intent in moves:
            road.outbox.refused(intent.first_seq)
            road.outbox.answered(intent)
            road.is_refused = False
            self._block(road)

    def _block(self, road: Road) -> None:
        if self._state.roads.get((road.queue, road.serial, road.is_durable)) is road:
            road.is_blocked = True
            self._context.set_timer(OFFER_TIMER, self._context.monotonic_ms + OFFER_AGAIN_MS)

    def offer_again(self) -> None:
        """Try what was refused once more. What a queue refused beyond its time comes back, to become dead letters."""
        now_ms = self._now_ms()
        for road in list(self._state.roads.values()):
            if not road.is_blocked:
                continue
            road.is_blocked = False
            # Refused and nothing on its way: the queue has none of it, so it may come back and leave once more.
            is_untaken = road.queue and road.is_refused and not road.outbox.in_flight
            if is_untaken and any(intent.item.entry.until_ms <= now_ms for intent in road.outbox.intents()):
                self.abandon(road)

    def abandon(self, road: Road) -> None:
        """Its queue is gone, or has refused all that is on this road: what landed nowhere waits again."""
        self.write_landed()
        if road.is_durable and len(road.outbox):
            self._journal.abandoned(road.outbox.stream)
        del self._by_stream[road.outbox.stream]
        self.has_returned = bool(self._state.abandon(road)) or self.has_returned

    def write_landed(self) -> None:
        """Before anything that depends on it is written down."""
        if self._landed:
            self._journal.landed(self._landed)
            self._landed.clear()


def _parts(chosen: list[tuple[Held, int]]) -> Iterable[tuple[list[tuple[Held, int]], bool]]:
    """Cut into what one record takes; what is in no journal goes by itself."""
    for is_durable, run in groupby(chosen, key=lambda found: found[0].position is not None):
        whole = iter(run)
        while part := list(islice(whole, PIECES_PER_RECORD_MAX)):
            yield part, is_durable
