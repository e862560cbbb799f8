"""Undoing a redrive: asking queues to bury again what they have of it and nobody was given yet.

A part of the dead-letter actor's shell. The messages come back as any that die, by a move; here is only counted how
many are on their way. A queue looks through its messages step by step. Asked twice, it finds nothing the second time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

from posthouse.actors.actor import Context
from posthouse.actors.destinations import Destination
from posthouse.actors.outgoing import Outgoing
from posthouse.transport.messages_dead import TakeBack

Move = tuple[Destination, int, list[int]]
"""A queue, the stream of moves to it, and the numbers of it that are meant, as flat ranges."""


@final
class TakingBack:
    """Questions to queues, one after the other in each, all queues at a time."""

    def __init__(self, context: Context, outgoing: Outgoing) -> None:
        self._context = context
        self._outgoing = outgoing

    def begin(self, moves: list[Move], done: Callable[[int], None]) -> None:
        """Take back what there is of these moves; `done` hears how many. A queue that is gone has none."""
        counts: list[int] = []
        if not moves:
            done(0)
        for move in moves:
            self._step(move, 0, 0, lambda taken: self._count(counts, taken, len(moves), done))

    def _count(self, counts: list[int], taken: int, expected: int, done: Callable[[int], None]) -> None:
        counts.append(taken)
        if len(counts) == expected:
            done(sum(counts))

    def _step(self, move: Move, from_offset: int, taken: int, then: Callable[[int], None]) -> None:
        destination, stream, ranges = move

        def answered(result: Any) -> None:
            if result is None:
                then(taken)
            elif result[1]:
                self._step(move, result[1], taken + result[0], then)
            else:
                then(taken + result[0])

        self._outgoing.ask(destination, lambda number: TakeBack(number, stream, ranges, from_offset), answered)
