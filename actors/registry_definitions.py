"""Definitions at the registry: the whole topology told, or laid down in one step.

A part of the registry's shell. What is laid down is one change, one record in the journal: a crash leaves all of it or
nothing.
"""

from __future__ import annotations

from typing import Protocol, final

import msgspec

from posthouse.actors.actor import Context
from posthouse.actors.definition_plan import plan
from posthouse.actors.registry_state import Operation
from posthouse.actors.topology import Topology
from posthouse.transport.errors import InvalidArgument, NotDone
from posthouse.transport.links import Link
from posthouse.transport.messages import Message, TopologyChange
from posthouse.transport.messages_definitions import Define, Definitions, DescribeTopology
from posthouse.transport.names import actor_of_exchange, actor_of_queue, shown


class Registry(Protocol):
    """What this part uses of the registry."""

    topology: Topology

    def commit(self, operation: Operation, change: TopologyChange | None) -> None:
        """Journal and apply a change, and answer when it is in force."""

    def start_made(self, change: TopologyChange) -> None:
        """Start the actors of what a change made."""

    def is_leaving(self, queue: str) -> bool:
        """The queue is being deleted, and may not be declared before it is gone."""

    @property
    def last_serial(self) -> int:
        """The serial that was given out last."""


@final
class Defining:
    """Answers what is asked about definitions."""

    def __init__(self, context: Context, registry: Registry) -> None:
        self._context = context
        self._registry = registry

    def receive(self, link: Link, message: Message) -> bool:
        """True if the message was about definitions. Raises Refused, Unavailable; then nothing has changed."""
        match message:
            case DescribeTopology(request):
                everything = self._registry.topology.snapshot()
                known = Definitions(
                    exchanges=everything.put_exchanges,
                    queues=everything.put_queues,
                    bindings=everything.put_bindings,
                )
                self._context.reply(link, request, known)
            case Define():
                self._define(link, message)
            case _:
                return False
        return True

    def _define(self, link: Link, message: Define) -> None:
        registry, wanted = self._registry, message.definitions
        for queue in wanted.queues:
            if queue.exclusive or queue.owner:
                raise InvalidArgument(
                    f"queue {shown(queue.name)} is exclusive: it belongs to a connection and is no definition"
                )
            if not message.is_dry_run and registry.is_leaving(queue.name):
                raise NotDone(f"queue {shown(queue.name)} is being deleted now; nothing was changed, try again")
        drawn = plan(registry.topology, wanted, last_serial=registry.last_serial, client=link.client_id)
        if message.is_dry_run or drawn.change is None:
            self._context.reply(link, message.request, drawn.outcomes)
            return
        change = drawn.change
        actors = [actor_of_exchange(spec.name) for spec in change.put_exchanges]
        actors += [actor_of_queue(spec.name) for spec in change.put_queues]
        answer = [msgspec.to_builtins(outcome) for outcome in drawn.outcomes]
        registry.commit(Operation(link, message.request, answer, actors=tuple(actors)), change)
        registry.start_made(change)
