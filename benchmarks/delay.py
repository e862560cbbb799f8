"""The delay scheduler: how fast it takes in, what a million waiting messages cost, how late it is.

Messages of 100 bytes, synced before their receipt. *Taking in*: random times
over an hour, from one publisher process; then the scheduler's resident memory, and kill -9 to ready with all of them.
*Lateness*: from the moment a message is due to the moment its consumer has it, over so many seconds at a steady
rate, with clocks of one machine. A message that comes before its time fails the run.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any, Final

import msgspec

import posthouse
from benchmarks.broker import Bench, running_broker
from benchmarks.measured import percentile
from benchmarks.report import Result, mebibytes, milliseconds, per_second
from posthouse.demo_kills import wait_for_next_life
from posthouse.transport.names import DELAY

COUNT: Final = 1_000_000
QUICK_COUNT: Final = 100_000
HOUR_S: Final = 3_600.0
BODY_BYTES: Final = 100
AT_ONCE: Final = 1_000
LEAD_S: Final = 4.0
QUEUE: Final = "due"
TIMEOUT_S: Final = 300.0


def run(is_quick: bool) -> Result:
    details: dict[str, Any] = {}
    rows = [*_taking_in(QUICK_COUNT if is_quick else COUNT, details)]
    problems: list[str] = []
    for rate in (1_000, 10_000):
        late = _lateness(rate, 3.0 if is_quick else 10.0)
        if min(late) < 0:
            problems.append(f"at {rate}/s a message was {-min(late) * 1000:.3f} ms early")
        found = {share: percentile(late, share) for share in (50, 99, 99.9)}
        details[f"late at {rate}/s"] = {f"p{share:g}_s": value for share, value in found.items()}
        shown = ", ".join(f"p{share:g} {milliseconds(value)} ms" for share, value in found.items())
        rows.append((f"lateness at {rate:,} due/s", f"{len(late):,}", shown))
    return Result("Delayed messages", ("", "messages", ""), rows, details, (), tuple(problems))


def _taking_in(count: int, details: dict[str, Any]) -> list[tuple[str, str, str]]:
    with running_broker() as bench:
        bench.broker.declare_queue(QUEUE)
        empty = bench.actors()[DELAY].memory_info().rss
        took = _in_process("publish", bench, str(count), str(HOUR_S))["took_s"]
        full = bench.actors()[DELAY].memory_info().rss
        before = bench.node(DELAY)
        killed_at = time.time()
        os.kill(before["pid"], signal.SIGKILL)
        after = wait_for_next_life(bench.broker, DELAY, before["generation"])
        ready_s = float(after["started_at"] + after["ready_ms"] / 1000 - killed_at)
        again = bench.actors()[DELAY].memory_info().rss
        info = bench.broker.delayed.info()
        if info.waiting + info.firing + info.fired < count:
            raise RuntimeError(f"{count} messages were taken and {info} is left after the restart")
    details["taking in"] = {"count": count, "took_s": took, "rss": [empty, full, again], "restart_s": ready_s}
    return [
        ("taken in, synced, due over an hour", f"{count:,}", f"{per_second(count, took)}/s"),
        (
            "resident memory of the scheduler",
            f"{count:,}",
            f"{mebibytes(empty)} MiB empty, {mebibytes(full)} MiB full, {mebibytes(again)} MiB after a restart",
        ),
        ("kill -9 → ready", f"{count:,}", f"{milliseconds(ready_s)} ms"),
    ]


def _lateness(rate: int, seconds: float) -> list[float]:
    count = int(rate * seconds)
    with running_broker() as bench:
        bench.broker.declare_queue(QUEUE)
        consumer = _start("consume", bench, str(count))
        _in_process("publish", bench, str(count), str(seconds), str(LEAD_S))
        late: list[float] = _result(consumer)["late_s"]
        return late


# ---- the programs that load the broker ----


def _publish(data: str, count: int, over_s: float, after_s: float) -> dict[str, Any]:
    """Delays are drawn before the clock starts; each body says when it is due, so that the consumer needs no list."""
    source = random.Random(count)
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker, broker.publisher("") as out:
        delays = [source.random() * over_s + after_s for _ in range(count)]
        filler = b"x" * BODY_BYTES
        began = time.perf_counter()
        base_s = time.time()
        for start in range(0, count, AT_ONCE):
            part = delays[start : start + AT_ONCE]
            if after_s:
                # All delays count from one moment, so the rate is steady whatever the publishing takes.
                passed_s = time.time() - base_s
                bodies = [(b"%.6f " % (base_s + delay_s) + filler)[:BODY_BYTES] for delay_s in part]
                part = [delay_s - passed_s for delay_s in part]
            else:
                bodies = [filler] * len(part)
            out.send_many(bodies, routing_key=QUEUE, delay_s=part)
        out.flush(timeout_s=TIMEOUT_S)
        return {"took_s": time.perf_counter() - began}


def _consume(data: str, count: int) -> dict[str, Any]:
    late: list[float] = []
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker, broker.consume(QUEUE, prefetch=20_000) as taken:
        while len(late) < count:
            batch = taken.batch(2_000, timeout_s=60.0)
            now_s = time.time()
            if not batch:
                raise RuntimeError(f"{len(late)} of {count} messages came")
            late += [now_s - float(message.body.split(b" ", 1)[0]) for message in batch]
            taken.ack_all(batch)
    return {"late_s": late}


def _start(role: str, bench: Bench, *arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.delay", role, bench.data, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _result(program: subprocess.Popen[bytes]) -> dict[str, Any]:
    out, _ = program.communicate(timeout=TIMEOUT_S)
    if program.returncode:
        raise RuntimeError(f"a load program ended with {program.returncode}")
    found: dict[str, Any] = msgspec.json.decode(out)
    return found


def _in_process(role: str, bench: Bench, *arguments: str) -> dict[str, Any]:
    return _result(_start(role, bench, *arguments))


def main(role: str, data: str, *rest: str) -> None:
    """One load program, in a process of its own."""
    numbers = [float(text) for text in rest]
    if role == "publish":
        found = _publish(data, int(numbers[0]), numbers[1], numbers[2] if len(numbers) > 2 else 0.0)
    else:
        found = _consume(data, int(numbers[0]))
    print(msgspec.json.encode(found).decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
