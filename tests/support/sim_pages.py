"""The two kinds of thing on a simulated disk: a file made of pages, and a table of names.

Each knows what a reader sees and what is on stable storage, and becomes on `settle` one of the images that a
power cut may leave. They do not simulate the states of a page between its last sync and its newest bytes.
"""

from __future__ import annotations

import random
from typing import Final, final

PAGE_BYTES: Final = 4096


@final
class PagedFile:
    """`data` is what a reader sees; `old` holds the stable copy of each page that differs from it."""

    __slots__ = ("data", "lost", "old", "size_synced")

    def __init__(self) -> None:
        self.data = bytearray()
        self.old: dict[int, bytes] = {}
        self.lost: dict[int, bytes] = {}
        self.size_synced = 0

    def touch(self, start: int, end: int) -> None:
        """Bytes [start, end) are about to change."""
        for page in range(start // PAGE_BYTES, -(-end // PAGE_BYTES)):
            if page not in self.old:
                stable = self.lost.pop(page, None)
                if stable is None:
                    stable = bytes(self.data[page * PAGE_BYTES : (page + 1) * PAGE_BYTES])
                self.old[page] = stable

    @property
    def is_dirty(self) -> bool:
        return bool(self.old or self.lost) or self.size_synced != len(self.data)

    def settle(self, choice: random.Random) -> None:
        """Become one of the images that a power cut may leave."""
        low, high = sorted((self.size_synced, len(self.data)))
        size = choice.choice((low, high, choice.randint(low, high)))
        for page, stable in (*self.old.items(), *self.lost.items()):
            start = page * PAGE_BYTES
            fresh = bytes(self.data[start : start + PAGE_BYTES]).ljust(PAGE_BYTES, b"\0")
            stable = stable.ljust(PAGE_BYTES, b"\0")
            cut = choice.choice((0, PAGE_BYTES, choice.randrange(PAGE_BYTES + 1)))
            mixed = stable if page in self.lost else fresh[:cut] + stable[cut:]
            if len(self.data) < start + PAGE_BYTES:
                self.data.extend(bytes(start + PAGE_BYTES - len(self.data)))
            self.data[start : start + PAGE_BYTES] = mixed
        if size > len(self.data):
            self.data.extend(bytes(size - len(self.data)))
        del self.data[size:]
        self.old.clear()
        self.lost.clear()
        self.size_synced = size


@final
class NameTable:
    """`names` is what a reader sees; `changes` are the operations since the last sync, oldest first."""

    __slots__ = ("changes", "names", "stable")

    def __init__(self) -> None:
        self.names: dict[str, PagedFile] = {}
        self.stable: dict[str, PagedFile] = {}
        self.changes: list[tuple[str, str, PagedFile]] = []

    def settle(self, choice: random.Random) -> None:
        names = dict(self.stable)
        mode = choice.randrange(3)
        for operation, name, file in self.changes:
            if mode == 0 or (mode == 1 and choice.random() < 0.5):
                continue
            source, _, target = name.partition("\0")
            if operation == "link":
                names[source] = file
            elif operation == "unlink":
                names.pop(source, None)
            else:
                names.pop(source, None)
                names[target] = file
        self.names = names
        self.stable = dict(names)
        self.changes.clear()
