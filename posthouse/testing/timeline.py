"""A chaos run over time: what each lane confirmed and delivered per second, and how long it stood still."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final, final

from posthouse.testing import history as h
from posthouse.testing.plan import LANES

NS: Final = 1_000_000_000
POINTS_MAX: Final = 600


@final
@dataclass
class LaneLine:
    """One lane. Gaps in seconds: the longest time in which nothing was confirmed, or delivered.

    They begin with the first of each, so that the clients' own start is none, unless there never is one.
    """

    name: str
    confirmed: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    delivered: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    confirm_gap_s: float = 0.0
    delivery_gap_s: float = 0.0
    last_confirm_ns: int = 0
    last_delivery_ns: int = 0
    is_confirming: bool = False
    is_delivering: bool = False


@final
class Timeline:
    """Fed with records in the order of time, from `began_ns` to `ended_ns`; `bin_s` seconds make one point."""

    def __init__(self, began_ns: int, ended_ns: int) -> None:
        self.began_ns = began_ns
        self.ended_ns = ended_ns
        self.bin_s = max(1, -(-(ended_ns - began_ns) // NS // POINTS_MAX))
        names = [*(lane.name for lane in LANES), "calls"]
        self.lanes = [LaneLine(name, last_confirm_ns=began_ns, last_delivery_ns=began_ns) for name in names]

    @property
    def bins(self) -> int:
        """Whole ones: what a part of one holds would look like a standstill."""
        return max(1, int((self.ended_ns - self.began_ns) // NS // self.bin_s))

    def take(self, record: h.Record) -> None:
        if not self.began_ns <= record.at_ns <= self.ended_ns:
            return
        at = (record.at_ns - self.began_ns) // NS // self.bin_s
        if isinstance(record, h.Decided):
            count = record.count - len(record.unknown) - len(record.refused)
            _confirmed(self.lanes[record.lane], at, count, record.at_ns)
        elif isinstance(record, h.Got) and record.messages:
            _delivered(self.lanes[record.messages[0][1]], at, len(record.messages), record.at_ns)
        elif isinstance(record, h.Called) and record.outcome == "ok":
            # A reply is both: the caller knows that its request arrived.
            _confirmed(self.lanes[-1], at, 1, record.at_ns)
            _delivered(self.lanes[-1], at, 1, record.at_ns)

    def finish(self) -> None:
        """A lane that stood still at the end did so until the end."""
        for lane in self.lanes:
            lane.confirm_gap_s = max(lane.confirm_gap_s, (self.ended_ns - lane.last_confirm_ns) / NS)
            lane.delivery_gap_s = max(lane.delivery_gap_s, (self.ended_ns - lane.last_delivery_ns) / NS)


def _confirmed(lane: LaneLine, at: int, count: int, now_ns: int) -> None:
    lane.confirmed[at] += count
    if lane.is_confirming:
        lane.confirm_gap_s = max(lane.confirm_gap_s, (now_ns - lane.last_confirm_ns) / NS)
    lane.is_confirming = True
    lane.last_confirm_ns = now_ns


def _delivered(lane: LaneLine, at: int, count: int, now_ns: int) -> None:
    lane.delivered[at] += count
    if lane.is_delivering:
        lane.delivery_gap_s = max(lane.delivery_gap_s, (now_ns - lane.last_delivery_ns) / NS)
    lane.is_delivering = True
    lane.last_delivery_ns = now_ns
