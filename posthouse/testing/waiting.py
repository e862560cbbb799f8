"""Waiting for something to become true, with a deadline and without sleeping past it.

It looks again every few milliseconds; a test that passes never waits longer than what it waits for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Literal, TypeVar

_T = TypeVar("_T")

LOOK_EVERY_S: Final = 0.01
_never = threading.Event()


def eventually(look: Callable[[], _T | Literal[False] | None], within_s: float = 60.0, what: str = "") -> _T:
    """What `look` returns, as soon as that is true. AssertionError with its last word when the time is over."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise AssertionError(f"{what or 'what was waited for'}: not within {within_s} s, but {found!r}")
        _never.wait(min(LOOK_EVERY_S, left_s))
    return found


def for_a_while(check: Callable[[], object], during_s: float) -> None:
    """Call a check that asserts something again and again: it must hold all the time."""
    deadline = time.monotonic() + during_s
    while True:
        check()
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            return
        _never.wait(min(5 * LOOK_EVERY_S, left_s))
