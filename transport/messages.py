"""The vocabulary: every message that actors and clients say to each other, as frozen values.

Each message is a MessagePack array that starts with its number (the tag); trailing fields may be added in later
versions, since a decoder fills missing ones with their default and passes over extra ones. Numbers are never used
again. `docs/protocol.md` lists them for other languages; `tests/golden/` holds one sample of each.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

# isort: off
from posthouse.transport.descriptions import (
    BindingSpec as BindingSpec, ConsumerInfo as ConsumerInfo, Durability as Durability,
    ExchangeSpec as ExchangeSpec, Options as Options, Outcome as Outcome, QueueInfo as QueueInfo,
    QueueSpec as QueueSpec,
)  # fmt: skip
from posthouse.transport.messages_alerts import AlertMessage
from posthouse.transport.messages_calls import CallMessage
from posthouse.transport.messages_dead import DeadLetterMessage
from posthouse.transport.messages_definitions import DefinitionMessage
from posthouse.transport.messages_delay import DelayMessage
from posthouse.transport.messages_hold import HoldMessage
from posthouse.transport.messages_looking import LookingMessage
from posthouse.transport.messages_monitor import MonitorMessage
from posthouse.transport.messages_recurring import RecurringMessage
from posthouse.transport.messages_sessions import SessionMessage
from posthouse.transport.messages_topology import (
    Bind as Bind, DeclareExchange as DeclareExchange, DeclareQueue as DeclareQueue,
    DeleteExchange as DeleteExchange, DeleteQueue as DeleteQueue, DescribeTree as DescribeTree, Explain as Explain,
    FollowDeadLetters as FollowDeadLetters,
    ListBindings as ListBindings, ListConsumers as ListConsumers, ListExchanges as ListExchanges,
    ListQueues as ListQueues, Locate as Locate, TopologyChange as TopologyChange,
    Unbind as Unbind, WatchTopology as WatchTopology, TopologyMessage,
)  # fmt: skip
from posthouse.transport.messages_use import (
    PrepareDelete as PrepareDelete, QueueUnused as QueueUnused, UseMessage,
)  # fmt: skip
# isort: on


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


# ---- publishing: client → exchange → queue; receipts come back ----


@final
class Batch(_Message, frozen=True, tag=1):
    """Messages of one publisher that share exchange, routing key, headers and options.

    Message i has sequence number `first_seq + i` of `stream`. `lengths` is an array of u32, little endian, one per
    message; `bodies` is the bodies one after the other; `properties`, when there, is a MessagePack array with one
    `[message_id, correlation_id]` or nil per message. `headers` is a MessagePack map or nil. `due` goes with the option
    `deliver_at_ms` 0: one u64, little endian, per message, milliseconds since 1970.
    """

    exchange: str
    routing_key: str
    stream: int
    first_seq: int
    count: int
    published_ms: int
    headers: msgspec.Raw
    lengths: memoryview
    bodies: memoryview
    properties: memoryview | None = None
    options: Options | None = None
    due: memoryview | None = None


@final
class Receipt(_Message, frozen=True, tag=2):
    """The fate of a range of one stream.

    `code` None: every queue in `queues` has it, or the scheduler from `scheduled_id` on, or it is `held`.
    """

    stream: int
    first_seq: int
    count: int
    queues: tuple[str, ...] = ()
    durability: int = Durability.SYNC
    duplicate: bool = False
    code: str | None = None
    text: str = ""
    scheduled_id: int = 0
    held: bool = False


@final
class StoreNote(_Message, frozen=True, tag=3):
    """A queue's remark on a range it was sent: it was a duplicate, or was refused (`code`). Sent before the ack."""

    stream: int
    first_seq: int
    count: int
    code: str
    text: str = ""


# ---- consuming: client → queue, deliveries back ----


@final
class Consume(_Message, frozen=True, tag=10):
    """Open a consumer. `consumer` is chosen by the client and unique in its session."""

    request: int
    consumer: int
    prefetch: int = 256
    auto_ack: bool = False
    exclusive: bool = False


