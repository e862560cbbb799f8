"""The nodes of the supervision tree: children with their states, groups with their members.

Pure values and the bookkeeping that must never disagree with itself: how many processes live below a group,
and which step from state to state is possible at all. What to do next is decided in `tree` and `order`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import final

from posthouse.supervisor.child_spec import ChildSpec, GroupSpec, Restart, Strategy
from posthouse.supervisor.restart_policy import CrashHistory, RestartWindow


@final
class State(StrEnum):
    """Where a child is in its life. In the first three states a process exists."""

    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    RESTARTING = "restarting"
    """No process; one follows when `is_due` and when the child's turn in its group has come."""
    QUARANTINED = "quarantined"
    """As restarting, but it failed too often: it is tried rarely, or not before an operator says so."""
    STOPPED = "stopped"
    """No process, and none is wanted."""


LIVING = frozenset({State.STARTING, State.UP, State.STOPPING})
_DEAD = frozenset({State.RESTARTING, State.QUARANTINED, State.STOPPED})

TRANSITIONS: dict[State, frozenset[State]] = {
    State.STARTING: _DEAD | {State.UP, State.STOPPING},
    State.UP: _DEAD | {State.STOPPING},
    State.STOPPING: _DEAD,
    State.RESTARTING: frozenset({State.STARTING, State.STOPPED}),
    State.QUARANTINED: frozenset({State.STARTING, State.RESTARTING, State.STOPPED}),
    State.STOPPED: frozenset({State.RESTARTING}),
}


@final
class Child:
    """One child across all its lives."""

    def __init__(self, spec: ChildSpec, group: Group, arguments: bytes = b"") -> None:
        self.spec = spec
        self.group = group
        self.arguments = arguments
        self.state = State.RESTARTING
        self.is_due = True
        self.history = CrashHistory(group.spec.intensity)
        # The current life, or the last one.
        self.generation = 0
        self.pid: int | None = None
        self.endpoint = ""
        self.forked_ms = 0
        self.up_since_ms: int | None = None
        self.ready_ms = 0
        self.lives = 0
        self.reason = "starting for the first time"
        self.last_exit = ""
        # What was decided about it and is still to be carried out.
        self.must_stop = False
        self.was_asked_to_stop = False
        self.was_aborted = False
        self.was_killed = False
        self.is_forgotten = False
        self.successor: tuple[ChildSpec, bytes] | None = None
        self.stop_requests: list[tuple[str, int, int]] = []
        self.told: tuple[str, int] | None = None

    @property
    def id(self) -> str:
        """The child's name, unique in the tree."""
        return self.spec.id

    @property
    def is_alive(self) -> bool:
        """A process exists, or its fork is under way."""
        return self.state in LIVING

    @property
    def is_settled(self) -> bool:
        """The children started after this one need not wait for it."""
        return self.state in (State.UP, State.QUARANTINED, State.STOPPED)

    @property
    def wants_start(self) -> bool:
        """It should be forked as soon as its turn has come."""
        return self.is_due and self.state in (State.RESTARTING, State.QUARANTINED)

    def move_to(self, state: State) -> None:
        """Take one step; the groups above keep their count of the living."""
        assert state in TRANSITIONS[self.state], f"{self.id}: {self.state} to {state}"
        step = (state in LIVING) - (self.state in LIVING)
        self.state = state
        group: Group | None = self.group if step else None
        while group is not None:
            group.living += step
            group = group.parent

    def end_life(self) -> None:
        """The process is gone, and with it all that was decided about this one life."""
        self.pid = None
        self.up_since_ms = None
        self.endpoint = ""
        self.must_stop = self.was_asked_to_stop = self.was_aborted = self.was_killed = False

    def touch(self) -> None:
        """Something about it has changed; a dynamic group looks only at children of whom that was said."""
        if self.group.is_dynamic and self.id in self.group.members:
            self.group.touched[self.id] = self

    def leave(self) -> None:
        """A sibling's failure stops this child too, and starts it again in its turn."""
        if self.is_alive:
            self.must_stop = True
        elif self.state is State.STOPPED and self.spec.restart is not Restart.TEMPORARY:
            self.move_to(State.RESTARTING)
            self.is_due = True


@final
class Group:
    """One group, fixed or dynamic. `members` are in start order."""

    def __init__(self, spec: GroupSpec, parent: Group | None) -> None:
        self.spec = spec
        self.parent = parent
        self.window = RestartWindow(spec.intensity)
        self.living = 0
        self.is_active = False
        self.is_started = False
        self.is_halting = False
        self.must_stop = False
        self.members: dict[str, Child | Group] = {}
        # Children of a dynamic group that something happened to, and those that are to be forked, so that
        # nobody walks over thousands of them.
        self.touched: dict[str, Child] = {}
        self.waiting: dict[str, Child] = {}
        for member in spec.children:
            self.members[member.id] = Child(member, self) if isinstance(member, ChildSpec) else Group(member, self)

    @property
    def id(self) -> str:
        """The group's name, unique in the tree."""
        return self.spec.id

    @property
    def is_dynamic(self) -> bool:
        """Children come and go by request, independent of each other."""
        return self.spec.make_child is not None

    @property
    def is_alive(self) -> bool:
        """Some process lives below this group."""
        return self.living > 0

    @property
    def is_settled(self) -> bool:
        """The members started after this group need not wait for it."""
        return self.is_started

    @property
    def is_parallel(self) -> bool:
        """Members are started and stopped without regard to each other."""
        return self.is_dynamic or (self.is_started and self.spec.strategy is Strategy.ONE_FOR_ONE)

    @property
    def is_leaving(self) -> bool:
        """This group or one above it is on its way down."""
        return self.must_stop or (self.parent is not None and self.parent.is_leaving)

    def leave(self) -> None:
        """As `Child.leave`, for all members."""
        self.must_stop = True

    def take_touched(self) -> list[Child]:
        """The children that something happened to since the last call."""
        touched = list(self.touched.values())
        self.touched.clear()
        return touched

    def touch_all(self) -> None:
        """Look at every child once."""
        self.touched = {name: child for name, child in self.members.items() if isinstance(child, Child)}

    def children(self) -> list[Child]:
        """Every child below this group, in start order."""
        found: list[Child] = []
        for member in self.members.values():
            if isinstance(member, Child):
                found.append(member)
            else:
                found += member.children()
        return found

    def groups(self) -> dict[str, Group]:
        """This group and every group below it, by id."""
        found = {self.id: self}
        for member in self.members.values():
            if isinstance(member, Group):
                found |= member.groups()
        return found

    def rest(self) -> None:
        """Everything below is dead: the next start begins from the left."""
        self.is_active = self.is_started = self.is_halting = self.must_stop = False
        for member in self.members.values():
            if isinstance(member, Group):
                member.rest()
            elif member.state is State.STOPPED:
                member.move_to(State.RESTARTING)
                member.is_due = True
