"""A redrive: which dead letters go back, how fast, and when it stops.

A deterministic core of one redrive. It walks over what its filter meant when it began, so a message that dies again is
not sent a second time; it says how many may go now, waits for the outcome of its canaries (acked, or dead again), and
counts. It must not know how a message travels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, final

from posthouse.actors.dead_letter_records import RedriveRecord
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_dead import DeadLetterFilter, Redrive, RedriveInfo
from posthouse.transport.names import check_name

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
    if asked.to is not None:
        check_name("queue", asked.to)
    if asked.to_exchange is not None:
        check_name("exchange", asked.to_exchange, may_be_empty=True)
        if asked.to is not None:
            raise InvalidArgument("a redrive goes to a queue or to an exchange; give one of the two")
        if asked.canary:
            raise InvalidArgument("canaries are followed in a queue; through an exchange nobody knows where they went")


@final
@dataclass
class Canary:
    """Messages that went first: where they are, and what is known of them. `first_offset` 0: not known yet.

    `dead` of them came back to the store.
    """

    queue: str
    count: int
    first_offset: int = 0
    dead: int = 0
    is_decided: bool = False


@final
@dataclass
class Job:
    """One redrive at work. What must outlive the process is in its record."""

    record: RedriveRecord
    has_walked: bool = False
    unavailable: set[str] = field(default_factory=set)
    canaries: dict[tuple[str, int], Canary] = field(default_factory=dict)
    paid: float = 1.0
    paid_ms: int = 0
    began_ms: int = 0
    began_with: int = 0
    remark: str = ""
    """What to know about letters that it leaves where they are."""

    @property
    def asked(self) -> Redrive:
        return self.record.asked

    @property
    def filter(self) -> DeadLetterFilter:
        return self.record.asked.filter

    @property
    def is_over(self) -> bool:
        return self.record.is_over

    @property
    def is_canary(self) -> bool:
        """The first messages are on their way, or their outcome is not known yet."""
        canary, record = self.asked.canary, self.record
        if not canary or record.is_past_canaries:
            return False
        return (record.sent < canary and not self.has_walked) or any(
            not one.is_decided for one in self.canaries.values()
        )

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
            left = max(0, self.asked.canary - self.record.sent)
            allowed = left if allowed is None else min(left, allowed)
        return allowed

    def next_ms(self, now_ms: int) -> int | None:
        """When the rate lets the next message go; None when time changes nothing."""
        if self.is_over or self.has_walked or not self.asked.rate:
            return None
        return now_ms + max(1, math.ceil((1.0 - self.paid) * 1_000 / self.asked.rate))

    def went(self, count: int) -> None:
        """So many are chosen to go now."""
        if self.asked.rate:
            self.paid -= count

    def judge(self, canary: Canary, still_there: int) -> None:
        """A queue says how many canaries it still has: what is neither there nor dead again was acked."""
        canary.is_decided = still_there == 0
        self._weigh()

    def died_again(self, canary: Canary, count: int) -> None:
        """Canaries came back to the store."""
        canary.dead = min(canary.count, canary.dead + count)
        canary.is_decided = canary.is_decided or canary.dead >= canary.count
        self._weigh()

    def _weigh(self) -> None:
        record = self.record
        record.failed = sum(one.dead for one in self.canaries.values())
        if record.failed > self.asked.failure_share * min(self.asked.canary, max(record.sent, 1)):
            self.stop(f"{record.failed} of {record.sent} canaries failed; the rest stays")

    def stop(self, text: str) -> None:
        """Send nothing more."""
        if not self.is_over:
            self.record.text = self.record.text or text
            self.has_walked = True

    def settle(self) -> bool:
        """Look whether everything that went has arrived or come back. True when that has just ended it."""
        record = self.record
        if record.is_over or not self.has_walked or record.moved + record.back != record.sent:
            return False
        record.is_over = record.text != "" or not self.is_canary
        return record.is_over

    def info(self, now_ms: int) -> RedriveInfo:
        """As it stands."""
        record = self.record
        seconds = max(1, now_ms - self.began_ms) / 1_000
        state = "canary" if self.is_canary else "running"
        if self.is_over:
            state = "stopped" if record.text else "done"
        return RedriveInfo(
            id=record.number,
            state=state,
            matched=record.matched,
            moved=record.moved,
            returned=record.back,
            failed=record.failed,
            text=record.text or self.remark,
            remaining=max(0, record.matched - record.moved - record.back),
            rate=0.0 if self.is_over else round((record.moved - self.began_with) / seconds, 1),
            taken_back=record.taken_back,
        )
