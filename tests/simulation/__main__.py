"""`python -m tests.simulation --seed 7 --runs 100`: run seeds, print the trace of the first that breaks a promise."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.run import simulate

TRACE_LINES = 80


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="the first seed; the clock chooses if not given")
    parser.add_argument("--runs", type=int, default=1)
    arguments = parser.parse_args()
    first = time.time_ns() % 1_000_000_000 if arguments.seed is None else arguments.seed
    begin = time.monotonic()
    deaths = cuts = confirmed = 0
    for seed in range(first, first + arguments.runs):
        result = simulate(seed)
        deaths += sum(result.deaths.values())
        cuts += result.power_cuts
        confirmed += result.confirmed
        if result.broken:
            print(*result.trace[-TRACE_LINES:], sep="\n")
            print(f"seed {seed}: {len(result.broken)} promises broken")
            print(*result.broken[:20], sep="\n")
            print(f"again: make simulate SEED={seed}")
            return 1
    elapsed_s = time.monotonic() - begin
    print(
        f"{arguments.runs} runs from seed {first} in {elapsed_s:.1f} s: {confirmed} confirmed, "
        f"{deaths} deaths, {cuts} power cuts, nothing broken"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
