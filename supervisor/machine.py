"""What the system says of a process and of the machine: memory, processor time, descriptors, disk.

Fails with: nothing; what cannot be learned is 0, since a figure is never worth an actor.
"""

from __future__ import annotations

import os
import shutil

import psutil

from posthouse.supervisor.figures import MachineFigures, ProcessFigures


def read_process(pid: int) -> ProcessFigures:
    """The figures of a process; zeros for one that is gone."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return ProcessFigures(times.user + times.system, process.memory_info().rss, process.num_fds())
    except (psutil.Error, OSError):
        return ProcessFigures()


def read_machine(directory: str) -> MachineFigures:
    """The figures of the machine, and of the disk that holds `directory`."""
    memory = psutil.virtual_memory()
    try:
        disk = shutil.disk_usage(directory)
        disk_bytes, disk_free_bytes = disk.total, disk.free
    except OSError:
        disk_bytes = disk_free_bytes = 0
    load = os.getloadavg()[0]
    return MachineFigures(os.cpu_count() or 1, load, memory.total, memory.available, disk_bytes, disk_free_bytes)
