"""What a queue has handed out: which deliveries are still held and since when, how long they had waited, which attempt
each was.

A part of the queue's core, for figures only. Deliveries are remembered in the order in which they were made, so the
oldest that is still held is found from the front; those that were settled behind it are forgotten when they are many.
Costs are per slice. Times are those of the queue's clock, but for the moment of publishing, which is the publisher's.
"""

from __future__ import annotations

from collections import deque
from typing import Final, final

from posthouse.actors import measures
from posthouse.actors.measure import MICRO
from posthouse.actors.offsets import RangeMap
from posthouse.actors.queue_consumers import Consumers
from posthouse.actors.queue_effects import Delivery
from posthouse.actors.tallies import Tally
from posthouse.supervisor.meter import Meter

REMEMBERED_MIN: Final = 1_024
"""Fewer deliveries than these are not worth looking through."""

WAITED_MS_MAX: Final = 30 * 24 * 3_600_000
"""A publisher may say that it published in another century; that must not spoil the sum of all others."""

WAITS_MAX: Final = 4_096
"""So many different waits are remembered before they are sorted in, whatever publishers say of their clocks."""

RESOLUTION_MS: Final = 100
"""What a consumer is given within this time, one after the other, counts as given with the first of it."""

_Handout = list[int]
"""Given when, session, consumer, first, last, attempt. A list: one is made per slice, and some are extended."""


@final
class Handouts:
    """Those of one queue."""

    __slots__ = (
        "_attempts", "_consumers", "_first_attempts", "_given", "_last", "_look_at", "_waits", "_waits_ms",
    )  # fmt: skip

    def __init__(self, consumers: Consumers) -> None:
        self._consumers = consumers
        self._given: deque[_Handout] = deque()
        self._last: _Handout | None = None
        self._look_at = REMEMBERED_MIN
        self._attempts = Tally(measures.ATTEMPT)
        self._first_attempts = 0
        self._waits = Tally(measures.DELIVERY)
        # Milliseconds waited, and how many messages did: sorted into the distribution once a second.
        self._waits_ms: dict[int, int] = {}

    def given(self, deliveries: list[Delivery], now_ms: int) -> None:
        """Consumers were given these."""
        first_attempts = 0
        waits, last = self._waits_ms, self._last
        for one in deliveries:
            count, attempt = one.count, one.attempt
            if attempt == 1:
                first_attempts += count
                waited_ms = now_ms - one.entry.published_ms
                waits[waited_ms] = waits.get(waited_ms, 0) + count
            else:
                self._attempts.observe(attempt * MICRO, count)
            if not one.settled:
                first = one.first_offset
                if (
                    last is not None
                    and last[4] + 1 == first
                    and last[5] == attempt
                    and last[2] == one.consumer
                    and last[1] == one.session
                    and now_ms - last[0] < RESOLUTION_MS
                ):
                    last[4] = first + count - 1
                else:
                    last = [now_ms, one.session, one.consumer, first, first + count - 1, attempt]
                    self._given.append(last)
        self._last = last
        self._first_attempts += first_attempts
        if len(waits) > WAITS_MAX:
            self._sort_waits()
        if len(self._given) > self._look_at:
            self._given = deque(one for one in self._given if self._is_held(one))
            self._look_at = max(REMEMBERED_MIN, 2 * len(self._given))
            self._last = None

    def oldest_ms(self) -> int | None:
        """Since when the longest-held delivery is held; None when nothing is."""
        given = self._given
        while given:
            if self._is_held(given[0]):
                return given[0][0]
            given.popleft()
        self._last = None
        return None

    def moments(self) -> dict[tuple[int, int], RangeMap[int]]:
        """When each offset that may still be held was given last, by session and number of the consumer."""
        found: dict[tuple[int, int], RangeMap[int]] = {}
        for one in self._given:
            given_ms, session, consumer, first, last, _ = one
            found.setdefault((session, consumer), RangeMap()).put(first, last, given_ms)
        return found

    def show(self, meter: Meter) -> None:
        """Write down attempts and waits."""
        if self._first_attempts:
            self._attempts.observe(MICRO, self._first_attempts)
            self._first_attempts = 0
        self._sort_waits()
        self._attempts.show(meter)
        self._waits.show(meter)

    def _sort_waits(self) -> None:
        for waited_ms, count in self._waits_ms.items():
            self._waits.observe(min(max(waited_ms, 0), WAITED_MS_MAX) * 1_000, count)
        self._waits_ms.clear()

    def _is_held(self, one: _Handout) -> bool:
        """Some of it is held by the same consumer, and was not given back and delivered again meanwhile."""
        _, session, consumer, first, last, attempt = one
        holder = self._consumers.find(session, consumer)
        if holder is None or not holder.unacked or holder.unacked.first > last:
            return False
        return any(held_at == attempt for _, _, held_at in holder.unacked.pieces(first, last))
