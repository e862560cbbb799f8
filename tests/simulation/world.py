"""Time, the supervisor's part, and the lives and deaths of actors.

Production cells run here over a simulated wire and disk. An actor dies at a named point of its round: before it has
handled anything, after its journal is committed and nothing was said, or in the middle of what it says. A power cut
ends all of them and takes every write that was not synced, whole or in part.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import msgspec

from posthouse.actors.actor import Actor, Context
from posthouse.actors.cell import OUTBOUND, Cell, Life
from posthouse.actors.dead_letter import DeadLetterActor
from posthouse.actors.dead_letter_store import StoreLimits
from posthouse.actors.declaration import may_hold
from posthouse.actors.delay import DelayActor, DelayLimits
from posthouse.actors.exchange import ExchangeActor
from posthouse.actors.holding import HoldLimits
from posthouse.actors.loop import SERVED
from posthouse.actors.queue import QueueActor, QueueLimits
from posthouse.actors.registry import RegistryActor
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.transport.errors import DiskFault
from posthouse.transport.limits import Limits
from posthouse.transport.messages import ExchangeSpec, QueueSpec
from posthouse.transport.names import DEAD_LETTER, DELAY
from tests.simulation.network import CALM, Network, Weather
from tests.support.sim_disk import SimDisk

WALL_MS = 1_700_000_000_000
LIMITS = Limits(window_messages=200, window_bytes=64 * 1024, ping_interval_ms=200)
JOURNAL = JournalSettings(segment_bytes_first=4096, segment_bytes_max=16384, preallocate=False)
QUEUE = QueueLimits(memory_bytes_max=2_000, disk_free_bytes_min=0)
DELAYS = DelayLimits(fire_per_s_max=2_000, memory_bytes_max=2_000, disk_free_bytes_min=0, compact_bytes_min=8_192)
HOLD = HoldLimits(memory_bytes_max=2_000, disk_free_bytes_min=0)
STORE = StoreLimits(messages_max=8, memory_bytes_max=2_000, disk_free_bytes_min=0)
STANDING = ("registry", DEAD_LETTER, DELAY)
DEATHS = ("before the round", "after the commit", "while speaking")


class Client(Protocol):
    """What the world does with a client."""

    name: str

    def frame(self, route: bytes, frame: bytes) -> None: ...
    def broker_at(self, generation: int, endpoint: str) -> None: ...
    def disconnected(self, route: bytes) -> None: ...


class Node:
    """One life of one actor."""

    def __init__(self, cell: Cell, journal_directory: str | None) -> None:
        self.cell = cell
        self.journal_directory = journal_directory
        self.inbox: list[tuple[Any, bytes]] = []
        self.notices: list[control.FromSupervisor] = []
        self.is_scheduled = False
        self.is_started = False


class World:
    """Everything there is in one run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.disk = SimDisk(seed)
        self.network = Network(self.random, CALM)
        self.crash_chance = 0.0
        self.is_calm = False
        self.now_ms = 0
        self.nodes: dict[str, Node] = {}
        self.clients: dict[str, Client] = {}
        self.deaths: dict[str, int] = {}
        self.died: list[tuple[int, str]] = []
        self.power_cuts = 0
        self.cuts_before: dict[int, int] = {}
        self.trace: list[str] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = 0
        self._generation = 0
        self._boot = 0
        self._specs: dict[str, tuple[str, bytes]] = {}
        self._watchers: dict[str, set[str]] = {}
        self._notice_ms: dict[str, int] = {}
        self._start_standing()

    # ---- time ----

    def at(self, time_ms: int, action: Callable[[], None]) -> None:
        self._counter += 1
        heapq.heappush(self._events, (max(time_ms, self.now_ms), self._counter, action))

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.at(self.now_ms + delay_ms, action)

    def run_until(self, time_ms: int) -> None:
        while self._events and self._events[0][0] <= time_ms:
            self.now_ms, _, action = heapq.heappop(self._events)
            action()
        self.now_ms = time_ms

    def begin_faults(self, weather: Weather, crash_chance: float) -> None:
        """From now on frames suffer the weather, and an actor dies in so many of its rounds."""
        self.network.weather = weather
        self.crash_chance = crash_chance

    def heal(self) -> None:
        """From now on nothing is lost and nobody dies."""
        self.network.weather = CALM
        self.crash_chance = 0.0
        self.is_calm = True
        self.disk.heal()

    # ---- lives ----

    def _start_registry(self) -> None:
        boot = str(self._boot)

        def make(context: Context) -> Actor:
            return RegistryActor(context, boot=boot, remove_journal=lambda spec: None)

        self._live("registry", make, "/registry")

    def _start_standing(self) -> None:
        for actor_id in STANDING:
            self._start(actor_id)

    def _start(self, actor_id: str) -> None:
        if actor_id == "registry":
            self._start_registry()
            return
        if actor_id == DELAY:
            self._live(DELAY, lambda context: DelayActor(context, DELAYS), "/delay")
            return
        if actor_id == DEAD_LETTER:
            self._live(actor_id, lambda context: DeadLetterActor(context, STORE), "/dead-letter")
            return
        if actor_id not in self._specs:
            return
        kind, arguments = self._specs[actor_id]
        if kind == "exchange":
            exchange = msgspec.msgpack.decode(arguments, type=ExchangeSpec)
            home = f"/exchange-{exchange.serial}" if exchange.durable and may_hold(exchange) else None
            self._live(actor_id, lambda context: ExchangeActor(context, exchange, HOLD), home)
            return
        spec = msgspec.msgpack.decode(arguments, type=QueueSpec)
        directory = f"/{spec.serial}" if spec.durable else None
        self._live(actor_id, lambda context: QueueActor(context, spec, QUEUE), directory)

    def _live(self, actor_id: str, make: Callable[[Context], Actor], directory: str | None) -> None:
        if actor_id in self.nodes:
            return
        self._generation += 1
        self.cuts_before[self._generation] = self.power_cuts
        journal = None
        if directory is not None:
            journal = Journal.open(
                self.disk,
                directory,
                generation=self._generation,
                settings=JOURNAL,
                now_ms=lambda: self.now_ms,
            )
        life = Life(actor_id, self._generation)
        source = random.Random(self.random.getrandbits(32))
        node = Node(Cell(life, make, limits=LIMITS, source=source, journal=journal), directory)
        self.nodes[actor_id] = node
        self.note(f"{actor_id} lives in generation {self._generation}")
        self._schedule(actor_id, node, 0)

    def _round(self, actor_id: str, node: Node) -> None:
        if self.nodes.get(actor_id) is not node:
            return
        node.is_scheduled = False
        death = self.random.choice(DEATHS) if self.random.random() < self.crash_chance else ""
        if death == DEATHS[0]:
            self.kill(actor_id, death)
            return
        cell = node.cell
        try:
            if not node.is_started:
                cell.start(WALL_MS + self.now_ms, self.now_ms)
            frames = self._turn(node)
        except DiskFault as error:
            self.kill(actor_id, f"disk fault: {error}")
            return
        if death == DEATHS[1]:
            self.kill(actor_id, death)
            return
        if not node.is_started:
            node.is_started = True
            self._ready(actor_id, cell.generation)
        self._speak(actor_id, node, frames, is_cut_short=death == DEATHS[2])
        if death:
            self.kill(actor_id, death)
            return
        self._schedule(actor_id, node, max(1, cell.next_wake_ms() - self.now_ms))

    def _turn(self, node: Node) -> list[Any]:
        cell = node.cell
        cell.begin(WALL_MS + self.now_ms, self.now_ms)
        notices, node.notices = node.notices, []
        for notice in notices:
            cell.notice(notice)
        inbox, node.inbox = node.inbox, []
        for route, frame in inbox:
            cell.frame(route, frame)
        return cell.finish_round()

    def _speak(self, actor_id: str, node: Node, frames: list[Any], *, is_cut_short: bool) -> None:
        orders, node.cell.to_supervisor[:] = list(node.cell.to_supervisor), []
        node.cell.to_connect.clear()
        if is_cut_short:
            frames = frames[: self.random.randint(0, len(frames))]
        for route, frame in frames:
            self._send(actor_id, node, route, frame)
        if not is_cut_short or self.random.random() < 0.5:
            for order in orders:
                self._obey(actor_id, order)

    def _send(self, actor_id: str, node: Node, route: Any, frame: bytes) -> None:
        socket, name = route
        if socket == OUTBOUND:
            target, _, generation = name.decode().rpartition("/")
            sender = f"{actor_id}/{node.cell.generation}"
            self._carry(actor_id, target, lambda: self._arrive(target, int(generation), sender, frame))
            return
        receiver = name.decode()
        source = f"{actor_id}/{node.cell.generation}".encode()
        if receiver in self.clients:
            self._carry(actor_id, receiver, lambda: self.clients[receiver].frame(source, frame))
            return
        peer, _, generation = receiver.rpartition("/")
        living = self.nodes.get(peer)
        if living is None or living.cell.generation != int(generation):
            node.cell.unreachable(route)
            return
        self._carry(actor_id, peer, lambda: self._reply(peer, int(generation), source, frame))

    def _carry(self, sender: str, receiver: str, action: Callable[[], None]) -> None:
        for time_ms in self.network.arrivals(sender, receiver, self.now_ms):
            self.at(time_ms, action)

    def _arrive(self, target: str, generation: int, sender: str, frame: bytes) -> None:
        """A frame reaches the socket on which an actor is served, if that life is still there."""
        living = self.nodes.get(target)
        if living is not None and living.cell.generation == generation and living.is_started:
            living.inbox.append(((SERVED, sender.encode()), frame))
            self._schedule(target, living, 0)

    def _reply(self, target: str, generation: int, source: bytes, frame: bytes) -> None:
        living = self.nodes.get(target)
        if living is not None and living.cell.generation == generation:
            living.inbox.append(((OUTBOUND, source), frame))
            self._schedule(target, living, 0)

    def _schedule(self, actor_id: str, node: Node, delay_ms: int) -> None:
        if delay_ms == 0 and node.is_scheduled:
            return
        if delay_ms == 0:
            node.is_scheduled = True
        self.after(delay_ms, lambda: self._round(actor_id, node))

    def from_client(self, client: str, route: bytes, frame: bytes) -> None:
        """A client sends; its connection name is its own."""
        target, _, generation = route.decode().rpartition("/")
        self._carry(client, target, lambda: self._arrive(target, int(generation), client, frame))

    # ---- deaths ----

    def kill(self, actor_id: str, how: str) -> None:
        """SIGKILL: memory is gone, what was written stays."""
        node = self.nodes.pop(actor_id, None)
        if node is None:
            return
        self.deaths[how] = self.deaths.get(how, 0) + 1
        self.died.append((self.now_ms, actor_id))
        self.note(f"{actor_id} dies {how}")
        if node.journal_directory is not None:
            self.disk.kill(node.journal_directory)
        self._tell(actor_id, control.Down(actor_id, node.cell.generation, "restarting", how))
        self._break_connections(actor_id, node.cell.generation)
        self.after(self.random.randint(1, 60), lambda: self._start(actor_id))

    def cut_power(self) -> None:
        """Every process ends and every write that was not synced may be lost."""
        self.power_cuts += 1
        self.note("the power is cut")
        for actor_id, node in list(self.nodes.items()):
            del self.nodes[actor_id]
            self.died.append((self.now_ms, actor_id))
            self._break_connections(actor_id, node.cell.generation)
        self.disk.crash(self.random)
        self._boot += 1
        self._specs.clear()
        self._watchers.clear()
        self.after(self.random.randint(5, 200), self._start_standing)

    def _break_connections(self, actor_id: str, generation: int) -> None:
        route = f"{actor_id}/{generation}".encode()
        for client in self.clients.values():
            self.after(self.random.randint(0, 30), partial(client.disconnected, route))

    # ---- the supervisor's part ----

    def _ready(self, actor_id: str, generation: int) -> None:
        self._tell(actor_id, control.Up(actor_id, generation, f"sim://{actor_id}"))
        if actor_id == "registry":
            self.introduce_all()

    def introduce_all(self) -> None:
        """Let every client find the registry, one sooner, another later."""
        for client in self.clients.values():
            self.after(self.random.randint(0, 60), partial(self._introduce, client))

    def _introduce(self, client: Client) -> None:
        registry = self.nodes.get("registry")
        if registry is not None and registry.is_started:
            client.broker_at(registry.cell.generation, "sim://registry")

    def _obey(self, actor_id: str, order: control.FromChild) -> None:
        match order:
            case control.Watch(watched):
                self._watchers.setdefault(watched, set()).add(actor_id)
                self._notify(actor_id, self._state_of(watched))
            case control.Unwatch(watched):
                self._watchers.get(watched, set()).discard(actor_id)
            case control.StartChild(request, _, kind, child, arguments):
                is_new = child not in self._specs
                self._specs[child] = (kind, arguments)
                self._notify(actor_id, control.Done(request, True))
                if is_new:
                    self.after(self.random.randint(1, 20), lambda: self._start(child))
            case control.StopChild(request, child):
                self._specs.pop(child, None)
                node = self.nodes.pop(child, None)
                if node is not None and node.journal_directory is not None:
                    self.disk.kill(node.journal_directory)
                self._notify(actor_id, control.Done(request, True))
            case control.DescribeTree(request):
                groups = {"queue": "queues", "exchange": "exchanges"}
                nodes = [control.NodeInfo(c, k, groups[k], "up") for c, (k, _) in self._specs.items()]
                self._notify(actor_id, control.Tree(request, nodes))

    def _state_of(self, actor_id: str) -> control.FromSupervisor:
        node = self.nodes.get(actor_id)
        if node is not None and node.is_started:
            return control.Up(actor_id, node.cell.generation, f"sim://{actor_id}")
        known = actor_id in self._specs or actor_id in STANDING
        return control.Down(actor_id, 0, "restarting" if known else "unknown", "")

    def _tell(self, about: str, notice: control.FromSupervisor) -> None:
        for watcher in sorted(self._watchers.get(about, ())):
            self._notify(watcher, notice)

    def _notify(self, actor_id: str, notice: control.FromSupervisor) -> None:
        """The control channel is a stream: late perhaps, but in order and never lost to a living child."""
        node = self.nodes.get(actor_id)
        if node is None:
            return
        time_ms = max(self._notice_ms.get(actor_id, 0), self.now_ms + self.random.randint(0, 5))
        self._notice_ms[actor_id] = time_ms

        def deliver() -> None:
            if self.nodes.get(actor_id) is node:
                node.notices.append(notice)
                self._schedule(actor_id, node, 0)

        self.at(time_ms, deliver)

    def note(self, text: str) -> None:
        self.trace.append(f"{self.now_ms:>7} {text}")
