"""Whether a queue is gone for good or only away: the registry's word, which no supervisor's can stand in for.

A part of the dead-letter actor's shell. The supervisor knows who lives, not what was declared: while a broker starts or
stops, a queue that holds messages is as unknown to it as one that was deleted. So before anything is given up because a
queue is gone, the registry is asked where the default exchange would route to it, again and again until it answers.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.transport.explanation import Explanation
from posthouse.transport.links import Link
from posthouse.transport.messages import Explain, Failed, Reply

REGISTRY: Final = "registry"
TIMER: Final = "existence"
ASK_AGAIN_MS: Final = 500


@final
class Existence:
    """The questions that are open, by queue."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._link: Link | None = None
        self._asked: dict[str, int] = {}
        self._last_request = 0

    def owns(self, link: Link) -> bool:
        """Is this the link to the registry?"""
        return link is self._link

    def ask(self, queue: str) -> None:
        """Does this queue exist? `heard` gets the answer."""
        if queue not in self._asked:
            self._send(queue)
            self._context.set_timer(TIMER, self._context.monotonic_ms + ASK_AGAIN_MS)

    def forget(self, queue: str) -> None:
        """It lives, so it exists."""
        self._asked.pop(queue, None)

    def heard(self, message: Reply | Failed) -> str | None:
        """The registry answers: the queue that certainly does not exist, if that is what it says."""
        queue = next((name for name, request in self._asked.items() if request == message.request), None)
        if queue is None or isinstance(message, Failed):
            return None
        del self._asked[queue]
        known = msgspec.msgpack.decode(message.result, type=Explanation).queues
        return None if queue in known else queue

    def wake(self) -> None:
        """An answer may have been lost with a life of the registry."""
        for queue in list(self._asked):
            self._send(queue)
        if self._asked:
            self._context.set_timer(TIMER, self._context.monotonic_ms + ASK_AGAIN_MS)

    def _send(self, queue: str) -> None:
        if self._link is None:
            self._link = self._context.connect(REGISTRY)
        self._last_request += 1
        self._asked[queue] = self._last_request
        self._context.send(self._link, Explain(self._last_request, "", queue, None))
