"""Replay: a queue with a long backlog is killed; its next life reads its journal and is ready.

Two times: the supervisor's, from the fork to `Ready`, and ours, from the kill until the queue answers how many messages
it has, which has to be all of them. Batched messages came five hundred at a time, as a busy
publisher sends them; single ones each have a header of their own, so that no two share a batch.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Final

from benchmarks.broker import running_broker
from benchmarks.clients import Client, at_the_line
from benchmarks.report import Result, mebibytes, per_second
from posthouse.demo_kills import wait_for_next_life
from posthouse.transport.names import actor_of_queue

QUEUE: Final = "long"
BODY_BYTES: Final = 100
AT_ONCE: Final = 500
TIMEOUT_S: Final = 120.0


def run(is_quick: bool) -> Result:
    share = 10 if is_quick else 1
    loads: tuple[tuple[str, int, str, dict[str, Any]], ...] = (
        ("in batches of 500", 1_000_000 // share, "publish", {"exchange": "", "at_once": AT_ONCE}),
        ("one by one", 100_000 // share, "publish_unlike", {}),
    )
    rows, details = [], {}
    for name, count, role, settings in loads:
        seconds, answered_s, stored, resident = _measure(count, role, settings)
        rows.append(
            (
                name,
                f"{count:,}",
                mebibytes(stored),
                f"{seconds:.2f}",
                f"{answered_s:.2f}",
                per_second(count, seconds),
                mebibytes(resident),
            )
        )
        details[name] = {
            "messages": count,
            "seconds": seconds,
            "kill_to_answer_s": answered_s,
            "journal_bytes": stored,
            "rss_bytes": resident,
        }
    columns = (
        "messages of 100 B",
        "messages",
        "journal MiB",
        "fork → ready s",
        "kill → answer s",
        "messages/s",
        "RSS MiB after",
    )
    return Result("Replay of a queue's journal", columns, rows, details)


def _measure(count: int, role: str, settings: dict[str, Any]) -> tuple[float, float, int, int]:
    actor = actor_of_queue(QUEUE)
    with running_broker() as bench:
        bench.broker.declare_queue(QUEUE)
        publisher = Client(role, data=bench.data, key=QUEUE, count=count, size=BODY_BYTES, **settings)
        with at_the_line(publisher):
            publisher.go()
            publisher.result(TIMEOUT_S)
        before = bench.node(actor)
        killed_at = time.monotonic()
        os.kill(before["pid"], signal.SIGKILL)
        after = wait_for_next_life(bench.broker, actor, before["generation"])
        info = bench.broker.queue_info(QUEUE)
        answered_s = time.monotonic() - killed_at
        if info.ready != count:
            raise RuntimeError(f"{count} messages were confirmed and {info.ready} are ready after the replay")
        return after["ready_ms"] / 1000, answered_s, info.journal_bytes, bench.actors()[actor].memory_info().rss
