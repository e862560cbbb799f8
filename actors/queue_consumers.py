"""The consumers of a queue: who may come in, what each holds, and whose turn it is.

Consumers with credit stand in a line; whoever was served goes to its end, whoever has no credit left steps
out and comes back at the end when something is settled. So a turn costs the same however many consumers wait
for nothing. With a single active consumer only the oldest ever stands in the line. It must not know what is
ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Final, final

import msgspec

from posthouse.actors.offsets import RangeMap
from posthouse.transport.errors import InvalidArgument, ResourceLocked
from posthouse.transport.limits import PREFETCH_MAX

AUTO_ACK_ROUND_MAX: Final = 16_384
"""Messages one auto-ack consumer gets in one round at most; the link's window is the real bound."""

GETTER: Final = 0
"""The number under which a session holds what it asked for one by one. Consumers count from 1."""


@final
class Consumer(msgspec.Struct, eq=False, kw_only=True):
    """One consumer. `unacked` maps what it holds to how often that was delivered, this time included."""

    session: int
    consumer: int
    client_id: int
    client_name: str
    prefetch: int
    auto_ack: bool
    exclusive: bool
    credit: int
    in_line: bool = False
    is_paused: bool = False
    since_ms: int = 0
    unacked: RangeMap[int] = msgspec.field(default_factory=RangeMap)


@final
class Consumers:
    """Everybody who may hold messages of one queue. `line` is the order of turns."""

    __slots__ = ("_by_key", "_getters", "_is_single_active", "_paused", "_queue", "line")

    def __init__(self, queue: str, is_single_active: bool) -> None:
        self._queue = queue
        self._is_single_active = is_single_active
        self._by_key: dict[tuple[int, int], Consumer] = {}
        self._getters: dict[int, Consumer] = {}
        self._paused: set[int] = set()
        self.line: deque[Consumer] = deque()

    def __len__(self) -> int:
        return len(self._by_key)

    def __iter__(self) -> Iterator[Consumer]:
        """The consumers, oldest first."""
        return iter(self._by_key.values())

    def holders(self) -> Iterator[Consumer]:
        """Everybody who may hold a message: consumers, and sessions that asked for single messages."""
        yield from self._by_key.values()
        yield from self._getters.values()

    def find(self, session: int, consumer: int) -> Consumer | None:
        """The holder of that name, if there is one."""
        return self._getters.get(session) if consumer == GETTER else self._by_key.get((session, consumer))

    def is_active(self, consumer: Consumer) -> bool:
        """May this consumer stand in the line? All may, unless only the oldest does."""
        return not self._is_single_active or consumer is next(iter(self._by_key.values()))

    def admit(self, consumer: Consumer) -> None:
        """Let a consumer in. Raises InvalidArgument or ResourceLocked, and then nothing has changed."""
        if consumer.consumer <= GETTER:
            raise InvalidArgument(f"consumer {consumer.consumer}: consumers are numbered from 1")
        if (consumer.session, consumer.consumer) in self._by_key:
            raise InvalidArgument(f"consumer {consumer.consumer} is open already; choose another number")
        if not 1 <= consumer.prefetch <= PREFETCH_MAX:
            raise InvalidArgument(f"a prefetch of {consumer.prefetch} is not within 1 … {PREFETCH_MAX}")
        self._refuse_beside_exclusive()
        if consumer.exclusive and self._by_key:
            raise ResourceLocked(
                f"queue {self._queue!r} has {len(self._by_key)} consumers; an exclusive one must be alone"
            )
        consumer.is_paused = consumer.session in self._paused
        self._by_key[consumer.session, consumer.consumer] = consumer
        self._join(consumer)

    def getter(self, session: int, client_id: int, client_name: str = "") -> Consumer:
        """Who holds what a session asks for one by one. May raise ResourceLocked."""
        self._refuse_beside_exclusive()
        if self._is_single_active and self._by_key:
            raise ResourceLocked(
                f"queue {self._queue!r} delivers to its single active consumer only; wait until it leaves"
            )
        getter = self._getters.get(session)
        if getter is None:
            getter = self._getters[session] = Consumer(
                session=session,
                consumer=GETTER,
                client_id=client_id,
                client_name=client_name,
                prefetch=0,
                auto_ack=False,
                exclusive=False,
                credit=0,
            )
        return getter

    def leave(self, session: int, consumer: int) -> Consumer | None:
        """Let a holder go; the next oldest takes over where only one is active."""
        if consumer == GETTER:
            return self._getters.pop(session, None)
        gone = self._by_key.pop((session, consumer), None)
        if gone is None:
            return None
        self._step_out(gone)
        if self._is_single_active and self._by_key:
            self._join(next(iter(self._by_key.values())))
        return gone

    def of_session(self, session: int) -> list[int]:
        """The numbers of a session's holders."""
        numbers = [key[1] for key in self._by_key if key[0] == session]
        return [*numbers, GETTER] if session in self._getters else numbers

    def regain(self, consumer: Consumer, count: int) -> None:
        """So many messages of this holder were settled or returned."""
        if consumer.consumer == GETTER:
            # A program that only asks for single messages leaves nothing behind when it has settled them.
            if not consumer.unacked:
                self._getters.pop(consumer.session, None)
            return
        consumer.credit += count
        self._join(consumer)

    def pause(self, session: int, is_paused: bool) -> None:
        """A session's consumers, those to come as well, step out of the line, or may come back to its end.

        A single active consumer that is paused stays the active one: order matters more than speed there.
        """
        if is_paused == (session in self._paused):
            return
        (self._paused.add if is_paused else self._paused.discard)(session)
        for consumer in self._by_key.values():
            if consumer.session == session:
                consumer.is_paused = is_paused
                self._step_out(consumer)
                self._join(consumer)

    def refill(self, spent: list[Consumer]) -> None:
        """A round is over: auto-ack consumers that used up their bound may take turns again."""
        for consumer in spent:
            consumer.credit = AUTO_ACK_ROUND_MAX
            self._join(consumer)

    def _join(self, consumer: Consumer) -> None:
        may_stand = consumer.credit > 0 and not consumer.is_paused and self.is_active(consumer)
        if may_stand and not consumer.in_line:
            consumer.in_line = True
            self.line.append(consumer)

    def _step_out(self, consumer: Consumer) -> None:
        if consumer.in_line:
            self.line.remove(consumer)
            consumer.in_line = False

    def _refuse_beside_exclusive(self) -> None:
        # An exclusive consumer is alone, so it is the first if there is one.
        consumer = next(iter(self._by_key.values()), None)
        if consumer is not None and consumer.exclusive:
            raise ResourceLocked(
                f"queue {self._queue!r} has the exclusive consumer {consumer.client_name!r}; wait until it leaves"
            )
