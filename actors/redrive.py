"""A redrive: which dead letters go back to a queue, how fast, and when it stops.

A deterministic core of one redrive. It walks over what its filter meant when it began, so a message that dies again is
not sent a second time; it says how many may go now, waits for its canaries, and counts. It must not know how a message
travels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, final

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import DeadLetterFilter, Redrive, RedriveInfo

CANARIES_MAX: Final = 1_000
RATE_MAX: Final = 1_000_000.0
BURST_S: Final = 0.1
"""With a rate, no more goes at once than in this time."""


def check_redrive(asked: Redrive) -> None:
    """Refuse what makes no sense. Raises InvalidArgument."""
    if not math.isfinite(asked.rate) or not 0.0 <= asked.rate <= RATE_MAX:
        raise InvalidArgument(f"the rate is {asked.rate}; it is up to {RATE_MAX:g} messages a second, 0 for no limit")
    if not 0 <= asked.canary <= CANARIES_MAX:
        raise InvalidArgument(f"the canary is {asked.canary} messages; it is 0 (none) to {CANARIES_MAX}")
    if not math.isfinite(asked.failure_share) or not 0.0 <= asked.failure_share < 1.0:
        raise InvalidArgument(f"the failure share is {asked.failure_share}; it is from 0 to below 1")


@final
@dataclass
class Canary:
    """Messages that went first: where they are, and what is known of them. `first_offset` 0: not known yet."""

    queue: str
    count: int
    first_offset: int = 0
    failed: int = 0
    is_decided: bool = False


@final
@dataclass
class Job:
    """One redrive. `up_to` is the last id it may touch; `cursor` the last it has looked at."""

    number: int
    asked: Redrive
    matched: int
    up_to: int
    begun_ms: int
    cursor: int = 0
    sent: int = 0
    moved: int = 0
    back: int = 0
    failed: int = 0
    text: str = ""
    is_over: bool = False
    has_walked: bool = False
    unavailable: set[str] = field(default_factory=set)
    canaries: dict[tuple[str, int], Canary] = field(default_factory=dict)
    paid: float = 0.0
    paid_ms: int = 0

    @property
    def filter(self) -> DeadLetterFilter:
        return self.asked.filter

    @property
    def is_canary(self) -> bool:
        """The first messages are on their way, or their outcome is not known yet."""
        canary = self.asked.canary
        return bool(canary) and (self.sent < canary or any(not one.is_decided for one in self.canaries.values()))

    def allowance(self, now_ms: int) -> int | None:
        """How many messages may go now; None for any number."""
        if self.is_over or self.has_walked:
            return 0
        allowed: int | None = None
        if self.asked.rate:
            self.paid = min(
                self.paid + self.asked.rate * (now_ms - self.paid_ms) / 1_000, max(1.0, self.asked.rate * BURST_S)
            )
            self.paid_ms = now_ms
            allowed = int(self.paid)
        if self.is_canary:
            left = max(0, self.asked.canary - self.sent)
            allowed = left if allowed is None else min(left, allowed)
        return allowed

    def next_ms(self, now_ms: int) -> int | None:
        """When the rate lets the next message go; None when time changes nothing."""
        if self.is_over or self.has_walked or not self.asked.rate:
            return None
        return now_ms + max(1, math.ceil((1.0 - self.paid) * 1_000 / self.asked.rate))

    def went(self, count: int, last_id: int) -> None:
        """So many were given to the move."""
        self.sent += count
        self.cursor = last_id
        if self.asked.rate:
            self.paid -= count

    def judge(self, canary: Canary, still_there: int, failed: int) -> None:
        """What a queue says of canaries: undecided while some are there and have not failed."""
        canary.failed = max(canary.failed, failed)
        canary.is_decided = still_there == 0 or canary.failed >= canary.count
        self._weigh()

    def died_again(self, canary: Canary, count: int) -> None:
        """Canaries came back to the store."""
        canary.failed = min(canary.count, canary.failed + count)
        self._weigh()

    def _weigh(self) -> None:
        self.failed = sum(one.failed for one in self.canaries.values())
        if self.failed > self.asked.failure_share * min(self.asked.canary, max(self.sent, 1)):
            self.stop(f"{self.failed} of {self.sent} canaries failed; the rest stays")

    def stop(self, text: str) -> None:
        """Send nothing more."""
        if not self.is_over:
            self.text = self.text or text
            self.has_walked = True

    def settle(self) -> None:
        """Look whether everything that went has arrived or come back."""
        if self.has_walked and self.moved + self.back == self.sent and not (self.is_canary and not self.text):
            self.is_over = True

    def info(self) -> RedriveInfo:
        """As it stands."""
        state = "canary" if self.is_canary else "running"
        if self.is_over:
            state = "stopped" if self.text else "done"
        return RedriveInfo(
            id=self.number,
            state=state,
            matched=self.matched,
            moved=self.moved,
            returned=self.back,
            failed=self.failed,
            text=self.text,
        )
