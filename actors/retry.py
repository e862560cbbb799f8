"""The retry policy: what becomes of a message when a delivery of it has failed.

Pure arithmetic over one attempt. It promises that a policy which `check_retry` let through never gives a time before
now and never more than its `max_delay_ms` after it, whatever the attempt. It must not know queues or clocks: the time
and the chance of the jitter come in.
"""

from __future__ import annotations

import math
from typing import Final

from posthouse.transport.descriptions import RetrySpec
from posthouse.transport.errors import InvalidArgument

OFF: Final = RetrySpec(kind="off")
"""A message that fails returns to its place at once, however often."""

KINDS: Final = ("exponential", "linear", "fixed", "off")
ATTEMPTS_MAX: Final = 1_000_000
DELAY_MS_MAX: Final = 10 * 366 * 24 * 3_600 * 1_000
"""Ten years; every time in milliseconds stays far within 64 bits."""

FACTOR_MAX: Final = 1_000.0


def check_retry(policy: RetrySpec) -> None:
    """Refuse a policy that contradicts itself. Raises InvalidArgument."""
    if policy.kind not in KINDS:
        raise InvalidArgument(f"the retry kind {policy.kind!r} does not exist; there are: {', '.join(KINDS)}")
    if not 1 <= policy.max_attempts <= ATTEMPTS_MAX:
        raise InvalidArgument(
            f"max_attempts is {policy.max_attempts}; it is 1 (no second attempt) to {ATTEMPTS_MAX}. "
            "Without a limit: kind='off'"
        )
    if not math.isfinite(policy.factor) or not 1.0 <= policy.factor <= FACTOR_MAX:
        raise InvalidArgument(f"the retry factor is {policy.factor}; it is 1 to {FACTOR_MAX:g}")
    check_delay_ms("first_delay", policy.first_delay_ms)
    check_delay_ms("max_delay", policy.max_delay_ms)
    if policy.first_delay_ms > policy.max_delay_ms:
        raise InvalidArgument(
            f"the first delay of {policy.first_delay_ms} ms is above the longest of {policy.max_delay_ms} ms; "
            "raise max_delay or lower first_delay"
        )


def check_delay_ms(name: str, delay_ms: int) -> int:
    """A delay from nothing to ten years. Raises InvalidArgument."""
    if not 0 <= delay_ms <= DELAY_MS_MAX:
        raise InvalidArgument(f"{name} is {delay_ms} ms; it is 0 to {DELAY_MS_MAX} ms (ten years)")
    return delay_ms


def is_exhausted(policy: RetrySpec, attempt: int) -> bool:
    """Was this attempt, which failed, the last one allowed?"""
    return policy.kind != "off" and attempt >= policy.max_attempts


def delay_ms(policy: RetrySpec, attempt: int, chance: float) -> int:
    """How long a message waits after attempt `attempt` (from 1) failed; `chance` is in [0, 1).

    With jitter the delay is anywhere between nothing and the full one ("full jitter"): what failed together does
    not come back together.
    """
    if policy.kind == "off":
        return 0
    if policy.kind == "fixed":
        full = float(policy.first_delay_ms)
    elif policy.kind == "linear":
        full = float(policy.first_delay_ms) * attempt
    else:
        # Beyond the longest delay the power only grows, and would overflow for a patient policy.
        if not policy.first_delay_ms:
            return 0
        steps = attempt - 1
        if policy.factor > 1.0:
            steps = min(steps, math.ceil(math.log(policy.max_delay_ms / policy.first_delay_ms, policy.factor)) + 1)
        full = policy.first_delay_ms * policy.factor**steps
    longest = min(full, float(policy.max_delay_ms))
    return int(longest * chance) if policy.jitter else int(longest)
