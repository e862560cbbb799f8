"""A small world of exchanges, queues and bindings, with a router on each exchange that follows every change.

It simulates no process and no wire: changes are applied at once and in order.
"""

from __future__ import annotations

from typing import Any, final

from posthouse.actors.routing import Route, Router
from posthouse.actors.topology import Topology
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange


@final
class World:
    """A topology that is changed step by step, with one router on each exchange that follows it."""

    def __init__(self) -> None:
        self.topology = Topology()
        self.routers: dict[str, Router] = {"": Router(self.topology, "")}

    def apply(self, change: TopologyChange | None) -> None:
        assert change is not None
        self.topology.apply(change)
        for router in self.routers.values():
            router.refresh()

    def exchange(self, name: str, kind: str = "direct", **properties: Any) -> Router:
        self.apply(self.topology.declare_exchange(ExchangeSpec(name=name, kind=kind, **properties)))
        return self.routers.setdefault(name, Router(self.topology, name))

    def queues(self, *names: str) -> None:
        for name in names:
            self.apply(self.topology.declare_queue(QueueSpec(name=name)))

    def bind(self, source: str, destination: str, key: str = "", **more: Any) -> BindingSpec:
        binding = BindingSpec(source=source, destination=destination, key=key, **more)
        self.apply(self.topology.bind(binding))
        return binding

    def link(self, source: str, destination: str, key: str = "") -> BindingSpec:
        return self.bind(source, destination, key, to_exchange=True)


def reached(route: Route) -> str:
    """The queues of a route in one word; their names are one letter each."""
    return "".join(route.queues)
