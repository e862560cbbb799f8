"""How a queue tells the registry that nobody needs it any more: its last consumer left, or nobody used it for its time.

A part of the queue actor's shell; a queue that is neither auto-delete nor expires has nothing to do here. The registry
asks back before it deletes anything, and then what counts is what is true here at that moment.
"""

from __future__ import annotations

from typing import final

from posthouse.actors.actor import Context
from posthouse.actors.queue_idle import Idleness
from posthouse.actors.queue_state import QueueState
from posthouse.transport.errors import PreconditionFailed
from posthouse.transport.links import Link
from posthouse.transport.messages import QueueSpec
from posthouse.transport.messages_use import QueueUnused
from posthouse.transport.names import REGISTRY

TIMER = "idle"


@final
class Usage:
    """Of one queue. `is_watched`: the registry is to be told, so `look` at the end of every round."""

    def __init__(self, context: Context, spec: QueueSpec, state: QueueState) -> None:
        self._context = context
        self._spec = spec
        self._state = state
        self._had_consumer = False
        self._was_in_use = False
        self._idleness: Idleness | None = None
        self._registry: Link | None = None
        self.is_watched = spec.auto_delete or spec.expires_ms is not None
        if self.is_watched:
            self._registry = context.connect(REGISTRY)

    def start(self) -> None:
        """The queue is up: nobody could use it before."""
        if self._spec.expires_ms is not None:
            self._idleness = Idleness(self._spec.expires_ms, self._context.monotonic_ms)

    def had_consumer(self) -> None:
        """A consumer came, or there was one that nobody has told of."""
        self._had_consumer = True
        self.used()

    def used(self) -> None:
        """Somebody asked for a message, or declared the queue again."""
        if self._idleness is not None:
            self._idleness.used(self._context.monotonic_ms)

    def refuse_unless_idle(self) -> None:
        """Raises PreconditionFailed if somebody has used the queue since it said that nobody does."""
        idleness, is_in_use = self._idleness, self._state.is_in_use or self._was_in_use
        if is_in_use or idleness is None or not idleness.is_over(self._context.monotonic_ms):
            raise PreconditionFailed(f"queue {self._spec.name!r} is in use again")

    def look(self) -> None:
        """A round is over: say what is to be said."""
        if self._registry is None:
            return
        if self._spec.auto_delete and self._had_consumer and not self._state.info().consumers:
            self._had_consumer = False
            self._context.send(self._registry, QueueUnused(self._spec.name, self._spec.serial))
        if self._idleness is not None:
            self._watch(self._idleness, self._registry)

    def _watch(self, idleness: Idleness, registry: Link) -> None:
        now_ms = self._context.monotonic_ms
        is_in_use, was_in_use = self._state.is_in_use, self._was_in_use
        self._was_in_use = is_in_use
        if is_in_use or was_in_use:
            idleness.used(now_ms)
        if is_in_use:
            # What ends it is an event, so no timer has to wait for that.
            return
        if idleness.is_to_be_said(now_ms):
            self._context.send(registry, QueueUnused(self._spec.name, self._spec.serial, is_idle=True))
        self._context.set_timer(TIMER, idleness.next_ms())
