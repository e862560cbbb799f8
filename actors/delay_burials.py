"""How delayed messages that no exchange will ever take leave the scheduler for the dead letters.

A part of the scheduler's shell. What was refused for good is journaled as an intent, sent to the store, and only then
gone here. While the store is full or away the messages stay, on their way, and are offered again; what has no room on
the way waits as failed, and can still be fired, put off or cancelled.
"""

from __future__ import annotations

from collections import deque
from itertools import groupby
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.actors import delay_records as records
from posthouse.actors.actor import Context
from posthouse.actors.delay_bodies import joined
from posthouse.actors.delay_journal import DelayJournal
from posthouse.actors.delay_ledger import FAILED
from posthouse.actors.delay_records import Burial, Kind
from posthouse.actors.delay_state import DelayState
from posthouse.actors.fingerprint import fingerprint
from posthouse.actors.move import IN_FLIGHT_MESSAGES_MAX, Intent
from posthouse.transport import messages
from posthouse.transport.links import Link
from posthouse.transport.messages import StoreNote
from posthouse.transport.messages_dead import Attempt, Bury, Death
from posthouse.transport.names import DEAD_LETTER

REASON: Final = "delivery_failed"

OFFER_AGAIN_MS: Final = 1_000
OFFER_AGAIN_MS_MAX: Final = 8_000
"""Refused by a full store, messages are offered again after a second, then after twice as long each time."""

TIMER: Final = "burials"


@final
class Refused(NamedTuple):
    """Messages of one batch that were refused, and what the exchange said."""

    ids: list[int]
    code: str
    text: str


@final
class DelayBurials:
    """The moves from the scheduler to the dead letters."""

    def __init__(self, context: Context, state: DelayState, journal: DelayJournal) -> None:
        self._context = context
        self._contents = state.contents
        self._journal = journal
        self._link: Link | None = None
        self._waiting: deque[Refused] = deque()
        self._buried: list[int] = []
        self._is_refused = False
        self._pause_ms = OFFER_AGAIN_MS

    def start(self) -> None:
        """The journal has been read. What has failed and was not yet on its way sets out."""
        contents = self._contents
        kept = contents.schedules.failed_ids()
        alone = [message_id for message_id in contents.failures if message_id not in kept]
        alone = [message_id for message_id in alone if contents.ledger.due(message_id) == FAILED]
        for (_, failure), ids in groupby(
            alone, key=lambda one: (contents.ledger.place(one).position, contents.failures[one])
        ):
            self._waiting.append(Refused(list(ids), *failure))

    def owns(self, link: Link) -> bool:
        """Is this the link to the dead letters?"""
        return link is self._link

    def refused(self, ids: list[int], code: str, text: str) -> None:
        """No exchange will take these, which came in one batch."""
        if ids:
            self._waiting.append(Refused(ids, code, text))

    def finish_round(self) -> None:
        """Journal intents for what waits, send what has room, write down what has landed."""
        while self._waiting and self._contents.burials.messages < IN_FLIGHT_MESSAGES_MAX:
            self._intend(*self._waiting.popleft())
        self._send()
        self.write_buried()

    def _intend(self, ids: list[int], code: str, text: str) -> None:
        context, contents = self._context, self._contents
        left = [message_id for message_id in ids if contents.ledger.due(message_id) == FAILED]
        if not left:
            return
        outbox = contents.burials
        outbox.stream = outbox.stream or context.random.getrandbits(62) | 1
        burial = Burial(outbox.stream, outbox.next_seq, context.wall_ms, code, text, left)
        context.append(Kind.BURY, records.encode(burial))
        contents.bury(burial)

    def _send(self) -> None:
        outbox = self._contents.burials
        if self._is_refused or not outbox.has_unsent:
            return
        if self._link is None:
            self._link = self._context.connect(DEAD_LETTER)
        while (intent := outbox.take()) is not None:
            encoded = self._encoded(intent)
            self._context.forward(self._link, encoded, len(encoded), intent.count, intent)

    def _encoded(self, intent: Intent[Burial]) -> bytes:
        burial = intent.item
        bodies = self._journal.peek(burial.ids)
        exchange = bodies[0].template.exchange
        death = Death(
            reason=REASON,
            queue="",
            died_ms=burial.died_ms,
            first_ms=burial.died_ms,
            fingerprint=fingerprint(f"{REASON} {exchange} {burial.code}", burial.text),
            cause=f"{burial.code}: {burial.text}",
            history=(
                Attempt(
                    attempt=0,
                    at_ms=burial.died_ms,
                    consumer="",
                    how="refused",
                    error_type=burial.code,
                    error=burial.text,
                ),
            ),
        )
        batch = joined(bodies, burial.stream, burial.first_seq, burial.died_ms)
        floor = self._contents.burials.floor
        return messages.encode(Bury(burial.stream, burial.first_seq, intent.count, floor, death, msgspec.Raw(batch)))

    def noted(self, note: StoreNote) -> None:
        """The store could not take it; its settlement follows."""
        if note.code != "duplicate":
            self._contents.burials.refused(note.first_seq)

    def settled(self, contexts: list[Any]) -> None:
        """The store has settled intents: those that it did not refuse are gone from here."""
        for intent in contexts:
            if self._contents.burials.answered(intent):
                self._contents.buried(intent.item)
                self._buried.append(intent.first_seq)
                self._pause_ms = OFFER_AGAIN_MS
            else:
                self._offer_again()

    def abandoned(self, contexts: list[Any]) -> None:
        """The link ended for good, and these with it: they are offered again over the next one."""
        for intent in contexts:
            self._contents.burials.refused(intent.first_seq)
            self._contents.burials.answered(intent)
        self._offer_again()

    def write_buried(self) -> None:
        """Before anything these messages stood in is let go of. A tombstone that is lost costs one more offer."""
        if self._buried:
            self._context.append(Kind.BURIED, records.encode(self._buried), is_durable=False)
            self._buried.clear()

    def wake(self) -> None:
        """Time to offer again what was refused."""
        self._is_refused = False
        self._pause_ms = min(2 * self._pause_ms, OFFER_AGAIN_MS_MAX)

    def _offer_again(self) -> None:
        self._is_refused = True
        self._context.set_timer(TIMER, self._context.monotonic_ms + self._pause_ms)
