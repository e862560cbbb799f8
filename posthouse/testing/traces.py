"""What a broker must not leave on the machine once it has ended: processes, zombies, sockets, shared memory."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import psutil

SHARED_MEMORY = Path("/dev/shm")


def traces_of(data: Path, pids: Iterable[int] = ()) -> list[str]:
    """Everything that is left of a broker on that data directory, in words. `pids`: the processes it had.

    Its journal is no trace. Sockets are: they live in `run`, and the next start would have to clear them away.
    """
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE and process.ppid() == os.getpid():
                found.append(f"the zombie {pid}")
    for process in psutil.process_iter(["cmdline"]):
        if str(data) in (process.info["cmdline"] or []) and process.pid != os.getpid():
            found.append(f"the process {process.pid}")
    if SHARED_MEMORY.is_dir():
        found += [f"shared memory {path}" for path in SHARED_MEMORY.glob("*posthouse*")]
    return found


def sockets_of(data: Path) -> list[str]:
    """Socket files in its run directory: none after an orderly stop."""
    return sorted(path.name for path in (data / "run").rglob("*") if path.is_socket())
