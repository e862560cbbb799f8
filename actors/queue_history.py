"""What a queue remembers of failed deliveries: for each message the attempts that failed, when, with whom and why.

Bounded for each message in attempts and in text; texts that occur again and again are kept once. It is empty where
nothing fails, and costs nothing there. It must not know what becomes of a message.
"""

from __future__ import annotations

from typing import Final, NamedTuple, final

from posthouse.actors.fingerprint import fingerprint
from posthouse.actors.offsets import RangeMap
from posthouse.transport.messages_dead import Attempt, Death

ATTEMPTS_KEPT: Final = 16
"""Of a message that failed more often, the first attempt and the last ones are kept."""

TYPE_CHARACTERS_MAX: Final = 200
TEXT_CHARACTERS_MAX: Final = 1_000
TRACEBACK_CHARACTERS_MAX: Final = 8_000
TEXTS_KEPT: Final = 256

History = tuple[Attempt, ...]


class Failure(NamedTuple):
    """How deliveries failed, as far as they failed together. `chance` in [0, 1) is for the jitter."""

    now_ms: int
    how: str = "nack"
    chance: float = 0.0
    consumer: str = ""
    reason: str = ""
    error: dict[str, str] | None = None
    retry_after_ms: int | None = None


@final
class Histories:
    """Failed attempts by offset."""

    __slots__ = ("_excused", "_ranges", "_texts")

    def __init__(self) -> None:
        self._ranges: RangeMap[History] = RangeMap()
        self._excused: RangeMap[int] = RangeMap()
        self._texts: dict[str, str] = {}

    def __bool__(self) -> bool:
        return self._ranges.count > 0

    def add(self, first: int, last: int, attempt: Attempt) -> None:
        """One more attempt failed. One that is known already (the journal may say things twice) is passed over."""
        for low, high, history in self.pieces(first, last):
            if not history or attempt.attempt > history[-1].attempt:
                kept = history if len(history) < ATTEMPTS_KEPT else (history[0], *history[2:])
                self._ranges.put(low, high, (*kept, attempt))

    def pieces(self, first: int, last: int) -> list[tuple[int, int, History]]:
        """The whole range, cut where histories differ; empty ones included."""
        cut: list[tuple[int, int, History]] = []
        low = first
        for start, end, history in self._ranges.pieces(first, last):
            if low < start:
                cut.append((low, start - 1, ()))
            cut.append((start, end, history))
            low = end + 1
        if low <= last:
            cut.append((low, last, ()))
        return cut

    def excuse(self, first: int, last: int, excused: int) -> None:
        """So many of the attempts of these, whose failures were added, say nothing about them."""
        if excused:
            self._excused.put(first, last, excused)

    def excused(self, first: int, last: int) -> list[tuple[int, int, int]]:
        """The whole range, cut where the number of excused attempts differs."""
        cut: list[tuple[int, int, int]] = []
        low = first
        for start, end, excused in self._excused.pieces(first, last) if self._excused else []:
            if low < start:
                cut.append((low, start - 1, 0))
            cut.append((start, end, excused))
            low = end + 1
        if low <= last:
            cut.append((low, last, 0))
        return cut

    def told(self, first: int, last: int) -> list[tuple[int, int, History, int]]:
        """Histories with the number of excused attempts in them, cut where either differs; empty ones left out."""
        return [
            (start, end, history, excused)
            for low, high, history in (self.pieces(first, last) if self else [])
            if history
            for start, end, excused in self.excused(low, high)
        ]

    def forget(self, first: int, last: int) -> None:
        """These messages are gone."""
        self._ranges.take(first, last)
        if self._excused:
            self._excused.take(first, last)

    def attempt(self, failure: Failure, attempt: int) -> Attempt:
        """The failure of one attempt, cut to size, its texts shared with others that say the same."""
        error = failure.error or {}
        return Attempt(
            attempt=attempt,
            at_ms=failure.now_ms,
            consumer=self._shared(failure.consumer),
            how=failure.how,
            error_type=self._shared(error.get("type", "")[:TYPE_CHARACTERS_MAX]),
            error=self._shared((error.get("message") or failure.reason)[:TEXT_CHARACTERS_MAX]),
            traceback=self._shared(error.get("traceback", "")[-TRACEBACK_CHARACTERS_MAX:]),
            reason=self._shared(failure.reason[:TEXT_CHARACTERS_MAX]),
        )

    def _shared(self, text: str) -> str:
        if not text:
            return ""
        known = self._texts.get(text)
        if known is None:
            if len(self._texts) >= TEXTS_KEPT:
                del self._texts[next(iter(self._texts))]
            known = self._texts[text] = text
        return known


def death(queue: str, reason: str, now_ms: int, times: int, history: History) -> Death:
    """The death of messages with this history. The last error is the cause; without any, the reason is."""
    last = history[-1] if history and reason in ("rejected", "attempts_exhausted") else None
    if last is None:
        mark, cause = fingerprint(reason, queue), reason
    else:
        mark = fingerprint(last.error_type or last.how, last.error, last.traceback)
        cause = ": ".join(filter(None, (last.error_type or last.how, last.error)))
    return Death(
        reason=reason,
        queue=queue,
        died_ms=now_ms,
        attempt=times,
        first_ms=history[0].at_ms if history else now_ms,
        fingerprint=mark,
        cause=cause[:TEXT_CHARACTERS_MAX],
        history=history,
    )
