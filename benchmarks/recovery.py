"""Recovery: kill -9 of a queue with 100,000 ready messages until a consumer gets one again, and of the whole broker.

Ten queues, half of them filled in batches of 500 and half with messages that share no batch, are killed in turn, since
the supervisor delays the restarts of one that crashes again and again. The consumer holds one message when its queue
dies; what counts is the time until it gets the next delivery. Then everything is killed with all of it on disk.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.broker import Bench, running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.report import Result, milliseconds
from posthouse.transport.names import actor_of_queue

QUEUES: Final = 10
BODY_BYTES: Final = 100
ROUNDS: Final = 10
TIMEOUT_S: Final = 120.0
PAUSE_S: Final = 5.5
"""A life that lasted longer is no crash in a row."""

_never = threading.Event()


def run(is_quick: bool) -> Result:
    each, rounds = (10_000, 2) if is_quick else (100_000, ROUNDS)
    with running_broker() as bench:
        names = [f"long-{number}" for number in range(QUEUES)]
        for number, name in enumerate(names):
            bench.broker.declare_queue(name)
            _fill(bench, name, each, is_batched=number % 2 == 0)
        times_s = list(_kills(bench, names, rounds))
        ready_s = _kill_everything(bench, names, QUEUES * each)
    batched_s, single_s = sorted(times_s[::2]), sorted(times_s[1::2])
    rows = [
        _row(f"queue with {each:,} messages in batches → next delivery", batched_s),
        _row(f"queue with {each:,} messages one by one → next delivery", single_s),
        _row(f"everything, with {QUEUES * each:,} messages → ready", [ready_s]),
    ]
    details = {"batched_s": batched_s, "one_by_one_s": single_s, "everything_s": ready_s, "messages_each": each}
    return Result("Recovery", ("kill -9", "kills", "p50", "p99", "longest"), rows, details)


def _row(what: str, times_s: list[float]) -> tuple[str, ...]:
    """Times, the shortest first, as a row of the table."""
    quantiles = [times_s[min(len(times_s) - 1, int(len(times_s) * share))] for share in (0.5, 0.99)]
    return what, f"{len(times_s)}", *(f"{milliseconds(value)} ms" for value in (*quantiles, times_s[-1]))


def _fill(bench: Bench, name: str, count: int, *, is_batched: bool) -> None:
    settings: dict[str, Any] = {"exchange": "", "at_once": 500} if is_batched else {}
    role = "publish" if is_batched else "publish_unlike"
    publisher = Client(role, data=bench.data, key=name, count=count, size=BODY_BYTES, **settings)
    with at_the_line(publisher):
        publisher.go()
        publisher.result(TIMEOUT_S)


def _kills(bench: Bench, names: list[str], rounds: int) -> Iterator[float]:
    last_kill_s = dict.fromkeys(names, 0.0)
    for _ in range(rounds):
        for name in names:
            _pause_until(last_kill_s[name] + PAUSE_S)
            with bench.broker.consume(name, prefetch=1) as messages:
                if messages.get(timeout_s=TIMEOUT_S) is None:
                    raise RuntimeError(f"{name} gives nothing out")
                node = bench.node(actor_of_queue(name))
                last_kill_s[name] = began_s = time.monotonic()
                os.kill(node["pid"], signal.SIGKILL)
                message = messages.get(timeout_s=TIMEOUT_S)
                if message is None or message.attempt < 2:
                    raise RuntimeError(f"{name} did not give its message again")
                yield time.monotonic() - began_s


def _kill_everything(bench: Bench, names: list[str], count: int) -> float:
    began_s = time.monotonic()
    bench.process.kill()
    bench.process.start()
    ready_s = time.monotonic() - began_s
    there = sum(bench.broker.queue_info(name).ready for name in names)
    if there != count:
        raise RuntimeError(f"{count} messages were confirmed and {there} are ready after the kill")
    return ready_s


def _pause_until(moment_s: float) -> None:
    _never.wait(max(0.0, moment_s - time.monotonic()))
