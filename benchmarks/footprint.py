"""What a queue costs before it does anything: memory of its process, and the time to declare it.

USS is what would come free if the process ended; RSS counts the pages it shares with the supervisor it was forked
from, over and over for each process.
"""

from __future__ import annotations

import time
from typing import Final

from benchmarks.broker import Bench, running_broker
from benchmarks.report import Result, mebibytes

COUNTS: Final = (1, 50, 200)
QUICK_COUNTS: Final = (1, 20)


def run(is_quick: bool) -> Result:
    rows, details = [], {}
    with running_broker() as bench:
        declared = 0
        for count in QUICK_COUNTS if is_quick else COUNTS:
            added = count - declared
            began = time.monotonic()
            for number in range(declared, count):
                bench.broker.declare_queue(f"queue-{number:03}")
            took_s = time.monotonic() - began
            declared = count
            unique, resident, total = _memory(bench)
            rows.append(
                (
                    f"{count}",
                    f"{took_s / added * 1000:.1f}",
                    mebibytes(unique),
                    mebibytes(resident),
                    mebibytes(total),
                )
            )
            details[f"{count}"] = {
                "declare_s_each": took_s / added,
                "uss_bytes_each": unique,
                "rss_bytes_each": resident,
                "broker_uss_bytes": total,
            }
    columns = ("queues", "declare ms each", "USS MiB each", "RSS MiB each", "whole broker USS MiB")
    return Result("Memory of idle durable queues", columns, rows, details)


def _memory(bench: Bench) -> tuple[float, float, float]:
    """USS and RSS of a queue's process, on average, and the USS of everything together."""
    infos = {name: process.memory_full_info() for name, process in bench.actors().items()}
    queues = [info for name, info in infos.items() if name.startswith("queue:")]
    return (
        sum(info.uss for info in queues) / len(queues),
        sum(info.rss for info in queues) / len(queues),
        sum(info.uss for info in infos.values()),
    )
