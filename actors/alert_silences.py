"""Silences: which alerts are kept quiet, until when, and why.

Pure. A silence ends by itself; what it kept quiet and fires on is told then.
"""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final, final

from posthouse.actors.alert_rules import matches
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_alerts import Alert, Silence

SILENCES_MAX: Final = 1_000
FOR_MS_MAX: Final = 10 * 365 * 86_400_000
PATTERN_BYTES_MAX: Final = 512
COMMENT_BYTES_MAX: Final = 1_000


@final
class Silences:
    """Those of one broker, by number."""

    def __init__(self) -> None:
        self._last = 0
        self._silences: dict[int, Silence] = {}

    def restore(self, silences: Iterable[Silence], last: int) -> None:
        """Those of an earlier life."""
        self._silences = {silence.number: silence for silence in silences}
        self._last = max([last, *self._silences])

    @property
    def last(self) -> int:
        """The highest number ever given."""
        return self._last

    def standing(self, wall_ms: int) -> list[Silence]:
        """Those that are not over, the next to end first."""
        self._forget(wall_ms)
        return sorted(self._silences.values(), key=lambda silence: silence.until_ms)

    def add(self, rule: str, subject: str, for_ms: int, comment: str, wall_ms: int) -> Silence:
        """Raises InvalidArgument for what is no pattern, no time, or one too many."""
        self._forget(wall_ms)
        if not 1 <= for_ms <= FOR_MS_MAX:
            raise InvalidArgument(f"for_ms is {for_ms}; a silence lasts a millisecond to ten years")
        for what, text in (("rule", rule), ("subject", subject)):
            if not 0 < len(text.encode()) <= PATTERN_BYTES_MAX:
                raise InvalidArgument(f"{what} is a pattern of 1 to {PATTERN_BYTES_MAX} bytes")
        if len(comment.encode()) > COMMENT_BYTES_MAX:
            raise InvalidArgument(f"comment has more than {COMMENT_BYTES_MAX} bytes")
        if len(self._silences) >= SILENCES_MAX:
            raise InvalidArgument(f"there are {SILENCES_MAX} silences; end one with: posthouse alerts unsilence NUMBER")
        self._last += 1
        silence = Silence(
            number=self._last,
            rule=rule,
            subject=subject,
            until_ms=wall_ms + for_ms,
            comment=comment,
            made_ms=wall_ms,
        )
        self._silences[silence.number] = silence
        return silence

    def end(self, number: int) -> bool:
        """Whether there was one of that number."""
        return self._silences.pop(number, None) is not None

    def of(self, alert: Alert, wall_ms: int) -> int:
        """The number of a silence that means this alert, 0 for none."""
        for silence in self._silences.values():
            if (
                silence.until_ms > wall_ms
                and fnmatchcase(alert.rule, silence.rule)
                and matches((silence.subject,), alert.subject, alert.name)
            ):
                return silence.number
        return 0

    def _forget(self, wall_ms: int) -> None:
        for number in [number for number, silence in self._silences.items() if silence.until_ms <= wall_ms]:
            del self._silences[number]
