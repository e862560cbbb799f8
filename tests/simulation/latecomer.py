"""Queues that come late: bound when messages for them were published already."""

from __future__ import annotations

from posthouse.asking import Call
from posthouse.transport import messages
from posthouse.transport.messages import BindingSpec
from posthouse.transport.messages_dead import DeadLetterFilter, Redrive
from posthouse.transport.names import DEAD_LETTER
from tests.simulation.clients import History, SimClient
from tests.simulation.world import World


class SimLatecomer(SimClient):
    """Binds queues after messages for them were published, each at its time; at last redrives what nobody came for."""

    def __init__(self, world: World, name: str, history: History, plan: list[tuple[int, BindingSpec]]) -> None:
        super().__init__(world, name, history)
        self._left = len(plan)
        for at_ms, binding in plan:
            world.at(world.now_ms + at_ms, lambda binding=binding: self._bind(binding))  # type: ignore[misc]
        world.after(400, self._rescue)

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def _bind(self, binding: BindingSpec) -> None:
        self.ask(lambda number: messages.Bind(number, binding), self._was_bound)

    def _was_bound(self, call: Call) -> None:
        assert call.error is None, call.error
        self._left -= 1

    def _rescue(self) -> None:
        wanted = DeadLetterFilter(reason=self.random.choice(["no_subscriber", "delivery_failed"]))
        self.ask(lambda number: Redrive(number, wanted, to="rescued"), self._was_rescued, DEAD_LETTER)

    def _was_rescued(self, call: Call) -> None:
        assert call.error is None, call.error
        self.world.after(self.random.randint(100, 600), self._rescue)
