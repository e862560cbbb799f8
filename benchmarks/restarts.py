"""From SIGKILL to ready again: a queue, empty and with a backlog, an exchange, the registry, the whole broker.

Each time another actor of the kind is killed, since the supervisor delays the restarts of one that crashes
repeatedly; there is only one registry and one broker. An actor's moment of being ready is the supervisor's: the
start of the next life plus its time to `Ready`. The whole broker is ready when it prints so; that includes the
start of a Python interpreter.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks.broker import Bench, running_broker
from benchmarks.report import Result, milliseconds
from posthouse.demo_kills import wait_for_next_life
from posthouse.transport.names import actor_of_exchange, actor_of_queue

ROUNDS: Final = 5
QUICK_ROUNDS: Final = 2
BACKLOG: Final = 100_000
QUICK_BACKLOG: Final = 20_000
AT_ONCE: Final = 500


def run(is_quick: bool) -> Result:
    rounds = QUICK_ROUNDS if is_quick else ROUNDS
    backlog = QUICK_BACKLOG if is_quick else BACKLOG
    with running_broker() as bench:
        _furnish(bench, rounds, backlog)
        kills: dict[str, Callable[[int], float]] = {
            "queue, empty": lambda number: _kill_actor(bench, actor_of_queue(f"empty-{number}")),
            f"queue, {backlog:,} messages of 100 B ready": lambda number: _kill_actor(
                bench, actor_of_queue(f"full-{number}")
            ),
            "exchange": lambda number: _kill_actor(bench, actor_of_exchange(f"exchange-{number}")),
            "registry": lambda _: _kill_actor(bench, "registry"),
            "whole broker": lambda _: _kill_broker(bench),
        }
        took = {what: [kill(number) for number in range(rounds)] for what, kill in kills.items()}
        for number in range(rounds):
            ready = bench.broker.queue_info(f"full-{number}").ready
            if ready != backlog:
                raise RuntimeError(f"{backlog} messages were stored and {ready} are ready after the restarts")
    rows = [
        (what, f"{rounds}", milliseconds(min(times)), milliseconds(median(times)), milliseconds(max(times)))
        for what, times in took.items()
    ]
    columns = ("kill -9 → ready", "times", "min ms", "median ms", "max ms")
    return Result("Restarts", columns, rows, {"seconds": took})


def _furnish(bench: Bench, rounds: int, backlog: int) -> None:
    broker = bench.broker
    for number in range(rounds):
        broker.declare_exchange(f"exchange-{number}", "topic")
        broker.declare_queue(f"empty-{number}")
        broker.declare_queue(f"full-{number}")
        with broker.publisher("") as out:
            for _ in range(0, backlog, AT_ONCE):
                out.send_many([b"x" * 100] * AT_ONCE, routing_key=f"full-{number}")


def _kill_actor(bench: Bench, actor: str) -> float:
    before = bench.node(actor)
    killed_at = time.time()
    os.kill(before["pid"], signal.SIGKILL)
    after = wait_for_next_life(bench.broker, actor, before["generation"])
    return float(after["started_at"] + after["ready_ms"] / 1000 - killed_at)


def _kill_broker(bench: Bench) -> float:
    killed_at = bench.process.kill()
    bench.process.start()
    return time.monotonic() - killed_at
