"""The publisher process of the demo: every flight to every exchange, through one client object, confirmed.

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

import posthouse
from posthouse.demo_flights import EXCHANGES, Flight, read_flights

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
        allowed = 0
        for flight in flights:
            while flight.number > allowed:
                allowed = int(sys.stdin.readline())
            out["departures"].send(flight.body)
            out["flights"].send(flight.body, routing_key=flight.key)
            out["airports"].send(flight.body, routing_key=flight.origin)
            out["notices"].send(flight.body, headers=flight.headers)
            out[""].send(flight.body, routing_key=WORK_QUEUE)
            if flight.number % report_every == 0:
                _report(published=flight.number)
                ahead_s = started_at + seconds * flight.number / len(flights) - time.monotonic()
                if ahead_s > 0:
                    waiting.wait(ahead_s)
        for publisher in out.values():
            publisher.flush(timeout_s=DEADLINE_S)
        _report(
            confirmed=len(flights),
            messages=len(flights) * len(out),
            seconds=round(time.monotonic() - started_at, 3),
        )


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
