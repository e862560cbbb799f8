"""The composition point: names every kind of actor, builds the tree, and runs it.

Nothing else in the project imports both actors and the supervisor's process side. What a child needs is decided here
and handed to it: its journal's directory, its limits, its sockets.
"""

from __future__ import annotations

import contextlib
import os
import random
import resource
import secrets
import shutil
import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple, final

import msgspec

import posthouse
from posthouse import broker_file
from posthouse.actors.actor import Actor, Context
from posthouse.actors.alert_desk import AlertSettings
from posthouse.actors.alerting import Alerting
from posthouse.actors.cell import Cell
from posthouse.actors.cell import Life as CellLife
from posthouse.actors.dead_letter import DeadLetterActor
from posthouse.actors.dead_letter_store import StoreLimits
from posthouse.actors.declaration import EVENTS_EXCHANGE, may_hold
from posthouse.actors.delay import DelayActor, DelayLimits
from posthouse.actors.door_loop import DoorLoop
from posthouse.actors.exchange import ExchangeActor
from posthouse.actors.holding import HoldLimits
from posthouse.actors.loop import Loop, wall_ms
from posthouse.actors.monitor import BrokerFacts, MonitorActor, Senses
from posthouse.actors.queue import QueueActor, QueueLimits
from posthouse.actors.registry import RegistryActor
from posthouse.actors.registry_records import journal_id
from posthouse.alerting import apprise_target
from posthouse.alerting.desk import Desk
from posthouse.alerting.letter import Sender
from posthouse.alerting.settings import read_alerts
from posthouse.broker_file import BrokerFile
from posthouse.config import Config
from posthouse.http_socket import open_as_configured
from posthouse.journal_lock import open_journal
from posthouse.log import Log
from posthouse.service_manager import ServiceManager
from posthouse.supervisor import exit_codes
from posthouse.supervisor.atomic_file import replace_file
from posthouse.supervisor.child_spec import ChildSpec, GroupSpec, Life, RestartIntensity, Strategy
from posthouse.supervisor.data_directory import DataDirectory, socket_path
from posthouse.supervisor.disk import Disk, RealDisk
from posthouse.supervisor.effects import Event, EventKind
from posthouse.supervisor.figures import MachineFigures
from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.supervisor.machine import read_machine, read_process
from posthouse.supervisor.supervisor import Callbacks, Supervisor
from posthouse.transport.errors import DiskFault, JournalCorrupt, PreconditionFailed
from posthouse.transport.messages import ExchangeSpec, QueueSpec
from posthouse.transport.names import DEAD_LETTER, DELAY, MONITOR, REGISTRY, WEB
from posthouse.transport.sockets import Sockets
from posthouse.web import child as web_child
from posthouse.web.settings import WebSettings

STORE_READY_LIMIT_MS: Final = 600_000
"""The delay scheduler reads its whole journal before it is ready: a second or two per million messages."""

DELAY_CHUNK_BYTES: Final = 64 * 1024

FEW: Final = RestartIntensity(max_restarts=20, period_s=10.0)
"""Of the registry: a loop of crashes takes milliseconds a turn and gets there at once; kills by hand hardly do."""

MANY: Final = RestartIntensity(max_restarts=10, period_s=5.0)
"""Of each queue, exchange and door: crashes in a row, none of which left it up for five seconds."""


PLANTED: Final = "POSTHOUSE_PLANTED_BUG"
"""The variable by which this project's own tests put a known bug into the broker. No broker runs with it."""


class Seams(NamedTuple):
    """Where tests put something between a broker and the machine. Production has the machine there."""

    disk: Callable[[Life], Disk] = lambda life: RealDisk()
    cell: Callable[[Life, Cell, Journal | None], None] = lambda life, cell, journal: None
    event: Callable[[Event], None] = lambda event: None
    machine: Callable[[str], MachineFigures] = read_machine


def serve(config: Config, *, out: Callable[[str], None] = print, seams: Seams | None = None) -> int:
    """Run a broker until it is told to stop; returns the exit code. Raises Refused, DiskFault before it starts."""
    if PLANTED in os.environ:
        raise PreconditionFailed(f"{PLANTED} is set: a broker with a bug on purpose is for its own tests; unset it")
    apprise_target.check(read_alerts(config.alerts, config.disk_free_bytes_min).targets.values())
    with DataDirectory.open(config.data) as directory:
        broker = Broker(config, directory, out, seams or Seams())
        return broker.run()


