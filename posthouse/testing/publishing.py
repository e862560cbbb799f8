"""The programs that publish and call in a chaos run. Whatever happens to the broker, they go on until told to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import posthouse
from posthouse.errors import OutcomeUnknown, PosthouseError, PublishError
from posthouse.testing.history import Called, Decided, Invoked, Writer, now_ns
from posthouse.testing.plan import CALLS, LANES, Name, make_body
from posthouse.testing.shifts import Shift, connected, in_threads

CHUNK: Final = 20
FLUSH_S: Final = 60.0
CALL_S: Final = 5.0


def publish_all(shift: Shift, history: Writer) -> None:
    """Every lane in a thread with a connection of its own, at its share of the rate."""
    total = sum(LANES[index].share for index in shift.orders.lanes)
    in_threads(
        [
            partial(_publish, shift, history, index, shift.orders.rate * LANES[index].share / total)
            for index in shift.orders.lanes
        ],
        shift.stopping,
    )


def _publish(shift: Shift, history: Writer, index: int, rate: float) -> None:
    first = 0
    while not shift.stopping.is_set():
        # What is unknown may yet be told with a later flush, under numbers that are not that one's: so to a new client.
        first = _publish_until_unknown(shift, history, index, rate, first)


def _publish_until_unknown(shift: Shift, history: Writer, index: int, rate: float, first: int) -> int:
    """The first number that was not used."""
    with connected(shift, FLUSH_S) as broker:
        out = broker.publisher(LANES[index].exchange)
        while not shift.stopping.wait(CHUNK / rate):
            history.write(Invoked(now_ns(), shift.orders.number, index, first, CHUNK))
            numbers = [_send(out, shift, index, number) for number in range(first, first + CHUNK)]
            outcome = _flushed(out)
            refused = {first + number - numbers[0]: error.code for number, error in outcome.refused}
            unknown = [first + number - numbers[0] for number in outcome.unknown]
            history.write(Decided(now_ns(), shift.orders.number, index, first, CHUNK, refused, unknown))
            first += CHUNK
            if unknown:
                break
    return first


def _send(out: posthouse.Publisher, shift: Shift, index: int, number: int) -> int:
    choice = LANES[index].choice(number)
    options: dict[str, Any] = {"delay_s": choice.delay_s} if choice.delay_s else {}
    if LANES[index].kind is None:
        options["message_id"] = f"{shift.orders.number}-{number}"
    due_ms = time.time_ns() // 1_000_000 + int(choice.delay_s * 1000) if choice.delay_s else 0
    body = make_body(Name(shift.orders.number, index, number), due_ms, shift.orders.size)
    return out.send(body, choice.key, choice.headers, **options)


def _flushed(out: posthouse.Publisher) -> PublishError:
    try:
        out.flush(FLUSH_S)
    except PublishError as error:
        return error
    return PublishError([], [])


def call_all(shift: Shift, history: Writer) -> None:
    """One call after the other; the reply is the request turned round."""
    number = 0
    with connected(shift, CALL_S) as broker:
        while not shift.stopping.wait(1 / shift.orders.rate):
            number += 1
            history.write(Called(now_ns(), shift.orders.name, _outcome(partial(_call, broker, b"%d" % number))))


def _call(broker: posthouse.Broker, body: bytes) -> str:
    reply = broker.call("", body, routing_key=CALLS, timeout_s=CALL_S)
    return "ok" if reply.body == body[::-1] else "wrong"


def _outcome(call: Callable[[], str]) -> str:
    try:
        return call()
    except OutcomeUnknown:
        return "unknown"
    except PosthouseError as error:
        return error.code
