"""The hang watch: judges from a child's beacon whether its loop still turns.

Pure. A child that serves may be busy with one turn for as long as its spec says. While it starts or stops,
other limits hold; `tree` keeps those.
"""

from __future__ import annotations

from typing import NamedTuple

from posthouse.supervisor.node import Child, State

CLOSED_SCANS_MAX = 4
"""A process closes its channel a moment before it is seen to be dead; only one that lives on is at fault."""

LATE_SCANS_MAX = 4
"""A scan that comes later than this many intervals finds children that were held up as the supervisor was."""


SUSPECT_MS = 1_000
"""A turn that takes longer is looked at closely: how much of it had the process to wait for a processor?"""

STARVED_TURNS_MAX = 6
"""So many times its limit a turn may take when the process did not get a processor; then it is ended all the same."""


class Reading(NamedTuple):
    """What one beacon slot says: `busy_since_ns` is 0 while the loop waits for work."""

    busy_since_ns: int
    loops: int
    operation: int


def is_suspect(reading: Reading, now_ns: int) -> bool:
    """Its turn takes so long that it matters what it waits for."""
    return reading.busy_since_ns > 0 and now_ns - reading.busy_since_ns > SUSPECT_MS * 1_000_000


def judge(child: Child, reading: Reading, closed_scans: int, now_ns: int, starved_ns: int = 0) -> str:
    """Why this child counts as hung, or nothing. `closed_scans`: how many scans found its channel closed.

    `starved_ns`: for how much of this turn the process could have run and got no processor. Whoever is starved is not
    at fault, and ending it makes the machine no less busy: the next life has everything to do again.
    """
    if closed_scans > CLOSED_SCANS_MAX and child.state in (State.STARTING, State.UP):
        return "closed its control channel"
    if child.state is not State.UP or reading.busy_since_ns == 0:
        return ""
    busy_ms = (now_ns - reading.busy_since_ns) // 1_000_000
    limit_ms = child.spec.busy_limit_ms
    if busy_ms <= limit_ms or (
        busy_ms - starved_ns // 1_000_000 <= limit_ms and busy_ms <= STARVED_TURNS_MAX * limit_ms
    ):
        return ""
    return f"busy for {busy_ms} ms with operation {reading.operation} after {reading.loops} loops"
