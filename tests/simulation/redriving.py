"""A program that sends dead letters back until there are none."""

from __future__ import annotations

from posthouse.asking import Call, result_of
from posthouse.transport.errors import PreconditionFailed
from posthouse.transport.messages_dead import (
    DeadLetterFilter,
    DeadLetterStatus,
    DeadLetterStoreInfo,
    Redrive,
    RedriveInfo,
    UndoRedrive,
)
from posthouse.transport.names import DEAD_LETTER
from tests.simulation.clients import History, SimClient
from tests.simulation.world import World


class SimUndertaker(SimClient):
    """Sends dead letters back now and then, undoes that sometimes, and at last goes on until there are none."""

    def __init__(self, world: World, name: str, history: History) -> None:
        super().__init__(world, name, history)
        self.is_tidy = False
        self.left = -1
        world.after(self.random.randint(100, 600), self._redrive)

    def tidy_up(self) -> None:
        """From now on send everything back."""
        self.is_tidy = True
        self.left = -1

    def _redrive(self) -> None:
        canary = 0 if self.is_tidy else self.random.choice([0, 0, 2])
        self.ask(
            lambda number: Redrive(number, DeadLetterFilter(), canary=canary, failure_share=0.5),
            self._redriven,
            DEAD_LETTER,
        )

    def _redriven(self, call: Call) -> None:
        assert call.error is None, call.error
        info = result_of(call, RedriveInfo)
        self.history.redriven += info.matched
        if not self.is_tidy and self.random.random() < 0.4:
            self.ask(lambda number: UndoRedrive(number, info.id), self._undone, DEAD_LETTER)
        else:
            self._count()

    def _undone(self, call: Call) -> None:
        if call.error is None:
            self.history.undone += result_of(call, RedriveInfo).taken_back
        else:  # Some of it died in no queue, and went through its exchange again.
            assert call.error.code == PreconditionFailed.code, call.error
        self._count()

    def _count(self) -> None:
        self.ask(DeadLetterStatus, self._counted, DEAD_LETTER)

    def _counted(self, call: Call) -> None:
        self.left = result_of(call, DeadLetterStoreInfo).messages
        self.world.after(100 if self.is_tidy else self.random.randint(100, 500), self._redrive)
