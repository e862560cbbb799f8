"""The way back of replies: which session takes the replies of which caller.

The default exchange holds one. A reply is passed on at most once: its caller is there and reads, or the reply is
dropped and counted, and never an error for whoever sent it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

from posthouse.transport.batch import is_reply
from posthouse.transport.errors import PreconditionFailed
from posthouse.transport.messages import Batch
from posthouse.transport.messages_calls import ReplyCounts, reply_key
from posthouse.transport.session import Link


@final
class ReplyPaths:
    """Sessions of callers by the routing key of their replies."""

    __slots__ = ("_dropped", "_links", "_passed")

    def __init__(self) -> None:
        self._links: dict[str, Link] = {}
        self._passed = 0
        self._dropped = 0

    def open(self, link: Link) -> None:
        """Pass replies to this session from now on; a client's newest session wins. Raises PreconditionFailed."""
        if link.is_opener or not link.client_id:
            raise PreconditionFailed("replies go to clients, and this link is another actor's")
        self._links[reply_key(link.client_id)] = link

    def close(self, link: Link) -> None:
        """The session is over."""
        key = reply_key(link.client_id)
        if self._links.get(key) is link:
            del self._links[key]

    def find(self, batch: Batch, is_congested: Callable[[Link], bool]) -> Link | None:
        """Where to pass these replies, and count them; None when nobody is there, or does not read."""
        assert is_reply(batch)
        link = self._links.get(batch.routing_key)
        if link is None or is_congested(link):
            self._dropped += batch.count
            return None
        self._passed += batch.count
        return link

    def counts(self) -> ReplyCounts:
        return ReplyCounts(callers=len(self._links), passed=self._passed, dropped=self._dropped)
