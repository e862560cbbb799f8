"""How long a look takes when there is much to look at: every view of the page, every listing of the API, the commands.

A broker with a thousand queues; a few of them have messages, some of those a consumer that holds a few. Each look is
an HTTP request of its own on a kept connection, at least a second after the one before, so that none finds figures
that another one asked for. Commands are measured as a whole, from their start to their end.
"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlparse

import posthouse
from benchmarks.broker import Bench, running_broker
from benchmarks.measured import percentile
from benchmarks.report import Result, milliseconds
from posthouse.web.api import OPERATIONS, ROOT
from posthouse.web.pages.site import PAGES

QUEUES: Final = 1_000
QUICK_QUEUES: Final = 50
BUSY: Final = 20
HELD_EACH: Final = 5
TURNS: Final = 11
QUICK_TURNS: Final = 2
AIM_S: Final = 0.1
APART_S: Final = 0.95
ASK_TIMEOUT_S: Final = 60.0
OPTIONS: Final = ("--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0")

PLACES: Final = {
    "/queue": "/queue?name=queue-0000",
    "/queue/message": "/queue/message?name=queue-0000&offset=1",
    "/queue/purge": "/queue/purge?name=queue-0000",
    "/exchange": "/exchange?name=flights&explain=1&key=a.7.b",
    "/held": "/held?exchange=nobody",
    "/dead-letter": "/dead-letter?id=1",
    "/redrive": "/redrive?id=1",
    "/why": "/why?id=message-1",
}
"""Views that need to be told what to show."""
NAMED: Final = {"queue": "queue-0000", "exchange": "nobody", "id": "1", "message_id": "message-1"}
ELSEWHERE: Final = frozenset({"/events/stream", "/overview/stream", "/delayed/{id}", "/recurring/{key}"})
COMMANDS: Final = (
    ("status",),
    ("queues",),
    ("queues", "--json"),
    ("top", "--once"),
    ("tree",),
    ("consumers",),
    ("connections",),
)


def run(is_quick: bool) -> Result:
    turns = QUICK_TURNS if is_quick else TURNS
    rows, details, problems = [], {}, []
    with running_broker(arguments=OPTIONS) as bench, filled(bench, QUICK_QUEUES if is_quick else QUEUES):
        address = next(word for word in bench.ready.split() if word.startswith("http"))
        for kind, places in (("page", _pages()), ("API", _listings())):
            for path in places:
                found = look(address, path, kind, turns)
                problems += found["problems"]
                details[f"{kind} {path}"] = found
                rows.append(_row(f"{kind} {path}", found["took_s"], found["bytes"]))
        for command in COMMANDS:
            took_s, size = _commanded(bench.data, command, turns)
            name = " ".join(("posthouse", *command))
            details[name] = {"took_s": took_s, "bytes": size}
            rows.append(_row(name, took_s, size))
    columns = ("look", "p50 ms", "most ms", "KiB", "")
    title = f"Looking at a broker with {QUICK_QUEUES if is_quick else QUEUES:,} queues"
    return Result(title, columns, rows, details, (f"{turns} turns each",), tuple(problems))


@contextlib.contextmanager
def filled(bench: Bench, count: int) -> Iterator[None]:
    """So many queues, messages in a few of them, consumers that hold some, and something on every other page."""
    broker = bench.broker
    broker.declare_exchange("flights", "topic")
    broker.declare_exchange("nobody", "fanout")
    for number in range(count):
        broker.declare_queue(f"queue-{number:04}")
        broker.bind("flights", f"queue-{number:04}", f"*.{number}.*")
    for number in range(BUSY):
        for turn in range(10):
            broker.publish("", b"x" * 100, f"queue-{number:04}", message_id=f"message-{turn}")
    broker.publish("nobody", b"held")
    broker.publish("flights", b"later", "a.7.b", delay_s=86_400.0)
    with contextlib.ExitStack() as held:
        for number in range(BUSY // 2):
            client = held.enter_context(posthouse.connect(data=bench.data, name=f"consumer-{number}"))
            messages = held.enter_context(client.consume(f"queue-{number:04}", prefetch=HELD_EACH))
            first = messages.get(timeout_s=ASK_TIMEOUT_S)
            assert first is not None
            if number < 2:
                first.reject("to have a dead letter")
        _wait_for_letters(broker, 2)
        broker.dead_letters.redrive(queue="queue-0001")
        yield


def _wait_for_letters(broker: posthouse.Broker, count: int) -> None:
    deadline = time.monotonic() + ASK_TIMEOUT_S
    while broker.dead_letters.status().messages < count:
        if time.monotonic() > deadline:
            raise RuntimeError("a rejected message did not become a dead letter")


def _pages() -> list[str]:
    return [PLACES.get(page.path, page.path) for page in PAGES]


def _listings() -> list[str]:
    found = []
    for operation in OPERATIONS:
        if operation.method == "GET" and operation.path not in ELSEWHERE:
            found.append(ROOT + operation.path.format_map(NAMED))
    return [*found, f"{ROOT}/queues?limit=1000", f"{ROOT}/actors?limit=1000", "/metrics", "/health/ready"]


def look(address: str, path: str, kind: str, turns: int) -> dict[str, Any]:
    """Ask so many times, and once before, unmeasured: what is imported or compiled once is no part of it."""
    where = urlparse(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=ASK_TIMEOUT_S)
    headers = {"accept": "text/html" if kind == "page" else "application/json"}
    took, size, problems = [], 0, []
    try:
        for turn in range(turns + 1):
            threading.Event().wait(APART_S)
            began = time.perf_counter()
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            size = len(response.read())
            if turn:
                took.append(time.perf_counter() - began)
            if response.status != 200:
                problems = [f"{path} answers {response.status}"]
    finally:
        connection.close()
    return {"took_s": took, "bytes": size, "problems": problems}


def _commanded(data: str, command: tuple[str, ...], turns: int) -> tuple[list[float], int]:
    took, size = [], 0
    for _ in range(turns):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "posthouse", *command, "--data", data], capture_output=True, check=True
        )
        took.append(time.perf_counter() - began)
        size = len(done.stdout)
    return took, size


def _row(name: str, took_s: list[float], size: int) -> tuple[str, ...]:
    middle = percentile(took_s, 50)
    over = "over 100 ms" if middle > AIM_S and not name.startswith("posthouse") else ""
    return name, milliseconds(middle), milliseconds(max(took_s)), f"{size / 1024:,.1f}", over
