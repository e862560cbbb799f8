"""The audit of the dead letters: what the store holds, against which flights have to be in it and why.

Pure. A dead letter is recognised by its message id, which the publisher made the flight's number. Which error it died
of is known from the flight, not from the handler that failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from posthouse.dead_letter_requests import DeadLetter

REASON = "attempts_exhausted"


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


def faults_of_history(letter: DeadLetter, error_type: str) -> list[str]:
    """What is wrong with the history of one letter, fetched whole: it names each failed attempt, in order."""
    failed = [attempt for attempt in letter.history if attempt.how == "nack"]
    is_in_order = all(
        before.attempt < after.attempt and before.at <= after.at
        for before, after in zip(letter.history, letter.history[1:], strict=False)
    )
    is_explained = all(attempt.error_type == error_type and attempt.traceback for attempt in failed)
    if failed and is_in_order and is_explained and failed[-1].attempt == letter.attempt:
        return []
    shown = ", ".join(f"{attempt.attempt}: {attempt.how} {attempt.error_type}" for attempt in letter.history)
    return [f"the history of flight {letter.message_id} is [{shown}] after {letter.attempt} attempts with {error_type}"]


def _number(letter: DeadLetter) -> int:
    return int(letter.message_id) if letter.message_id.isascii() and letter.message_id.isdigit() else 0


def _is_of_another_error(letter: DeadLetter, errors: Mapping[int, str]) -> bool:
    number = _number(letter)
    return number in errors and letter.cause.partition(":")[0] != errors[number]
