"""The earlier lives of letters that were sent on: which letter a number of a stream was, and where it is written.

When a message dies again it comes in the batch in which the store sent it, under that batch's stream and numbers; so
the store knows it by them, and its history goes on. Bounded; what was sent on longest ago is forgotten first. Pure.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, final

import msgspec

from posthouse.actors.offsets import RangeMap
from posthouse.actors.queue_history import ATTEMPTS_KEPT
from posthouse.transport.messages_dead import TAKEN_BACK, Attempt, Death

PIECES_MAX: Final = 100_000
FORGOTTEN: Final = "it was dead and sent on before; what happened then is forgotten"


@final
class PastLife(NamedTuple):
    """Messages `start` up to `stop` of a batch that was looked up: letters from `first_id` on.

    `first_id` 0: nobody remembers. `position` is the journal's, and may be trimmed by now.
    """

    start: int
    stop: int
    first_id: int = 0
    position: int = 0


@final
class PastLives:
    """By stream and number: the distance from number to id, and the journal position of the letter's record."""

    def __init__(self, pieces_max: int = PIECES_MAX) -> None:
        self._pieces_max = pieces_max
        self._streams: dict[int, RangeMap[tuple[int, int]]] = {}
        self._order: deque[tuple[int, int, int]] = deque()

    def remember(self, stream: int, first_seq: int, first_id: int, count: int, position: int) -> None:
        """Letters of one record were sent on under these numbers."""
        last_seq = first_seq + count - 1
        pieces = self._streams.setdefault(stream, RangeMap())
        if not pieces.pieces(first_seq, last_seq):
            pieces.put(first_seq, last_seq, (first_id - first_seq, position))
            self._order.append((stream, first_seq, last_seq))
        while len(self._order) > self._pieces_max:
            oldest, first, last = self._order.popleft()
            self._streams[oldest].take(first, last)
            if not self._streams[oldest]:
                del self._streams[oldest]

    def find(self, stream: int, first_seq: int, count: int) -> list[PastLife]:
        """The whole of a batch, cut where its messages were different letters; one piece where nothing is known."""
        known = self._streams.get(stream)
        found: list[PastLife] = []
        low = first_seq
        for first, last, (distance, position) in (
            [] if known is None else known.pieces(first_seq, first_seq + count - 1)
        ):
            if low < first:
                found.append(PastLife(low - first_seq, first - first_seq))
            found.append(PastLife(first - first_seq, last + 1 - first_seq, first + distance, position))
            low = last + 1
        if low < first_seq + count:
            found.append(PastLife(low - first_seq, count))
        return found


def continued(death: Death, earlier: Death, earlier_id: int) -> Death:
    """A death of messages that were dead before: their history goes on, attempts and all.

    What an undo brings back did not die anew: it is as it was, with a remark.
    """
    if death.reason == TAKEN_BACK:
        remark = Attempt(attempt=earlier.attempt, at_ms=death.died_ms, consumer="", how=TAKEN_BACK)
        history, life, attempt = (*earlier.history, remark), earlier.life, earlier.attempt
        death = earlier
    else:
        later = (
            msgspec.structs.replace(one, attempt=one.attempt + earlier.attempt if one.attempt else 0)
            for one in death.history
        )
        history, life, attempt = (*earlier.history, *later), earlier.life + 1, earlier.attempt + death.attempt
    if len(history) > ATTEMPTS_KEPT:
        history = (history[0], *history[1 - ATTEMPTS_KEPT :])
    is_back = death is earlier
    return msgspec.structs.replace(
        death,
        attempt=attempt,
        first_ms=earlier.first_ms,
        history=history,
        earlier=earlier_id,
        life=life,
        republish_to=None if is_back else death.republish_to,
    )


def forgotten(death: Death, earlier_id: int = 0) -> Death:
    """A death of messages that were dead before, of which the store remembers no more than that."""
    remark = Attempt(attempt=0, at_ms=death.died_ms, consumer="", how="redrive", error=FORGOTTEN)
    return msgspec.structs.replace(death, history=(remark, *death.history), earlier=earlier_id, life=death.life + 1)
