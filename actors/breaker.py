"""The outage breaker of a queue: stops deliveries when nearly all of them fail, and finds out when they work again.

    closed ──── too many of the last `window` messages failed ────▶ open ◀──────────┐
      ▲                                                              │ wait is over  │ the probe failed: twice the wait
      └──────────────── the probe was acked ──────────────────── probing ────────────┘

A deterministic core: outcomes and times come in, and whoever delivers asks what it may. While the breaker is closed
everything is delivered. While it is open nothing is. While it is probing one message is delivered, of those that are
ready the one that was delivered fewest times: every failure raises that number, so probes go round over all messages,
and one that can be handled ends the pause however many cannot. A probe that nobody settles is followed by another after
the longest wait, so a consumer that hangs holds nothing up for ever.

A failure that opens the breaker, and every failure while it is not closed, is *excused*: it says something about the
receivers and nothing about the message, so it is no reason to give the message up.

Costs are per range. What it has seen is bounded by the window. It must not know queues, consumers or clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, final

from posthouse.transport.descriptions import BreakerSpec
from posthouse.transport.errors import InvalidArgument

CLOSED: Final = "closed"
OPEN: Final = "open"
PROBING: Final = "probing"

WINDOW_MAX: Final = 10_000
WAIT_MS_MAX: Final = 24 * 3_600 * 1_000

Ranges = Iterable[tuple[int, int]]


def check_breaker(policy: BreakerSpec) -> None:
    """Refuse a policy that no breaker can follow. Raises InvalidArgument."""
    if not 1 <= policy.window <= WINDOW_MAX:
        raise InvalidArgument(f"the breaker's window is {policy.window}; it is 1 to {WINDOW_MAX} messages")
    if not 0.0 < policy.failure_share <= 1.0:
        raise InvalidArgument(f"the breaker's failure_share is {policy.failure_share}; it is above 0, and at most 1")
    for name in ("probe_after_ms", "max_probe_after_ms"):
        wait_ms = getattr(policy, name)
        if not 1 <= wait_ms <= WAIT_MS_MAX:
            raise InvalidArgument(f"the breaker's {name} is {wait_ms}; it is 1 to {WAIT_MS_MAX} (a day)")
    if policy.probe_after_ms > policy.max_probe_after_ms:
        raise InvalidArgument(
            f"the breaker probes after {policy.probe_after_ms} ms at first and after {policy.max_probe_after_ms} ms "
            "at most; raise max_probe_after or lower probe_after"
        )


@final
class Breaker:
    """One queue's. `state` is closed, open or probing; `opened` counts how often it opened in this life."""

    __slots__ = ("_due_ms", "_may_probe", "_policy", "_probes", "_recent", "_wait_ms", "is_closed", "opened")

    def __init__(self, policy: BreakerSpec) -> None:
        self._policy = policy
        self._recent = Recent(policy.window)
        self._wait_ms = policy.probe_after_ms
        self._due_ms = 0
        self._may_probe = False
        self._probes: set[int] = set()
        self.is_closed = True
        self.opened = 0

    @property
    def state(self) -> str:
        if self.is_closed:
            return CLOSED
        return PROBING if self._may_probe or self._probes else OPEN

    @property
    def may_deliver(self) -> bool:
        """May anything be delivered now? While not closed, one message, and then `probed` is to be called."""
        return self.is_closed or self._may_probe

    @property
    def share(self) -> float:
        """The share of failures among the last messages, for the alarm."""
        return self._recent.failures / max(1, self._recent.count)

    # ---- outcomes ----

    def succeeded(self, ranges: Ranges) -> bool:
        """These were acked. True if that closed the breaker."""
        if self.is_closed:
            for first, last in ranges:
                self._recent.add(first, last, is_failure=False)
            return False
        if not self._came_back(ranges):
            return False
        self._recent.clear()
        self._probes.clear()
        self._may_probe = False
        self._wait_ms = self._policy.probe_after_ms
        self.is_closed = True
        return True

    def failed(self, ranges: Ranges, now_ms: int) -> bool:
        """Attempts of these failed, whichever way. True if that is excused."""
        if not self.is_closed:
            if self._came_back(ranges):
                self._wait_ms = min(2 * self._wait_ms, self._policy.max_probe_after_ms)
                self._due_ms = now_ms + self._wait_ms
                self._may_probe = False
            return True
        for first, last in ranges:
            self._recent.add(first, last, is_failure=True)
        recent, policy = self._recent, self._policy
        # What is left of a product of floats must not decide: 0.7 of 10 is 7.
        if recent.count < policy.window or recent.failures < math.ceil(policy.failure_share * policy.window - 1e-9):
            return False
        self.is_closed = False
        self.opened += 1
        self._due_ms = now_ms + self._wait_ms
        return True

    def returned(self, ranges: Ranges) -> None:
        """These came back without an outcome: if the probe is among them, another goes at once."""
        if not self.is_closed and self._came_back(ranges):
            self._may_probe = True

    # ---- time and probes ----

    def next_ms(self) -> int | None:
        """When `pass_time` is due; None while there is nothing to wait for."""
        return None if self.is_closed or self._may_probe else self._due_ms

    def pass_time(self, now_ms: int) -> None:
        """When the wait is over, one message may go."""
        if not self.is_closed and now_ms >= self._due_ms:
            self._may_probe = True

    def probed(self, offset: int, now_ms: int) -> None:
        """This message was delivered as the probe."""
        self._probes.add(offset)
        self._may_probe = False
        self._due_ms = now_ms + self._policy.max_probe_after_ms

    def _came_back(self, ranges: Ranges) -> bool:
        """Was a probe among these? It is none any more."""
        found = {probe for first, last in ranges for probe in self._probes if first <= probe <= last}
        self._probes -= found
        return bool(found)


