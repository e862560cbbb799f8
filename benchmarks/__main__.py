"""`python -m benchmarks`: run them, print tables, write benchmarks/results/<moment>.json."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

from benchmarks import (
    alert_time,
    calls,
    dead,
    delay,
    fanout,
    footprint,
    journal_replay,
    latency,
    machine,
    metrics_cost,
    publishers,
    recovery,
    restarts,
    throughput,
    views,
)
from benchmarks.broker import data_parent
from benchmarks.report import Report, Result
from posthouse.transport.errors import PosthouseError

BENCHMARKS: dict[str, Callable[[bool], Result]] = {
    "machine": machine.run,
    "throughput": throughput.run,
    "latency": latency.run,
    "publishers": publishers.run,
    "fanout": fanout.run,
    "calls": calls.run,
    "footprint": footprint.run,
    "metrics": metrics_cost.run,
    "delay": delay.run,
    "dead": dead.run,
    "restarts": restarts.run,
    "replay": journal_replay.run,
    "recovery": recovery.run,
    "views": views.run,
    "alerts": alert_time.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less of everything, under a minute")
    parser.add_argument("--only", action="append", choices=sorted(BENCHMARKS), help="may be given repeatedly")
    given = parser.parse_args()
    report = Report(machine.describe(data_parent()), is_quick=given.quick)
    failures = 0
    for name, run in BENCHMARKS.items():
        if given.only and name not in given.only and name != "machine":
            continue
        started_at = time.monotonic()
        try:
            result = run(given.quick)
        except (PosthouseError, OSError, RuntimeError) as error:
            failures += 1
            report.failed(name, error)
            continue
        failures += len(result.problems)
        report.add(name, result, time.monotonic() - started_at)
    report.write()
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
