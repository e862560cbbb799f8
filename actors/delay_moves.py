"""Moves: batches of due messages on their way from the scheduler to their exchange.

A move is announced in the journal before it is sent, under numbers of a stream of the scheduler's own, and done with
when the exchange has settled it; after a crash it is sent again under the same numbers, and queues recognise it. What
is sent to one exchange in one stream must leave in the order of its numbers, or a queue takes the later for a
repetition: so moves that were announced before an earlier due one came have a *lane*, a stream, of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, final

from posthouse.actors.delay_bodies import Body, Template
from posthouse.actors.delay_records import Fire

MOVE_MESSAGES_MAX: Final = 1_000
MOVE_BYTES_MAX: Final = 256 * 1024


@final
class Move:
    """One batch on its way. `refusal` is the exchange's last word, `(code, text)`, None when it took it."""

    __slots__ = ("due_ms", "exchange", "first_seq", "ids", "refusal", "stream")

    def __init__(self, exchange: str, stream: int, first_seq: int, due_ms: int, ids: list[int]) -> None:
        self.exchange = exchange
        self.stream = stream
        self.first_seq = first_seq
        self.due_ms = due_ms
        self.ids = ids
        self.refusal: tuple[str, str] | None = None

    @property
    def key(self) -> tuple[int, int]:
        return self.stream, self.first_seq

    def record(self) -> Fire:
        """The intent."""
        return Fire(self.exchange, self.stream, self.first_seq, self.due_ms, self.ids)


@final
class _Lane:
    __slots__ = ("last_leaves_ms", "next_seq", "stream")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.next_seq = 1
        self.last_leaves_ms = 0


@final
class Moves:
    """All moves that are announced and not done with, in the order they were announced."""

    __slots__ = ("_by_key", "_lanes", "_on_way")

    def __init__(self) -> None:
        self._by_key: dict[tuple[int, int], Move] = {}
        self._lanes: dict[str, list[_Lane]] = {}
        self._on_way: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Move]:
        return iter(self._by_key.values())

    def on_way_to(self, exchange: str) -> int:
        """How many messages."""
        return self._on_way.get(exchange, 0)

    def add(self, move: Move) -> None:
        self._by_key[move.key] = move
        self._on_way[move.exchange] = self._on_way.get(move.exchange, 0) + len(move.ids)

    def get(self, stream: int, first_seq: int) -> Move | None:
        return self._by_key.get((stream, first_seq))

    def within(self, stream: int, first_seq: int, count: int) -> Iterator[Move]:
        """The moves that a receipt for this range speaks of."""
        end = first_seq + count
        while first_seq < end:
            move = self._by_key.get((stream, first_seq))
            if move is None:
                return
            yield move
            first_seq += len(move.ids)

    def remove(self, move: Move) -> bool:
        """It is done with. False: it was before."""
        if self._by_key.pop(move.key, None) is None:
            return False
        left = self._on_way[move.exchange] - len(move.ids)
        if left:
            self._on_way[move.exchange] = left
        else:
            del self._on_way[move.exchange]
        return True

    def number(self, exchange: str, due_ms: int, ids: list[int], leaves_ms: int, new_stream: int) -> Move:
        """A new move with numbers of a lane of its exchange; `new_stream` is for a lane that has to be made.

        `leaves_ms` is when it will be sent, by a clock that never steps.
        """
        lanes = self._lanes.setdefault(exchange, [])
        lane = next((lane for lane in lanes if lane.last_leaves_ms <= leaves_ms), None)
        if lane is None:
            lane = _Lane(new_stream)
            lanes.append(lane)
        move = Move(exchange, lane.stream, lane.next_seq, due_ms, ids)
        lane.next_seq += len(ids)
        lane.last_leaves_ms = leaves_ms
        return move

    def forget_lanes(self, exchange: str) -> None:
        """The exchange is gone; should it come back, it gets new streams."""
        self._lanes.pop(exchange, None)


def grouped(due: Iterable[tuple[int, int, Body]]) -> list[tuple[int, list[int], list[Body]]]:
    """`(id, due, body)` in the order of time, as `(due, ids, bodies)` of one template, one time and bounded size."""
    groups: list[tuple[int, list[int], list[Body]]] = []
    open_groups: dict[tuple[Template, int], tuple[list[int], list[Body], list[int]]] = {}
    for message_id, due_ms, body in due:
        key = (body.template, due_ms)
        group = None if body.template.is_single else open_groups.get(key)
        if group is not None and (len(group[0]) >= MOVE_MESSAGES_MAX or group[2][0] + len(body.data) > MOVE_BYTES_MAX):
            group = None
        if group is None:
            group = open_groups[key] = ([], [], [0])
            groups.append((due_ms, group[0], group[1]))
        group[0].append(message_id)
        group[1].append(body)
        group[2][0] += len(body.data)
    return groups
