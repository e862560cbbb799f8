"""What is measured about processes and times: percentiles, CPU seconds, memory along a run."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self, final

import psutil

SAMPLE_EVERY_S: Final = 0.1


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that `share` percent of the values do not exceed."""
    ordered = sorted(values)
    index = max(0, -(-len(ordered) * share // 100) - 1)
    return ordered[min(len(ordered) - 1, int(index))]


@final
class Sampler:
    """Watches processes while something runs: CPU seconds over the whole of it, resident memory along it."""

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = dict(processes)
        self._before: dict[str, float] = {}
        self._resident: dict[str, list[int]] = {name: [] for name in processes}
        self._cpu: dict[str, float] = {}
        self.cpu_along: list[tuple[float, dict[str, float]]] = []
        """Moments, each with the CPU seconds of every process until then."""
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._before = self._cpu_now()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
        now = self._cpu_now()
        self._cpu = {name: now[name] - before for name, before in self._before.items() if name in now}

    @property
    def cpu_s(self) -> dict[str, float]:
        """CPU seconds by process, user and system."""
        return self._cpu

    @property
    def resident(self) -> dict[str, tuple[int, int]]:
        """Mean resident bytes over the first and over the last quarter of the run."""
        found = {}
        for name, samples in self._resident.items():
            if samples:
                quarter = max(1, len(samples) // 4)
                found[name] = (sum(samples[:quarter]) // quarter, sum(samples[-quarter:]) // quarter)
        return found

    def _watch(self) -> None:
        # The first sample comes at once, so that the shortest run has one.
        while True:
            for name, process in self._processes.items():
                with contextlib.suppress(psutil.NoSuchProcess):
                    self._resident[name].append(process.memory_info().rss)
            self.cpu_along.append((time.monotonic(), self._cpu_now()))
            if self._is_over.wait(SAMPLE_EVERY_S):
                return

    def _cpu_now(self) -> dict[str, float]:
        found = {}
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found[name] = times.user + times.system
        return found
