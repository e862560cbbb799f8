"""A real broker in processes of its own: started by command line, watched through its log, killed by signals.

It promises that no process of the broker outlives it, and fails for one that had to be looked for. It learns which
actor lives where from the broker's log, so that it needs no client and knows it even when the registry is dead.

Fails with: AssertionError, since this is for tests: with what was waited for, and with the broker's log when it does
not start.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, final

import psutil

import posthouse
from posthouse.testing.failpoints import STRUCK, VARIABLE, Failpoint, to_text
from posthouse.testing.traces import traces_of
from posthouse.testing.waiting import eventually

READY_S: Final = 90.0
STOP_S: Final = 60.0
GONE_S: Final = 30.0

_ENDINGS: Final = ("exited", "killed", "quarantined")

LogLine = dict[str, Any]


@contextlib.contextmanager
def running(*, failpoints: Sequence[Failpoint] = (), http: str = "off", **settings: object) -> Iterator[BrokerProcess]:
    """A fresh broker in a temporary directory, ready to take work; nothing is left of it afterwards.

    `settings`: those of a configuration file, `docs/operations.md` lists them. It listens on a free port of loopback;
    with `http="127.0.0.1:0"` it serves HTTP on another one, and `process.http` is the URL.
    """
    with tempfile.TemporaryDirectory(prefix="ph-") as place:
        options: list[str] = []
        if settings:
            config = Path(place) / "posthouse.toml"
            config.write_text("".join(f"{name} = {_toml(value)}\n" for name, value in settings.items()))
            options = ["--config", str(config)]
        with BrokerProcess(Path(place), *options, http=http, failpoints=failpoints) as process:
            yield process
        assert (left := traces_of(process.data, process.seen)) == [], f"the broker left {left}"


def _toml(value: object) -> str:
    # A number, a truth value or a text: what JSON and TOML write alike.
    return json.dumps(value)


@final
class BrokerProcess:
    """`posthouse serve` on the directory `data` in `place`. As a context manager it starts, and leaves nothing behind.

    With `failpoints`, faults strike at named steps: see `failpoints`. Keep `place` short: sockets live in it, and
    systems allow their paths some 100 bytes.
    """

    def __init__(
        self,
        place: Path,
        *options: str,
        listen: str = "tcp://127.0.0.1:0",
        http: str | None = "off",
        data: str = "d",
        failpoints: Sequence[Failpoint] = (),
    ) -> None:
        self.data = place / data
        self.tcp = listen
        self.http = http or ""
        self._says_http = http is not None
        self.seen: set[int] = set()
        """Every process it ever had."""
        self._options = options
        self._failpoints = to_text(failpoints) if failpoints else ""
        self._log = place / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._life_begins_at = 0
        self._read_to = 0
        self._lines: list[LogLine] = []
        self._brokers: list[posthouse.Broker] = []
        self._killed: dict[str, int] = {}

    # ---- life ----

    def start(self) -> Self:
        """Start it and wait until it takes work; AssertionError with its log when it does not."""
        process = self.launch()
        assert process.stdout is not None
        line = _first_line(process)
        words = line.split()
        assert words[:1] == ["ready"], f"it said {line!r} instead of being ready:\n{self.log}"
        # The ports of the first start are kept, so that clients find a restarted broker where it was.
        self.tcp = next((word for word in words if word.startswith("tcp://")), self.tcp)
        self.http = next((word for word in words if word.startswith("http://")), self.http)
        return self

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it without waiting for anything."""
        assert self._process is None, "it runs already"
        where = [] if self.tcp == "" else ["--listen", self.tcp]
        where += ["--http", self.http] if self._says_http else []
        program = ["posthouse.testing"] if self._failpoints else ["posthouse", "serve"]
        with self._log.open("ab") as log:
            self._life_begins_at = self._read_to = log.tell()
            self._lines = []
            self._process = subprocess.Popen(
                [sys.executable, "-m", *program, "--data", str(self.data), *where, *self._options],
                env=environment() | ({VARIABLE: self._failpoints} if self._failpoints else {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        return self._process

    def wait(self, within_s: float = STOP_S) -> int:
        """Its exit code, once it has ended by itself; AssertionError when a child outlived it."""
        process = self._running()
        code = process.wait(within_s)
        self._forget()
        return code

    def collect(self) -> None:
        """If it has died by itself, make sure that nothing of it is left; then it may be started again."""
        if self._process is not None:
            self._process.wait(GONE_S)
            self._forget()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop, and wait; returns the exit code."""
        self._running().send_signal(number)
        return self.wait()

    def kill_all(self) -> list[int]:
        """SIGKILL to the supervisor alone: its children must die of it. Returns their pids."""
        children = self.children
        self._running().kill()
        self._running().wait(GONE_S)
        self._forget()
        return children

    def restart(self) -> Self:
        """Kill it if it runs, and start it again on the same port."""
        if self._process is not None:
            self.kill_all()
        return self.start()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.clean_up()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clean_up()

    def clean_up(self) -> None:
        """Close its clients and end every process of it, stopped ones too."""
        for broker in self._brokers:
            broker.close(timeout_s=0.0)
        self._brokers.clear()
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(GONE_S)
            self._forget()

    # ---- actors ----

    @property
    def pid(self) -> int:
        """The supervisor."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def children(self) -> list[int]:
        """Living processes that descend from the supervisor."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        return []

    def pid_of(self, actor: str) -> int:
        """The process of the actor's present life; waits until it is up."""
        return int(self.wait_up(actor)["pid"])

    def generation_of(self, actor: str) -> int:
        """The actor's present life; waits until it is up."""
        return int(self.wait_up(actor)["generation"])

    def stop_the_world(self) -> list[int]:
        """SIGKILL to every process at once; returns their pids."""
        children = self.children
        os.killpg(self.pid, signal.SIGKILL)
        self._running().wait(GONE_S)
        self._forget()
        return children

    def actors(self, pattern: str = "*") -> list[str]:
        """The names of those that are up, `*` for any text in them."""
        return [name for name in self.pids() if fnmatchcase(name, pattern)]

    def pids(self) -> dict[str, int]:
        """The processes of those that are up, by name."""
        up: dict[str, int] = {}
        for line in self.lines():
            if line.get("event") == "ready":
                up[line["actor"]] = line["pid"]
            elif line.get("event") in _ENDINGS:
                up.pop(line["actor"], None)
        return up

    def set_failpoints(self, failpoints: Sequence[Failpoint]) -> None:
        """For its next start; what has struck before is forgotten."""
        self._failpoints = to_text(failpoints) if failpoints else ""
        for path in (self.data / STRUCK).glob("*-*"):
            path.unlink()

    def struck(self) -> dict[int, int]:
        """By number of a failpoint, in how many lives it has struck."""
        return dict(Counter(int(path.name.partition("-")[0]) for path in (self.data / STRUCK).glob("*-*")))

    def kill(self, actor: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to an actor that is up; returns the generation it hit."""
        up = self.wait_up(actor)
        os.kill(up["pid"], number)
        if number == signal.SIGKILL:
            self._killed[actor] = up["generation"]
        return int(up["generation"])

    def wait_up(self, actor: str, generation_above: int = 0, within_s: float = READY_S) -> LogLine:
        """The log's line on the life that is up now; never one that was killed from here."""
        above = max(generation_above, self._killed.get(actor, 0))
        return eventually(lambda: self._up(actor, above), within_s, f"{actor} up")

    def wait_logged(self, event: str, within_s: float = READY_S, **fields: object) -> LogLine:
        """The first line of this start of the broker with that event and those fields."""

        def look() -> LogLine | None:
            lines = (line for line in self.lines() if line.get("event") == event)
            return next((line for line in lines if fields.items() <= line.items()), None)

        return eventually(look, within_s, f"{event} {fields} in the log")

    def _up(self, actor: str, generation_above: int) -> LogLine | None:
        lines = [line for line in self.lines() if line.get("actor") == actor]
        events = [line for line in lines if line["event"] == "ready" or line["event"] in _ENDINGS]
        if not events or events[-1]["event"] != "ready" or events[-1]["generation"] <= generation_above:
            return None
        return events[-1]

    # ---- what it says ----

    @property
    def ipc(self) -> str:
        """Where clients of this machine find it."""
        return f"ipc://{self.data}"

    @property
    def log(self) -> str:
        """Everything it wrote to standard error since it was started last."""
        with self._log.open("rb") as log:
            log.seek(self._life_begins_at)
            return log.read().decode(errors="replace")

    def lines(self) -> list[LogLine]:
        """The structured lines of the log since it was started last."""
        with self._log.open("rb") as log:
            log.seek(self._read_to)
            new, _, _ = log.read().rpartition(b"\n")  # The last one may be half written.
        if new:
            self._read_to += len(new) + 1
            for line in new.decode(errors="replace").splitlines():
                if line.startswith("{"):
                    self._lines.append(json.loads(line))
        return self._lines

    def connect(self, *, door: bool = False, timeout_s: float = 30.0, name: str = "") -> posthouse.Broker:
        """A client; closed with the broker at the latest."""
        broker = posthouse.connect(self.tcp if door else self.ipc, timeout_s=timeout_s, name=name)
        self._brokers.append(broker)
        return broker

    # ---- inside ----

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the broker does not run"
        return self._process

    def _forget(self) -> None:
        """The supervisor is gone. Nothing of its session may be alive a moment later."""
        process = self._running()
        self._process = None
        assert process.stdout is not None
        process.stdout.close()
        started = {int(line["pid"]) for line in self.lines() if line.get("event") in ("started", "ready")}
        self.seen |= {process.pid, *started}
        try:
            eventually(lambda: not alive_of(process.pid, started), GONE_S, "no process of the broker is left")
        finally:
            for orphan in alive_of(process.pid, started):
                orphan.kill()


def environment() -> dict[str, str]:
    """For programs that shall import the same posthouse as this one."""
    return {**os.environ, "PYTHONPATH": str(Path(posthouse.__file__).parents[1])}


def alive_of(session: int, pids: set[int]) -> list[psutil.Process]:
    """Those of the processes that still run in that session; a zombie runs no more, and a pid may be given anew."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE and os.getsid(pid) == session:
                found.append(process)
    return found


def run_command(*arguments: str, within_s: float = READY_S) -> subprocess.CompletedProcess[str]:
    """One `posthouse` command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "posthouse", *arguments],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )


def start_python(program: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """A client program in a process of its own; its output is a pipe."""
    return subprocess.Popen(
        [sys.executable, "-u", "-c", program, *arguments],
        env=environment(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def read_line(process: subprocess.Popen[bytes], within_s: float = READY_S) -> str:
    """The next line a program prints."""
    return _first_line(process, within_s)


def end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """SIGKILL to programs, and collect them."""
    for process in processes:
        process.kill()
        process.wait(GONE_S)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _first_line(process: subprocess.Popen[bytes], within_s: float = READY_S) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + within_s
    line = bytearray()
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(process.stdout.fileno(), 1) if readable else b""
        if not part:
            break
        line += part
    return line.decode(errors="replace").strip()
