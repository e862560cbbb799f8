"""Who is connected at one moment, asked for once and shared by all pages and streams that are open.

Every actor is asked, so where they are many the next look waits longer: looking takes a share of the time, not all.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Final, final

from posthouse import aio
from posthouse.transport.messages_sessions import ConnectionInfo

FRESH_S: Final = 0.9
REST_TIMES: Final = 5
"""The next look is at the earliest so many times later than the last one took."""


@final
class Connected:
    """Hands out the newest answer."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._found: Sequence[ConnectionInfo] = ()
        self._good_until_s = float("-inf")
        self._asking = asyncio.Lock()

    async def take(self, broker: aio.Broker) -> Sequence[ConnectionInfo]:
        """The connections, the oldest first. Raises what the client raises."""
        async with self._asking:
            began_s = self._clock()
            if began_s >= self._good_until_s:
                self._found = await broker.connections()
                ended_s = self._clock()
                self._good_until_s = ended_s + max(FRESH_S, REST_TIMES * (ended_s - began_s))
            return self._found
