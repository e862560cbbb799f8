"""Request-reply: how long a call takes alone, and how many a second many callers make at once.

A closed loop, since that is what a caller is: it waits for its reply before it calls again. The server is one process
that answers at once with what it was sent; requests are of level memory. Calls are counted at the callers.
"""

from __future__ import annotations

from typing import Final

from benchmarks.broker import running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.measured import percentile
from benchmarks.report import Result, milliseconds

QUEUE: Final = "calls"
BODY_BYTES: Final = 100
TIMEOUT_S: Final = 120.0


def run(is_quick: bool) -> Result:
    rows, details = [], {}
    base = 1_000 if is_quick else 5_000
    plans = (
        ("1 at a time, blocking", "serve_calls", "call_alone", 1, base),
        ("1 at a time, asyncio", "serve_calls_in_tasks", "call_in_tasks", 1, base),
        ("50 at a time, asyncio", "serve_calls_in_tasks", "call_in_tasks", 50, 8 * base),
    )
    for name, server, caller, tasks, count in plans:
        latencies, seconds = _measure(server, caller, tasks, count)
        found = {share: percentile(latencies, share) for share in (50, 99, 99.9)}
        rows.append((name, f"{count / seconds:,.0f}", *map(milliseconds, found.values())))
        details[name] = {"calls_per_s": count / seconds} | {f"p{share:g}_s": value for share, value in found.items()}
    note = "caller, broker and server on one machine; a call is five hops between processes"
    return Result(
        "Request-reply",
        ("", "calls/s", "p50 ms", "p99 ms", "p99.9 ms"),
        rows,
        details,
        (note,),
    )


def _measure(server_role: str, caller_role: str, tasks: int, count: int) -> tuple[list[float], float]:
    with running_broker() as bench:
        bench.broker.declare_queue(QUEUE)
        server = Client(server_role, data=bench.data, queue=QUEUE)
        caller = Client(caller_role, data=bench.data, key=QUEUE, tasks=tasks, count=count, size=BODY_BYTES)
        with at_the_line(server, caller):
            server.go()
            caller.go()
            found = caller.result(TIMEOUT_S)
            return found["latencies"], found["seconds"]
