"""What becomes of messages that were not handled: back to their place, back later, to the dead letters, or gone.

The part of a queue's core that knows the retry policy. Ranges come in that nobody holds any more; they are put where
they belong, and the result says what the journal must know of it. A message whose move to the dead letters is not
finished is *leaving*: still in the queue, and given to nobody. Everything is per range.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final, NamedTuple, final

import msgspec

from posthouse.actors import queue_view
from posthouse.actors.breaker import Breaker
from posthouse.actors.move import Intent
from posthouse.actors.offsets import merged
from posthouse.actors.queue_contents import Leave, QueueContents
from posthouse.actors.queue_history import Failure, death
from posthouse.actors.retry import delay_ms, is_exhausted
from posthouse.actors.stored_batch import Slice
from posthouse.transport.messages import QueueSpec
from posthouse.transport.messages_dead import TAKEN_BACK, Attempt, Death

Piece = tuple[int, int, int]
"""First offset, last offset, times delivered."""

REJECTED: Final = "rejected"
EXHAUSTED: Final = "attempts_exhausted"
EXPIRED: Final = "expired"
MAX_LENGTH: Final = "max_length"


class Retry(NamedTuple):
    """Ranges that failed once more and are in their place again at `due_ms`; 0: at once.

    So many of all their attempts are `excused`: they failed while nearly everything did, and do not count to the limit.
    """

    due_ms: int
    attempt: Attempt
    ranges: list[tuple[int, int]]
    excused: int = 0


class Fate(NamedTuple):
    """What became of ranges. `gone` left the queue for good, `requeued` is ready, `leaving` has intents to be sent."""

    requeued: list[tuple[int, int]]
    retries: list[Retry]
    leaving: list[Intent[Leave]]
    gone: list[tuple[int, int]]


@final
class Failures:
    """Decides over the contents of one queue. Its `breaker` tells an outage from messages that cannot be handled."""

    __slots__ = ("_contents", "_spec", "breaker")

    def __init__(self, spec: QueueSpec, contents: QueueContents) -> None:
        self._spec = spec
        self._contents = contents
        self.breaker = None if spec.breaker is None else Breaker(spec.breaker)

    def failed(self, pieces: Iterable[Piece], failure: Failure, *, is_final: bool = False) -> Fate:
        """Deliveries of these ranges failed; `is_final`: the consumer asks for no other attempt."""
        contents, policy = self._contents, self._spec.retry
        fate = Fate([], [], [], [])
        retries: dict[tuple[int, int], Retry] = {}
        is_excused = 0
        if self.breaker is not None:
            pieces = list(pieces)
            is_excused = int(self._is_excused(pieces, failure.now_ms))
        for first, last, times, excused in self._counted(pieces):
            attempt = contents.histories.attempt(failure, times)
            if is_final or (not is_excused and is_exhausted(policy, times - excused)):
                if self._spec.dead_letter == "store":
                    contents.histories.add(first, last, attempt)
                self._end([(first, last, times)], REJECTED if is_final else EXHAUSTED, failure.now_ms, fate)
                continue
            if policy.kind != "off" or failure.error or failure.retry_after_ms:
                excused += is_excused
                retry = retries.get((times, excused))
                if retry is None:
                    due_ms = self._due_ms(failure, max(1, times - excused))
                    retry = retries[times, excused] = Retry(due_ms, attempt, [], excused)
                contents.histories.add(first, last, attempt)
                contents.histories.excuse(first, last, excused)
                retry.ranges.append((first, last))
                if retry.due_ms > failure.now_ms:
                    contents.waiting.put(first, last, times, retry.due_ms)
                    continue
            contents.ready.put(first, last, times)
            fate.requeued.append((first, last))
        fate.retries.extend(retries.values())
        return fate._replace(requeued=merged(sorted(fate.requeued)), gone=merged(sorted(fate.gone)))

    def _is_excused(self, pieces: list[Piece], now_ms: int) -> bool:
        assert self.breaker is not None
        return bool(pieces) and self.breaker.failed([(first, last) for first, last, _ in pieces], now_ms)

    def _counted(self, pieces: Iterable[Piece]) -> Iterable[tuple[int, int, int, int]]:
        """Pieces with how many of their attempts do not count; only a breaker ever excuses any."""
        if self.breaker is None:
            return ((first, last, times, 0) for first, last, times in pieces)
        return (
            (low, high, times, excused)
            for first, last, times in pieces
            for low, high, excused in self._contents.histories.excused(first, last)
        )

    def _due_ms(self, failure: Failure, times: int) -> int:
        if failure.how == "consumer_gone":
            return 0
        pause_ms = failure.retry_after_ms
        if pause_ms is None:
            pause_ms = delay_ms(self._spec.retry, times, failure.chance)
        return failure.now_ms + pause_ms if pause_ms else 0

    def end(self, pieces: Iterable[Piece], reason: str, now_ms: int) -> Fate:
        """These ranges, which nobody holds and which are neither ready nor waiting any more, die of this."""
        fate = Fate([], [], [], [])
        self._end(pieces, reason, now_ms, fate)
        return fate._replace(gone=merged(sorted(fate.gone)))

    def untouched(self, from_offset: int, batches_max: int) -> tuple[list[Slice], int]:
        """What is ready and was never delivered, of so many batches from an offset on; and where to go on, or 0."""
        contents = self._contents
        found: list[Slice] = []
        entries = list(islice(contents.backlog.since(from_offset), batches_max))
        for entry in entries:
            ready = contents.ready.pieces(max(from_offset, entry.first_offset), entry.last_offset)
            pieces = [(first, last, 1) for first, last, times in ready if not times]
            found += queue_view.slices(contents.backlog, pieces)
        return found, entries[-1].last_offset + 1 if len(entries) == batches_max else 0

    def take_back(self, pieces: Iterable[tuple[int, int]], now_ms: int) -> Fate:
        """These ranges, which are ready and were never delivered, go back to the store they came from.

        That is no death, so what the queue says of dead letters has no part in it.
        """
        fate = Fate([], [], [], [])
        died = Death(reason=TAKEN_BACK, queue=self._spec.name, died_ms=now_ms, first_ms=now_ms)
        for first, last in pieces:
            self._contents.ready.take(first, last)
            fate.leaving.append(self._contents.leave(first, last, died))
        return fate

    def _end(self, pieces: Iterable[Piece], reason: str, now_ms: int, fate: Fate) -> None:
        contents, exchange = self._contents, self._spec.dead_letter_exchange
        for first, last, times in pieces:
            if self._spec.dead_letter != "store":
                fate.gone.append((first, last))
                continue
            for low, high, history in contents.histories.pieces(first, last):
                died = death(self._spec.name, reason, now_ms, times, history)
                if exchange is not None:
                    key = self._spec.dead_letter_routing_key
                    died = msgspec.structs.replace(died, republish_to=exchange, republish_key=key)
                for cut in queue_view.slices(contents.backlog, [(low, high, times)]):
                    end = cut.first_offset + cut.stop - cut.start - 1
                    fate.leaving.append(contents.leave(cut.first_offset, end, died))
