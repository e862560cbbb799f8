"""What alerting is told, and the desk behind which it has things done.

Pure: a protocol, and a desk that does nothing. `posthouse/alerting/desk.py` is the one that delivers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol, final

from posthouse.actors.alert_outbox import Dispatch, Outcome, TargetFacts
from posthouse.actors.alert_rules import Rule


class AlertDesk(Protocol):
    """What alerting may have done elsewhere. No call waits."""

    def load(self) -> bytes | None:
        """What was saved last; None where nothing was. Raises InvalidArgument for what cannot be read."""

    def set_aside(self) -> None:
        """Keep what could not be understood under another name."""

    def delivered(self) -> Mapping[str, Collection[int]]:
        """Numbers of the last notices that each target took, also in earlier lives."""

    def save(self, data: bytes) -> None:
        """Begin to write this durably."""

    def take_saved(self) -> str | None:
        """How the write that was begun ended: "" well, else why not; None while it goes on."""

    def send(self, dispatch: Dispatch) -> None:
        """Begin to deliver."""

    def take_outcomes(self) -> list[Outcome]:
        """Which deliveries ended since the last look, and how."""


@final
class NoDesk:
    """Keeps nothing and delivers nothing: for a monitor that only watches."""

    def load(self) -> bytes | None:
        return None

    def set_aside(self) -> None:
        """There is nothing."""

    def delivered(self) -> Mapping[str, Collection[int]]:
        return {}

    def save(self, data: bytes) -> None:
        """Nowhere."""

    def take_saved(self) -> str | None:
        return ""

    def send(self, dispatch: Dispatch) -> None:
        raise AssertionError("there are no targets")

    def take_outcomes(self) -> list[Outcome]:
        return []


@final
class AlertSettings(NamedTuple):
    """What alerting is told. `descriptors_max`: how many one process may have open."""

    rules: Mapping[str, Rule]
    targets: tuple[TargetFacts, ...] = ()
    is_enabled: bool = True
    repeat_s: float = 14_400.0
    boot: str = ""
    descriptors_max: int = 0
