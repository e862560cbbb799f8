"""Whether a queue or an exchange is gone for good or only away: the registry's word, and no supervisor's.

A part of the dead-letter actor's shell. The supervisor knows who lives, not what was declared: while a broker starts or
stops, a queue that holds messages is as unknown to it as one that was deleted. So before anything is given up because
its destination is gone, the registry is asked to route there, again and again until it answers.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.destinations import Destination
from posthouse.transport.errors import UnknownExchange
from posthouse.transport.explanation import Explanation
from posthouse.transport.links import Link
from posthouse.transport.messages import Explain, Failed, Reply
from posthouse.transport.names import REGISTRY

TIMER: Final = "existence"
ASK_AGAIN_MS: Final = 500


@final
class Existence:
    """The questions that are open, by actor."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._link: Link | None = None
        self._asked: dict[str, tuple[int, Destination]] = {}
        self._last_request = 0

    def owns(self, link: Link) -> bool:
        """Is this the link to the registry?"""
        return link is self._link

    def ask(self, destination: Destination) -> None:
        """Does this exist? `heard` gets the answer."""
        if destination.actor not in self._asked:
            self._send(destination)
            self._context.set_timer(TIMER, self._context.monotonic_ms + ASK_AGAIN_MS)

    def forget(self, actor: str) -> None:
        """It lives, so it exists."""
        self._asked.pop(actor, None)

    def heard(self, message: Reply | Failed) -> str | None:
        """The registry answers: the actor whose queue or exchange certainly does not exist, if it says that."""
        found = next((one for _, one in self._asked.items() if one[0] == message.request), None)
        if found is None:
            return None
        destination = found[1]
        if isinstance(message, Failed):
            if not destination.is_exchange or message.code != UnknownExchange.code:
                return None
            is_gone = True
        else:
            known = msgspec.msgpack.decode(message.result, type=Explanation).queues
            is_gone = not destination.is_exchange and destination.name not in known
        del self._asked[destination.actor]
        return destination.actor if is_gone else None

    def wake(self) -> None:
        """An answer may have been lost with a life of the registry."""
        for _, destination in list(self._asked.values()):
            self._send(destination)
        if self._asked:
            self._context.set_timer(TIMER, self._context.monotonic_ms + ASK_AGAIN_MS)

    def _send(self, destination: Destination) -> None:
        if self._link is None:
            self._link = self._context.connect(REGISTRY)
        self._last_request += 1
        self._asked[destination.actor] = (self._last_request, destination)
        exchange, key = (destination.name, "") if destination.is_exchange else ("", destination.name)
        self._context.send(self._link, Explain(self._last_request, exchange, key, None))
