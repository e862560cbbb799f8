"""One cell on a bench: scripted peers over a memory wire, a clock that stands still, a disk that knows *dirty*.

`say` and `run` (or `deliver`, which is both) bring messages in, `advance` moves the clock, `crash` ends the life and
begins the next one from the disk; what the actor said is in each peer's `take_heard`, and what happened to disk and
wire, in order, in `tape`. Peers are production `Links` with a script in place of an actor or a client. It does not
simulate loss, delay or reordering on the wire, nor the supervisor beyond telling where scripted actors live.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast, final

import msgspec

from posthouse.actors.actor import Actor, Context
from posthouse.actors.cell import MEASURE_MS, OUTBOUND, Cell, Life
from posthouse.actors.loop import SERVED
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.disk import Disk
from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.batch import pack_lengths
from posthouse.transport.limits import Limits
from posthouse.transport.links import Arrived, Ended, Identity, Link, Links, Opened, Settled
from posthouse.transport.messages import NIL, Batch, Message, Options, Reply
from tests.support.sim_disk import SimDisk

WALL_MS: Final = 1_700_000_000_000
DIRECTORY: Final = "/journal"
ROUNDS_MAX: Final = 200
LIMITS: Final = Limits(ping_interval_ms=200)
JOURNAL: Final = JournalSettings(segment_bytes_first=4096, segment_bytes_max=16384, preallocate=False)
_ACTOR: Final = "the actor on the bench"
_TAPED: Final = ("pwritev", "fdatasync")


def batch(
    *bodies: bytes,
    exchange: str = "",
    routing_key: str = "q",
    stream: int = 7,
    first_seq: int = 1,
    headers: dict[str, Any] | None = None,
    options: Options | None = None,
) -> Batch:
    """A batch as a client would build it."""
    return Batch(
        exchange=exchange,
        routing_key=routing_key,
        stream=stream,
        first_seq=first_seq,
        count=len(bodies),
        published_ms=WALL_MS,
        headers=NIL if headers is None else msgspec.Raw(messages.encode(headers)),
        lengths=pack_lengths([len(body) for body in bodies]),
        bodies=memoryview(b"".join(bodies)),
        options=options,
    )


def result_of(message: Message, kind: Any = Any) -> Any:
    """What a reply says."""
    assert isinstance(message, Reply), message
    return msgspec.msgpack.decode(message.result, type=kind)


@final
class TapedDisk:
    """A `SimDisk` whose writes and syncs go onto a tape."""

    def __init__(self, disk: SimDisk, tape: list[str]) -> None:
        self._disk = disk
        self._tape = tape

    def __getattr__(self, name: str) -> Any:
        if name in _TAPED:
            self._tape.append(name)
        return getattr(self._disk, name)


@final
class LateJournal:
    """A journal whose durability arrives when the test says so, as a replicated log's would."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.durable = journal.durable

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def catch_up(self, position: int | None = None) -> None:
        """Everything written, or everything up to a position, is durable now."""
        self.durable = self._journal.written if position is None else position


@final
class Peer:
    """A scripted client or actor. With `settles_at_once` off it takes responsibility only when told to."""

    def __init__(self, name: str, links: Links, link: Link | None) -> None:
        self.name = name
        self.links = links
        self.link = link
        self.settles_at_once = True
        self.unsettled: list[Arrived] = []
        self.heard: list[Message] = []
        self.endings: list[str] = []
        self.settled: list[Any] = []

    @property
    def is_open(self) -> bool:
        return self.link is not None and self.link.state.value == "open"

    def say(self, *said: Message) -> None:
        """Queue messages; they leave in one frame at the next round."""
        for message in said:
            count = min(message.count, self.links.limits.window_messages) if isinstance(message, Batch) else 1
            self.say_raw(messages.encode(message), count, context=message)

    def say_raw(self, piece: bytes, count: int = 1, context: Any = None) -> None:
        """Queue any bytes."""
        assert self.link is not None, f"{self.name} has no link to the actor"
        self.links.send(self.link, piece, len(piece), count, context)

    def settle(self, count: int | None = None) -> None:
        """Take responsibility for the oldest frames, or for all."""
        ready, self.unsettled = self.unsettled[:count], self.unsettled[len(self.unsettled[:count]) :]
        for arrived in ready:
            arrived.is_waited_for = True
            self.links.settle(arrived)

    def take_heard(self) -> list[Message]:
        """What the actor said since the last look."""
        heard, self.heard = self.heard, []
        return heard

    def hears(self) -> Message:
        """The one message the actor said since the last look."""
        heard = self.take_heard()
        assert len(heard) == 1, heard
        return heard[0]

    def take(self, frame: bytes, now_ms: int) -> None:
        self.links.receive(_ACTOR, frame, now_ms)
        self.handle_events()

    def handle_events(self) -> None:
        events, self.links.events = self.links.events, []
        for event in events:
            match event:
                case Arrived():
                    self.heard += [messages.decode(piece) for piece in event.pieces]
                    self.unsettled.append(event)
                    if self.settles_at_once:
                        self.settle()
                case Opened(link):
                    self.link = link
                case Ended(_, code, _, _):
                    self.endings.append(code)
                case Settled(_, contexts):
                    self.settled += contexts


