"""The order of starts and stops: left to right, each waiting for the one before; back from right to left.

Pure, and without memory: each call compares what is with what should be and takes the steps that are possible
now. A crash in the middle of a restart therefore needs no case of its own; the next call sees one more dead
child and goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from posthouse.supervisor.node import Child, Group, State

FORKS_PER_TICK = 8
"""A fork takes milliseconds. Hundreds in a row would keep the supervisor from seeing anything else."""


@final
class Order:
    """Walks the tree. `fork` and `ask_to_stop` carry out what it finds due.

    Dynamic children are forked as long as there are `forks_left`; `has_backlog` says that more are waiting.
    """

    def __init__(self, fork: Callable[[Child], None], ask_to_stop: Callable[[Child], None]) -> None:
        self._fork = fork
        self._ask_to_stop = ask_to_stop
        self.forks_left = FORKS_PER_TICK
        self.has_backlog = False

    def settle(self, group: Group) -> None:
        """Bring an active group nearer to all members up. First stop those that must stop, then start."""
        group.is_active = True
        if group.is_dynamic:
            self._settle_dynamic(group)
            return
        is_parallel = group.is_parallel
        is_blocked = self._stop_leaving(group, is_parallel) and not is_parallel
        for member in group.members.values():
            self._settle_member(member, is_blocked)
            is_blocked = is_blocked or not (is_parallel or member.is_settled)
        if not is_blocked:
            group.is_started = True

    def stop(self, node: Child | Group) -> None:
        """Bring a node nearer to nothing alive: from right to left, in a dynamic group all at once."""
        if isinstance(node, Child):
            # A child whose fork is under way has no channel yet; it is asked as soon as it has.
            if node.state in (State.STARTING, State.UP) and node.pid is not None:
                self._ask_to_stop(node)
        elif not node.is_alive:
            node.rest()
        elif node.is_dynamic:
            if not node.is_halting:
                node.is_halting = True
                node.touch_all()
            for child in node.take_touched():
                self.stop(child)
        else:
            self.stop(next(member for member in reversed(node.members.values()) if member.is_alive))

    def _settle_dynamic(self, group: Group) -> None:
        if not group.is_started:
            group.is_started = True
            group.touch_all()
        for child in group.take_touched():
            if child.must_stop:
                self.stop(child)
            elif child.wants_start:
                group.waiting[child.id] = child
        while group.waiting and self.forks_left:
            child = group.waiting.pop(next(iter(group.waiting)))
            self.forks_left -= 1
            self._fork(child)
        self.has_backlog = self.has_backlog or bool(group.waiting)

    def _settle_member(self, member: Child | Group, is_blocked: bool) -> None:
        if isinstance(member, Group):
            # A group that runs already looks after its own members whatever its siblings wait for.
            if not member.must_stop and (member.is_active or not is_blocked):
                self.settle(member)
        elif member.wants_start and not is_blocked:
            self._fork(member)

    def _stop_leaving(self, group: Group, is_parallel: bool) -> bool:
        """Stop members that must stop; True while one of them is alive."""
        is_leaving = False
        for member in reversed(group.members.values()):
            if member.must_stop:
                self.stop(member)
            if member.must_stop:
                is_leaving = True
                if not is_parallel:
                    break
        return is_leaving
