"""Child specs: what the supervisor must know to start, judge and stop each child and each group.

Pure values, checked once by `check_tree`. A spec never names an actor class: it carries a function that runs
in the forked child and returns an exit code, so the supervisor stays ignorant of what its children do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, final

from posthouse.transport.errors import InvalidArgument

if TYPE_CHECKING:
    from posthouse.supervisor.beacon import BeaconSlot
    from posthouse.supervisor.control import ControlChannel
    from posthouse.supervisor.meter import Meter
    from posthouse.supervisor.meters import Meters

ID_BYTES_MAX = 512


@final
class Restart(StrEnum):
    """When a child that ended by itself is started again."""

    PERMANENT = "permanent"
    """Always."""
    TRANSIENT = "transient"
    """Only after an abnormal exit."""
    TEMPORARY = "temporary"
    """Never, not even when a sibling's death stopped it."""


@final
class Strategy(StrEnum):
    """Who is restarted together with a member that failed."""

    ONE_FOR_ONE = "one_for_one"
    """Nobody else."""
    REST_FOR_ONE = "rest_for_one"
    """Those that were started after it."""
    ONE_FOR_ALL = "one_for_all"
    """The whole group."""


@final
@dataclass(frozen=True, slots=True)
class RestartIntensity:
    """More than `max_restarts` restarts within `period_s` seconds are too many."""

    max_restarts: int
    period_s: float

    @property
    def period_ms(self) -> int:
        """The period in the unit of every other wait."""
        return round(self.period_s * 1000)


@final
@dataclass(frozen=True, slots=True)
class Life:
    """What one life of a child is given. It is valid in the forked process only.

    `run_directory` is the private directory for socket files; `data_directory.socket_path` names them. `meter` is this
    child's page, `meters` has everybody's.
    """

    id: str
    generation: int
    control: ControlChannel
    beacon: BeaconSlot
    run_directory: str
    supervisor_pid: int
    meter: Meter
    meters: Meters


@final
@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. `start` runs in the forked process and returns its exit code (None means normal).

    `shutdown_ms`: how long an orderly stop may take before SIGKILL; 0 kills at once.
    `busy_limit_ms`: how long one turn of a running child's loop may take before it counts as hung.
    `ready_limit_ms`: how long it may take from the fork to `Ready`, replay of the journal included.
    """

    id: str
    kind: str
    start: Callable[[Life], int | None]
    restart: Restart = Restart.PERMANENT
    shutdown_ms: int = 5_000
    busy_limit_ms: int = 10_000
    ready_limit_ms: int = 60_000


MakeChild = Callable[[str, str, bytes], ChildSpec]
"""Builds the spec of a dynamic child from kind, id and arguments; raises `Refused` for bad ones."""


@final
@dataclass(frozen=True, slots=True)
class GroupSpec:
    """Children that share a strategy. With `make_child` the group is dynamic: empty first, filled by request.

    With `quarantines` the intensity holds for each child by itself, and exceeding it quarantines that child;
    without it the restarts of the group are counted together, and exceeding them fails the group.
    """

    id: str
    strategy: Strategy
    intensity: RestartIntensity
    children: tuple[ChildSpec | GroupSpec, ...] = ()
    make_child: MakeChild | None = None
    quarantines: bool = False


def check_child(spec: ChildSpec) -> None:
    """Raise InvalidArgument if a value of this spec is out of its range."""
    if not 0 < len(spec.id.encode()) <= ID_BYTES_MAX:
        raise InvalidArgument(f"a child's id has 1 to {ID_BYTES_MAX} bytes; got {spec.id!r}")
    if spec.shutdown_ms < 0 or spec.busy_limit_ms <= 0 or spec.ready_limit_ms <= 0:
        raise InvalidArgument(f"the time limits of child {spec.id!r} must be positive")


def check_tree(root: GroupSpec) -> None:
    """Raise InvalidArgument if two nodes share an id, or if a group asks for what cannot be meant."""
    seen: set[str] = set()
    _check_group(root, seen)


def _check_group(group: GroupSpec, seen: set[str]) -> None:
    _check_id(group.id, seen)
    if group.intensity.max_restarts < 0 or group.intensity.period_s <= 0:
        raise InvalidArgument(f"group {group.id!r}: an intensity is 0 restarts or more in more than 0 s")
    if group.make_child is not None and group.children:
        raise InvalidArgument(f"group {group.id!r} is dynamic and may not have fixed children")
    is_independent = group.strategy is Strategy.ONE_FOR_ONE
    if (group.make_child is not None or group.quarantines) and not is_independent:
        raise InvalidArgument(f"group {group.id!r}: dynamic and quarantining groups are one_for_one")
    for member in group.children:
        if isinstance(member, ChildSpec):
            check_child(member)
            _check_id(member.id, seen)
        elif group.quarantines:
            raise InvalidArgument(f"group {group.id!r} quarantines and holds children only, not {member.id!r}")
        else:
            _check_group(member, seen)


def _check_id(node_id: str, seen: set[str]) -> None:
    if node_id in seen:
        raise InvalidArgument(f"two nodes of the tree are called {node_id!r}")
    seen.add(node_id)