@final
class Broker:
    """One run of a broker in one data directory."""

    def __init__(self, config: Config, directory: DataDirectory, out: Callable[[str], None], seams: Seams) -> None:
        self._config = config
        self._seams = seams
        self._directory = directory
        self._out = out
        self._boot = secrets.token_hex(8)
        self._log = Log.make(config.log)
        self._service = ServiceManager.of(os.environ)
        self._alerts = read_alerts(config.alerts, config.disk_free_bytes_min)
        self._started_at = time.time()
        self._registry = ("", 0)
        self._listen = ""
        self._http = ""
        self._http_socket: socket.socket | None = None
        self._secret = secrets.token_bytes(32)
        self._is_ready = False
        self._is_announced = False

    def run(self) -> int:
        service = self._service
        callbacks = Callbacks(self._up, self._announced, self._log.alarm, self._event, service.scanned)
        self._http_socket, self._http = open_as_configured(
            self._config, lambda text: self._log.warning("cannot_serve_http", text)
        )
        try:
            return Supervisor(self._tree(), self._directory, callbacks).run()
        finally:
            self._close_http()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._broker_file)

    # ---- the tree: started downwards, stopped upwards ----

    def _tree(self) -> GroupSpec:
        edge: tuple[ChildSpec, ...] = (ChildSpec(MONITOR, MONITOR, self._run_monitor),)
        if self._config.listen:
            edge = (*edge, ChildSpec("door", "door", self._run_door))
        if self._http_socket is not None:
            edge = (*edge, ChildSpec(WEB, WEB, self._run_web))
        return GroupSpec(
            "broker",
            Strategy.ONE_FOR_ONE,
            FEW,
            (
                ChildSpec(REGISTRY, REGISTRY, self._run_registry),
                GroupSpec("stores", Strategy.ONE_FOR_ONE, MANY, self._stores(), quarantines=True),
                GroupSpec("queues", Strategy.ONE_FOR_ONE, MANY, make_child=self._make_queue, quarantines=True),
                GroupSpec("exchanges", Strategy.ONE_FOR_ONE, MANY, make_child=self._make_exchange, quarantines=True),
                GroupSpec("edge", Strategy.ONE_FOR_ONE, MANY, edge, quarantines=True),
            ),
        )

    def _stores(self) -> tuple[ChildSpec, ...]:
        """What keeps messages that are in no queue. A damaged one is quarantined and stops nobody else."""
        return (
            self._dead_letter(),
            ChildSpec(DELAY, "delay", self._run_delay, ready_limit_ms=STORE_READY_LIMIT_MS),
        )

    def _dead_letter(self) -> ChildSpec:
        limits = StoreLimits(
            messages_max=self._config.dead_letters_max,
            bytes_max=self._config.dead_letter_bytes_max,
            disk_free_bytes_min=self._config.disk_free_bytes_min,
        )

        def make(context: Context) -> Actor:
            return DeadLetterActor(context, limits)

        journal = self._directory.journal_directory(DEAD_LETTER)
        return ChildSpec(DEAD_LETTER, DEAD_LETTER, lambda life: self._run_cell(life, make, journal))

    def _make_queue(self, kind: str, actor_id: str, arguments: bytes) -> ChildSpec:
        spec = msgspec.msgpack.decode(arguments, type=QueueSpec)
        limits = QueueLimits(self._config.queue_memory_bytes_max, self._config.disk_free_bytes_min)

        def make(context: Context) -> Actor:
            return QueueActor(context, spec, limits)

        journal = self._journal_of(spec) if spec.durable else None
        return ChildSpec(actor_id, kind, lambda life: self._run_cell(life, make, journal))

    def _make_exchange(self, kind: str, actor_id: str, arguments: bytes) -> ChildSpec:
        spec = msgspec.msgpack.decode(arguments, type=ExchangeSpec)
        config = self._config
        limits = HoldLimits(
            for_ms=int(config.hold_for_s * 1000),
            messages_max=config.hold_max_length,
            bytes_max=config.hold_max_bytes,
            memory_bytes_max=config.hold_memory_bytes_max,
            disk_free_bytes_min=config.disk_free_bytes_min,
        )

        def make(context: Context) -> Actor:
            return ExchangeActor(context, spec, limits)

        journal = self._journal_of(spec) if spec.durable and may_hold(spec) else None
        return ChildSpec(actor_id, kind, lambda life: self._run_cell(life, make, journal))

    # ---- in the children ----

    def _run_registry(self, life: Life) -> int:
        def make(context: Context) -> Actor:
            return RegistryActor(
                context, boot=self._boot, remove_journal=self._remove_journal, own_exchanges=(EVENTS_EXCHANGE,)
            )

        return self._run_cell(life, make, self._directory.journal_directory(REGISTRY))

    def _run_delay(self, life: Life) -> int:
        limits = DelayLimits(
            fire_per_s_max=self._config.delayed_per_s_max, disk_free_bytes_min=self._config.disk_free_bytes_min
        )

        def make(context: Context) -> Actor:
            return DelayActor(context, limits)

        # A body that is read back costs the reading of its whole chunk, so chunks are kept small here.
        journal = self._directory.journal_directory(DELAY)
        return self._run_cell(life, make, journal, chunk_bytes_target=DELAY_CHUNK_BYTES)

    def _run_monitor(self, life: Life) -> int:
        data = self._directory.path
        facts = BrokerFacts(posthouse.__version__, data, life.supervisor_pid, self._started_at)
        senses = Senses(lambda page: life.meters.page(page).read(), read_process, lambda: self._seams.machine(data))
        sender = Sender(socket.gethostname(), data, posthouse.__version__)
        desk = Desk(data, replace_file, self._alerts.targets.values(), sender)
        settings = AlertSettings(
            rules=self._alerts.rules,
            targets=tuple(target.facts for target in self._alerts.targets.values()),
            is_enabled=self._alerts.is_enabled,
            repeat_s=self._alerts.repeat_s,
            boot=f"{life.supervisor_pid} {self._started_at}",
            descriptors_max=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        )

        def make(context: Context) -> Actor:
            return MonitorActor(context, facts, senses, Alerting(context, settings, desk))

        return self._run_cell(life, make, None)

    def _run_web(self, life: Life) -> int:
        listener = self._http_socket
        assert listener is not None
        settings = WebSettings(
            address=self._http,
            hosts=self._config.http_hosts,
            is_remote=self._config.allow_remote,
            secret=self._secret,
            data=self._directory.path,
            metrics_named_max=self._config.metrics_named_max,
        )
        return web_child.run(life, listener, f"ipc://{self._directory.path}", settings)

    def _began(self, life: Life) -> None:
        """The socket for HTTP is for one child only, and what any of them dies of is a line of the log."""
        self._close_http()
        self._log.catch_crashes(life.id, life.generation)

    def _run_door(self, life: Life) -> int:
        self._began(life)
        sockets = Sockets(self._config.limits)
        where = self._listen or self._config.listen
        try:
            sockets.serve(where)
        except OSError as error:
            why = os.strerror(error.errno or 0)
            text = f"cannot listen on {where}: {why}; is another broker running? see --listen"
            self._log.failed(life.id, life.generation, "cannot_listen", text)
            sockets.close()
            return exit_codes.CRASHED
        code = DoorLoop(life, sockets).run()
        sockets.close()
        return code

    def _run_cell(
        self,
        life: Life,
        make: Callable[[Context], Actor],
        journal_directory: str | None,
        chunk_bytes_target: int = JournalSettings.chunk_bytes_target,
    ) -> int:
        self._began(life)
        try:
            settings = JournalSettings(
                segment_bytes_max=self._config.segment_bytes_max, chunk_bytes_target=chunk_bytes_target
            )
            journal = (
                None
                if journal_directory is None
                else (open_journal(self._seams.disk(life), journal_directory, life.generation, settings, wall_ms))
            )
            sockets = Sockets(self._config.limits)
            sockets.serve("ipc://" + socket_path(life.run_directory, life.id, life.generation))
            cell = Cell(
                CellLife(life.id, life.generation),
                make,
                limits=self._config.limits,
                source=random.Random(secrets.randbits(64)),
                journal=journal,
                meter=life.meter,
            )
            self._seams.cell(life, cell, journal)
            code = Loop(cell, life, sockets).run()
            if journal is not None:
                journal.close()
            sockets.close()
            return code
        except JournalCorrupt as error:
            self._log.failed(life.id, life.generation, error.code, str(error))
            return exit_codes.JOURNAL_CORRUPT
        except DiskFault as error:
            self._log.failed(life.id, life.generation, error.code, str(error))
            return exit_codes.STORAGE_FAULT

    def _journal_of(self, spec: QueueSpec | ExchangeSpec) -> str:
        return self._directory.journal_directory(journal_id(spec))

    def _remove_journal(self, spec: QueueSpec | ExchangeSpec) -> None:
        """The queue or exchange is deleted, its actor has stopped, and the deletion is durable."""
        shutil.rmtree(self._journal_of(spec), ignore_errors=True)

    # ---- the socket for HTTP ----

    def _close_http(self) -> None:
        """In a child this closes its copy only."""
        if self._http_socket is not None:
            self._http_socket.close()
            self._http_socket = None

    # ---- told by the supervisor ----

    def _up(self, actor_id: str, generation: int, endpoint: str) -> None:
        if actor_id == REGISTRY:
            self._registry = (endpoint, generation)
        elif actor_id == "door":
            self._listen = endpoint
        else:
            return
        self._write_broker_file()
        self._say_ready()

    def _announced(self, actor_id: str, text: str) -> None:
        self._is_announced = True
        self._say_ready()

    def _say_ready(self) -> None:
        has_door = bool(self._listen) or not self._config.listen
        if self._is_announced and has_door and not self._is_ready:
            self._is_ready = True
            self._service.ready()
            self._out(" ".join(["ready", *filter(None, [self._listen, self._http]), f"ipc://{self._directory.path}"]))

    def _event(self, event: Event) -> None:
        self._log.event(event)
        self._service.event(event)
        self._seams.event(event)
        if event.kind is EventKind.QUARANTINED and event.id == "door" and not self._is_ready:
            text = f"cannot listen on {self._config.listen}; is another broker running? see --listen"
            self._log.error("cannot_listen", text)

    @property
    def _broker_file(self) -> str:
        return os.path.join(self._directory.path, "run", broker_file.NAME)

    def _write_broker_file(self) -> None:
        endpoint, generation = self._registry
        file = BrokerFile(
            pid=os.getpid(),
            registry=endpoint,
            generation=generation,
            listen=self._listen,
            version=posthouse.__version__,
            data=self._directory.path,
            started_at=self._started_at,
            http=self._http,
        )
        replace_file(self._broker_file, msgspec.json.encode(file))
