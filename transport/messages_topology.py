"""The vocabulary of the topology: what clients, exchanges and queues say to the registry, and it to them.

A part of `messages.py`, under the same rules: arrays that start with their number, fields are only ever appended.
"""

from __future__ import annotations

from typing import Any, final

import msgspec

from posthouse.transport.descriptions import BindingSpec, ExchangeSpec, QueueSpec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


# ---- client → registry ----


@final
class DeclareExchange(_Message, frozen=True, tag=30):
    """Make the exchange, or check that it is as described. The answer is nil."""

    request: int
    spec: ExchangeSpec


@final
class DeclareQueue(_Message, frozen=True, tag=31):
    """Make the queue, or check that it is as described. The answer is its name."""

    request: int
    spec: QueueSpec


@final
class DeleteExchange(_Message, frozen=True, tag=32):
    """The answer is nil."""

    request: int
    name: str
    if_unused: bool = False


@final
class DeleteQueue(_Message, frozen=True, tag=33):
    """The answer is the number of messages that went with it."""

    request: int
    name: str
    if_unused: bool = False
    if_empty: bool = False


@final
class Bind(_Message, frozen=True, tag=34):
    """The answer is nil, and comes when every exchange routes by the new binding."""

    request: int
    binding: BindingSpec


@final
class Unbind(_Message, frozen=True, tag=35):
    """The answer is nil, and comes when no exchange routes by the binding any more."""

    request: int
    binding: BindingSpec


@final
class ListExchanges(_Message, frozen=True, tag=36):
    """The answer is a list of `ExchangeInfo`."""

    request: int


@final
class ListQueues(_Message, frozen=True, tag=37):
    """The answer is a list of `QueueInfo`, from the queues themselves: of all, or of these, where they are there."""

    request: int
    names: tuple[str, ...] | None = None


@final
class ListBindings(_Message, frozen=True, tag=38):
    """The answer is a list of `BindingSpec`."""

    request: int


@final
class ListConsumers(_Message, frozen=True, tag=39):
    """The answer is a list of `ConsumerInfo`."""

    request: int


@final
class Explain(_Message, frozen=True, tag=40):
    """Route without publishing. The answer is an `Explanation` map."""

    request: int
    exchange: str
    routing_key: str
    headers: dict[str, Any] | None = None


@final
class DescribeTree(_Message, frozen=True, tag=41):
    """The answer is a list of maps, one per node of the supervision tree."""

    request: int


@final
class Locate(_Message, frozen=True, tag=42):
    """Where does an actor live? Answered, and followed for ever, by `ActorUp` and `ActorDown`."""

    request: int
    actor: str


@final
class FollowDeadLetters(_Message, frozen=True, tag=45):
    """Would what dies in a queue come back to it? The answer is the queues on that way, or an empty list.

    `routing_keys`: under which keys messages come there. The queue itself stands first and last.
    """

    request: int
    queue: str
    routing_keys: tuple[str, ...]


@final
class WatchTopology(_Message, frozen=True, tag=50):
    """An exchange asks for the topology: a snapshot now, every change from then on."""

    request: int


@final
class TopologyChange(_Message, frozen=True, tag=51):
    """What changed. A snapshot is a change with `is_snapshot`, to be applied to nothing."""

    version: int
    is_snapshot: bool = False
    put_exchanges: tuple[ExchangeSpec, ...] = ()
    put_queues: tuple[QueueSpec, ...] = ()
    put_bindings: tuple[BindingSpec, ...] = ()
    drop_exchanges: tuple[str, ...] = ()
    drop_queues: tuple[str, ...] = ()
    drop_bindings: tuple[BindingSpec, ...] = ()


TopologyMessage = (
    DeclareExchange | DeclareQueue | DeleteExchange | DeleteQueue | Bind | Unbind | ListExchanges | ListQueues
    | ListBindings | ListConsumers | Explain | DescribeTree | Locate | FollowDeadLetters | WatchTopology
    | TopologyChange
)  # fmt: skip
