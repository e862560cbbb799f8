"""`python -m tests.simulation --seed 7 --runs 1000`: run seeds, print the trace of the first that breaks a promise."""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections import Counter

from tests.planted.bugs import plant_from_environment
from tests.simulation.run import Result, simulate

TRACE_LINES = 80
PROGRESS_RUNS = 1_000
COLLECT_RUNS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the first seed; the clock chooses if not given")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="everything takes part, in every seed")
    parser.add_argument("--rare", action="store_true", help="say how often which rare state was met")
    parser.add_argument("--all", action="store_true", help="go on after a seed that breaks a promise")
    arguments = parser.parse_args()
    first = time.time_ns() % 1_000_000_000 if arguments.seed is None else arguments.seed
    begin = time.monotonic()
    deaths = cuts = confirmed = failed = 0
    seen: Counter[str] = Counter()
    # Collecting whenever the interpreter likes to takes a fifth of the time: a whole world lives until its run is over.
    gc.freeze()
    gc.disable()
    for seed in range(first, first + arguments.runs):
        if (seed - first) % COLLECT_RUNS == 0:
            gc.collect()
        result = simulate(seed, is_large=arguments.large or None)
        deaths += result.deaths
        cuts += result.power_cuts
        confirmed += result.confirmed
        seen += result.seen
        if (seed - first + 1) % PROGRESS_RUNS == 0 and arguments.runs > PROGRESS_RUNS:
            done = seed - first + 1
            print(f"{done:,} of {arguments.runs:,} in {time.monotonic() - begin:,.0f} s, {failed} broken", flush=True)
        if result.broken:
            failed += 1
            _explain(result, is_large=arguments.large)
            if not arguments.all:
                return 1
    elapsed_s = time.monotonic() - begin
    rate = arguments.runs * 60 / elapsed_s
    print(
        f"{arguments.runs:,} runs from seed {first} in {elapsed_s:.1f} s, {rate:,.0f} a minute: "
        f"{confirmed:,} confirmed, {deaths:,} deaths, {cuts:,} power cuts, {failed} broken"
    )
    if arguments.rare:
        for state, count in sorted(seen.items(), key=lambda one: -one[1]):
            print(f"{count:>9,} {state}")
    return int(failed > 0)


def _explain(result: Result, *, is_large: bool) -> None:
    print(*result.trace[-TRACE_LINES:], sep="\n")
    print(f"seed {result.seed}: {len(result.broken)} promises broken")
    print(*result.broken[:20], sep="\n")
    print(f"again: make simulate SEED={result.seed} RUNS=1{' LARGE=1' if is_large else ''}")


if __name__ == "__main__":
    with plant_from_environment():
        sys.exit(main())
