"""The audit of the dead letters: what the store holds, against which flights have to be in it and why.

Pure. A dead letter is recognised by its message id, which the publisher made the flight's number. Which error it died
of is known from the flight, not from the handler that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import timedelta
from itertools import pairwise
from typing import Final

from posthouse.dead_letter_requests import DeadLetter, FailedAttempt
from posthouse.retry import Retry

REASON: Final = "attempts_exhausted"
SLACK: Final = timedelta(milliseconds=2)
"""Times are kept in milliseconds, and a broker that starts again reads its clock anew."""


def faults_of_letters(letters: Iterable[DeadLetter], errors: Mapping[int, str], attempts: int) -> list[str]:
    """What is wrong with a listing. `errors`: the flights that have to be dead, each with the type of its error.

    More than `attempts` are right as well: an attempt that a crash cut off counts, and has not failed.
    """
    found = list(letters)
    times = Counter(_number(letter) for letter in found)
    counted = {
        "missing": sum(number not in times for number in errors),
        "there twice": sum(count - 1 for count in times.values()),
        "astray": sum(number not in errors for number in times),
        "of another reason": sum(letter.reason != REASON for letter in found),
        "with too few attempts": sum(letter.attempt < attempts for letter in found),
        "of another error": sum(_is_of_another_error(letter, errors) for letter in found),
    }
    return [f"dead letters: {count:,} {what}" for what, count in counted.items() if count]


def faults_of_history(letter: DeadLetter, error_type: str, policy: Retry) -> list[str]:
    """What is wrong with the history of one letter, fetched whole: its attempts, their errors and their pauses."""
    failed = [attempt for attempt in letter.history if attempt.how == "nack"]
    is_in_order = all(
        before.attempt < after.attempt and after.at - before.at >= _pause(before, policy) - SLACK
        for before, after in pairwise(letter.history)
    )
    is_explained = all(attempt.error_type == error_type and attempt.traceback for attempt in failed)
    if failed and is_in_order and is_explained and failed[-1].attempt == letter.attempt:
        return []
    return [f"flight {letter.message_id} should have {letter.attempt} attempts with {error_type}: {story_of(letter)}"]


def story_of(letter: DeadLetter) -> str:
    """The history of one letter in a line."""
    steps = [f"{attempt.attempt}: {attempt.error_type or attempt.how}" for attempt in letter.history]
    for index, (before, after) in enumerate(pairwise(letter.history), start=1):
        steps[index] += f" after {(after.at - before.at) / timedelta(milliseconds=1):.0f} ms"
    return ", ".join(steps)


def _pause(attempt: FailedAttempt, policy: Retry) -> timedelta:
    """How long at least after this attempt the next one fails. A redrive lets pauses begin anew, and keeps counting."""
    if attempt.how != "nack" or attempt.attempt >= policy.max_attempts:
        return timedelta()
    return timedelta(seconds=policy.first_delay_s * policy.factor ** (attempt.attempt - 1))


def _number(letter: DeadLetter) -> int:
    return int(letter.message_id) if letter.message_id.isascii() and letter.message_id.isdigit() else 0


def _is_of_another_error(letter: DeadLetter, errors: Mapping[int, str]) -> bool:
    number = _number(letter)
    return number in errors and letter.cause.partition(":")[0] != errors[number]
