"""Watches: who wants to know about whom.

Pure. A watch lives as long as the life that asked for it; it may name an id that does not exist yet. The
number of watches of one child is limited, since a child may be made to ask by what it reads from a network.
"""

from __future__ import annotations

from typing import final

WATCHES_MAX = 65_536


@final
class Watches:
    """A relation between watchers and the watched, readable from both sides in constant time."""

    def __init__(self) -> None:
        self._watchers: dict[str, dict[str, None]] = {}
        self._watched: dict[str, dict[str, None]] = {}

    def add(self, watcher: str, target: str) -> bool:
        """False if the watcher has reached its limit; then nothing is changed."""
        targets = self._watched.setdefault(watcher, {})
        if target not in targets and len(targets) >= WATCHES_MAX:
            return False
        targets[target] = None
        self._watchers.setdefault(target, {})[watcher] = None
        return True

    def remove(self, watcher: str, target: str) -> None:
        """No more news of `target` for `watcher`; nothing happens if there was no such watch."""
        targets = self._watched.get(watcher, {})
        if target in targets:
            del targets[target]
            self._drop(watcher, target)
            if not targets:
                del self._watched[watcher]

    def remove_watcher(self, watcher: str) -> None:
        """That life is over: all its watches go."""
        for target in self._watched.pop(watcher, ()):
            self._drop(watcher, target)

    def watchers_of(self, target: str) -> tuple[str, ...]:
        """In the order in which they asked."""
        return tuple(self._watchers.get(target, ()))

    def _drop(self, watcher: str, target: str) -> None:
        watchers = self._watchers[target]
        del watchers[watcher]
        if not watchers:
            del self._watchers[target]
