"""Stopping the broker of a data directory from another process.

Who holds the directory's lock is the broker; it is told to stop in order, and is gone when the lock is free.
No process that does not hold the lock ever gets a signal.

Fails with: `BrokerNotRunning` when there is nothing to stop, `Unavailable` when it does not stop in time,
`Refused` when it is not ours to stop.
"""

from __future__ import annotations

import contextlib
import os
from time import monotonic
from typing import Final

import psutil

from posthouse.supervisor.disk import RealDisk
from posthouse.transport.errors import BrokerNotRunning, Refused, Unavailable

_LOOK_AGAIN_S: Final = 0.05


def stop_broker(directory: str, timeout_s: float) -> int:
    """Send SIGTERM and wait until the broker is gone; returns its process id."""
    process = _broker_of(directory)
    try:
        with contextlib.suppress(psutil.NoSuchProcess):  # It went by itself in this moment: as was wanted.
            process.terminate()
    except psutil.AccessDenied:
        raise Refused(f"the broker on {directory} (process {process.pid}) belongs to another user") from None
    _wait_until_gone(process, directory, timeout_s)
    pid: int = process.pid
    return pid


def _broker_of(directory: str) -> psutil.Process:
    """The living broker: who holds the lock. What a file says of it may be of an earlier life."""
    holder = _lock_holder(directory)
    if not holder:
        raise BrokerNotRunning(f"no broker runs on {directory}")
    try:
        process = psutil.Process(holder)
    except (psutil.NoSuchProcess, ValueError):
        # The system does not tell processes of other containers apart, or it ended since.
        if not _lock_holder(directory):
            raise BrokerNotRunning(f"no broker runs on {directory}") from None
        raise Refused(f"the broker on {directory} cannot be seen from here; stop it in its own container") from None
    return process


def _wait_until_gone(process: psutil.Process, directory: str, timeout_s: float) -> None:
    """Until the lock is free: the process itself may stay listed until its parent has looked after it."""
    deadline = monotonic() + timeout_s
    while _lock_holder(directory) == process.pid:
        left = deadline - monotonic()
        if left <= 0:
            raise Unavailable(
                f"the broker on {directory} (process {process.pid}) was told to stop and still runs after "
                f"{timeout_s:g} s"
            )
        try:
            process.wait(min(left, _LOOK_AGAIN_S))
        except psutil.TimeoutExpired:
            continue


def _lock_holder(directory: str) -> int:
    return RealDisk().lock_holder(os.path.join(directory, "run", "lock"))
