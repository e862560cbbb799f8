"""The cell an actor lives in: links, journal, timers and the rule that nothing leaves before it is durable.

A round is: facts in (frames, notices, time), the actor decides, the journal commits, frames out. What the actor sent
and settled in a round waits until the journal says that the round's records are durable; with local segments that is
before `finish_round` returns, with a replicated log it will be some rounds later, and nothing else changes.
Sans-I/O but for the journal's disk, which is itself a seam: the loop around it (`loop.py`) owns sockets and clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.actors.actor import Actor, Context
from posthouse.actors.cell_figures import CellFigures
from posthouse.actors.connections import sessions_of
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.disk import Buffer
from posthouse.supervisor.journal import Journal
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.errors import PosthouseError, ProtocolViolation, Refused, Unavailable
from posthouse.transport.limits import Limits
from posthouse.transport.links import Arrived, Identity, Link, Links, Opened, Route, Settled
from posthouse.transport.messages import Batch, Failed, Message, Reply, TopologyChange
from posthouse.transport.messages_dead import Bury, Republish, Restore
from posthouse.transport.messages_sessions import SessionInfo

CONGESTED_BYTES: Final = 4 * 1024 * 1024
TICK_MS: Final = 100
"""Links are looked at so soon after something was said, and where all is silent, when the first of them is due."""

MEASURE_MS: Final = 1_000

_WAITED_FOR: Final = (Batch, TopologyChange, Bury, Restore, Republish)
"""Messages whose sender acts on the acknowledgement itself; for all others the word may travel later."""

OUTBOUND: Final = "out"
"""Routes are `(socket, routing id)`; this is the socket an actor opens links on, the other is where it is served."""


@final
@dataclass(frozen=True)
class Life:
    """Which actor, in which life."""

    actor_id: str
    generation: int


class _Round(NamedTuple):
    """What a round wants to say, and the journal position that must be durable before."""

    needs: int
    out: list[tuple[Link, Any, int, int, Any]]
    to_settle: list[Arrived]
    orders: list[control.FromChild]


@final
class Cell:
    """One actor with everything it may ask for. Implements `Context`."""

    def __init__(
        self,
        life: Life,
        make_actor: Callable[[Context], Actor],
        *,
        limits: Limits,
        source: random.Random,
        journal: Journal | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.meter = meter or Meter()
        self.figures = CellFigures(self.meter, journal)
        self.actor_id = life.actor_id
        self.generation = life.generation
        self.limits = limits
        self.random = source
        self.wall_ms = 0
        self.monotonic_ms = 0
        self.monotonic_us = 0
        self.links = Links(Identity(life.generation, 0, life.actor_id), limits, source)
        self.to_supervisor: list[control.FromChild] = []
        self.to_connect: list[tuple[Route, str]] = []
        self.refused = 0
        self._journal = journal
        self._timers: dict[str, int] = {}
        self._next_tick_ms = 0
        self._next_measure_ms = 0
        self._out: list[tuple[Link, Any, int, int, Any]] = []
        self._to_settle: list[Arrived] = []
        self._orders: list[control.FromChild] = []
        self._wants_sync = False
        self._waiting: deque[_Round] = deque()
        self._actor = make_actor(self)

    # ---- the shell's side ----

    def start(self, wall_ms: int, monotonic_ms: int) -> None:
        """Let the actor rebuild itself."""
        self.begin(wall_ms, monotonic_ms)
        self._actor.start()

    def begin(self, wall_ms: int, monotonic_ms: int, monotonic_us: int | None = None) -> None:
        """A round begins. A clock that tells microseconds is for figures only."""
        self.wall_ms = wall_ms
        self.monotonic_ms = monotonic_ms
        self.monotonic_us = monotonic_ms * 1_000 if monotonic_us is None else monotonic_us
        self.figures.round_began()

    def frame(self, route: Route, frame: bytes | memoryview) -> None:
        """One frame from a peer."""
        self.figures.frames_received += 1
        self.links.receive(route, frame, self.monotonic_ms)
        if self.links.events:
            self._handle_events()

    def unreachable(self, route: Route) -> None:
        """Nobody is at the other end of this route."""
        self.links.unreachable(route)
        self._handle_events()

    def notice(self, message: control.FromSupervisor) -> None:
        """The supervisor said something."""
        if isinstance(message, control.Up):
            route = (OUTBOUND, f"{message.id}/{message.generation}".encode())
            self.to_connect.append((route, message.endpoint))
            self.links.peer_up(message.id, message.generation, route, self.monotonic_ms)
        elif isinstance(message, control.Down):
            self.links.peer_down(message.id, message.reason)
        self._handle_events()
        self._actor.noticed(message)

    def finish_round(self) -> list[tuple[Route, bytes]]:
        """Timers, the actor's last word, commit; returns the frames that may leave."""
        now_ms = self.monotonic_ms
        self._fire_timers(now_ms)
        self._actor.finish_round()
        self._commit()
        links = self.links
        if now_ms >= self._next_tick_ms:
            # Two hundred idle queues that woke up ten times a second took a core, and did nothing with it.
            self._next_tick_ms = max(now_ms + TICK_MS, links.tick(now_ms))
            self._handle_events()
        frames = links.flush(now_ms)
        if links.is_stirred:
            links.is_stirred = False
            self._next_tick_ms = min(self._next_tick_ms, now_ms + TICK_MS)
        self.figures.frames_sent += len(frames)
        if now_ms >= self._next_measure_ms:
            self._next_measure_ms = now_ms + MEASURE_MS
            self._measure()
        return frames

    def next_wake_ms(self) -> int:
        """When the next round is due if nothing happens before."""
        return min(self._next_tick_ms, self._next_measure_ms, *self._timers.values())

    # ---- Context ----

    @property
    def journal(self) -> Journal:
        assert self._journal is not None, f"{self.actor_id} has no journal"
        return self._journal

    def connect(self, actor_id: str, *, survives: bool = True) -> Link:
        self.to_supervisor.append(control.Watch(actor_id))
        return self.links.open(actor_id, survives=survives)

    def disconnect(self, link: Link) -> list[Any]:
        self.to_supervisor.append(control.Unwatch(link.target))
        unsettled = self.links.close(link)
        # What is not with the link yet would be handed to it later, and nobody would ever settle it.
        for out in [*(waiting.out for waiting in self._waiting), self._out]:
            unsettled += [said[4] for said in out if said[0] is link and said[4] is not None]
            out[:] = [said for said in out if said[0] is not link]
        return unsettled

    def send(self, link: Link, message: Message, *, context: Any = None) -> None:
        encoded = messages.encode(message)
        self._out.append((link, encoded, len(encoded), 1, context))

    def forward(self, link: Link, raw: msgspec.Raw | bytes, size: int, messages: int, context: Any) -> None:
        self._out.append((link, raw, size, messages, context))

    def reply(self, link: Link, request: int, result: Any) -> None:
        self.send(link, Reply(request, msgspec.Raw(messages.encode(result))))

    def refuse(self, link: Link, request: int, error: Exception) -> None:
        assert isinstance(error, PosthouseError)
        self.refused += 1
        self.send(link, Failed(request, error.code, str(error)))

    def hold(self, arrived: Arrived) -> None:
        arrived.holds += 1

    def release(self, arrived: Arrived) -> None:
        arrived.holds -= 1
        if arrived.holds == 0:
            self._to_settle.append(arrived)

    def sessions(self) -> list[SessionInfo]:
        return sessions_of(self.actor_id, self.links.served, wall_ms=self.wall_ms, monotonic_ms=self.monotonic_ms)

    def is_congested(self, link: Link) -> bool:
        return link.sender.backlog_bytes > CONGESTED_BYTES

    def set_timer(self, key: str, due_ms: int) -> None:
        self._timers[key] = due_ms

    def tell_supervisor(self, message: control.FromChild) -> None:
        self._orders.append(message)

    def append(self, kind: int, *parts: Buffer, is_durable: bool = True) -> int:
        self._wants_sync = self._wants_sync or is_durable
        return self.journal.append(kind, *parts)

    # ---- inside ----

    def _measure(self) -> None:
        """Once a second: the figures that nobody shows as they happen."""
        self.figures.show(self.wall_ms, self.links, self.refused)
        self._actor.measure(self.meter)

    def _handle_events(self) -> None:
        links = self.links
        while links.events:
            events, links.events = links.events, []
            for event in events:
                if isinstance(event, Arrived):
                    self._arrived(event)
                elif isinstance(event, Settled):
                    self._actor.settled(event.link, event.contexts)
                elif isinstance(event, Opened):
                    self._actor.link_opened(event.link)
                else:
                    self._actor.link_ended(event.link, event.abandoned)

    def _arrived(self, arrived: Arrived) -> None:
        arrived.holds = 1
        try:
            for piece in arrived.pieces:
                message = messages.decode(piece)
                if type(message) in _WAITED_FOR:
                    arrived.is_waited_for = True
                self._hand_over(arrived, message, piece)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ProtocolViolation) as error:
            # msgspec says invalid UTF-8 and too deep nesting in Python's own words; both are the peer's fault.
            self.links.violate(arrived.link, f"a message cannot be accepted: {error}")
            self._handle_events()
            return
        self.release(arrived)

    def _hand_over(self, arrived: Arrived, message: Message, piece: msgspec.Raw) -> None:
        try:
            self._actor.receive(arrived, message, piece)
        except (Refused, Unavailable) as error:
            request = getattr(message, "request", None)
            if request is None:
                raise ProtocolViolation(str(error)) from error
            self.refuse(arrived.link, request, error)

    def _fire_timers(self, now_ms: int) -> None:
        for key in [key for key, due_ms in self._timers.items() if due_ms <= now_ms]:
            del self._timers[key]
            self._actor.wake(key)

    def _commit(self) -> None:
        """What the round says to others waits for what the round wrote, and never overtakes an earlier round."""
        needs = 0
        if self._journal is not None:
            self._journal.commit(sync=self._wants_sync)
            needs = self._journal.written if self._wants_sync else 0
            self._wants_sync = False
        if self._out or self._to_settle or self._orders:
            self._waiting.append(_Round(needs, self._out, self._to_settle, self._orders))
            self._out, self._to_settle, self._orders = [], [], []
        durable = 0 if self._journal is None else self._journal.durable
        while self._waiting and self._waiting[0].needs <= durable:
            self._let_go(self._waiting.popleft())

    def _let_go(self, done: _Round) -> None:
        links = self.links
        for link, piece, size, count, context in done.out:
            links.send(link, piece, size, count, context)
        for arrived in done.to_settle:
            links.settle(arrived)
        self.to_supervisor += done.orders
