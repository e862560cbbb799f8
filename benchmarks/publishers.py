"""Fifty publishers that each publish one message and wait for its receipt, again and again, into one queue.

What one of them gets is a round trip; what all of them get shows whether their messages share a sync.
"""

from __future__ import annotations

from typing import Final

from benchmarks.broker import running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.measured import Sampler
from benchmarks.report import Result

QUEUE: Final = "alone-together"
BODY_BYTES: Final = 100
UNITS: Final = {"publish_alone": "threads", "publish_in_tasks": "tasks"}
TIMEOUT_S: Final = 120.0
CASES: Final = (("publish_alone", 1, 1), ("publish_alone", 5, 10), ("publish_in_tasks", 1, 50))
"""Role, programs, publishers in each: a connection per publisher, or one for all."""


def run(is_quick: bool) -> Result:
    rows, details = [], {}
    for role, processes, threads in CASES:
        with running_broker() as bench:
            bench.broker.declare_queue(QUEUE)
            clients = [
                Client(
                    role,
                    data=bench.data,
                    key=QUEUE,
                    threads=threads,
                    seconds=2.0 if is_quick else 6.0,
                    size=BODY_BYTES,
                )
                for _ in range(processes)
            ]
            with at_the_line(*clients), Sampler(bench.actors()) as sampler:
                for client in clients:
                    client.go()
                found = [client.result(TIMEOUT_S) for client in clients]
            stored = bench.broker.queue_info(QUEUE).ready
        published = sum(one["published"] for one in found)
        if stored != published + processes * threads:
            raise RuntimeError(f"{published} messages were confirmed and {stored} are in the queue")
        seconds = max(one["seconds"] for one in found)
        client_cpu_s = sum(one["cpu_s"] for one in found)
        broker_cpu_s = sum(sampler.cpu_s.values())
        rows.append(
            (
                f"{processes * threads} {UNITS[role]} in {processes} processes",
                f"{published / seconds:,.0f}",
                f"{processes * threads * seconds / published * 1000:.2f}",
                f"{client_cpu_s / published * 1e6:,.0f}",
                f"{broker_cpu_s / published * 1e6:,.0f}",
            )
        )
        details[f"{role} {processes * threads}"] = {
            "messages_per_s": published / seconds,
            "client_cpu_us": client_cpu_s / published * 1e6,
            "broker_cpu_us": {name: value / published * 1e6 for name, value in sampler.cpu_s.items()},
        }
    columns = ("publishers", "messages/s", "mean wait ms", "client µs each", "broker µs each")
    return Result("Publishers that wait for every receipt", columns, rows, details)
