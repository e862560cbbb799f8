"""Generations: the number of a life, higher than that of every life before it in this data directory.

It is recorded durably before the fork that uses it. To pay one sync per thousand forks a whole block is
recorded as used; what a crash leaves unused of it is skipped. The file holds one line, `posthouse generations
below N`.
"""

from __future__ import annotations

import re
from typing import final

from posthouse.supervisor.atomic_file import replace_file
from posthouse.transport.errors import DiskFault

BLOCK = 1024
_LINE = re.compile(rb"posthouse generations below (\d{1,19})\n")


@final
class Generations:
    """Hands out generations, starting with 1."""

    def __init__(self, path: str, next_generation: int) -> None:
        self._path = path
        self._next = next_generation
        self._below = next_generation

    @classmethod
    def open(cls, path: str, *, is_new: bool) -> Generations:
        """Go on where the file says. `is_new`: there is no journal yet, so the file may be missing.

        Raises DiskFault if it is missing otherwise or unreadable: a guess could be lower than what the
        journals have seen, and every actor would be refused by its own journal.
        """
        try:
            with open(path, "rb") as file:
                content = file.read(256)
        except FileNotFoundError:
            if is_new:
                return cls(path, 1)
            content = b""
        except OSError as error:
            raise DiskFault(f"{path} cannot be read: {error}") from error
        match = _LINE.fullmatch(content)
        if match is None:
            raise DiskFault(
                f"{path} is missing or damaged. Write the line 'posthouse generations below N' into it, "
                "with an N higher than every generation `posthouse journal verify` shows"
            )
        return cls(path, int(match[1]))

    def take(self) -> int:
        """The next generation, already durable. Raises DiskFault if a new block cannot be recorded."""
        if self._next >= self._below:
            below = self._next + BLOCK
            replace_file(self._path, b"posthouse generations below %d\n" % below)
            self._below = below
        taken = self._next
        self._next += 1
        return taken
