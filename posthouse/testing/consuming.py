"""The programs that consume and answer calls in a chaos run. Whatever happens, they go on until told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

import posthouse
from posthouse.errors import PosthouseError
from posthouse.testing.history import Acked, Broken, Closed, Got, Opened, Refused, Writer, now_ns
from posthouse.testing.plan import CALLS, LANES, WORK, read_body
from posthouse.testing.shifts import AGAIN_S, Shift, connected, in_threads

PREFETCH: Final = 100
BATCH: Final = 50
BATCHES: Final = 100
"""So many, then the session is closed in order, and another opened."""
LOOK_S: Final = 0.2
NACK_EVERY: Final = 23
REJECT_EVERY: Final = 211


def consume_all(shift: Shift, history: Writer) -> None:
    """Every queue in a thread with a connection of its own."""
    in_threads([partial(_consume, shift, history, queue) for queue in shift.orders.queues], shift.stopping)


def _consume(shift: Shift, history: Writer, queue: str) -> None:
    with connected(shift) as broker:
        while not shift.stopping.is_set():
            try:
                history.write(Opened(now_ns(), shift.orders.name, queue))
                with broker.consume(queue, prefetch=PREFETCH) as messages:
                    for _ in range(BATCHES):
                        if shift.stopping.is_set():
                            break
                        taken = messages.batch(BATCH, LOOK_S)
                        if taken:
                            _handle(shift, history, queue, taken)
                history.write(Closed(now_ns(), shift.orders.name, queue))
            except PosthouseError:
                history.write(Broken(now_ns(), shift.orders.name, queue))
                shift.stopping.wait(AGAIN_S)


def _handle(shift: Shift, history: Writer, queue: str, taken: list[posthouse.Message]) -> None:
    at_ns, wall_ms = now_ns(), time.time_ns() // 1_000_000
    items, spoiled, acked = [], [], []
    for message in taken:
        read = read_body(message.body)
        if read is None:
            spoiled.append(f"the body of offset {message.offset}")
            continue
        name, due_ms = read
        choice = LANES[name.lane].choice(name.number)
        if (message.routing_key, message.exchange) != (choice.key, LANES[name.lane].exchange) or message.headers != (
            choice.headers or {}
        ):
            spoiled.append(f"the envelope of {name}: {message.exchange!r} {message.routing_key!r} {message.headers}")
        lateness_ms = wall_ms - due_ms if due_ms else -1
        items.append((*name, message.attempt, message.offset, lateness_ms))
    # Written before anything is settled: what is acked has been seen.
    history.write(Got(at_ns, shift.orders.name, queue, items, spoiled))
    for message in taken:
        if queue == WORK and not shift.gentle.is_set() and _is_refused(history, shift, message):
            continue
        acked.append(message.offset)
        message.ack()
    history.write(Acked(now_ns(), shift.orders.name, queue, acked))


def _is_refused(history: Writer, shift: Shift, message: posthouse.Message) -> bool:
    """Some are nacked once and some rejected; which ones does not depend on who holds them."""
    if message.attempt > 1 or (message.offset % NACK_EVERY and message.offset % REJECT_EVERY):
        return False
    is_reject = message.offset % REJECT_EVERY == 0
    history.write(Refused(now_ns(), shift.orders.name, WORK, message.offset, is_reject))
    if is_reject:
        message.reject("one of those")
    else:
        message.nack()
    return True


def serve(shift: Shift, history: Writer) -> None:
    """Answer calls: the request turned round."""

    def turned(message: posthouse.Message) -> bytes:
        return message.body[::-1]

    def attempt() -> None:
        with (
            connected(shift) as broker,
            broker.serve_calls(CALLS, turned),
        ):
            shift.stopping.wait()

    _until_it_works(attempt, shift)


def _until_it_works(attempt: Callable[[], None], shift: Shift) -> None:
    while not shift.stopping.is_set():
        try:
            attempt()
        except PosthouseError:
            shift.stopping.wait(AGAIN_S)
