"""Memory, descriptors, threads and disk of every process of a broker over time, and whether they are flat."""

from __future__ import annotations

import contextlib
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Final, NamedTuple, TypeVar, final

import psutil

from posthouse.testing.broker import BrokerProcess

_T = TypeVar("_T")

GROWTH_SHARE: Final = 0.25
GROWTH_BYTES: Final = 16 * 1024 * 1024
DISK_BYTES: Final = 256 * 1024 * 1024
DESCRIPTORS: Final = 24
THREADS: Final = 3
"""pyzmq starts so many in a process that sends its first message of over 64 KiB without a copy."""
SAMPLES_MIN: Final = 12
"""Fewer, and nothing is said of growth."""


@final
class Sample(NamedTuple):
    """One process at one time."""

    rss_bytes: int
    descriptors: int
    threads: int


@final
class Meters:
    """Samples by actor, whatever life it is in; the disk is that of the whole data directory."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Sample]] = defaultdict(list)
        self.disk_bytes: list[int] = []

    def sample(self, process: BrokerProcess) -> None:
        """One look at everything that runs now."""
        for actor, pid in [("supervisor", process.pid), *process.pids().items()]:
            with contextlib.suppress(psutil.Error):
                found = psutil.Process(pid)
                self.samples[actor].append(Sample(found.memory_info().rss, found.num_fds(), found.num_threads()))
        self.disk_bytes.append(_size_of(process.data))

    def growth(self) -> list[str]:
        """What grew: the last third of the run compared with the one before it.

        Memory may grow by a quarter and 16 MiB, descriptors by 24, threads by 3, the disk by half and 256 MiB.
        """
        found = []
        for actor, samples in sorted(self.samples.items()):
            if len(samples) < SAMPLES_MIN:
                continue
            before, after = _thirds(samples)
            memory = [statistics.median(one.rss_bytes for one in part) for part in (before, after)]
            if memory[1] > memory[0] * (1 + GROWTH_SHARE) + GROWTH_BYTES:
                found.append(f"memory of {actor}: {memory[0] / 2**20:.0f} to {memory[1] / 2**20:.0f} MiB")
            open_files = [max(one.descriptors for one in part) for part in (before, after)]
            if open_files[1] > open_files[0] + DESCRIPTORS:
                found.append(f"descriptors of {actor}: {open_files[0]} to {open_files[1]}")
            threads = [max(one.threads for one in part) for part in (before, after)]
            if threads[1] > threads[0] + THREADS:
                found.append(f"threads of {actor}: {threads[0]} to {threads[1]}")
        if len(self.disk_bytes) >= SAMPLES_MIN:
            disk = [statistics.median(part) for part in _thirds(self.disk_bytes)]
            if disk[1] > disk[0] * 1.5 + DISK_BYTES:
                found.append(f"the disk: {disk[0] / 2**20:.0f} to {disk[1] / 2**20:.0f} MiB")
        return found


def _thirds(samples: list[_T]) -> tuple[list[_T], list[_T]]:
    third = len(samples) // 3
    return samples[third : 2 * third], samples[2 * third :]


def _size_of(data: Path) -> int:
    total = 0
    for path in data.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_blocks * 512
    return total
