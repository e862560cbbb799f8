"""What an exchange answers about what it holds: listing it, letting go of it, its counts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from posthouse.actors.actor import Context
from posthouse.actors.held_batch import message_ids
from posthouse.actors.holding import Holding
from posthouse.actors.routing import Router
from posthouse.actors.topology import Topology
from posthouse.transport.batch import lengths_of, slice_batch
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, UnknownQueue
from posthouse.transport.links import Link
from posthouse.transport.messages import ExchangeSpec, Message
from posthouse.transport.messages_hold import (
    ExpireHeld,
    HeldInfo,
    HoldInfo,
    HoldStatus,
    ListHeld,
    PrepareDeleteExchange,
    ReleaseHeld,
)
from posthouse.transport.names import REGISTRY

LIST_MAX: Final = 1_000


def answer(
    context: Context,
    link: Link,
    message: Message,
    spec: ExchangeSpec,
    holding: Holding | None,
    router: Router,
    topology: Topology,
) -> bool:
    """True if the message was a request about what is held."""
    match message:
        case ListHeld(request, limit, after):
            if not 1 <= limit <= LIST_MAX:
                raise InvalidArgument(f"a listing shows 1 to {LIST_MAX} messages, not {limit}")
            context.reply(link, request, list(islice(_listed(_must_hold(spec, holding), spec, after), limit)))
        case ReleaseHeld(request, queue):
            held = _must_hold(spec, holding)
            if queue is not None and queue not in topology.queues:
                raise UnknownQueue(f"no queue is named {queue!r}; nothing was released")
            count = held.release(router, topology, queue) if spec.name in topology.exchanges else 0
            context.reply(link, request, count)
        case ExpireHeld(request):
            context.reply(link, request, _must_hold(spec, holding).expire())
        case HoldStatus(request):
            context.reply(link, request, _status(spec, holding))
        case PrepareDeleteExchange(_, is_called_off=True) if link.target == REGISTRY and holding is not None:
            holding.is_closing = False
        case PrepareDeleteExchange(request) if link.target == REGISTRY:
            if holding is not None:
                _refuse_while_holding(spec, holding)
                holding.is_closing = True
            context.reply(link, request, None)
        case _:
            return False
    return True


def _must_hold(spec: ExchangeSpec, holding: Holding | None) -> Holding:
    if holding is None:
        raise PreconditionFailed(f"exchange {spec.name!r} holds nothing: its unrouted policy is {spec.unrouted!r}")
    return holding


def _refuse_while_holding(spec: ExchangeSpec, holding: Holding) -> None:
    count = holding.state.messages + holding.state.leaving
    if count:
        raise PreconditionFailed(
            f"exchange {spec.name!r} holds {count} messages that have not reached a queue or the dead letters; release "
            f"them, or make dead letters of them (`posthouse held expire {spec.name}`), then delete it"
        )


def _listed(holding: Holding, spec: ExchangeSpec, after: int) -> Iterator[HeldInfo]:
    for entry in list(holding.state.waiting.values()):
        if entry.number + entry.count - 1 <= after:
            continue
        start = max(entry.start, after + 1 - entry.number)
        batch = slice_batch(holding.journal.batch_of(entry), start, entry.count)
        pairs = zip(message_ids(batch), lengths_of(batch), strict=True)
        for number, ((message_id, _), size) in enumerate(pairs, entry.number + start):
            yield HeldInfo(
                number=number,
                exchange=spec.name,
                routing_key=batch.routing_key,
                message_id=message_id,
                held_ms=entry.held_ms,
                until_ms=entry.until_ms,
                size=size,
            )


def _status(spec: ExchangeSpec, holding: Holding | None) -> HoldInfo:
    if holding is None:
        return HoldInfo(exchange=spec.name)
    state, limits = holding.state, holding.limits
    return HoldInfo(
        exchange=spec.name,
        messages=state.messages,
        bytes=state.bytes,
        leaving=state.leaving,
        hold_for_ms=limits.for_ms,
        messages_max=limits.messages_max,
        bytes_max=limits.bytes_max,
        is_full=holding.is_full,
        held=state.counters.held,
        released=state.counters.released,
        dead=state.counters.dead,
        journal_bytes=holding.journal.size,
    )
