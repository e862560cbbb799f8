"""The two ends of a move: what a source still has to hear about, and what a target may take.

A source numbers what it moves on a stream of its own and journals each *intent* before it is sent; the target stores it
under its number and the source then writes the tombstone. Whatever crashes, every intent without a tombstone is sent
again under its old number, and the target recognises it: moved exactly once. A target that refuses (it is full)
refuses all that follows as well, since a gap is never taken; so the order of a stream is also the order in which it
enters. Pure; no journal, no link.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Final, Generic, TypeVar, final

Item = TypeVar("Item")

IN_FLIGHT_MESSAGES_MAX: Final = 20_000
IN_FLIGHT_BYTES_MAX: Final = 2 * 1024 * 1024
"""What one source has on its way at a time; one intent alone may be larger."""


class Admission(enum.Enum):
    """What a target does with numbers of a stream."""

    NEW = "new"
    SEEN = "seen"
    GAP = "gap"


def admission(last_seen: int, floor: int, first_seq: int, last_seq: int) -> Admission:
    """May a target that has stored `last_seen` of a stream (0: nothing) take these numbers?

    Nothing below `floor` is ever sent again, so a target that has forgotten the stream goes on from there.
    """
    if last_seq <= last_seen:
        return Admission.SEEN
    return Admission.NEW if first_seq <= max(last_seen + 1, floor) else Admission.GAP


@final
class Intent(Generic[Item]):
    """Numbers `first_seq …` of a stream and what they stand for. It has no tombstone yet."""

    __slots__ = ("count", "first_seq", "is_refused", "is_sent", "item", "size")

    def __init__(self, first_seq: int, count: int, size: int, item: Item) -> None:
        self.first_seq = first_seq
        self.count = count
        self.size = size
        self.item = item
        self.is_sent = False
        self.is_refused = False


@final
class Outbox(Generic[Item]):
    """One stream of moves. `stream` 0: it has not been chosen yet. The counts are for reading."""

    __slots__ = (
        "_in_flight_bytes", "_intents", "_is_disordered", "_unsent", "in_flight", "messages", "next_seq", "stream",
    )  # fmt: skip

    def __init__(self, stream: int = 0) -> None:
        self.stream = stream
        self.next_seq = 1
        self.messages = 0
        self.in_flight = 0
        self._in_flight_bytes = 0
        self._is_disordered = False
        self._intents: OrderedDict[int, Intent[Item]] = OrderedDict()
        self._unsent: OrderedDict[int, Intent[Item]] = OrderedDict()

    def __len__(self) -> int:
        """Intents without a tombstone."""
        return len(self._intents)

    @property
    def floor(self) -> int:
        """Everything below has its tombstone."""
        return next(iter(self._intents), self.next_seq)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def intents(self) -> list[Intent[Item]]:
        """All without a tombstone, in order."""
        return list(self._intents.values())

    def get(self, first_seq: int) -> Intent[Item] | None:
        return self._intents.get(first_seq)

    def add(self, count: int, size: int, item: Item, first_seq: int | None = None) -> Intent[Item]:
        """Number something that is to be moved. `first_seq` is given when the journal tells it, in any order."""
        first_seq = self.next_seq if first_seq is None else first_seq
        intent = self._intents[first_seq] = self._unsent[first_seq] = Intent(first_seq, count, size, item)
        self.next_seq = max(self.next_seq, first_seq + count)
        self.messages += count
        return intent

    def take(self) -> Intent[Item] | None:
        """The next to send, if there is room on the way; it counts as sent."""
        if not self._unsent:
            return None
        if self._is_disordered:
            self._is_disordered = False
            self._unsent = OrderedDict(sorted(self._unsent.items()))
        intent = next(iter(self._unsent.values()))
        if self.in_flight and (
            self.in_flight + intent.count > IN_FLIGHT_MESSAGES_MAX
            or self._in_flight_bytes + intent.size > IN_FLIGHT_BYTES_MAX
        ):
            return None
        del self._unsent[intent.first_seq]
        intent.is_sent = True
        self.in_flight += intent.count
        self._in_flight_bytes += intent.size
        return intent

    def refused(self, first_seq: int) -> None:
        """The target said no. What that means is decided when it has settled the frame."""
        intent = self._intents.get(first_seq)
        if intent is not None:
            intent.is_refused = True

    def answered(self, intent: Intent[Item]) -> bool:
        """The target settled an intent. True: it is there, write the tombstone. False: it was refused.

        What was refused is to be sent again, in its old place, or given up with `drop`.
        """
        if self._intents.get(intent.first_seq) is not intent or not intent.is_sent:
            return False
        self._land(intent)
        if intent.is_refused:
            intent.is_refused = False
            self._unsent[intent.first_seq] = intent
            self._is_disordered = True
            return False
        self._forget(intent)
        return True

    def drop(self, intent: Intent[Item]) -> None:
        """It has its tombstone, or will never be sent."""
        if self._intents.get(intent.first_seq) is intent:
            if intent.is_sent:
                self._land(intent)
            self._unsent.pop(intent.first_seq, None)
            self._forget(intent)

    def replayed(self) -> None:
        """The journal has been read: bring what is left into its order."""
        self._intents = OrderedDict(sorted(self._intents.items()))
        self._unsent = OrderedDict(sorted(self._unsent.items()))

    def _land(self, intent: Intent[Item]) -> None:
        intent.is_sent = False
        self.in_flight -= intent.count
        self._in_flight_bytes -= intent.size

    def _forget(self, intent: Intent[Item]) -> None:
        del self._intents[intent.first_seq]
        self.messages -= intent.count