@final
class Recent:
    """The last attempt of each of the last `window` messages: did it fail? Counts are for reading."""

    __slots__ = ("_runs", "_window", "count", "failures")

    def __init__(self, window: int) -> None:
        self._window = window
        # Runs of neighbours with the same outcome, oldest first: a stream of acks is one run, however long.
        self._runs: list[tuple[int, int, bool]] = []
        self.count = 0
        self.failures = 0

    def add(self, first: int, last: int, *, is_failure: bool) -> None:
        """The attempts of these ended so, and this is the latest that is known of them."""
        first = max(first, last - self._window + 1)
        runs: list[tuple[int, int, bool]] = []
        for low, high, failed in self._runs:
            if high < first or low > last:
                runs.append((low, high, failed))
                continue
            if low < first:
                runs.append((low, first - 1, failed))
            if high > last:
                runs.append((last + 1, high, failed))
        if runs and runs[-1][1] + 1 == first and runs[-1][2] == is_failure:
            first = runs.pop()[0]
        runs.append((first, last, is_failure))
        excess = sum(high - low + 1 for low, high, _ in runs) - self._window
        while excess > 0:
            low, high, failed = runs[0]
            if high - low + 1 > excess:
                runs[0] = (low + excess, high, failed)
                break
            excess -= high - low + 1
            del runs[0]
        self._runs = runs
        self.count = sum(high - low + 1 for low, high, _ in runs)
        self.failures = sum(high - low + 1 for low, high, failed in runs if failed)

    def clear(self) -> None:
        self._runs = []
        self.count = self.failures = 0


def probe_of(ready: Iterable[tuple[int, int, int]]) -> int:
    """Which of these ranges' offsets to try: the first of those that were delivered fewest times. There is one."""
    fewest: tuple[int, int] | None = None
    for first, _, times in ready:
        if fewest is None or times < fewest[0]:
            fewest = (times, first)
            if not times:
                break
    assert fewest is not None
    return fewest[1]
