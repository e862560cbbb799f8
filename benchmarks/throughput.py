"""Durable point to point: one publisher process, one consumer process, every message synced before its receipt.

From the first publish until the last message is delivered and acked; the queue is asked afterwards whether it agrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, final

from benchmarks.broker import Bench, running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.measured import Sampler
from benchmarks.report import Result, mebibytes, per_second

QUEUE: Final = "point-to-point"
PREFETCH: Final = 20_000
BATCH_MESSAGES: Final = 500
TIMEOUT_S: Final = 150.0
LEFT_SHOWN_MAX: Final = 10


@final
@dataclass(frozen=True)
class Case:
    """One load. `at_once` is 1 for a call per message on both sides."""

    name: str
    size: int
    at_once: int
    count: int
    quick_count: int


CASES: Final = (
    Case("100 B, batch calls", 100, BATCH_MESSAGES, 3_000_000, 300_000),
    Case("100 B, a call each", 100, 1, 600_000, 100_000),
    Case("1 KiB, batch calls", 1024, BATCH_MESSAGES, 600_000, 100_000),
    Case("1 KiB, a call each", 1024, 1, 300_000, 50_000),
)


def run(is_quick: bool) -> Result:
    measured = [measure(case, case.quick_count if is_quick else case.count) for case in CASES]
    rows = [
        (
            one["name"],
            f"{one['count']:,}",
            per_second(one["count"], one["confirmed_s"]),
            per_second(one["count"], one["acked_s"]),
            *(f"{one['cpu_us'][process]:.2f}" for process in ("publisher", "exchange", "queue", "consumer")),
            " → ".join(mebibytes(size) for size in one["resident"]["queue"]),
        )
        for one in measured
    ]
    problems = tuple(one["problem"] for one in measured if one["problem"])
    columns = (
        "load",
        "messages",
        "confirmed/s",
        "acked/s",
        "publisher\nµs each",
        "exchange\nµs each",
        "queue\nµs each",
        "consumer\nµs each",
        "queue MiB\n1st → 4th quarter",
    )
    note = "µs each is CPU time, equal to CPU seconds per million messages; every message is checked on receipt"
    for one in measured:
        del one["marks"], one["cpu_trace"]
    return Result("Point to point, durable, synced", columns, rows, {"cases": measured}, (note,), problems)


def measure(case: Case, count: int, module: str = "posthouse") -> dict[str, Any]:
    """One load through a fresh broker."""
    with running_broker(module) as bench:
        bench.broker.declare_queue(QUEUE)
        consumer = Client("consume", data=bench.data, queue=QUEUE, count=count, at_once=case.at_once, prefetch=PREFETCH)
        publisher = Client(
            "publish",
            data=bench.data,
            exchange="",
            key=QUEUE,
            count=count,
            size=case.size,
            at_once=case.at_once,
        )
        with at_the_line(consumer, publisher):
            watched = {"publisher": publisher.watched, "consumer": consumer.watched, **_by_part(bench)}
            with Sampler(watched) as sampler:
                consumer.go()
                publisher.go()
                published = publisher.result(TIMEOUT_S)
                consumed = consumer.result(TIMEOUT_S)
        info = bench.broker.queue_info(QUEUE)
        problem = ""
        if (info.ready, info.unacked, info.acked) != (0, 0, count):
            left = ", ".join(str(message.offset) for message in bench.broker.peek(QUEUE, LEFT_SHOWN_MAX))
            problem = f"{case.name}: the client acked {count:,} messages, the queue counts {info.acked:,}; left: {left}"
    return {
        "name": case.name,
        "problem": problem,
        "count": count,
        "confirmed_s": published["ended"] - published["began"],
        "acked_s": consumed["ended"] - published["began"],
        "cpu_us": {
            **{name: seconds / count * 1e6 for name, seconds in sampler.cpu_s.items()},
            "publisher": published["cpu_s"] / count * 1e6,
            "consumer": consumed["cpu_s"] / count * 1e6,
        },
        "resident": sampler.resident,
        "marks": consumed["marks"],
        "cpu_trace": [(moment, cpu["exchange"] + cpu["queue"]) for moment, cpu in sampler.cpu_along],
    }


def _by_part(bench: Bench) -> dict[str, Any]:
    parts = {"exchange:": "exchange", f"queue:{QUEUE}": "queue"}
    return {parts.get(name, name): process for name, process in bench.actors().items()}
