"""Latency of single messages at a steady rate, each synced before its receipt.

An open loop: messages are due at fixed moments and latency counts from those, so a slow answer shows in all messages
that had to wait for it. The consumer reads the moment from the body.
"""

from __future__ import annotations

from typing import Final

from benchmarks.broker import running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.measured import percentile
from benchmarks.report import Result, milliseconds

QUEUE: Final = "steady"
PUBLISHERS: Final = 2
BODY_BYTES: Final = 100
TIMEOUT_S: Final = 120.0


def run(is_quick: bool) -> Result:
    rows, details = [], {}
    for rate in (200.0, 1_000.0):
        for name, latencies in _measure(rate, 3.0 if is_quick else 10.0).items():
            found = {share: percentile(latencies, share) for share in (50, 99, 99.9)}
            rows.append(
                (
                    f"{rate:,.0f}/s, due → {name}",
                    f"{len(latencies):,}",
                    *map(milliseconds, found.values()),
                )
            )
            details[f"{rate:.0f}/s to {name}"] = {f"p{share:g}_s": value for share, value in found.items()}
    note = (
        f"{PUBLISHERS} publisher processes, each waiting for every receipt; a late call means that the one before "
        "took too long, or that the timer was late"
    )
    return Result(
        "Latency of single synced messages",
        ("", "messages", "p50 ms", "p99 ms", "p99.9 ms"),
        rows,
        details,
        (note,),
    )


def _measure(rate: float, seconds: float) -> dict[str, list[float]]:
    each = rate / PUBLISHERS
    with running_broker() as bench:
        bench.broker.declare_queue(QUEUE)
        publishers = [
            Client("publish_on_schedule", data=bench.data, key=QUEUE, rate=each, seconds=seconds, size=BODY_BYTES)
            for _ in range(PUBLISHERS)
        ]
        consumer = Client(
            "receive_on_schedule",
            data=bench.data,
            queue=QUEUE,
            count=int(each * seconds) * PUBLISHERS,
            unmeasured=PUBLISHERS,
        )
        with at_the_line(*publishers, consumer):
            for client in (consumer, *publishers):
                client.go()
            found = [client.result(TIMEOUT_S) for client in publishers]
            return {
                "publish called": [value for one in found for value in one["late"]],
                "receipt": [value for one in found for value in one["latencies"]],
                "consumer": consumer.result(TIMEOUT_S)["latencies"],
            }
