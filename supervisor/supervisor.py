"""The supervisor: a poll loop that turns what happens to processes into facts, and effects into deeds.

One thread, no ZeroMQ, no asyncio, nothing kept per message. All decisions are made in `tree`; here are the
clock, the signals, the descriptors. Fails with: an exception of its own or of a callback, after which every
child is killed and reaped before it is raised.
"""

from __future__ import annotations

import contextlib
import os
import random
import selectors
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

import psutil
from msgspec import structs

from posthouse.supervisor import commands, process
from posthouse.supervisor.beacon import Beacons
from posthouse.supervisor.child_spec import GroupSpec, Life
from posthouse.supervisor.control_messages import (
    Alarm,
    Announce,
    Done,
    Follow,
    FromChild,
    FromSupervisor,
    NodeInfo,
    Tree,
    encode,
)
from posthouse.supervisor.data_directory import DataDirectory
from posthouse.supervisor.effects import (
    Blow,
    Describe,
    Effect,
    Event,
    EventKind,
    Finished,
    Fork,
    Report,
    Strike,
    Tell,
)
from posthouse.supervisor.hang_watch import LATE_SCANS_MAX, is_suspect, judge
from posthouse.supervisor.meters import Meters
from posthouse.supervisor.news import News
from posthouse.supervisor.process import ChildProcess, fork_child
from posthouse.supervisor.tree import Tree as SupervisionTree
from posthouse.supervisor.wake_up import WakeUpPipe
from posthouse.transport.errors import DiskFault, ProtocolViolation

_BLOWS = {Blow.ABORT: signal.SIGABRT, Blow.KILL: signal.SIGKILL}


