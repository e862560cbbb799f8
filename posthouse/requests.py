"""Requests: what a program may ask of a broker, checked and ready to be sent.

Pure. Both clients, the blocking one and the one for asyncio, ask through these functions and add only how they wait,
so an argument is refused by both in the same words. A request that was made here is one the broker can decode; every
function raises InvalidArgument where it would not be.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, final

import msgspec

from posthouse.arguments import check_count, check_seconds, check_yes_or_no
from posthouse.asking import Call, result_of
from posthouse.message import Message, Slice
from posthouse.queue_policies import hold_bounds, queue_policies, unrouted_unless_said
from posthouse.session import DEFAULT_EXCHANGE
from posthouse.transport import messages
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.explanation import Explanation
from posthouse.transport.limits import PREFETCH_MAX
from posthouse.transport.messages import (
    BindingSpec,
    ConsumerInfo,
    Deliver,
    ExchangeSpec,
    QueueInfo,
    QueueSpec,
)
from posthouse.transport.messages_calls import ReplyCounts, ReplyStatus
from posthouse.transport.messages_monitor import BrokerEvent, Overview, ReadEvents, ReadOverview
from posthouse.transport.messages_sessions import ConnectionInfo, ListConnections
from posthouse.transport.names import MONITOR, REGISTRY, actor_of_queue, check_headers, check_name, check_routing_key

Answer = TypeVar("Answer")


@final
@dataclass(frozen=True, slots=True)
class Request(Generic[Answer]):
    """Whom to ask, and how to read the answer. `make` gets the request's number."""

    target: str
    make: Callable[[int], messages.Message]
    kind: Any = None
    is_removal: bool = False

    def __post_init__(self) -> None:
        check_types(self.make(0))

    def answer(self, call: Call) -> Answer:
        """What the finished call brought. Raises the error it ended with."""
        found: Answer = result_of(call, self.kind)
        return found


class Ask(Protocol):
    """Asks the broker, and waits for the answer. Raises the error it ended with."""

    def __call__(self, request: Request[Answer], /) -> Answer: ...


class AskAsync(Protocol):
    """The same; the answer is awaited."""

    def __call__(self, request: Request[Answer], /) -> Awaitable[Answer]: ...


