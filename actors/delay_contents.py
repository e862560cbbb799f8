"""What survives of the delay scheduler: its messages, their keys, what is on its way, what it has seen, its counters.

Everything here can be rebuilt from the journal's records, and a mark is all of it except the messages. What is in
memory to be quick (the timetable, bodies) is not part of it.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple, final

import msgspec

from posthouse.actors.delay_ledger import BURYING, FAILED, FIRING, GONE, Ledger
from posthouse.actors.delay_moves import MOVE_BYTES_MAX, Move, Moves
from posthouse.actors.delay_records import Burial, Counters, Mark
from posthouse.actors.delay_schedules import Schedules
from posthouse.actors.move import Outbox
from posthouse.actors.queue_streams import Streams

RECENT_BATCHES_MAX: Final = 16_384
"""A publisher that did not hear the answer and sends again gets the same ids, if it was one of so many last batches."""


@final
class Failed(NamedTuple):
    """What becomes of messages that were refused for good: dead letters, or gone for a later one of their schedule."""

    dead: list[int]
    superseded: list[int]


@final
class DelayContents:
    """The durable half of the scheduler. Ids are handed out from `next_id` and never again."""

    __slots__ = (
        "_key_of",
        "burials",
        "counters",
        "failures",
        "keys",
        "ledger",
        "moves",
        "next_id",
        "recent",
        "schedules",
        "streams",
    )

    def __init__(self) -> None:
        self.ledger = Ledger()
        self.moves = Moves()
        self.burials: Outbox[Burial] = Outbox()
        self.schedules = Schedules()
        self.streams = Streams()
        self.counters = Counters()
        self.next_id = 1
        self.keys: dict[str, int] = {}
        self._key_of: dict[int, str] = {}
        self.failures: dict[int, tuple[str, str]] = {}
        self.recent: OrderedDict[tuple[int, int], int] = OrderedDict()

    def mark(self) -> Mark:
        """What the head of a new journal segment says. A copy."""
        return Mark(self.next_id, self.streams.flat(), msgspec.structs.replace(self.counters))

    def remember(self, stream: int, first_seq: int, first_id: int) -> None:
        """This batch of a publisher got its ids from here on."""
        self.recent[stream, first_seq] = first_id
        if len(self.recent) > RECENT_BATCHES_MAX:
            self.recent.popitem(last=False)

    # ---- keys ----

    def name(self, message_id: int, key: str) -> int:
        """A message takes over a key; returns the id of the one that had it and is to go, or 0."""
        before = self.keys.get(key, 0)
        self.keys[key] = message_id
        self._key_of[message_id] = key
        return 0 if self.ledger.due(before) in (GONE, FIRING, BURYING) else before

    def rename(self, message_id: int, key: str) -> None:
        """A message that was copied forward in the journal had this key, unless a later one has it now."""
        self._key_of[message_id] = key
        if self.keys.get(key, 0) < message_id:
            self.keys[key] = message_id

    # ---- ends ----

    def forget(self, message_id: int) -> int:
        """A message is gone; returns when it was due (or FAILED, FIRING; GONE when there was none)."""
        before = self.ledger.set(message_id, GONE)
        self.failures.pop(message_id, None)
        self.schedules.left(message_id)
        key = self._key_of.pop(message_id, None)
        if key is not None and self.keys.get(key) == message_id:
            del self.keys[key]
        return before

    def fired(self, move: Move) -> None:
        """The exchange has it."""
        if self.moves.remove(move):
            for message_id in move.ids:
                self.forget(message_id)
            self.counters.fired += len(move.ids)

    def failed(self, move: Move, code: str, text: str) -> Failed:
        """The exchange will never take it. Of a schedule that still stands the last is kept, with the reason."""
        found = Failed([], [])
        if self.moves.remove(move):
            reason = (code, text)
            for message_id in move.ids:
                if self.ledger.set(message_id, FAILED):
                    self.failures[message_id] = reason
                    schedule = self.schedules.left(message_id)
                    if schedule is None:
                        found.dead.append(message_id)
                        continue
                    if self.ledger.due(schedule.failed_id) == FAILED:
                        found.superseded.append(schedule.failed_id)
                    schedule.failed_id = message_id
        return found

    def bury(self, burial: Burial) -> None:
        """These set out for the dead letters. Without its bytes at hand, an intent counts as the largest move."""
        self.burials.stream = burial.stream
        self.burials.add(len(burial.ids), MOVE_BYTES_MAX, burial, burial.first_seq)
        for message_id in burial.ids:
            self.ledger.set(message_id, BURYING)

    def buried(self, burial: Burial) -> None:
        """The dead letters have them."""
        for message_id in burial.ids:
            self.forget(message_id)
        self.counters.dead_lettered += len(burial.ids)

    def returned(self, move: Move, due_ms: int) -> None:
        """The exchange could not take it now: its messages wait again."""
        if self.moves.remove(move):
            for message_id in move.ids:
                self.ledger.set(message_id, due_ms)
            self.counters.retried += len(move.ids)
