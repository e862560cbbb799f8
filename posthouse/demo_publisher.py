"""The publisher process of the demo: every flight to the exchanges it concerns, through one client object, confirmed.

It prints one JSON object per line: `{"published": n}` while it works, and `{"confirmed": n, "messages": m,
"seconds": s}` when the broker has confirmed everything. On its standard input it is told, line by line, up to which
flight it may go, so that the demo kills while work is under way and not after it. It never looks whether the broker
lives; the client does.

Fails with: the client's errors, to stderr and exit code 1; the demo ends with them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Mapping

import posthouse
from posthouse.demo_feeds import DELAY_MS_PER_MIN, EXCHANGES, HELD_CARRIER
from posthouse.demo_flights import Flight, read_flights, with_moment

WINDOW_MESSAGES = 2_048
REPORTS = 150
DEADLINE_S = 60.0
WORK_QUEUE = "connection-risk"


def publish(data: str, flights: list[Flight], seconds: float) -> None:
    """Publish all; with `seconds` spread over that time, otherwise as fast as the broker confirms."""
    waiting = threading.Event()
    report_every = max(1, len(flights) // REPORTS)
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(posthouse.connect(data=data, timeout_s=DEADLINE_S))
        out = {name: stack.enter_context(broker.publisher(name, window=WINDOW_MESSAGES)) for name in (*EXCHANGES, "")}
        started_at = time.monotonic()
        allowed = sent = 0
        for flight in flights:
            while flight.number > allowed:
                allowed = int(sys.stdin.readline())
            sent += _send(flight, out)
            if flight.number % report_every == 0:
                _report(published=flight.number)
                ahead_s = started_at + seconds * flight.number / len(flights) - time.monotonic()
                if ahead_s > 0:
                    waiting.wait(ahead_s)
        for publisher in out.values():
            publisher.flush(timeout_s=DEADLINE_S)
        _report(
            confirmed=len(flights),
            messages=sent,
            seconds=round(time.monotonic() - started_at, 3),
        )


def _send(flight: Flight, out: Mapping[str, posthouse.Publisher]) -> int:
    """One flight; returns to how many exchanges."""
    out["departures"].send(flight.body)
    out["flights"].send(flight.body, routing_key=flight.key)
    out["airports"].send(flight.body, routing_key=flight.origin)
    # The message id is what a dead letter is recognised by.
    identity = {"message_id": str(flight.number)} if flight.is_cancelled else {}
    out["notices"].send(flight.body, headers=flight.headers, **identity)
    out[""].send(flight.body, routing_key=WORK_QUEUE)
    sent = 5
    if flight.is_delayed:
        delay_s = flight.late_min * DELAY_MS_PER_MIN / 1000
        body = with_moment(flight.body, -(-(time.time_ns() + round(delay_s * 1e9)) // 1_000_000))
        out["late-departures"].send(body, routing_key=flight.origin, delay_s=delay_s)
        sent += 1
    if flight.carrier == HELD_CARRIER:
        out["delta"].send(flight.body)
        sent += 1
    return sent


def _report(**facts: float) -> None:
    print(json.dumps(facts), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m posthouse.demo_publisher", description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--flights", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=0.0)
    given = parser.parse_args()
    publish(given.data, read_flights(given.flights), given.seconds)


if __name__ == "__main__":
    main()
