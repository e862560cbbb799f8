"""The supervisor's part in a run: who watches whom, which children there are, and what it says to the living.

It restarts nobody: lives and deaths are the world's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, final

from posthouse.supervisor import control_messages as control
from tests.simulation.cast import STANDING

if TYPE_CHECKING:
    from tests.simulation.world import World


@final
class SimSupervisor:
    """One per world. `specs`: kind and arguments of the children that the registry asked for."""

    def __init__(self, world: World) -> None:
        self.specs: dict[str, tuple[str, bytes]] = {}
        self._world = world
        self._watchers: dict[str, set[str]] = {}
        self._notice_ms: dict[str, int] = {}

    def forget(self) -> None:
        """A new one knows nobody but those that are always there."""
        self.specs.clear()
        self._watchers.clear()

    def ready(self, actor_id: str, generation: int) -> None:
        """A child says that it may be asked."""
        self.tell(actor_id, control.Up(actor_id, generation, f"sim://{actor_id}"))
        if actor_id == "registry":
            self._world.introduce_all()

    def obey(self, actor_id: str, order: control.FromChild) -> None:
        """A child wants something."""
        match order:
            case control.Watch(watched):
                self._watchers.setdefault(watched, set()).add(actor_id)
                self._notify(actor_id, self._state_of(watched))
            case control.Unwatch(watched):
                self._watchers.get(watched, set()).discard(actor_id)
            case control.StartChild(request, _, kind, child, arguments):
                is_new = child not in self.specs
                self.specs[child] = (kind, arguments)
                self._notify(actor_id, control.Done(request, True))
                if is_new:
                    self._world.after(self._world.random.randint(1, 20), lambda: self._world.start(child))
            case control.StopChild(request, child):
                self.specs.pop(child, None)
                node = self._world.nodes.pop(child, None)
                if node is not None and node.journal_directory is not None:
                    self._world.disk.kill(node.journal_directory)
                self._notify(actor_id, control.Done(request, True))
            case control.DescribeTree(request):
                groups = {"queue": "queues", "exchange": "exchanges"}
                nodes = [control.NodeInfo(c, k, groups[k], "up") for c, (k, _) in self.specs.items()]
                self._notify(actor_id, control.Tree(request, nodes))

    def _state_of(self, actor_id: str) -> control.FromSupervisor:
        node = self._world.nodes.get(actor_id)
        if node is not None and node.is_started:
            return control.Up(actor_id, node.cell.generation, f"sim://{actor_id}")
        known = actor_id in self.specs or actor_id in STANDING
        return control.Down(actor_id, 0, "restarting" if known else "unknown", "")

    def tell(self, about: str, notice: control.FromSupervisor) -> None:
        """Let all who watch somebody know."""
        for watcher in sorted(self._watchers.get(about, ())):
            self._notify(watcher, notice)

    def _notify(self, actor_id: str, notice: control.FromSupervisor) -> None:
        """The control channel is a stream: late perhaps, but in order and never lost to a living child."""
        node = self._world.nodes.get(actor_id)
        if node is None:
            return
        time_ms = max(self._notice_ms.get(actor_id, 0), self._world.now_ms + self._world.random.randint(0, 5))
        self._notice_ms[actor_id] = time_ms

        def deliver() -> None:
            if self._world.nodes.get(actor_id) is node:
                node.notices.append(notice)
                self._world.schedule(actor_id, node, 0)

        self._world.at(time_ms, deliver)
