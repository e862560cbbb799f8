"""What the registry has promised and not yet done, and who lives where.

Pure. An *operation* is a declare, bind or delete that is journaled and waits for two things before it is answered:
that every living exchange routes by it, and that the actor it made is up. A confirmed binding is therefore in force
for every publish that starts after the confirmation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

from posthouse.transport.errors import Refused
from posthouse.transport.links import Link


@final
@dataclass(eq=False)
class Operation:
    """One request on its way; `actor` "": no actor to wait for. With `error` it was refused, and is answered so.

    `actors` are waited for as well, and may come up or end in quarantine: the answer is the same.

    A refusal waits too: that a thing is gone already may only be said when no exchange routes by it any more.
    """

    link: Link | None
    request: int
    result: Any
    version: int = 0
    actor: str = ""
    error: Refused | None = None
    actors: tuple[str, ...] = ()


@final
@dataclass
class Whereabouts:
    """The last word on one actor."""

    generation: int = 0
    endpoint: str = ""
    state: str = "starting"
    reason: str = ""

    @property
    def is_up(self) -> bool:
        return self.state == "up"


@final
@dataclass
class Directory:
    """Who lives where, and which links asked to be told."""

    actors: dict[str, Whereabouts] = field(default_factory=dict)
    watchers: dict[str, dict[Link, None]] = field(default_factory=dict)

    def where(self, actor: str) -> Whereabouts:
        return self.actors.setdefault(actor, Whereabouts())

    def watch(self, actor: str, link: Link) -> None:
        self.watchers.setdefault(actor, {})[link] = None

    def forget_link(self, link: Link) -> None:
        for actor, links in list(self.watchers.items()):
            links.pop(link, None)
            if not links:
                del self.watchers[actor]


@final
class Operations:
    """Operations that wait, and what each living exchange has applied."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._waiting: list[Operation] = []
        self._applied: dict[str, int] = {}

    def add(self, operation: Operation) -> None:
        self._waiting.append(operation)

    def applied(self, exchange_actor: str, version: int) -> None:
        """An exchange routes by this version of the topology now."""
        self._applied[exchange_actor] = max(version, self._applied.get(exchange_actor, 0))

    def left(self, exchange_actor: str) -> None:
        """An exchange is gone; its next life begins with a snapshot."""
        self._applied.pop(exchange_actor, None)

    def take_finished(self, exchange_actors: set[str]) -> list[Operation]:
        """Operations that need not wait any longer, in the order they came."""
        finished: list[Operation] = []
        waiting: list[Operation] = []
        for operation in self._waiting:
            is_done = self._is_applied(operation, exchange_actors) and self._has_actor(operation)
            (finished if is_done else waiting).append(operation)
        self._waiting = waiting
        return finished

    def _is_applied(self, operation: Operation, exchange_actors: set[str]) -> bool:
        for actor in exchange_actors:
            where = self._directory.actors.get(actor)
            # An exchange that is down will start with a snapshot, so nothing is routed by an older topology.
            # "starting" includes an exchange whose link to a new registry has not opened yet: wait for it.
            is_gone = where is not None and where.state in ("restarting", "quarantined", "stopped")
            if not is_gone and self._applied.get(actor, 0) < operation.version:
                return False
        return True

    def _has_actor(self, operation: Operation) -> bool:
        actors = (operation.actor, *operation.actors) if operation.actor else operation.actors
        return all(self._directory.where(actor).state in ("up", "quarantined") for actor in actors)
