"""The supervision tree: facts about processes in, effects on processes out.

Pure and deterministic: it is told the time, the exits and the wishes of children, and returns what is to be
done. It promises: never two lives of one id at once; starts left to right and stops right to left; a child
that fails is restarted, quarantined, or fails its group, as its spec says. It must not know what a child
does, nor how a process is forked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from posthouse.supervisor import exit_codes, restart_policy
from posthouse.supervisor.child_spec import ChildSpec, GroupSpec, Restart, Strategy, check_tree
from posthouse.supervisor.control_messages import Done, Down, DownState, FromSupervisor, Stop, Up
from posthouse.supervisor.deadlines import Deadlines
from posthouse.supervisor.effects import (
    Blow,
    Effect,
    Event,
    EventKind,
    Finished,
    Fork,
    Report,
    Strike,
    Tell,
)
from posthouse.supervisor.node import Child, Group, State
from posthouse.supervisor.order import FORKS_PER_TICK, Order
from posthouse.supervisor.restart_policy import Exit
from posthouse.supervisor.watches import Watches

ABORT_GRACE_MS = 500
STUCK_AFTER_MS = 5_000
_NO_EXIT = Exit()


@final
class Tree:
    """All children and groups. Every fact returns the effects that follow from it, in order."""

    def __init__(self, root: GroupSpec, random: Callable[[], float]) -> None:
        check_tree(root)
        self.root = Group(root, None)
        self.groups = self.root.groups()
        self.children = {child.id: child for child in self.root.children()}
        self.watches = Watches()
        self.now_ms = 0
        self._random = random
        self._deadlines = Deadlines()
        self._order = Order(self._fork, self._ask_to_stop)
        self._effects: list[Effect] = []
        self._exit_code: int | None = None
        self._was_all_up = False

    @property
    def is_ending(self) -> bool:
        """The whole tree is on its way down."""
        return self._exit_code is not None

    @property
    def has_backlog(self) -> bool:
        """More children wait to be forked; the next `tick` goes on with them."""
        return self._order.has_backlog

    def next_deadline_ms(self) -> int | None:
        """When `tick` has something to do, None if only a fact can change anything."""
        return self.now_ms if self._order.has_backlog else self._deadlines.next_ms()

    def living(self, child_id: str, generation: int) -> Child | None:
        """The child if that life of it is still the current one and alive."""
        child = self.children.get(child_id)
        return child if child is not None and child.generation == generation and child.is_alive else None

    # Facts.

    def start(self, now_ms: int) -> list[Effect]:
        """Begin with the leftmost child."""
        return self.advance(now_ms)

    def forked(self, child_id: str, generation: int, pid: int, now_ms: int) -> list[Effect]:
        """The answer to `Fork`: a new life has begun."""
        child = self.children[child_id]
        assert child.state is State.STARTING
        assert child.pid is None
        assert generation > child.generation
        child.generation, child.pid, child.forked_ms = generation, pid, now_ms
        child.lives += 1
        self._deadlines.arm(child.id, now_ms + child.spec.ready_limit_ms)
        self.report(EventKind.STARTED, child)
        return self.touch(child, now_ms)

    def fork_failed(self, child_id: str, text: str, now_ms: int) -> list[Effect]:
        """The other answer to `Fork`: no process, no memory or no generation to be had. Counts as a crash."""
        return self._ended(self.children[child_id], Exit(text=text), now_ms)

    def ready(self, child_id: str, generation: int, endpoint: str, now_ms: int) -> list[Effect]:
        """That life serves at that endpoint. Said late or twice it changes nothing."""
        child = self.living(child_id, generation)
        if child is None or child.state is not State.STARTING:
            return []
        child.move_to(State.UP)
        child.endpoint = endpoint
        child.up_since_ms = now_ms
        child.ready_ms = now_ms - child.forked_ms
        child.reason = ""
        self._deadlines.disarm(child.id)
        self.report(EventKind.READY, child)
        return self.touch(child, now_ms)

    def exited(self, child_id: str, generation: int, exit: Exit, now_ms: int) -> list[Effect]:
        """The process of that life is gone and reaped."""
        child = self.living(child_id, generation)
        return self._ended(child, exit, now_ms) if child is not None else []

    def hung(self, child_id: str, generation: int, reason: str, now_ms: int) -> list[Effect]:
        """That life makes no progress or broke the rules: have it dumped, killed, and restarted when dead."""
        child = self.living(child_id, generation)
        if child is None or child.was_aborted or child.was_killed:
            return []
        if child.state is not State.STOPPING:
            child.move_to(State.STOPPING)
        child.was_aborted = True
        child.reason = reason
        self._effects.append(Strike(child.id, Blow.ABORT))
        self._deadlines.arm(child.id, now_ms + ABORT_GRACE_MS)
        self.report(EventKind.HUNG, child)
        return self.touch(child, now_ms)

    def tick(self, now_ms: int) -> list[Effect]:
        """Time has passed. What was sent before that time must have been heard."""
        self._order.forks_left = FORKS_PER_TICK
        effects: list[Effect] = []
        for child_id in self._deadlines.take_due(now_ms):
            child = self.children[child_id]
            if child.state is State.STARTING:
                reason = f"not ready within {child.spec.ready_limit_ms} ms"
                effects += self.hung(child_id, child.generation, reason, now_ms)
            elif child.state is State.STOPPING:
                self._stop_overdue(child, now_ms)
            else:
                child.is_due = True
                effects += self.touch(child, now_ms)
        return effects + self.advance(now_ms)

    def shutdown(self, now_ms: int) -> list[Effect]:
        """Somebody wants the whole tree to stop: in order the first time, at once the second time."""
        if self.is_ending:
            for child in self.children.values():
                if child.pid is not None:
                    self._kill(child, now_ms)
        else:
            self._end(exit_codes.NORMAL, "asked to stop")
        return self.advance(now_ms)

    # What commands need.

    def advance(self, now_ms: int) -> list[Effect]:
        """Take every step that is possible now and hand out the effects."""
        # A tick's time may lie before that of the last fact: see `tick`.
        self.now_ms = max(self.now_ms, now_ms)
        self._order.has_backlog = False
        if self._exit_code is None:
            self._order.settle(self.root)
            if self.root.is_started and not self._was_all_up:
                self._was_all_up = True
                self._effects.append(Report(Event(EventKind.ALL_UP, self.root.id)))
        else:
            self._order.stop(self.root)
            if not self.root.is_alive:
                self._effects.append(Finished(self._exit_code))
        effects, self._effects = self._effects, []
        return effects

    def touch(self, child: Child, now_ms: int) -> list[Effect]:
        """Something about this child has changed: tell those who watch it and go on."""
        child.touch()
        self._publish(child)
        return self.advance(now_ms)

    def add(self, group: Group, spec: ChildSpec, arguments: bytes) -> Child:
        """Take on a dynamic child; it is forked when its group is active."""
        child = Child(spec, group, arguments)
        group.members[spec.id] = child
        self.children[spec.id] = child
        return child

    def forget(self, child: Child) -> None:
        """Drop a dead dynamic child, answer those who asked for its stop, take on its successor."""
        child.reason = child.reason or "forgotten"
        self._publish(child)
        self._deadlines.disarm(child.id)
        del self.children[child.id]
        del child.group.members[child.id]
        child.group.touched.pop(child.id, None)
        child.group.waiting.pop(child.id, None)
        for to, generation, request in child.stop_requests:
            if self.living(to, generation) is not None:
                self.tell(to, Done(request, ok=True))
        if child.successor is not None:
            spec, arguments = child.successor
            self.add(child.group, spec, arguments).touch()

    def hold_no_longer(self, child: Child) -> None:
        """Start a child that has no process as soon as its turn has come, whatever it waited for."""
        self._deadlines.disarm(child.id)
        if child.state is not State.RESTARTING:
            child.move_to(State.RESTARTING)
        child.is_due = True

    def bounce(self, child: Child) -> None:
        """Stop a living child in order and start it again, with those its group's strategy names."""
        child.must_stop = True
        _leave_with(child, child.group)

    def tell(self, to: str, message: FromSupervisor) -> None:
        """Add one message to the effects the next `advance` hands out."""
        self._effects.append(Tell((to,), message))

    def want(self, effect: Effect) -> None:
        """Add one effect to those the next `advance` hands out."""
        self._effects.append(effect)

    def status(self, child: Child) -> Up | Down:
        """What a watcher of this child is told."""
        if child.state is State.UP:
            return Up(child.id, child.generation, child.endpoint)
        return Down(child.id, child.generation, self._down_state(child), child.reason)

    def report(self, kind: EventKind, child: Child, exit: Exit = _NO_EXIT, delay_ms: int | None = None) -> None:
        """Report an event of this child's current or last life."""
        reason = str(exit) or child.reason
        endpoint = child.endpoint if kind is EventKind.READY else ""
        event = Event(kind, child.id, child.generation, child.pid, reason, exit.code, exit.signal, delay_ms, endpoint)
        self._effects.append(Report(event))

    # What follows from an exit.

    def _ended(self, child: Child, exit: Exit, now_ms: int) -> list[Effect]:
        self.now_ms = now_ms
        self._deadlines.disarm(child.id)
        self.watches.remove_watcher(child.id)
        self.report(EventKind.EXITED, child, exit)
        is_expected = child.must_stop or child.was_asked_to_stop or child.group.is_leaving or self.is_ending
        up_ms = now_ms - child.up_since_ms if child.up_since_ms is not None else 0
        cause = f"{child.reason}; " if child.was_aborted else ""
        child.reason = child.last_exit = f"{cause}{exit}"
        child.end_life()
        if child.is_forgotten or self.is_ending:
            self.retire(child)
        elif is_expected and child.spec.restart is not Restart.TEMPORARY:
            child.move_to(State.RESTARTING)
            child.is_due = True
        elif is_expected or not restart_policy.is_restarted(child.spec.restart, exit):
            self.retire(child)
        else:
            self._crashed(child, exit, up_ms)
        if self.children.get(child.id) is child:
            return self.touch(child, now_ms)
        return self.advance(now_ms)

    def retire(self, child: Child) -> None:
        """No process of this child is wanted any more, and none is alive; a dynamic one is forgotten."""
        child.move_to(State.STOPPED)
        child.is_due = False
        self.report(EventKind.STOPPED, child)
        if child.group.is_dynamic:
            self.forget(child)

    def _crashed(self, child: Child, exit: Exit, up_ms: int) -> None:
        group = child.group
        if not group.spec.quarantines:
            is_hopeful = child.history.count(exit, up_ms)
            child.move_to(State.RESTARTING)
            child.is_due = True
            self.report(EventKind.RESTARTING, child, delay_ms=0)
            self._failed(group, child, f"{child.id}: {child.last_exit}", is_hopeful)
            return
        verdict = child.history.judge(exit, up_ms, self._random())
        child.move_to(State.QUARANTINED if verdict.is_quarantined else State.RESTARTING)
        child.is_due = verdict.retry_in_ms == 0
        if verdict.retry_in_ms:
            self._deadlines.arm(child.id, self.now_ms + verdict.retry_in_ms)
        kind = EventKind.QUARANTINED if verdict.is_quarantined else EventKind.RESTARTING
        self.report(kind, child, delay_ms=verdict.retry_in_ms)

    def _failed(self, group: Group, member: Child | Group, reason: str, is_hopeful: bool = True) -> None:
        """A member failed: restart by strategy, or fail the group when that happens too often."""
        if not group.window.count(self.now_ms) and is_hopeful:
            _leave_with(member, group)
            return
        self._effects.append(Report(Event(EventKind.ESCALATED, group.id, reason=reason)))
        group.window.clear()
        if group.parent is None:
            self._end(exit_codes.TREE_FAILED, reason)
        else:
            group.leave()
            self._failed(group.parent, group, reason)

    def _end(self, exit_code: int, reason: str) -> None:
        self._exit_code = exit_code
        self._effects.append(Report(Event(EventKind.STOPPING, self.root.id, reason=reason)))

    # What is done to one child.

    def _fork(self, child: Child) -> None:
        child.move_to(State.STARTING)
        child.is_due = False
        self._effects.append(Fork(child.id))
        self._publish(child)

    def _ask_to_stop(self, child: Child) -> None:
        if self.is_ending:
            child.reason = "the broker is stopping"
        else:
            child.reason = "stopped by request" if child.is_forgotten else "restarting in order"
        child.move_to(State.STOPPING)
        child.was_asked_to_stop = True
        if child.spec.shutdown_ms == 0:
            self._kill(child, self.now_ms)
        else:
            self.tell(child.id, Stop(child.reason))
            self._deadlines.arm(child.id, self.now_ms + child.spec.shutdown_ms)
        self._publish(child)

    def _stop_overdue(self, child: Child, now_ms: int) -> None:
        if child.was_killed:
            self._deadlines.arm(child.id, now_ms + STUCK_AFTER_MS)
            self.report(EventKind.STUCK, child)
        else:
            self._kill(child, now_ms)

    def _kill(self, child: Child, now_ms: int) -> None:
        if child.state is not State.STOPPING:
            child.move_to(State.STOPPING)
        child.was_killed = True
        self._effects.append(Strike(child.id, Blow.KILL))
        self._deadlines.arm(child.id, now_ms + STUCK_AFTER_MS)
        self.report(EventKind.KILLED, child)

    def _publish(self, child: Child) -> None:
        status = self.status(child)
        told = ("up", status.generation) if isinstance(status, Up) else (status.state, 0)
        if told == child.told:
            return
        child.told = told
        if watchers := self.watches.watchers_of(child.id):
            self._effects.append(Tell(watchers, status))

    def _down_state(self, child: Child) -> DownState:
        if child.state is State.STOPPED:
            return "stopped"
        is_going = child.is_forgotten or self.is_ending or child.spec.restart is Restart.TEMPORARY
        if child.state is State.STOPPING and is_going:
            return "stopped"
        if child.state is State.QUARANTINED or (child.group.spec.quarantines and child.history.is_exceeded):
            return "quarantined"
        return "restarting"


def _leave_with(member: Child | Group, group: Group) -> None:
    """Mark the siblings that are restarted together with this member."""
    if group.spec.strategy is Strategy.ONE_FOR_ONE:
        return
    is_after = False
    for sibling in group.members.values():
        if sibling is member:
            is_after = True
        elif is_after or group.spec.strategy is Strategy.ONE_FOR_ALL:
            sibling.leave()
