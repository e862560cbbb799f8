"""Who lives where, told to whoever asked: now, and at every change.

A part of the registry's shell. An actor whose exchange or queue was deleted is unknown from then on.
"""

from __future__ import annotations

from typing import final

from posthouse.actors.actor import Context
from posthouse.actors.registry_state import Directory, Whereabouts
from posthouse.supervisor import control_messages as control
from posthouse.transport.links import Link
from posthouse.transport.messages import ActorDown, ActorUp


@final
class Announcements:
    """Of one registry."""

    def __init__(self, context: Context, directory: Directory) -> None:
        self._context = context
        self._directory = directory
        self._was_said = False

    def watch(self, actor: str) -> None:
        """This actor belongs to the broker: the supervisor is to say where it lives."""
        self._context.tell_supervisor(control.Watch(actor))
        self._directory.where(actor)

    def say_when_ready(self) -> None:
        """Everybody is up, or never will be: said once."""
        if not self._was_said and all(
            where.state in ("up", "quarantined") for where in self._directory.actors.values()
        ):
            self._was_said = True
            self._context.tell_supervisor(control.Announce("ready"))

    def locate(self, link: Link, actor: str) -> None:
        """Somebody asks, and is to be told of every change from now on."""
        self._directory.watch(actor, link)
        self._tell(link, actor, self._directory.actors.get(actor, Whereabouts(state="unknown")))

    def moved(self, actor: str, where: Whereabouts) -> bool:
        """The last word on an actor. False if nobody names it any more."""
        if actor not in self._directory.actors:
            return False
        self._directory.actors[actor] = where
        self._tell_all(actor, where)
        return True

    def gone(self, actor: str) -> None:
        """The actor's exchange or queue was deleted."""
        self._directory.actors.pop(actor, None)
        self._tell_all(actor, Whereabouts(state="unknown", reason="deleted"))

    def _tell_all(self, actor: str, where: Whereabouts) -> None:
        for link in self._directory.watchers.get(actor, ()):
            self._tell(link, actor, where)

    def _tell(self, link: Link, actor: str, where: Whereabouts) -> None:
        if where.is_up:
            self._context.send(link, ActorUp(actor, where.generation, where.endpoint))
        else:
            self._context.send(link, ActorDown(actor, where.generation, where.state, where.reason))
