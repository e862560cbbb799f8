"""What a client process of a benchmark does: `python -m benchmarks.roles ROLE '{"…": …}'`.

Each role connects, says that it is ready, waits for the word to go, works, and prints what it found as JSON. Moments
are monotonic seconds, which all processes of a machine share. Bodies of the latency roles begin with the moment at
which the message was due.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import posthouse
from posthouse import aio

TIMEOUT_S: Final = 120.0
IDLE_S: Final = 20.0
MARK_EVERY: Final = 1_000
_DUE: Final = struct.Struct("<d")


def publish(data: str, exchange: str, key: str, count: int, size: int, at_once: int) -> dict[str, Any]:
    """A pipelined publisher: `send` for each message, or `send_many` with so many at once."""
    body = b"x" * size
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker, broker.publisher(exchange) as out:
        _ready()
        began = time.monotonic()
        if at_once > 1:
            bodies = [body] * at_once
            for _ in range(count // at_once):
                out.send_many(bodies, routing_key=key)
        else:
            send = out.send
            for _ in range(count):
                send(body, routing_key=key)
        out.flush(timeout_s=TIMEOUT_S)
        return {"began": began, "ended": time.monotonic()}


def publish_unlike(data: str, key: str, count: int, size: int) -> dict[str, Any]:
    """Messages of which no two share a batch: each has a header of its own."""
    body = b"x" * size
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker, broker.publisher("") as out:
        _ready()
        began = time.monotonic()
        for number in range(count):
            out.send(body, routing_key=key, headers={"n": number})
        out.flush(timeout_s=TIMEOUT_S)
        return {"began": began, "ended": time.monotonic()}


def consume(data: str, queue: str, count: int, at_once: int, prefetch: int) -> dict[str, Any]:
    """Receive and ack `count` messages, one by one or in batches, and check that none is missing or repeated.

    `marks` are moments with the number of messages received until then.
    """
    marks = []
    with (
        posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker,
        broker.consume(queue, prefetch=prefetch) as messages,
    ):
        _ready()
        last = 0
        if at_once > 1:
            while last < count:
                batch = messages.batch(at_once, timeout_s=IDLE_S)
                if not batch or batch[0].offset != last + 1 or batch[-1].offset != last + len(batch):
                    raise SystemExit(f"after message {last} of {queue} came {batch[:1]}")
                last += len(batch)
                messages.ack_all(batch)
                if last // MARK_EVERY != (last - len(batch)) // MARK_EVERY:
                    marks.append((time.monotonic(), last))
        else:
            for message in messages:
                if message.offset != last + 1:
                    raise SystemExit(f"after message {last} of {queue} came {message}")
                last += 1
                message.ack()
                if last % MARK_EVERY == 0:
                    marks.append((time.monotonic(), last))
                if last == count:
                    break
        ended = time.monotonic()
    return {"ended": ended, "closed": time.monotonic(), "received": last, "marks": marks}


def consume_several(data: str, queues: list[str], count: int) -> dict[str, Any]:
    """Receive and ack `count` messages from each of several queues over one connection."""
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker:
        open_ones = {queue: broker.consume(queue, prefetch=10_000) for queue in queues}
        left = dict.fromkeys(queues, count)
        _ready()
        heard_at = time.monotonic()
        while left and time.monotonic() < heard_at + IDLE_S:
            for queue in list(left):
                batch = open_ones[queue].batch(2_000, timeout_s=0.002)
                if batch:
                    heard_at = time.monotonic()
                    open_ones[queue].ack_all(batch)
                    left[queue] -= len(batch)
                    if left[queue] <= 0:
                        del left[queue]
        ended = time.monotonic()
        for messages in open_ones.values():
            messages.close()
    if left:
        raise SystemExit(f"nothing came any more; missing: {left}")
    return {"ended": ended, "received": count * len(queues)}


def publish_on_schedule(data: str, key: str, rate: float, seconds: float, size: int) -> dict[str, Any]:
    """`publish` at fixed moments, whatever the last one took; latency counts from the moment it was due."""
    padding = b"x" * (size - _DUE.size)
    latencies = []
    late = []
    waiting = threading.Event()
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker:
        broker.publish("", _DUE.pack(0.0) + padding, routing_key=key)
        _ready()
        began = time.monotonic()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            if (ahead := due - time.monotonic()) > 0:
                waiting.wait(ahead)
            late.append(time.monotonic() - due)
            broker.publish("", _DUE.pack(due) + padding, routing_key=key)
            latencies.append(time.monotonic() - due)
    return {"latencies": latencies, "late": late}


def receive_on_schedule(data: str, queue: str, count: int, unmeasured: int) -> dict[str, Any]:
    """Take the time from when a message was due to when it is here; the first ones only warm up."""
    latencies: list[float] = []
    with (
        posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker,
        broker.consume(queue, prefetch=1_000) as messages,
    ):
        _ready()
        for _ in range(count + unmeasured):
            message = messages.get(timeout_s=IDLE_S)
            if message is None:
                raise SystemExit(f"only {len(latencies)} of {count} messages came")
            due = _DUE.unpack_from(message.body)[0]
            if due:
                latencies.append(time.monotonic() - due)
            message.ack()
    return {"latencies": latencies}


def publish_alone(data: str, key: str, threads: int, seconds: float, size: int) -> dict[str, Any]:
    """Several publishers that each wait for every receipt, one connection and one thread per publisher."""
    counts = [0] * threads
    start = threading.Barrier(threads + 1)
    body = b"x" * size

    def work(index: int) -> None:
        with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker:
            broker.publish("", body, routing_key=key)
            start.wait()
            start.wait()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                broker.publish("", body, routing_key=key)
                counts[index] += 1

    crew = [threading.Thread(target=work, args=(index,)) for index in range(threads)]
    for thread in crew:
        thread.start()
    start.wait()
    _ready()
    start.wait()
    began = time.monotonic()
    for thread in crew:
        thread.join()
    return {"published": sum(counts), "seconds": time.monotonic() - began}


def publish_in_tasks(data: str, key: str, threads: int, seconds: float, size: int) -> dict[str, Any]:
    """The same as tasks of one asyncio program, over one connection: what meets on it travels together."""
    return asyncio.run(_publish_in_tasks(data, key, threads, seconds, b"x" * size))


async def _publish_in_tasks(data: str, key: str, tasks: int, seconds: float, body: bytes) -> dict[str, Any]:
    published = 0
    async with aio.connect(data=data, timeout_s=TIMEOUT_S) as broker:
        await asyncio.gather(*(broker.publish("", body, routing_key=key) for _ in range(tasks)))
        _ready()
        began = time.monotonic()

        async def work() -> None:
            nonlocal published
            while time.monotonic() < began + seconds:
                await broker.publish("", body, routing_key=key)
                published += 1

        await asyncio.gather(*(work() for _ in range(tasks)))
    return {"published": published, "seconds": time.monotonic() - began}


def serve_calls(data: str, queue: str) -> dict[str, Any]:
    """Answer calls with what they bring, in one thread, until it is killed."""
    with (
        posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker,
        broker.serve_calls(queue, lambda message: message.body, prefetch=64) as server,
    ):
        _ready()
        server.wait()
    return {}


def serve_calls_in_tasks(data: str, queue: str) -> dict[str, Any]:
    """The same in an event loop, up to 64 at a time."""

    async def handler(message: posthouse.Message) -> bytes:
        return message.body

    async def serve() -> None:
        async with (
            aio.connect(data=data, timeout_s=TIMEOUT_S) as broker,
            broker.serve_calls(queue, handler, concurrency=64) as server,
        ):
            await asyncio.to_thread(_ready)
            await server.wait()

    asyncio.run(serve())
    return {}


def call_alone(data: str, key: str, tasks: int, count: int, size: int) -> dict[str, Any]:
    """One call after the other; `tasks` is 1."""
    body, latencies = b"x" * size, []
    with posthouse.connect(data=data, timeout_s=TIMEOUT_S) as broker:
        _ready()
        for _ in range(100):
            broker.call("", body, routing_key=key)
        began = last = time.monotonic()
        for _ in range(count):
            broker.call("", body, routing_key=key)
            latencies.append(time.monotonic() - last)
            last = time.monotonic()
    return {"latencies": latencies, "seconds": last - began}


def call_in_tasks(data: str, key: str, tasks: int, count: int, size: int) -> dict[str, Any]:
    """Tasks of one program that call one after the other each, over one connection."""
    return asyncio.run(_call_in_tasks(data, key, tasks, count, b"x" * size))


async def _call_in_tasks(data: str, key: str, tasks: int, count: int, body: bytes) -> dict[str, Any]:
    latencies: list[float] = []
    async with aio.connect(data=data, timeout_s=TIMEOUT_S) as broker:
        await asyncio.to_thread(_ready)

        async def work(calls: int) -> None:
            for _ in range(calls):
                asked = time.monotonic()
                await broker.call("", body, routing_key=key)
                latencies.append(time.monotonic() - asked)

        await asyncio.gather(*(work(5) for _ in range(tasks)))
        latencies.clear()
        began = time.monotonic()
        await asyncio.gather(*(work(count // tasks) for _ in range(tasks)))
        return {"latencies": latencies, "seconds": time.monotonic() - began}


ROLES: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    role.__name__: role
    for role in (
        publish,
        publish_unlike,
        consume,
        consume_several,
        publish_on_schedule,
        receive_on_schedule,
        publish_alone,
        publish_in_tasks,
        serve_calls,
        serve_calls_in_tasks,
        call_alone,
        call_in_tasks,
    )
}


_cpu_at_go = 0.0


def _ready() -> None:
    global _cpu_at_go
    print("ready", flush=True)
    sys.stdin.readline()
    _cpu_at_go = time.process_time()


def main() -> None:
    found = ROLES[sys.argv[1]](**json.loads(sys.argv[2]))
    # CPU seconds of this process since it was let go: what the operating system counts, all threads included.
    print(json.dumps({"cpu_s": time.process_time() - _cpu_at_go, **found}), flush=True)


if __name__ == "__main__":
    main()
