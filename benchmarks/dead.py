"""Dead letters: how fast they are buried, found among many, and sent back.

They die by their time to live, in batches of 500 that share everything; by rejects, each with an error of its own, so
that each is found by itself and many travel back together; and each under headers of its own, so that none shares
anything with another. Everything is synced on both sides of a move; every message is counted in the end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

from benchmarks.broker import Bench, running_broker
from benchmarks.report import Result, milliseconds, per_second

QUEUE: Final = "mortal"
TARGET: Final = "target"
TTL_S: Final = 0.001
AT_ONCE: Final = 500
BATCHES: Final = f"died in batches of {AT_ONCE}"
ERRORS: Final = "each with an error of its own"
HEADERS: Final = "each with headers of its own"
LOOKS: Final = 5
WAIT_S: Final = 300.0
_never = threading.Event()


def run(is_quick: bool) -> Result:
    count = 20_000 if is_quick else 100_000
    rows, details = [], {}
    for name in (BATCHES, ERRORS, HEADERS):
        measured = _measure(count, name)
        rows.append(
            (
                name,
                f"{count:,}",
                per_second(count, measured["bury_s"]),
                milliseconds(measured["list_s"]),
                milliseconds(measured["list_by_header_s"]),
                milliseconds(measured["causes_s"]),
                per_second(count, measured["redrive_s"]),
            )
        )
        details[name] = measured
    columns = ("dead letters, 100 B", "messages", "buried/s", "list ms", "by header ms", "causes ms", "redriven/s")
    return Result("Dead letters", columns, rows, details)


def _measure(count: int, shape: str) -> dict[str, float]:
    with running_broker() as bench:
        bench.broker.declare_queue(QUEUE, ttl_s=None if shape == ERRORS else TTL_S)
        bench.broker.declare_queue(TARGET)
        began = time.monotonic()
        _publish(bench, count, is_alone=shape == HEADERS)
        if shape == ERRORS:
            _reject(bench, count)
        _wait(lambda: bench.broker.dead_letters.status().messages == count)
        measured = {"bury_s": time.monotonic() - began}
        letters = bench.broker.dead_letters
        wanted: dict[str, Any] = {"queue": QUEUE, "reason": "rejected" if shape == ERRORS else "expired"}
        header = {"order": count - 1 if shape == HEADERS else -1}
        measured["list_s"] = _timed(lambda: letters.list(**wanted))
        measured["list_by_header_s"] = _timed(lambda: letters.list(**wanted, headers=header))
        measured["causes_s"] = _timed(lambda: letters.causes(**wanted))
        began = time.monotonic()
        info = letters.redrive(to=TARGET, timeout_s=WAIT_S)
        measured["redrive_s"] = time.monotonic() - began
        ready = bench.broker.queue_info(TARGET).ready
        if (info.moved, ready) != (count, count):
            raise RuntimeError(f"{count} dead letters, {info.moved} moved, {ready} arrived")
        return measured


def _publish(bench: Bench, count: int, *, is_alone: bool) -> None:
    with bench.broker.publisher("") as out:
        if is_alone:
            for number in range(count):
                out.send(b"x" * 100, QUEUE, headers={"order": number})
        else:
            for _ in range(0, count, AT_ONCE):
                out.send_many([b"x" * 100] * AT_ONCE, routing_key=QUEUE)


def _reject(bench: Bench, count: int) -> None:
    left = count
    with bench.broker.consume(QUEUE, prefetch=2 * AT_ONCE) as messages:
        while left:
            for message in messages.batch(AT_ONCE, WAIT_S):
                message.reject("no", error=ValueError(f"order {left}"))
                left -= 1


def _timed(look: Callable[[], object]) -> float:
    times = []
    for _ in range(LOOKS):
        began = time.monotonic()
        look()
        times.append(time.monotonic() - began)
    return median(times)


def _wait(is_done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_done():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {WAIT_S} s")
        _never.wait(0.02)
