"""How late delayed messages came: the percentiles of the demo.

Pure. What was due while nothing could be delivered is told apart, since it shows how long the outage was; so is what
was due while every process of the demo wanted the processor.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Self, final

BUSY: Final = "while publishing"
OUTAGE: Final = "while the broker was down"
CALM: Final = "afterwards"


@final
@dataclass(frozen=True)
class Lateness:
    """Of so many messages, in milliseconds; None where there were none. `early` came before their time."""

    count: int
    early: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None

    @classmethod
    def of(cls, late_s: Iterable[float]) -> Self:
        ordered = sorted(late_s)
        if not ordered:
            return cls(0, 0, None, None, None)
        early = sum(late < 0 for late in ordered)
        return cls(len(ordered), early, _percentile_ms(ordered, 0.5), _percentile_ms(ordered, 0.99), ordered[-1] * 1000)


def lateness_by_phase(
    received: Iterable[tuple[float, float]], outages: Sequence[tuple[float, float]], busy_until: float
) -> dict[str, Lateness]:
    """Of messages as `(due at, late by)`, in seconds; an outage is `(begin, end)` by the clock of `due at`."""
    groups: dict[str, list[float]] = {BUSY: [], OUTAGE: [], CALM: []}
    for due_at, late_s in received:
        is_within = any(begin <= due_at + max(0.0, late_s) and due_at <= end for begin, end in outages)
        groups[OUTAGE if is_within else BUSY if due_at <= busy_until else CALM].append(late_s)
    return {name: Lateness.of(group) for name, group in groups.items() if group}


def _percentile_ms(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so large a share does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1000
