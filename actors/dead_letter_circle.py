"""Whether what dies in a queue would come back to it: the way of dead letters through the topology, followed.

Pure. It looks at bindings by routing key, as an exchange does, and takes every dead-letter exchange for one that
takes what it is given; what headers decide it cannot know. It promises to end: each queue is looked at once for each
key, and of many no more than `STEPS_MAX`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.transport.errors import UnknownQueue
from posthouse.transport.names import shown

STEPS_MAX: Final = 1_000

_Stop = tuple[str, str]
"""A queue, and the routing key under which a message is in it."""


def circle_of(topology: Topology, queue: str, routing_keys: Iterable[str]) -> list[str]:
    """The queues that a message which dies again and again would pass until it is back, this one first and last.

    Empty when it never comes back. Raises UnknownQueue.
    """
    if queue not in topology.queues:
        raise UnknownQueue(f"there is no queue {shown(queue)}; declare it first")
    routers: dict[str, Router] = {}
    came_from: dict[_Stop, _Stop | None] = {(queue, key): None for key in routing_keys}
    work = deque(came_from)
    for _ in range(STEPS_MAX):
        if not work:
            break
        stop = work.popleft()
        for onward in _onward(topology, stop, routers):
            if onward[0] == queue:
                return [*_way(came_from, stop), queue]
            if onward not in came_from:
                came_from[onward] = stop
                work.append(onward)
    return []


def _onward(topology: Topology, stop: _Stop, routers: dict[str, Router]) -> list[_Stop]:
    """Where a message goes when it dies there."""
    spec = topology.queues[stop[0]]
    exchange = spec.dead_letter_exchange
    if exchange is None or exchange not in topology.exchanges:
        return []
    if exchange not in routers:
        routers[exchange] = Router(topology, exchange)
    key = stop[1] if spec.dead_letter_routing_key is None else spec.dead_letter_routing_key
    return [(name, key) for name in routers[exchange].route(key, None).queues]


def _way(came_from: dict[_Stop, _Stop | None], stop: _Stop) -> list[str]:
    way: list[str] = []
    at: _Stop | None = stop
    while at is not None:
        way.append(at[0])
        at = came_from[at]
    return way[::-1]
