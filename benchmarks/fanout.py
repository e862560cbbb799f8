"""Fan-out: one publisher, one fanout exchange, ten durable queues, every copy synced; then the same with consumers.

A delivery is one message in one queue. Without consumers it is stored and confirmed, with them received and acked.
"""

from __future__ import annotations

from typing import Any, Final

from benchmarks.broker import running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.report import Result, per_second

EXCHANGE: Final = "all"
QUEUES: Final = tuple(f"copy-{number}" for number in range(10))
BODY_BYTES: Final = 100
AT_ONCE: Final = 500
CONSUMER_PROCESSES: Final = 2
TIMEOUT_S: Final = 120.0


def run(is_quick: bool) -> Result:
    rows, details = [], {}
    for name, is_consumed, count in (
        ("stored and confirmed", False, 20_000 if is_quick else 200_000),
        ("received and acked", True, 10_000 if is_quick else 100_000),
    ):
        seconds = _measure(count, is_consumed=is_consumed)
        copies = count * len(QUEUES)
        rows.append((name, f"{count:,}", f"{copies:,}", per_second(copies, seconds)))
        details[name] = {"messages": count, "deliveries_per_s": copies / seconds}
    columns = ("10 queues, 100 B", "messages", "deliveries", "deliveries/s")
    return Result("Fan-out to ten durable queues", columns, rows, details)


def _measure(count: int, *, is_consumed: bool) -> float:
    with running_broker() as bench:
        bench.broker.declare_exchange(EXCHANGE, "fanout")
        for queue in QUEUES:
            bench.broker.declare_queue(queue)
            bench.broker.bind(EXCHANGE, queue)
        publisher = Client(
            "publish",
            data=bench.data,
            exchange=EXCHANGE,
            key="",
            count=count,
            size=BODY_BYTES,
            at_once=AT_ONCE,
        )
        consumers = [
            Client("consume_several", data=bench.data, queues=QUEUES[start::CONSUMER_PROCESSES], count=count)
            for start in range(CONSUMER_PROCESSES if is_consumed else 0)
        ]
        with at_the_line(*consumers, publisher):
            for client in (*consumers, publisher):
                client.go()
            published = publisher.result(TIMEOUT_S)
            ends: list[Any] = [consumer.result(TIMEOUT_S)["ended"] for consumer in consumers]
        for info in bench.broker.queues():
            settled = info.acked if is_consumed else info.ready
            if settled != count:
                raise RuntimeError(f"{info.name} has {settled} of {count} messages")
        return float(max([published["ended"], *ends]) - published["began"])
