"""What a queue has handed out: which deliveries are still held and since when, how long they had waited, which attempt
each was.

A part of the queue's core, for figures only. Deliveries are remembered in the order in which they were made, so the
oldest that is still held is found from the front; those that were settled behind it are forgotten when they are many.
Costs are per slice. Times are those of the queue's clock, but for the moment of publishing, which is the publisher's.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple, final

from posthouse.actors import measures
from posthouse.actors.measure import MICRO
from posthouse.actors.offsets import RangeMap
from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_effects import Delivery
from posthouse.actors.tallies import Tally

REMEMBERED_MIN: Final = 1_024
"""Fewer deliveries than these are not worth looking through."""

WAITED_MS_MAX: Final = 30 * 24 * 3_600_000
"""A publisher may say that it published in another century; that must not spoil the sum of all others."""


class _Handout(NamedTuple):
    given_ms: int
    session: int
    consumer: int
    first: int
    last: int
    attempt: int


@final
class Handouts:
    """Those of one queue."""

    __slots__ = ("_consumers", "_given", "_look_at", "attempts", "waits")

    def __init__(self, consumers: Consumers) -> None:
        self._consumers = consumers
        self._given: deque[_Handout] = deque()
        self._look_at = REMEMBERED_MIN
        self.attempts = Tally(measures.ATTEMPT)
        self.waits = Tally(measures.DELIVERY)

    def given(self, deliveries: list[Delivery], now_ms: int) -> None:
        """Consumers were given these."""
        first_attempts = 0
        for one in deliveries:
            if one.attempt == 1:
                first_attempts += one.count
                waited_ms = now_ms - one.entry.published_ms
                self.waits.observe(min(max(waited_ms, 0), WAITED_MS_MAX) * 1_000, one.count)
            else:
                self.attempts.observe(one.attempt * MICRO, one.count)
            if not one.settled:
                last = one.first_offset + one.count - 1
                self._given.append(_Handout(now_ms, one.session, one.consumer, one.first_offset, last, one.attempt))
        if first_attempts:
            self.attempts.observe(MICRO, first_attempts)
        if len(self._given) > self._look_at:
            self._given = deque(one for one in self._given if self._is_held(one))
            self._look_at = max(REMEMBERED_MIN, 2 * len(self._given))

    def oldest_ms(self) -> int | None:
        """Since when the longest-held delivery is held; None when nothing is."""
        given = self._given
        while given:
            if self._is_held(given[0]):
                return given[0].given_ms
            given.popleft()
        return None

    def moments(self) -> dict[tuple[int, int], RangeMap[int]]:
        """When each offset that may still be held was given last, by session and number of the consumer."""
        found: dict[tuple[int, int], RangeMap[int]] = {}
        for one in self._given:
            found.setdefault((one.session, one.consumer), RangeMap()).put(one.first, one.last, one.given_ms)
        return found

    def _is_held(self, one: _Handout) -> bool:
        """Some of it is held by the same consumer, and was not given back and delivered again meanwhile."""
        holder = self._consumers.find(one.session, one.consumer)
        return holder is not None and any(
            attempt == one.attempt for _, _, attempt in holder.unacked.pieces(one.first, one.last)
        )
