"""A program that sends dead letters back until there are none."""

from __future__ import annotations

from collections.abc import Callable

from posthouse.asking import Call, result_of
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
        world.after(700, self._redrive)

    def _redrive(self) -> None:
        canary = 0 if self.is_tidy else self.random.choice([0, 0, 2])
        asked = self.session.call(
            DEAD_LETTER, lambda number: Redrive(number, DeadLetterFilter(), canary=canary, failure_share=0.5)
        )
        self.flush()
        self._await(asked, self._redriven)

    def _redriven(self, call: Call) -> None:
        assert call.error is None, call.error
        info = result_of(call, RedriveInfo)
        self.history.redriven += info.matched
        if not self.is_tidy and self.random.random() < 0.4:
            asked = self.session.call(DEAD_LETTER, lambda number: UndoRedrive(number, info.id))
            self.flush()
            self._await(asked, self._undone)
        else:
            self._count()

    def _undone(self, call: Call) -> None:
        assert call.error is None, call.error
        self.history.undone += result_of(call, RedriveInfo).taken_back
        self._count()

    def _count(self) -> None:
        asked = self.session.call(DEAD_LETTER, DeadLetterStatus)
        self.flush()
        self._await(asked, self._counted)

    def _counted(self, call: Call) -> None:
        self.left = result_of(call, DeadLetterStoreInfo).messages
        self.world.after(100 if self.is_tidy else self.random.randint(200, 900), self._redrive)

    def _await(self, call: Call, then: Callable[[Call], None]) -> None:
        if call.is_done:
            then(call)
        else:
            self.world.after(5, lambda: self._await(call, then))
