"""Definitions held against a topology: what would be made, what is there already, and what cannot be.

Pure. The topology itself judges each definition, on a draft that grows as if the ones before had been made, so an
import refuses exactly what single declarations would have refused, and in their words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import NamedTuple, TypeVar

import msgspec

from posthouse.actors.topology import Topology
from posthouse.transport.errors import Refused
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from posthouse.transport.messages_definitions import Defined, Definitions

Spec = TypeVar("Spec", ExchangeSpec, QueueSpec, BindingSpec)

Numbered = TypeVar("Numbered", ExchangeSpec, QueueSpec)


class Plan(NamedTuple):
    """`change` makes everything that is not there yet; None when nothing is to be made, or may be made."""

    outcomes: list[Defined]
    change: TopologyChange | None


def plan(topology: Topology, wanted: Definitions, *, last_serial: int, client: int) -> Plan:
    """Judge every definition; `last_serial` is the serial given out last, `client` is who asks."""
    draft = Topology()
    draft.apply(topology.snapshot())
    outcomes: list[Defined] = []

    def judge(what: str, specs: Iterable[Spec], declare: Callable[[Spec], TopologyChange | None]) -> list[Spec]:
        made: list[Spec] = []
        for place, spec in enumerate(specs):
            try:
                change = declare(spec)
            except Refused as error:
                outcomes.append(Defined(what=what, place=place, state="refused", code=error.code, text=str(error)))
                continue
            if change is not None:
                draft.apply(change)
                made.append(spec)
            outcomes.append(Defined(what=what, place=place, state="existing" if change is None else "created"))
        return made

    # Serials need not be without gaps: what exists already keeps its own.
    serials = count(last_serial + 1)
    exchanges = judge("exchange", [_numbered(spec, serials) for spec in wanted.exchanges], draft.declare_exchange)
    queues = judge("queue", [_numbered(spec, serials) for spec in wanted.queues], draft.declare_queue)
    bindings = judge("binding", wanted.bindings, lambda binding: draft.bind(binding, client=client))
    if any(outcome.state == "refused" for outcome in outcomes) or not (exchanges or queues or bindings):
        return Plan(outcomes, None)
    change = TopologyChange(
        version=topology.version + 1,
        put_exchanges=tuple(exchanges),
        put_queues=tuple(queues),
        put_bindings=tuple(bindings),
    )
    return Plan(outcomes, change)


def _numbered(spec: Numbered, serials: Iterator[int]) -> Numbered:
    """The default exchange has no serial, and compares equal to a declaration of itself only without one."""
    return msgspec.structs.replace(spec, serial=next(serials)) if spec.name else spec