def check_types(request: messages.Message) -> None:
    """Refuse here what the broker could not decode: there it would end the session and all that waits in it."""
    try:
        messages.decode(messages.encode(request))
    except (msgspec.DecodeError, TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(f"an argument has a wrong type or range: {error}") from error


# ---- topology ----


def declare_exchange(
    name: str,
    kind: str,
    *,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    alternate: str | None,
    unrouted: str | None,
    hold: dict[str, Any],
) -> Request[None]:
    if unrouted is None:
        unrouted = unrouted_unless_said(alternate, auto_delete=auto_delete)
    spec = ExchangeSpec(
        name=check_name("exchange", name),
        kind=kind,
        durable=durable,
        auto_delete=auto_delete,
        internal=internal,
        alternate=alternate,
        unrouted=unrouted,
        **hold_bounds(hold),
    )
    return Request(REGISTRY, lambda number: messages.DeclareExchange(number, spec))


def declare_queue(
    name: str,
    policies: dict[str, Any],
    *,
    durable: bool,
    exclusive: bool,
    auto_delete: bool,
    single_active_consumer: bool,
) -> Request[str]:
    """Answered with the queue's name, which the broker chooses for ""."""
    if name != "":
        check_name("queue", name)
    check_yes_or_no("durable", durable)
    check_yes_or_no("exclusive", exclusive)
    spec = QueueSpec(
        name=name,
        durable=durable and not exclusive,
        exclusive=exclusive,
        auto_delete=auto_delete,
        single_active_consumer=single_active_consumer,
        **queue_policies(policies),
    )
    return Request(REGISTRY, lambda number: messages.DeclareQueue(number, spec), str)


def bind(
    source: str, destination: str, key: str, arguments: dict[str, Any] | None, *, to_exchange: bool
) -> Request[None]:
    binding = _binding(source, destination, key, arguments, to_exchange)
    return Request(REGISTRY, lambda number: messages.Bind(number, binding))


def unbind(
    source: str, destination: str, key: str, arguments: dict[str, Any] | None, *, to_exchange: bool
) -> Request[None]:
    binding = _binding(source, destination, key, arguments, to_exchange)
    return Request(REGISTRY, lambda number: messages.Unbind(number, binding), is_removal=True)


def _binding(
    source: str, destination: str, key: str, arguments: dict[str, Any] | None, to_exchange: bool
) -> BindingSpec:
    return BindingSpec(
        source=check_name("exchange", source, may_be_empty=True),
        destination=check_name("exchange" if to_exchange else "queue", destination),
        to_exchange=to_exchange,
        key=check_routing_key(key),
        arguments=check_headers(arguments),
    )


def delete_exchange(name: str, if_unused: bool) -> Request[None]:
    check_name("exchange", name)
    return Request(REGISTRY, lambda number: messages.DeleteExchange(number, name, if_unused), is_removal=True)


def delete_queue(name: str, if_unused: bool, if_empty: bool) -> Request[int | None]:
    """Answered with the count of messages removed; None where an earlier life of the registry removed them."""
    check_name("queue", name)
    return Request(
        REGISTRY, lambda number: messages.DeleteQueue(number, name, if_unused, if_empty), int | None, is_removal=True
    )


def purge_queue(name: str) -> Request[int]:
    return Request(_queue(name), messages.Purge, int)


# ---- looking ----


def queue_info(name: str) -> Request[QueueInfo]:
    return Request(_queue(name), messages.QueueStatus, QueueInfo)


def queues(names: Sequence[str] | None) -> Request[list[QueueInfo]]:
    wanted = None if names is None else tuple(check_name("queue", name) for name in names)
    return Request(REGISTRY, lambda number: messages.ListQueues(number, wanted), list[QueueInfo])


def exchanges() -> Request[list[ExchangeInfo]]:
    return Request(REGISTRY, messages.ListExchanges, list[ExchangeInfo])


def bindings() -> Request[list[BindingSpec]]:
    return Request(REGISTRY, messages.ListBindings, list[BindingSpec])


def consumers(queue: str | None) -> Request[list[ConsumerInfo]]:
    if queue is not None:
        return Request(_queue(queue), messages.QueueConsumers, list[ConsumerInfo])
    return Request(REGISTRY, messages.ListConsumers, list[ConsumerInfo])


def connections() -> Request[list[ConnectionInfo]]:
    return Request(REGISTRY, ListConnections, list[ConnectionInfo])


def tree() -> Request[list[dict[str, Any]]]:
    return Request(REGISTRY, messages.DescribeTree, list[dict[str, Any]])


def explain(exchange: str, routing_key: str, headers: dict[str, Any] | None) -> Request[Explanation]:
    check_name("exchange", exchange, may_be_empty=True)
    check_routing_key(routing_key)
    checked = check_headers(headers)
    return Request(REGISTRY, lambda number: messages.Explain(number, exchange, routing_key, checked), Explanation)


def overview(kinds: list[str] | None, with_history: bool) -> Request[Overview]:
    return Request(MONITOR, lambda number: ReadOverview(number, kinds, with_history), Overview)


def events(after: int, limit: int, wait_s: float) -> Request[list[BrokerEvent]]:
    check_count("limit", limit, 1, 10_000)
    wait_ms = round(check_seconds("wait_s", wait_s) * 1000)
    return Request(MONITOR, lambda number: ReadEvents(number, after, limit, wait_ms), list[BrokerEvent])


def reply_counts() -> Request[ReplyCounts]:
    return Request(DEFAULT_EXCHANGE, ReplyStatus, ReplyCounts)


# ---- consuming ----


def check_consume(queue: str, prefetch: int, auto_ack: bool, exclusive: bool) -> None:
    """Whether a consumer may be opened like this; `Session.subscribe` makes the request."""
    check_name("queue", queue)
    check_count("prefetch", prefetch, 1, PREFETCH_MAX)
    check_types(messages.Consume(0, 0, prefetch, auto_ack, exclusive))


def get(queue: str, auto_ack: bool) -> Request[int | None]:
    """Answered with the offset of a message that was delivered before; None when nothing was ready."""
    return Request(_queue(queue), lambda number: messages.Get(number, auto_ack), int | None)


def peek(queue: str, count: int) -> Request[list[Deliver]]:
    """`shown` makes messages of the answer."""
    return Request(_queue(queue), lambda number: messages.Peek(number, count), list[Deliver])


def shown(deliveries: list[Deliver]) -> list[Message]:
    """Messages to look at; nobody can settle them."""
    found: list[Message] = []
    for delivery in deliveries:
        batch = messages.decode(delivery.batch)
        assert isinstance(batch, messages.Batch)
        found += Slice(batch, delivery.first_offset, delivery.attempt, 0).messages(None)
    return found


def _queue(name: str) -> str:
    return actor_of_queue(check_name("queue", name))