@final
@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the composition root is told, inside the loop: they must be quick and must not raise."""

    on_up: Callable[[str, int, str], None] = lambda child_id, generation, endpoint: None
    on_announce: Callable[[str, str], None] = lambda child_id, text: None
    on_alarm: Callable[[str, Alarm], None] = lambda child_id, alarm: None
    on_event: Callable[[Event], None] = lambda event: None
    on_scan: Callable[[], None] = lambda: None
    """A few times a second, while the loop turns."""


@final
@dataclass(frozen=True, slots=True)
class SupervisorSettings:
    """`has_pidfd` is False where exits must be learned from SIGCHLD, as on macOS."""

    scan_interval_ms: int = 250
    has_pidfd: bool = field(default=process.HAS_PIDFD)
    random: Callable[[], float] = random.random


@final
class Supervisor:
    """Runs one tree until somebody stops it or its root group fails."""

    def __init__(
        self,
        root: GroupSpec,
        data_directory: DataDirectory,
        callbacks: Callbacks | None = None,
        settings: SupervisorSettings | None = None,
    ) -> None:
        self._settings = settings or SupervisorSettings()
        self._callbacks = callbacks or Callbacks()
        self._directory = data_directory
        self._tree = SupervisionTree(root, self._settings.random)
        self._beacons = Beacons(commands.CHILDREN_MAX)
        self._meters = Meters(commands.CHILDREN_MAX)
        self._news = News()
        self._processes: dict[str, ChildProcess] = {}
        self._wake_up = WakeUpPipe(self._signals())
        self._selector = selectors.DefaultSelector()
        self._next_scan_ms = 0
        self._exit_code: int | None = None

    def run(self) -> int:
        """Start the tree and look after it; the exit code. In the main thread only."""
        process.raise_descriptor_limit()
        with self._wake_up, self._selector:
            self._selector.register(self._wake_up.reader, selectors.EVENT_READ)
            try:
                self._carry_out(self._tree.start(_now_ms()))
                while self._exit_code is None:
                    self._turn()
            finally:
                self._kill_all()
        return self._exit_code

    def _signals(self) -> list[signal.Signals]:
        return [signal.SIGTERM, signal.SIGINT] + ([] if self._settings.has_pidfd else [signal.SIGCHLD])

    # The loop.

    def _turn(self) -> None:
        """Wait for something to happen, then deal with all of it."""
        deadline_ms = self._tree.next_deadline_ms()
        until_ms = self._next_scan_ms if deadline_ms is None else min(self._next_scan_ms, deadline_ms)
        ready = self._selector.select(max(0, until_ms - _now_ms()) / 1000)
        # Everything sent before this moment is heard in this turn. A later time would be unjust: a deadline
        # might seem to have passed in silence while the proof to the contrary lies unread.
        heard_ms = _now_ms()
        # Signals that came together are one wish: a terminal and a wrapper may both pass on one Ctrl-C.
        if any(number is not signal.SIGCHLD for number in self._wake_up.read()):
            self._carry_out(self._tree.shutdown(_now_ms()))
        for key, mask in ready:
            if key.data is not None:
                child, is_exit = key.data
                self._on_ready(child, is_exit, mask)
        if not self._settings.has_pidfd:
            for living in list(self._processes.values()):
                self._reap(living)
        if _now_ms() >= self._next_scan_ms:
            self._scan(_now_ms())
        deadline_ms = self._tree.next_deadline_ms()
        if self._tree.has_backlog or (deadline_ms is not None and deadline_ms <= heard_ms):
            self._carry_out(self._tree.tick(heard_ms))

    def _on_ready(self, child: ChildProcess, is_exit: bool, mask: int) -> None:
        if self._processes.get(child.id) is not child:
            return
        if is_exit:
            self._reap(child)
            return
        if mask & selectors.EVENT_WRITE:
            child.control.flush()
        if mask & selectors.EVENT_READ:
            self._hear(child, child.control.receive)
        self._watch_control(child)

    def _hear(self, child: ChildProcess, receive: Callable[[], list[FromChild]]) -> None:
        try:
            messages = receive()
        except ProtocolViolation as error:
            child.control.is_closed = True
            self._carry_out(self._tree.hung(child.id, child.generation, str(error), _now_ms()))
            return
        for message in messages:
            if isinstance(message, Announce):
                self._callbacks.on_announce(child.id, message.text)
            elif isinstance(message, Alarm):
                self._callbacks.on_alarm(child.id, message)
                self._spread(self._news.alarmed(child.id, message, _wall_ms()))
            elif isinstance(message, Follow):
                for standing in self._news.follow(child.id):
                    self._carry_out(self._tell((child.id,), standing))
            else:
                self._carry_out(commands.handle(self._tree, child.id, child.generation, message, _now_ms()))

    def _watch_control(self, child: ChildProcess) -> None:
        """Listen to the channel as long as it is open, and wait for room as long as something waits."""
        descriptor = child.control.descriptor
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if child.control.has_output else 0)
        registered = self._selector.get_map().get(descriptor)
        if child.control.is_closed:
            if registered is not None:
                self._selector.unregister(descriptor)
        elif registered is None:
            self._selector.register(descriptor, wanted, (child, False))
        elif registered.events != wanted:
            self._selector.modify(descriptor, wanted, (child, False))

    def _scan(self, now_ms: int) -> None:
        is_late = now_ms - self._next_scan_ms > LATE_SCANS_MAX * self._settings.scan_interval_ms
        self._next_scan_ms = now_ms + self._settings.scan_interval_ms
        for child in () if is_late else list(self._processes.values()):
            child.closed_scans += child.control.is_closed
            reading = self._beacons.slot(child.beacon).read()
            now_ns = time.monotonic_ns()
            starved_ns = child.starved_ns(reading.busy_since_ns) if is_suspect(reading, now_ns) else 0
            reason = judge(self._tree.children[child.id], reading, child.closed_scans, now_ns, starved_ns)
            if reason:
                self._carry_out(self._tree.hung(child.id, child.generation, reason, now_ms))
        self._meters.keep_only(self._tree.children)
        self._callbacks.on_scan()

    # Deeds.

    def _carry_out(self, effects: list[Effect]) -> None:
        """In order; what follows from a deed is done after what was decided before it."""
        todo = deque(effects)
        while todo:
            effect = todo.popleft()
            match effect:
                case Fork(child_id):
                    todo.extend(self._fork(child_id))
                case Strike(child_id, blow):
                    if (child := self._processes.get(child_id)) is not None:
                        child.send_signal(_BLOWS[blow])
                case Tell(to, message):
                    todo.extend(self._tell(to, message))
                case Describe():
                    todo.extend(self._describe(effect))
                case Report(event):
                    self._report(event)
                    for news in self._news.happened(event, _wall_ms()):
                        todo.extend(self._tell(self._news.followers, news))
                case Finished(exit_code):
                    self._exit_code = exit_code

    def _fork(self, child_id: str) -> list[Effect]:
        spec = self._tree.children[child_id].spec
        beacon = self._beacons.take()
        slot = self._beacons.slot(beacon)
        meter = self._meters.page(self._meters.of(child_id))
        run_directory, supervisor_pid = self._directory.run_directory, os.getpid()
        try:
            generation = self._directory.generations.take()
            child = fork_child(
                spec,
                lambda control: Life(
                    child_id, generation, control, slot, run_directory, supervisor_pid, meter, self._meters
                ),
                self._own_descriptors(),
                has_pidfd=self._settings.has_pidfd,
            )
        except (OSError, DiskFault) as error:
            self._beacons.give_back(beacon)
            return self._tree.fork_failed(child_id, f"could not be forked: {error}", _now_ms())
        child.generation, child.beacon = generation, beacon
        self._processes[child_id] = child
        self._watch_control(child)
        if child.pidfd is not None:
            self._selector.register(child.pidfd, selectors.EVENT_READ, (child, True))
        return self._tree.forked(child_id, generation, child.pid, _now_ms())

    def _own_descriptors(self) -> list[int]:
        """What a forked child must not keep, above all the other children's control channels."""
        own = [*self._wake_up.descriptors, self._directory.lock_descriptor]
        # Closing the copy of an epoll or kqueue descriptor leaves the supervisor's own registrations alone.
        selector: Any = self._selector
        if hasattr(selector, "fileno"):
            own.append(selector.fileno())
        for child in self._processes.values():
            own += child.descriptors
        return own

    def _tell(self, to: tuple[str, ...], message: FromSupervisor) -> list[Effect]:
        effects: list[Effect] = []
        frame = encode(message)
        for child_id in to:
            child = self._processes.get(child_id)
            if child is None:
                continue
            if not child.control.send_encoded(frame):
                reason = "does not read its control channel"
                effects += self._tree.hung(child_id, child.generation, reason, _now_ms())
            self._watch_control(child)
        return effects

    def _spread(self, message: FromSupervisor) -> None:
        """Tell all who follow."""
        self._carry_out(self._tell(self._news.followers, message))

    def _describe(self, wish: Describe) -> list[Effect]:
        nodes = [self._complete(node, wish.with_memory) for node in wish.nodes]
        try:
            return self._tell((wish.to,), Tree(wish.request, nodes))
        except ProtocolViolation as error:
            return self._tell((wish.to,), Done(wish.request, ok=False, text=str(error)))

    def _complete(self, node: NodeInfo, with_memory: bool) -> NodeInfo:
        child = self._processes.get(node.id)
        meter = self._meters.of(node.id)
        if child is None:
            return structs.replace(node, meter=meter)
        rss_bytes = 0
        if with_memory:
            with contextlib.suppress(psutil.Error):
                rss_bytes = psutil.Process(child.pid).memory_info().rss
        return structs.replace(node, started_at=child.started_at, rss_bytes=rss_bytes, meter=meter)

    def _report(self, event: Event) -> None:
        if event.kind is EventKind.READY:
            self._callbacks.on_up(event.id, event.generation, event.endpoint)
        self._callbacks.on_event(event)

    # Ends.

    def _reap(self, child: ChildProcess) -> None:
        """If it is dead: hear its last words, forget it, and tell the tree."""
        exit = child.reap()
        if exit is None:
            return
        self._hear(child, child.control.receive_rest)
        for descriptor in child.descriptors:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        self._bury(child)
        self._carry_out(self._tree.exited(child.id, child.generation, exit, _now_ms()))

    def _bury(self, child: ChildProcess) -> None:
        child.close()
        del self._processes[child.id]
        self._beacons.give_back(child.beacon)
        self._directory.remove_socket(child.id, child.generation)

    def _kill_all(self) -> None:
        """Nothing survives the loop, however it ended."""
        for child in self._processes.values():
            child.send_signal(signal.SIGKILL)
        for child in list(self._processes.values()):
            child.reap(is_waiting=True)
            self._bury(child)


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
