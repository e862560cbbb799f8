"""The retry policy of a queue, as a program writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from posthouse.arguments import check_count, check_number, check_seconds, check_yes_or_no
from posthouse.transport.descriptions import RetrySpec
from posthouse.transport.errors import InvalidArgument

KINDS: Final = ("exponential", "linear", "fixed", "off")
DELAY_S_MAX: Final = 10 * 366 * 24 * 3_600.0


@final
@dataclass(frozen=True)
class Retry:
    """What becomes of a message whose delivery failed.

    After attempt n it waits `first_delay_s` times `factor` to the power of n - 1 (exponential), times n (linear), or
    once (fixed), `max_delay_s` at most; with `jitter` anywhere between nothing and that. When attempt `max_attempts`
    has failed it goes to the dead letters. `kind="off"`: it returns at once, for ever.

    Raises InvalidArgument for values that make no policy.
    """

    max_attempts: int = 5
    first_delay_s: float = 1.0
    factor: float = 2.0
    max_delay_s: float = 600.0
    jitter: bool = True
    kind: str = "exponential"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidArgument(f"the retry kind is {self.kind!r}; it is one of {', '.join(KINDS)}")
        if self.max_attempts == 0:
            raise InvalidArgument("max_attempts is 0; 1 means no second attempt, and kind='off' no limit of them")
        check_count("max_attempts", self.max_attempts, 1, 1_000_000)
        for name in ("first_delay_s", "max_delay_s"):
            if check_seconds(name, getattr(self, name)) > DELAY_S_MAX:
                raise InvalidArgument(f"{name} is {getattr(self, name)!r}; it is at most ten years")
        check_number("factor", self.factor, 1.0, 1_000.0)
        if self.first_delay_s > self.max_delay_s:
            raise InvalidArgument(f"first_delay_s is {self.first_delay_s!r}, above max_delay_s of {self.max_delay_s!r}")
        check_yes_or_no("jitter", self.jitter)

    def spec(self) -> RetrySpec:
        """As it travels."""
        return RetrySpec(
            kind=self.kind,
            max_attempts=self.max_attempts,
            first_delay_ms=round(self.first_delay_s * 1_000),
            factor=float(self.factor),
            max_delay_ms=round(self.max_delay_s * 1_000),
            jitter=self.jitter,
        )
