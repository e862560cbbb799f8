"""Checks of numbers that programs hand in."""

from __future__ import annotations

import math

from posthouse.transport.errors import InvalidArgument


def check_count(name: str, value: object, low: int, high: int) -> int:
    """A whole number within bounds. Raises InvalidArgument."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InvalidArgument(f"{name} is {value!r}; it is a whole number from {low} to {high}")
    return value


def check_seconds(name: str, value: object) -> float:
    """A finite number of seconds that is not negative. Raises InvalidArgument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InvalidArgument(f"{name} is {value!r}; it is a number of seconds, not negative")
    return float(value)


def check_number(name: str, value: object, low: float, high: float) -> float:
    """A finite number within bounds. Raises InvalidArgument."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidArgument(f"{name} is {value!r}; it is a number from {low:g} to {high:g}")
    return float(value)


def check_yes_or_no(name: str, value: object) -> bool:
    """True or False, and nothing that merely counts as one. Raises InvalidArgument."""
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name} is {value!r}; it is True or False")
    return value


def is_short_text(value: object, bytes_max: int) -> bool:
    """A text that is not empty and has at most so many bytes of UTF-8."""
    try:
        return isinstance(value, str) and 0 < len(value.encode()) <= bytes_max
    except UnicodeEncodeError:
        return False
