"""Time, and the lives and deaths of actors.

Production cells run here over a simulated wire and disk. An actor dies at a named point of its round: before it has
handled anything, inside any call to the disk, after its journal is committed and nothing was said, or in the middle of
what it says. A power cut, which may also come inside a call, ends all of them and takes every write that was not
synced, whole or in part.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from posthouse.actors.cell import OUTBOUND, Cell, Life
from posthouse.actors.loop import SERVED
from posthouse.supervisor import control_messages as control
from posthouse.transport.errors import DiskFault, JournalCorrupt
from posthouse.transport.names import DEAD_LETTER
from tests.simulation.cast import LIMITS, STANDING, Make, declared, standing
from tests.simulation.journals import OPERATIONS_MAX, Journals
from tests.simulation.network import CALM, Network, Weather
from tests.simulation.supervisor import SimSupervisor
from tests.support.sim_disk import PowerCut, SimDisk

WALL_MS = 1_700_000_000_000
NEVER = 1 << 62
DEATHS = ("before the round", "after the commit", "while speaking", "inside the disk")


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
        self.wakes_ms = NEVER
        self.is_started = False
        self.calls_left = 0
        """It dies inside the how many-th call to the disk from now; 0: in none."""


class World:
    """Everything there is in one run."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.disk = SimDisk(seed)
        self.network = Network(self.random, CALM)
        self.crash_chance = 0.0
        self.power_chance = 0.0
        self.is_calm = False
        self.now_ms = 0
        self.clock_ms = 0
        self.clock_max_ms = 0
        self.seen: Counter[str] = Counter()
        self.nodes: dict[str, Node] = {}
        self.clients: dict[str, Client] = {}
        self.deaths: dict[str, int] = {}
        self.died: list[tuple[int, str]] = []
        self.power_cuts = 0
        self.cuts_before: dict[int, int] = {}
        self.trace: list[str] = []
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._counter = 0
        self.journals = Journals(self.disk, self.seen, lambda: self.now_ms, self._dies_in_compaction)
        self._generation = 0
        self._boot = 0
        self._supervisor = SimSupervisor(self)
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

    @property
    def wall_ms(self) -> int:
        """What every clock on the wall shows."""
        return WALL_MS + self.now_ms + self.clock_ms

    @property
    def latest_wall_ms(self) -> int:
        """What it would show if no clock had ever been set back: due is what was due by any clock."""
        return WALL_MS + self.now_ms + self.clock_max_ms

    def step_clock(self, step_ms: int) -> None:
        """Somebody sets the clock."""
        if not self.is_calm:
            self.clock_ms += step_ms
            self.clock_max_ms = max(self.clock_max_ms, self.clock_ms)
            self.note(f"the clock is set by {step_ms} ms")
            self.seen["the clock was set back" if step_ms < 0 else "the clock was set forward"] += 1

    def begin_faults(self, weather: Weather, crash_chance: float, power_chance: float) -> None:
        """From now on frames suffer the weather, and an actor dies in so many of its rounds.

        Of those that die inside the disk, `power_chance` is the share in which the power is cut for all.
        """
        self.network.weather = weather
        self.crash_chance = crash_chance
        self.power_chance = power_chance

    def heal(self) -> None:
        """From now on nothing is lost and nobody dies."""
        self.network.heal()
        self.crash_chance = 0.0
        self.is_calm = True
        self.clock_ms = self.clock_max_ms  # What is due by a clock that was ahead must become due at last.
        self.disk.heal()

    # ---- lives ----

    def _start_standing(self) -> None:
        for actor_id in STANDING:
            self.start(actor_id)

    def start(self, actor_id: str) -> None:
        """A new life, unless there is one or nobody wants it any more."""
        if actor_id in STANDING:
            self._live(actor_id, *standing(actor_id, str(self._boot)))
        elif actor_id in self._supervisor.specs:
            self._live(actor_id, *declared(*self._supervisor.specs[actor_id]))

    def _live(self, actor_id: str, make: Make, directory: str | None) -> None:
        if actor_id in self.nodes:
            return
        self._generation += 1
        self.cuts_before[self._generation] = self.power_cuts
        if self.random.random() < self.crash_chance:
            self.disk.cut_power_at(self.random.randint(1, OPERATIONS_MAX))
        try:
            journal = None if directory is None else self.journals.open(directory, self._generation, actor_id)
            self.disk.spare()
        except PowerCut:
            self._die_inside(actor_id, directory)
            return
        except DiskFault as error:
            if isinstance(error, JournalCorrupt):
                raise
            self.note(f"{actor_id} cannot open its journal: {error}")
            self.seen["a journal could not be opened"] += 1
            self.disk.kill(directory or "/nowhere")
            self.after(self.random.randint(1, 60), lambda: self.start(actor_id))
            return
        life = Life(actor_id, self._generation)
        source = random.Random(self.random.getrandbits(32))
        node = Node(Cell(life, make, limits=LIMITS, source=source, journal=journal), directory)
        self.nodes[actor_id] = node
        self.note(f"{actor_id} lives in generation {self._generation}")
        self.schedule(actor_id, node, 0)

    def _round(self, actor_id: str, node: Node) -> None:
        if self.nodes.get(actor_id) is not node or node.wakes_ms != self.now_ms:
            return  # It died, or had an earlier round that planned anew.
        node.wakes_ms = NEVER
        death = self.random.choice(DEATHS) if self.random.random() < self.crash_chance else ""
        if death == DEATHS[0]:
            self.kill(actor_id, death)
            return
        cell = node.cell
        # A rotation is rare and takes ten calls, so it is where deaths are sought.
        is_rotating = node.journal_directory is not None and cell.journal.segment_is_full
        is_sought = is_rotating and self.random.random() < 3 * self.crash_chance
        if (death == DEATHS[3] or is_sought) and not node.calls_left:
            node.calls_left = self.random.randint(1, OPERATIONS_MAX)
        if node.calls_left and not self.is_calm:
            self.disk.cut_power_at(node.calls_left)
        calls = self.disk.operations
        try:
            if not node.is_started:
                cell.start(self.wall_ms, self.now_ms)
            frames = self._turn(node)
            self.disk.spare()
            node.calls_left = max(0, node.calls_left - (self.disk.operations - calls))
        except PowerCut:
            self._die_inside(actor_id, node.journal_directory)
            return
        except DiskFault as error:
            self.seen["an actor died of its disk"] += 1
            self.note(f"{actor_id}: {error}")
            self.kill(actor_id, "of its disk")
            return
        if death == DEATHS[1]:
            self.kill(actor_id, death)
            return
        if not node.is_started:
            node.is_started = True
            self._supervisor.ready(actor_id, cell.generation)
        self._speak(actor_id, node, frames, is_cut_short=death == DEATHS[2])
        if death == DEATHS[2]:
            self.kill(actor_id, death)
            return
        if actor_id == DEAD_LETTER:
            self.seen["the dead-letter store was full"] += vars(cell)["_actor"]._store.is_full
        self.schedule(actor_id, node, max(1, cell.next_wake_ms() - self.now_ms))

    def _turn(self, node: Node) -> list[Any]:
        cell = node.cell
        cell.begin(self.wall_ms, self.now_ms)
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
                self._supervisor.obey(actor_id, order)

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
            self.schedule(target, living, 0)

    def _reply(self, target: str, generation: int, source: bytes, frame: bytes) -> None:
        living = self.nodes.get(target)
        if living is not None and living.cell.generation == generation:
            living.inbox.append(((OUTBOUND, source), frame))
            self.schedule(target, living, 0)

    def schedule(self, actor_id: str, node: Node, delay_ms: int) -> None:
        """A round no later than that."""
        if self.now_ms + delay_ms < node.wakes_ms:
            node.wakes_ms = self.now_ms + delay_ms
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
        self.seen[f"an actor died {how}"] += 1
        if not node.is_started:
            self.seen["an actor died while it recovered"] += 1
        self.note(f"{actor_id} dies {how}")
        if node.journal_directory is not None:
            self.disk.kill(node.journal_directory)
        self._supervisor.tell(actor_id, control.Down(actor_id, node.cell.generation, "restarting", how))
        self._break_connections(actor_id, node.cell.generation)
        self.after(self.random.randint(1, 60), lambda: self.start(actor_id))

    def _die_inside(self, actor_id: str, directory: str | None) -> None:
        """In the middle of a call to the disk: SIGKILL, which tears a write as well, or the power for all."""
        self.seen[f"an actor died inside {self.journals.doing or 'the disk'}"] += 1
        self.note(f"{actor_id} dies inside {self.journals.doing or 'the disk'}")
        self.journals.doing = ""
        if self.random.random() < self.power_chance:
            self.cut_power()
        elif actor_id in self.nodes:
            self.kill(actor_id, DEATHS[3])
        else:
            self.disk.kill(directory or "/nowhere")
            self.after(self.random.randint(1, 60), lambda: self.start(actor_id))

    def _dies_in_compaction(self) -> int:
        is_sought = not self.is_calm and self.random.random() < 3 * self.crash_chance
        return self.random.randint(1, 3) if is_sought else 0

    def judge_journals(self) -> list[str]:
        """Everybody ends, and one of the journals is looked at."""
        self.kill_all()
        return self.journals.judge(self.random, self._generation + 2)

    def cut_power(self) -> None:
        """Every process ends and every write that was not synced may be lost."""
        self.power_cuts += 1
        self.note("the power is cut")
        self.seen["the power was cut"] += 1
        self._end_all()
        self.disk.crash(self.random)

    def kill_all(self) -> None:
        """SIGKILL of the supervisor, and so of all: what was written stays."""
        self.note("everything is killed")
        self.seen["everything was killed"] += 1
        for node in self._end_all():
            if node.journal_directory is not None:
                self.disk.kill(node.journal_directory)

    def _end_all(self) -> list[Node]:
        ended = list(self.nodes.values())
        for actor_id, node in list(self.nodes.items()):
            del self.nodes[actor_id]
            self.died.append((self.now_ms, actor_id))
            self._break_connections(actor_id, node.cell.generation)
        self._boot += 1
        self._supervisor.forget()
        self.after(self.random.randint(5, 200), self._start_standing)
        return ended

    def _break_connections(self, actor_id: str, generation: int) -> None:
        route = f"{actor_id}/{generation}".encode()
        for client in self.clients.values():
            self.after(self.random.randint(0, 30), partial(client.disconnected, route))

    # ---- clients ----

    def introduce_all(self) -> None:
        """Let every client find the registry, one sooner, another later."""
        for client in self.clients.values():
            self.after(self.random.randint(0, 60), partial(self._introduce, client))

    def _introduce(self, client: Client) -> None:
        registry = self.nodes.get("registry")
        if registry is not None and registry.is_started:
            client.broker_at(registry.cell.generation, "sim://registry")

    def note(self, text: str) -> None:
        self.trace.append(f"{self.now_ms:>7} {text}")
