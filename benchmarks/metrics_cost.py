"""What the figures cost: throughput and CPU with and without measuring, in turns within one run.

Each turn sends the same load through a fresh broker twice, as it is and as `benchmarks.unmeasured`, in changing order,
so that whatever else the machine does falls on both. The cost is that of the medians. On a machine that is shared the
CPU of the broker's processes is the steadier of the two figures.
"""

from __future__ import annotations

import statistics
from typing import Any, Final

from benchmarks.report import Result, per_second
from benchmarks.throughput import CASES, Case, measure

TURNS: Final = 7
QUICK_TURNS: Final = 1
MODULES: Final = {"measured": "posthouse", "unmeasured": "benchmarks.unmeasured"}


def run(is_quick: bool) -> Result:
    rows: list[tuple[str, ...]] = []
    details: dict[str, Any] = {}
    problems: list[str] = []
    for case in CASES[:2]:
        found = _turns(case, QUICK_TURNS if is_quick else TURNS, case.quick_count)
        details[case.name] = found
        problems += [one["problem"] for runs in found.values() for one in runs if one["problem"]]
        rate = {name: statistics.median(one["count"] / one["acked_s"] for one in runs) for name, runs in found.items()}
        cpu = {name: statistics.median(map(_broker_us, runs)) for name, runs in found.items()}
        rows.append(
            (
                case.name,
                per_second(rate["measured"], 1.0),
                per_second(rate["unmeasured"], 1.0),
                f"{(1 - rate['measured'] / rate['unmeasured']) * 100:+.1f} %",
                f"{cpu['measured']:.2f}",
                f"{cpu['unmeasured']:.2f}",
                f"{(cpu['measured'] / cpu['unmeasured'] - 1) * 100:+.1f} %",
            )
        )
    columns = (
        "load",
        "acked/s\nmeasured",
        "acked/s\nunmeasured",
        "throughput\nlost",
        "broker µs each\nmeasured",
        "broker µs each\nunmeasured",
        "CPU\nmore",
    )
    note = f"medians of {QUICK_TURNS if is_quick else TURNS} turns, each of both kinds in changing order"
    return Result("What the figures cost", columns, rows, details, (note,), tuple(problems))


def _turns(case: Case, turns: int, count: int) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in MODULES}
    for turn in range(turns):
        order = list(MODULES.items()) if turn % 2 else list(reversed(MODULES.items()))
        for name, module in order:
            found[name].append(measure(case, count, module))
    return found


def _broker_us(one: dict[str, Any]) -> float:
    """CPU of exchange and queue per message, in microseconds."""
    return float(one["cpu_us"]["exchange"] + one["cpu_us"]["queue"])
