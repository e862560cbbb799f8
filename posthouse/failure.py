"""What a consumer says about a delivery that failed: the error, and when to try again.

Pure. Errors are cut to what the broker keeps, so that an endless traceback costs nobody anything.
"""

from __future__ import annotations

import traceback
from typing import Final, NamedTuple

from posthouse.arguments import check_seconds
from posthouse.transport.errors import InvalidArgument

TYPE_CHARACTERS_MAX: Final = 200
MESSAGE_CHARACTERS_MAX: Final = 1_000
TRACEBACK_CHARACTERS_MAX: Final = 8_000
FRAMES_MAX: Final = 50
RETRY_AFTER_S_MAX: Final = 10 * 366 * 24 * 3_600.0


class Failure(NamedTuple):
    """Hashable, so that messages which failed alike are settled together."""

    retry_after_ms: int | None = None
    error: tuple[tuple[str, str], ...] = ()


def failure_of(error: BaseException | None, retry_after_ms: int | None = None) -> Failure | None:
    """An exception and a wish as they travel; None when nothing was said. Never fails on a strange exception."""
    if error is None:
        return None if retry_after_ms is None else Failure(retry_after_ms)
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    lines = traceback.format_tb(error.__traceback__, limit=-FRAMES_MAX)
    said = {
        "type": name[:TYPE_CHARACTERS_MAX],
        "message": _text_of(error)[:MESSAGE_CHARACTERS_MAX],
        "traceback": "".join(lines)[-TRACEBACK_CHARACTERS_MAX:],
    }
    return Failure(retry_after_ms, tuple((key, _sendable(value)) for key, value in said.items() if value))


def retry_delay_ms(value: object) -> int:
    """Seconds from nothing to ten years, in milliseconds. Raises InvalidArgument."""
    seconds = check_seconds("retry_after_s", value)
    if seconds > RETRY_AFTER_S_MAX:
        raise InvalidArgument(f"retry_after_s is {value!r}; it is at most ten years")
    return round(seconds * 1_000)


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return f"<{type(error).__name__} cannot be shown>"


def _sendable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
