"""The outage breaker of a queue, as a program writes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, final

from posthouse.arguments import check_count
from posthouse.transport.descriptions import BreakerSpec
from posthouse.transport.errors import InvalidArgument

WINDOW_MAX: Final = 10_000
WAIT_S_MAX: Final = 24 * 3_600.0


@final
@dataclass(frozen=True)
class Breaker:
    """When a queue stops delivering because nearly everything fails, and when it tries again.

    When of the last `window` messages that were tried at least the share `failure_share` failed, the queue pauses.
    After `probe_after_s` it delivers one message: an ack ends the pause, a failure doubles the wait, up to
    `max_probe_after_s`.

    Raises InvalidArgument for values that make no breaker.
    """

    window: int = 20
    failure_share: float = 0.8
    probe_after_s: float = 5.0
    max_probe_after_s: float = 60.0

    def __post_init__(self) -> None:
        check_count("window", self.window, 1, WINDOW_MAX)
        if not _is_number(self.failure_share) or not 0.0 < self.failure_share <= 1.0:
            raise InvalidArgument(f"failure_share is {self.failure_share!r}; it is a number above 0, and at most 1")
        for name in ("probe_after_s", "max_probe_after_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0.001 <= value <= WAIT_S_MAX:
                raise InvalidArgument(f"{name} is {value!r}; it is 0.001 to {WAIT_S_MAX:.0f} seconds")
        if self.probe_after_s > self.max_probe_after_s:
            raise InvalidArgument(
                f"probe_after_s is {self.probe_after_s!r}, above max_probe_after_s of {self.max_probe_after_s!r}"
            )

    def spec(self) -> BreakerSpec:
        """As it travels."""
        return BreakerSpec(
            window=self.window,
            failure_share=float(self.failure_share),
            probe_after_ms=round(self.probe_after_s * 1_000),
            max_probe_after_ms=round(self.max_probe_after_s * 1_000),
        )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