@dataclass(frozen=True)
class Setting:
    """What a bench has besides its actor."""

    has_journal: bool = True
    is_late: bool = False
    limits: Limits = LIMITS
    journal: JournalSettings = JOURNAL
    seed: int = 1


@final
class ActorBench:
    """Runs one actor, life after life."""

    def __init__(self, actor_id: str, make: Callable[[Context], Actor], setting: Setting | None = None) -> None:
        self.setting = setting or Setting()
        self.actor_id = actor_id
        self.make = make
        self.disk = SimDisk(self.setting.seed)
        self.tape: list[str] = []
        self.orders: list[control.FromChild] = []
        self.now_ms = 0
        self.clients: dict[str, Peer] = {}
        self.actors: dict[str, Peer] = {}
        self.late: LateJournal | None = None
        self.meter = Meter()
        self._inbox: list[tuple[Any, bytes]] = []
        self._notices: list[control.FromSupervisor] = []
        self._watched: set[str] = set()
        self._downs: dict[str, control.Down] = {}
        self._introduced = 0
        self._generation = 0
        self.cell = self._begin_life()

    # ---- what a test does ----

    def client(self, name: str = "client", client_id: int = 1) -> Peer:
        """A connected client, or an actor that opens a link to this one."""
        self._introduced += 1
        source = random.Random(f"{name} {self._introduced}")
        links = Links(Identity(0, client_id, name), self.setting.limits, source)
        peer = self.clients[name] = Peer(name, links, links.open(self.actor_id))
        links.peer_up(self.actor_id, self._generation, _ACTOR, self.now_ms)
        self.run()
        assert peer.is_open, f"{name} was not let in"
        return peer

    def actor(self, actor_id: str, generation: int = 1) -> Peer:
        """A scripted actor, or its next life, to which this one opens a link once it watches it."""
        links = Links(Identity(generation, 0, actor_id), self.setting.limits, random.Random(actor_id))
        peer = self.actors[actor_id] = Peer(actor_id, links, None)
        self._downs.pop(actor_id, None)
        if actor_id in self._watched:
            self.notice(control.Up(actor_id, generation, f"memory://{actor_id}"))
        return peer

    def deliver(self, peer: Peer, *said: Message) -> list[Message]:
        """One frame from a peer and all that follows from it; returns what that peer heard."""
        peer.say(*said)
        self.run()
        return peer.take_heard()

    def deliver_raw(self, peer: Peer, piece: bytes) -> list[Message]:
        """The same with any bytes."""
        peer.say_raw(piece)
        self.run()
        return peer.take_heard()

    def notice(self, *notices: control.FromSupervisor) -> None:
        """The supervisor says something."""
        self._notices += notices
        self.run()

    def down(self, actor_id: str, state: control.DownState, reason: str) -> None:
        """A scripted actor is dead; whoever watches it is told, now and when asking again."""
        peer = self.actors.pop(actor_id, None)
        generation = 0 if peer is None else peer.links.identity.generation
        self._downs[actor_id] = control.Down(actor_id, generation, state, reason)
        if actor_id in self._watched:
            self.notice(self._downs[actor_id])

    def take_orders(self) -> list[control.FromChild]:
        """What the supervisor was asked since the last look, but for whom to watch."""
        orders, self.orders = self.orders, []
        return orders

    def advance(self, duration_ms: int) -> None:
        """Time passes, and whatever is due happens on the way."""
        end_ms = self.now_ms + duration_ms
        while self.now_ms < end_ms:
            self.now_ms = min(end_ms, max(self.now_ms + 1, self.cell.next_wake_ms()))
            for peer in self._peers():
                peer.links.tick(self.now_ms)
                peer.handle_events()
            self.run()

    def figure(self, word: int) -> int:
        """What the actor's page says of a measure, after the second in which it is written."""
        self.advance(MEASURE_MS)
        return self.meter.get(word)

    def leave(self, peer: Peer) -> None:
        """The peer is gone without a word, and the socket says so."""
        self.clients.pop(peer.name, None)
        self.actors.pop(peer.name, None)
        self.cell.begin(WALL_MS + self.now_ms, self.now_ms)
        self.cell.unreachable((SERVED, peer.name.encode()))
        self.run()

    def crash(self, *, power: bool = False) -> None:
        """SIGKILL, or with `power` the loss of every write that was not synced; then the next life begins."""
        if power:
            self.disk.crash()
        else:
            self.disk.kill(DIRECTORY)
        self._inbox.clear()
        self._notices.clear()
        self._watched.clear()
        self.orders.clear()
        for peer in self._peers():
            peer.links.unreachable(_ACTOR)
            peer.handle_events()
            peer.unsettled.clear()
        self.cell = self._begin_life()
        for client in self.clients.values():
            client.links.peer_up(self.actor_id, self._generation, _ACTOR, self.now_ms)
        self.run()

    def run(self) -> None:
        """Rounds until nobody has anything more to say."""
        for _ in range(ROUNDS_MAX):
            for peer in self._peers():
                self._collect(peer)
            self._round()
            self._obey()
            if not self._inbox and not self._notices and not any(peer.links.events for peer in self._peers()):
                for peer in self._peers():
                    self._collect(peer)
                if not self._inbox:
                    return
        raise AssertionError("the actor and its peers never come to rest")

    # ---- inside ----

    def _begin_life(self) -> Cell:
        self._generation += 1
        setting = self.setting
        journal: Any = None
        if setting.has_journal:
            taped = cast("Disk", TapedDisk(self.disk, self.tape))
            journal = Journal.open(
                taped, DIRECTORY, generation=self._generation, settings=setting.journal, now_ms=lambda: self.now_ms
            )
            self.tape.clear()
            if setting.is_late:
                journal = self.late = LateJournal(journal)
        life = Life(self.actor_id, self._generation)
        source = random.Random(setting.seed + self._generation)
        self.cell = Cell(life, self.make, limits=setting.limits, source=source, journal=journal, meter=self.meter)
        self.cell.start(WALL_MS + self.now_ms, self.now_ms)
        self.run()
        return self.cell

    def _round(self) -> None:
        cell = self.cell
        cell.begin(WALL_MS + self.now_ms, self.now_ms)
        notices, self._notices = self._notices, []
        for notice in notices:
            cell.notice(notice)
        inbox, self._inbox = self._inbox, []
        for route, frame in inbox:
            cell.frame(route, frame)
        cell.to_connect.clear()
        for route, frame in cell.finish_round():
            self._carry(route, frame)

    def _carry(self, route: Any, frame: bytes) -> None:
        socket, name = route
        known = self.clients if socket == SERVED else self.actors
        peer = known.get(name.decode() if socket == SERVED else name.decode().rpartition("/")[0])
        if peer is None:
            return
        before = len(peer.heard)
        peer.take(frame, self.now_ms)
        self.tape += [f"say {type(message).__name__}" for message in peer.heard[before:]]

    def _collect(self, peer: Peer) -> None:
        is_client = self.clients.get(peer.name) is peer
        route = (SERVED, peer.name.encode())
        if not is_client:
            route = (OUTBOUND, f"{peer.name}/{peer.links.identity.generation}".encode())
        self._inbox += [(route, frame) for _, frame in peer.links.flush(self.now_ms)]

    def _obey(self) -> None:
        for order in self.cell.to_supervisor:
            match order:
                case control.Watch(actor_id):
                    self._watched.add(actor_id)
                    peer = self.actors.get(actor_id)
                    if peer is not None:
                        generation = peer.links.identity.generation
                        self._notices.append(control.Up(actor_id, generation, f"memory://{actor_id}"))
                    elif actor_id in self._downs:
                        self._notices.append(self._downs[actor_id])
                case control.Unwatch(actor_id):
                    self._watched.discard(actor_id)
                case _:
                    self.orders.append(order)
        self.cell.to_supervisor.clear()

    def _peers(self) -> list[Peer]:
        return [*self.clients.values(), *self.actors.values()]
