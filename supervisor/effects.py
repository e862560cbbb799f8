"""What the supervision tree wants done: its effects, and the events it reports.

Pure values. `tree` returns them, `supervisor` carries them out in the given order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import final

from posthouse.supervisor.control_messages import FromSupervisor, NodeInfo


@final
class EventKind(StrEnum):
    """What happened to a child; the words that appear in logs."""

    STARTED = "started"
    """A process was forked."""
    READY = "ready"
    """It serves."""
    EXITED = "exited"
    """Its process is gone; `code` or `signal` says how."""
    RESTARTING = "restarting"
    """It is started again in `delay_ms`."""
    QUARANTINED = "quarantined"
    """It failed too often; `delay_ms` is None when only an operator starts it again."""
    HUNG = "hung"
    """It made no progress, or broke the rules of the control channel, and is dumped and killed."""
    KILLED = "killed"
    """It did not end in time and got SIGKILL."""
    STUCK = "stuck"
    """It does not die although it was killed: asleep in the kernel. No replacement is started."""
    STOPPED = "stopped"
    """No process, and none is wanted."""
    ESCALATED = "escalated"
    """A group (`id`) failed too often and hands its failure to the group above."""
    ALL_UP = "all_up"
    """The tree has been started from left to right for the first time."""
    STOPPING = "stopping"
    """The whole tree is on its way down."""


@final
@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log, in fields."""

    kind: EventKind
    id: str
    generation: int = 0
    pid: int | None = None
    reason: str = ""
    code: int | None = None
    signal: int | None = None
    delay_ms: int | None = None
    endpoint: str = ""


@final
@dataclass(frozen=True, slots=True)
class Fork:
    """Start a new life of this child; answer with `forked` or `fork_failed` before anything else."""

    id: str


@final
class Blow(StrEnum):
    """How a process is ended. ABORT makes it write down where it was before it dies."""

    ABORT = "abort"
    KILL = "kill"


@final
@dataclass(frozen=True, slots=True)
class Strike:
    """Send the signal for this blow to the current life of this child."""

    id: str
    blow: Blow


@final
@dataclass(frozen=True, slots=True)
class Tell:
    """Send one message to the current lives of these children."""

    to: tuple[str, ...]
    message: FromSupervisor


@final
@dataclass(frozen=True, slots=True)
class Describe:
    """Complete the nodes with what only the system knows, then send them as `Tree`."""

    to: str
    request: int
    nodes: tuple[NodeInfo, ...]
    with_memory: bool = True


@final
@dataclass(frozen=True, slots=True)
class Report:
    """Tell the composition root."""

    event: Event


@final
@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing lives any more and nothing will: end with this exit code."""

    exit_code: int


Effect = Fork | Strike | Tell | Describe | Report | Finished
