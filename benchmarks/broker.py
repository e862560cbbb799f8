"""The broker under test: a real `posthouse serve` in a temporary directory on a real disk.

A directory in memory would make every sync free, so the place is chosen by its file system: the usual temporary
directory unless that is in memory, then /var/tmp, then here.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, final

import psutil

import posthouse
from posthouse.demo_broker import OPTIONS, BrokerProcess

IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
CALL_TIMEOUT_S = 60.0


@final
class Bench:
    """A running broker, a client to arrange things with, and a look at its processes.

    `ready` is the line with its addresses that it said when it was.
    """

    def __init__(self, process: BrokerProcess, broker: posthouse.Broker, ready: str) -> None:
        self.process = process
        self.broker = broker
        self.ready = ready

    @property
    def data(self) -> str:
        return str(self.process.data)

    def actors(self) -> dict[str, psutil.Process]:
        """The broker's processes by actor; the supervisor is `supervisor`."""
        found = {"supervisor": psutil.Process(self.process.pid)}
        for node in self.broker.tree():
            if node["pid"]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    found[node["id"]] = psutil.Process(node["pid"])
        return found

    def node(self, actor: str) -> dict[str, Any]:
        return next(node for node in self.broker.tree() if node["id"] == actor)


@contextlib.contextmanager
def running_broker(module: str = "posthouse", arguments: Sequence[str] = OPTIONS) -> Iterator[Bench]:
    """A fresh broker on an empty directory; both are gone afterwards. `module`: what `python -m` runs as one."""
    directory = Path(tempfile.mkdtemp(prefix="ph-bench-", dir=data_parent()))
    process = BrokerProcess(directory / "data", directory / "log", arguments, module)
    try:
        ready = process.start()
        with posthouse.connect(data=str(process.data), timeout_s=CALL_TIMEOUT_S) as broker:
            yield Bench(process, broker, ready)
    finally:
        process.stop()
        shutil.rmtree(directory, ignore_errors=True)


@cache
def data_parent() -> Path:
    """Where the data directories go: the first place that is on a disk."""
    places = (Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd())
    return next((place for place in places if file_system(place)[0] not in IN_MEMORY), places[-1])


def file_system(place: Path) -> tuple[str, str]:
    """Type and device of the file system a path is on."""
    best, found = "", ("unknown", "unknown")
    for partition in psutil.disk_partitions(all=True):
        if place.resolve().is_relative_to(partition.mountpoint) and len(partition.mountpoint) >= len(best):
            best, found = partition.mountpoint, (partition.fstype, partition.device)
    return found
