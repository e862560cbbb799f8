"""A screen that is drawn again and again, and the keys pressed meanwhile; it ends with q or Ctrl-C.

For the commands that watch something. The terminal is given back as it was, whatever ends them.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from posthouse.cli_output import console, is_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

INTERVAL_S: Final = 1.0
QUIT: Final = ("q", "Q", "\x03", "\x04")

Draw = Callable[[], "RenderableType"]


def watch(draw: Draw, on_key: Callable[[str], None] = lambda key: None, interval_s: float = INTERVAL_S) -> None:
    """Draw on the whole screen until somebody has seen enough. `on_key` is told every other key; then it is drawn anew.

    `draw` is called once per interval and after each key; what it raises ends the watching.
    """
    from rich.live import Live

    with (
        contextlib.suppress(KeyboardInterrupt),
        _keyboard() as keyboard,
        Live(draw(), console=console(), screen=True, auto_refresh=False, transient=True) as live,
    ):
        due = time.monotonic() + interval_s
        while True:
            keys = _pressed(keyboard, due - time.monotonic())
            if any(key in QUIT for key in keys):
                return
            for key in keys:
                on_key(key)
            if not keys:
                due = time.monotonic() + interval_s
            live.update(draw(), refresh=True)


def can_watch() -> bool:
    """There is a screen to draw on."""
    return is_terminal()


@contextlib.contextmanager
def _keyboard() -> Iterator[int | None]:
    """The descriptor of a keyboard whose keys come one by one and unseen; None where there is none."""
    try:
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (OSError, ValueError, termios.error):
        yield None
        return
    try:
        tty.setcbreak(descriptor)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pressed(keyboard: int | None, within_s: float) -> list[str]:
    """The keys that were pressed; waits for the first one. What arrow keys and the like send is one key."""
    wanted = [] if keyboard is None else [keyboard]
    readable, _, _ = select.select(wanted, [], [], max(0.0, within_s))
    if not readable or keyboard is None:
        return []
    text = os.read(keyboard, 1024).decode(errors="ignore")
    return [text] if text.startswith("\x1b") else list(text)