@final
class Cancel(_Message, frozen=True, tag=11):
    """Close a consumer; what it has not settled returns to the queue."""

    request: int
    consumer: int


@final
class Deliver(_Message, frozen=True, tag=12):
    """A slice of a stored batch: offsets `first_offset` onwards, all at the same attempt (1 = first delivery)."""

    consumer: int
    first_offset: int
    attempt: int
    batch: msgspec.Raw


@final
class Settle(_Message, frozen=True, tag=13):
    """Ranges of offsets, flat `[first, last, first, last, …]`, settled one way. `request` 0 asks for no answer."""

    consumer: int
    outcome: int
    ranges: list[int]
    request: int = 0
    requeue: bool = True
    reason: str = ""
    retry_after_ms: int | None = None
    error: dict[str, str] | None = None


@final
class ConsumerCancelled(_Message, frozen=True, tag=14):
    """The queue closed a consumer by itself."""

    consumer: int
    code: str
    text: str


@final
class Get(_Message, frozen=True, tag=15):
    """Ask for one message. The answer is its offset or nil; the `Deliver` comes first, on consumer 0."""

    request: int
    auto_ack: bool = False


@final
class Peek(_Message, frozen=True, tag=16):
    """Look at the first `count` messages, ready or unacked. The answer is a list of `Deliver`."""

    request: int
    count: int


@final
class Purge(_Message, frozen=True, tag=17):
    """Remove what is ready. The answer is the number removed."""

    request: int


@final
class QueueStatus(_Message, frozen=True, tag=18):
    """The answer is a `QueueInfo`."""

    request: int


@final
class QueueConsumers(_Message, frozen=True, tag=19):
    """The answer is a list of `ConsumerInfo`."""

    request: int


# ---- answers and directory ----


@final
class Reply(_Message, frozen=True, tag=60):
    """The answer to `request`; `result` is MessagePack of the type the request names."""

    request: int
    result: msgspec.Raw


@final
class Failed(_Message, frozen=True, tag=61):
    """The request was refused or could not be served; see `errors.from_wire`."""

    request: int
    code: str
    text: str


@final
class ActorUp(_Message, frozen=True, tag=62):
    """The actor lives: this generation, at this ipc endpoint."""

    actor: str
    generation: int
    endpoint: str


@final
class ActorDown(_Message, frozen=True, tag=63):
    """The actor does not live now. `state` is restarting, quarantined, stopped or unknown."""

    actor: str
    generation: int
    state: str
    reason: str


Message = (
    Batch | Receipt | StoreNote | Consume | Cancel | Deliver | Settle | ConsumerCancelled | Get | Peek | Purge
    | QueueStatus | QueueConsumers | TopologyMessage | Reply | Failed | ActorUp | ActorDown | DelayMessage
    | DeadLetterMessage | RecurringMessage | CallMessage | HoldMessage | UseMessage
    | QueueStatus | QueueConsumers | DeclareExchange | DeclareQueue | DeleteExchange | DeleteQueue | Bind | Unbind
    | ListExchanges | ListQueues | ListBindings | ListConsumers | Explain | DescribeTree | Locate | UseMessage
    | WatchTopology | TopologyChange | Reply | Failed | ActorUp | ActorDown | DeadLetterMessage | MonitorMessage
    | DefinitionMessage | SessionMessage | AlertMessage | LookingMessage
)  # fmt: skip

NIL: Final = msgspec.Raw(b"\xc0")
"""MessagePack nil: no headers, or an answer without a value."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


def encode(message: Any) -> bytes:
    """One message, or any plain value of one, as MessagePack."""
    return _encoder.encode(message)


def decode(data: msgspec.Raw | bytes | memoryview) -> Message:
    """One message. Raises msgspec.DecodeError on anything else; never allocates beyond `data`."""
    try:
        message: Message = _decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    return message
