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


class Reading(NamedTuple):
    """What one beacon slot says: `busy_since_ns` is 0 while the loop waits for work."""

    busy_since_ns: int
    loops: int
    operation: int


def judge(child: Child, reading: Reading, closed_scans: int, now_ns: int) -> str:
    """Why this child counts as hung, or nothing. `closed_scans`: how many scans found its channel closed."""
    if closed_scans > CLOSED_SCANS_MAX and child.state in (State.STARTING, State.UP):
        return "closed its control channel"
    if child.state is not State.UP or reading.busy_since_ns == 0:
        return ""
    busy_ms = (now_ns - reading.busy_since_ns) // 1_000_000
    if busy_ms <= child.spec.busy_limit_ms:
        return ""
    return f"busy for {busy_ms} ms with operation {reading.operation} after {reading.loops} loops"
