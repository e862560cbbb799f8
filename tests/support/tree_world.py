"""A world without processes for the supervision tree: carries out its effects and checks its promises.

Lives are entries in a table, time is a number. It does not simulate descriptors, reaping or delays between an
effect and its deed; a fork succeeds unless the test says otherwise.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import final

from posthouse.supervisor import commands
from posthouse.supervisor.child_spec import (
    ChildSpec,
    GroupSpec,
    Restart,
    RestartIntensity,
    Strategy,
)
from posthouse.supervisor.control_messages import FromChild, FromSupervisor, Stop
from posthouse.supervisor.effects import (
    Blow,
    Describe,
    Effect,
    Event,
    EventKind,
    Finished,
    Fork,
    Report,
    Strike,
    Tell,
)
from posthouse.supervisor.restart_policy import Exit
from posthouse.supervisor.tree import Tree
from posthouse.transport.errors import InvalidArgument

FEW = RestartIntensity(2, 5.0)


def child(child_id: str, restart: Restart = Restart.PERMANENT, shutdown_ms: int = 1_000) -> ChildSpec:
    """A child that does nothing."""
    return ChildSpec(child_id, "kind", lambda life: 0, restart, shutdown_ms)


def make_child(kind: str, child_id: str, arguments: bytes) -> ChildSpec:
    """A dynamic child; the kind names its restart type, and `bad` is refused."""
    if kind == "bad":
        raise InvalidArgument("there is no such kind")
    return replace(child(child_id, Restart(kind)), kind=kind)


def pool(name: str = "pool", *, quarantines: bool = True) -> GroupSpec:
    """A dynamic group."""
    return GroupSpec(name, Strategy.ONE_FOR_ONE, FEW, make_child=make_child, quarantines=quarantines)


def group(
    strategy: Strategy, *members: ChildSpec | GroupSpec, name: str = "root", quarantines: bool = False
) -> GroupSpec:
    """A fixed group."""
    return GroupSpec(name, strategy, FEW, members, quarantines=quarantines)


@final
class World:
    """Runs one tree. `lives` maps an id to the generation of its living process."""

    def __init__(self, root: GroupSpec, *, random: float = 1.0) -> None:
        self.tree = Tree(root, lambda: random)
        self.now_ms = 0
        self.lives: dict[str, int] = {}
        self.asked_to_stop: set[str] = set()
        self.dying: set[str] = set()
        self.failing_forks: set[str] = set()
        self.log: list[str] = []
        self.events: list[Event] = []
        self.told: list[tuple[str, FromSupervisor]] = []
        self.descriptions: list[Describe] = []
        self.exit_code: int | None = None
        self._next_generation = 1
        self._do(self.tree.start(0))

    def ready(self, *ids: str) -> None:
        """These lives serve."""
        for child_id in ids:
            self._do(self.tree.ready(child_id, self.lives[child_id], f"at {child_id}", self.now_ms))

    def all_ready(self) -> None:
        """Every life serves as soon as it starts."""
        served: set[tuple[str, int]] = set()
        while waiting := set(self.lives.items()) - served:
            served |= waiting
            for child_id, _ in sorted(waiting):
                self.ready(child_id)

    def exit(self, child_id: str, code: int | None = 1, number: int | None = None) -> None:
        """That life ends."""
        generation = self.lives.pop(child_id)
        self.asked_to_stop.discard(child_id)
        self.dying.discard(child_id)
        self.log.append(f"-{child_id}")
        exit = Exit(code, number) if number is None else Exit(signal=number)
        self._do(self.tree.exited(child_id, generation, exit, self.now_ms))

    def obey(self) -> None:
        """Those that were asked to stop do, one after the other, until nobody is asked any more."""
        while self.asked_to_stop or self.dying:
            self.exit(min(self.asked_to_stop or self.dying), 10)

    def advance(self, ms: int) -> None:
        """Time passes, deadline by deadline."""
        until = self.now_ms + ms
        while (at := self.tree.next_deadline_ms()) is not None and at <= until:
            self.now_ms = max(self.now_ms, at)
            self._do(self.tree.tick(self.now_ms))
        self.now_ms = until
        self._do(self.tree.tick(self.now_ms))

    def hang(self, child_id: str) -> None:
        """That life is found hung."""
        self._do(self.tree.hung(child_id, self.lives[child_id], "busy", self.now_ms))

    def command(self, child_id: str, message: FromChild) -> None:
        """That life says something."""
        self._do(commands.handle(self.tree, child_id, self.lives[child_id], message, self.now_ms))

    def shutdown(self) -> None:
        """Somebody stops the whole."""
        self._do(self.tree.shutdown(self.now_ms))

    def heard(self, child_id: str) -> list[FromSupervisor]:
        """What that id was told since the last call."""
        heard = [message for to, message in self.told if to == child_id]
        self.told = [(to, message) for to, message in self.told if to != child_id]
        return heard

    def kinds(self, child_id: str) -> list[EventKind]:
        """What happened to that id."""
        return [event.kind for event in self.events if event.id == child_id]

    def _do(self, effects: list[Effect]) -> None:
        todo = deque(effects)
        while todo:
            effect = todo.popleft()
            match effect:
                case Fork(child_id):
                    todo.extend(self._fork(child_id))
                case Strike(child_id, blow):
                    assert child_id in self.lives, "a blow for nobody"
                    self.log.append(f"{'!' if blow is Blow.KILL else '?'}{child_id}")
                    self.dying.add(child_id)
                case Tell(to, message):
                    for child_id in to:
                        assert child_id in self.lives, "a word for nobody"
                        self._tell(child_id, message)
                case Describe():
                    self.descriptions.append(effect)
                case Report(event):
                    self.events.append(event)
                case Finished(exit_code):
                    assert not self.lives, "ended while somebody lives"
                    self.exit_code = exit_code

    def _fork(self, child_id: str) -> list[Effect]:
        assert child_id not in self.lives, "two lives at once"
        assert self.exit_code is None, "a fork after the end"
        if child_id in self.failing_forks:
            return self.tree.fork_failed(child_id, "no memory", self.now_ms)
        generation = self._next_generation
        self._next_generation += 1
        self.lives[child_id] = generation
        self.log.append(f"+{child_id}")
        return self.tree.forked(child_id, generation, 1_000 + generation, self.now_ms)

    def _tell(self, child_id: str, message: FromSupervisor) -> None:
        self.told.append((child_id, message))
        if isinstance(message, Stop):
            assert child_id not in self.asked_to_stop, "asked twice"
            self.asked_to_stop.add(child_id)
            self.log.append(f"~{child_id}")
