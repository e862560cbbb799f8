"""What the figures cost: throughput and CPU of one broker that measures in every other half second.

Whatever else the machine does lasts longer than that, so it falls on both kinds alike; two brokers one after the other
differ by more than the figures cost. Neighbouring halves of a second are compared, and the cost is given with twice its
standard error. What the monitor takes all the while is told apart, in CPU of one core.
"""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final

from benchmarks.half_measured import PHASE_S, phase_at
from benchmarks.report import Result, per_second
from benchmarks.throughput import CASES, measure

COUNTS: Final = (9_000_000, 4_000_000)
QUICK_COUNTS: Final = (2_500_000, 500_000)
MODULE: Final = "benchmarks.half_measured"
_Trace = Sequence[Sequence[float]]
"""Moments, each with how much there was until then; both rise."""


def run(is_quick: bool) -> Result:
    rows: list[tuple[str, ...]] = []
    details: dict[str, Any] = {}
    problems: list[str] = []
    for case, count in zip(CASES, QUICK_COUNTS if is_quick else COUNTS, strict=False):
        one = measure(case, count, MODULE)
        problems += [one["problem"]] if one["problem"] else []
        pairs = list(_pairs(one["marks"], one["cpu_trace"]))
        if len(pairs) < 2:
            problems.append(f"{case.name}: too few half seconds to compare; {count:,} messages are too few")
            continue
        details[case.name] = pairs
        lost = [-math.log(measured[0] / unmeasured[0]) for measured, unmeasured in pairs]
        more = [math.log(measured[1] / unmeasured[1]) for measured, unmeasured in pairs]
        monitor_share = one["cpu_us"]["monitor"] * count / 1e6 / one["acked_s"]
        rows.append(
            (
                case.name,
                str(len(pairs)),
                *(per_second(statistics.mean(pair[kind][0] for pair in pairs), 1.0) for kind in (0, 1)),
                _percent(lost),
                *(f"{statistics.mean(pair[kind][1] for pair in pairs):.3f}" for kind in (0, 1)),
                _percent(more),
                f"{monitor_share:.1%}",
            )
        )
    columns = (
        "load",
        "pairs",
        "acked/s\nmeasured",
        "acked/s\nunmeasured",
        "throughput\nlost",
        "broker µs each\nmeasured",
        "broker µs each\nunmeasured",
        "CPU\nmore",
        "monitor,\nof a core",
    )
    note = (
        f"pairs of neighbouring spans of {PHASE_S} s in one run; broker: exchange and queue; ± twice the standard error"
    )
    return Result("What the figures cost", columns, rows, details, (note,), tuple(problems))


def _pairs(marks: _Trace, cpu: _Trace) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Messages a second and CPU microseconds per message, measured and unmeasured, of each two neighbouring phases."""
    began, ended = max(marks[0][0], cpu[0][0]), min(marks[-1][0], cpu[-1][0])
    phase = phase_at(began) + 2
    while (phase + 2) * PHASE_S < ended:
        found = [_phase(number, marks, cpu) for number in (phase, phase + 1)]
        if phase % 2 == 0:
            found.reverse()
        if all(rate > 0 and micros > 0 for rate, micros in found):
            yield found[0], found[1]
        phase += 2


def _phase(number: int, marks: _Trace, cpu: _Trace) -> tuple[float, float]:
    begin, end = number * PHASE_S, (number + 1) * PHASE_S
    messages = _at(marks, end) - _at(marks, begin)
    cpu_s = _at(cpu, end) - _at(cpu, begin)
    return messages / PHASE_S, cpu_s / messages * 1e6 if messages else 0.0


def _at(trace: _Trace, moment: float) -> float:
    """How much there was at a moment within the trace, between its points as on a straight line."""
    index = max(1, min(len(trace) - 1, bisect_left(trace, moment, key=lambda point: point[0])))
    (begin, low), (end, high) = trace[index - 1], trace[index]
    return low + (high - low) * (moment - begin) / (end - begin)


def _percent(logarithms: list[float]) -> str:
    mean = statistics.mean(logarithms)
    error = statistics.stdev(logarithms) / math.sqrt(len(logarithms))
    return f"{(math.exp(mean) - 1) * 100:+.1f} ± {200 * error:.1f} %"
