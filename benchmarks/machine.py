"""The machine itself: what it is, and how fast it does the three things a broker is made of, in the same run.

Numbers of two machines, or of one machine on a quiet and a busy day, can only be compared as ratios to these.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

import psutil
import zmq

from benchmarks.broker import data_parent, file_system
from benchmarks.measured import percentile
from benchmarks.report import Result
from posthouse import __version__

SYNC_BYTES: Final = 4_096
LOOP_STEPS: Final = 3_000_000


def describe(place: Path) -> dict[str, Any]:
    """What the numbers were measured on."""
    kind, device = file_system(place)
    return {
        "posthouse": f"{__version__} {_commit()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "machine": f"{os.cpu_count()} × {_processor()}, {psutil.virtual_memory().total / (1 << 30):.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "disk": f"{kind} on {device}, data below {place}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }


def run(is_quick: bool) -> Result:
    """Raw syncs, raw ZeroMQ round trips, raw Python."""
    budget_s = 0.5 if is_quick else 2.0
    syncs = _syncs(budget_s)
    trips = _round_trips(budget_s)
    steps_per_s = _loop()
    rows = [
        (
            "fdatasync of 4 KiB appended",
            f"{len(syncs) / sum(syncs):,.0f}/s",
            f"p50 {percentile(syncs, 50) * 1e6:,.0f} µs, p99 {percentile(syncs, 99) * 1e6:,.0f} µs",
        ),
        (
            "ZeroMQ round trip, ipc",
            f"{len(trips) / sum(trips):,.0f}/s",
            f"p50 {percentile(trips, 50) * 1e6:,.0f} µs, p99 {percentile(trips, 99) * 1e6:,.0f} µs",
        ),
        ("Python loop, one core", f"{steps_per_s / 1e6:,.1f} M steps/s", ""),
    ]
    details = {
        "syncs_per_s": len(syncs) / sum(syncs),
        "round_trips_per_s": len(trips) / sum(trips),
        "loop_steps_per_s": steps_per_s,
    }
    return Result("The machine by itself", ("", "rate", "each"), rows, details)


def _syncs(budget_s: float) -> list[float]:
    block = os.urandom(SYNC_BYTES)
    took = []
    with tempfile.NamedTemporaryFile(dir=data_parent()) as file:
        descriptor = file.fileno()
        end = time.perf_counter() + budget_s
        while (began := time.perf_counter()) < end:
            os.write(descriptor, block)
            _sync(descriptor)
            took.append(time.perf_counter() - began)
    return took


# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


def _round_trips(budget_s: float) -> list[float]:
    """Between two threads, so that it is the sockets and the switch that are measured."""
    context = zmq.Context()
    with tempfile.TemporaryDirectory(prefix="ph-") as directory:
        endpoint = f"ipc://{directory}/s"
        served = context.socket(zmq.PAIR)
        served.bind(endpoint)
        asking = context.socket(zmq.PAIR)
        asking.connect(endpoint)

        def answer() -> None:
            while (frame := served.recv()) != b"":
                served.send(frame)

        thread = threading.Thread(target=answer)
        thread.start()
        took = []
        body = b"x" * 100
        end = time.perf_counter() + budget_s
        while (began := time.perf_counter()) < end:
            asking.send(body)
            asking.recv()
            took.append(time.perf_counter() - began)
        asking.send(b"")
        thread.join()
        asking.close()
        served.close()
        context.term()
    return took


def _loop() -> float:
    began = time.process_time()
    total = 0
    for number in range(LOOP_STEPS):
        total += number & 7
    return LOOP_STEPS / (time.process_time() - began)


def _commit() -> str:
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        check=False,
        text=True,
    )
    return told.stdout.strip() or "(no commit)"


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
