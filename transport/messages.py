"""The vocabulary: every message that actors and clients say to each other, as frozen values.

Each message is a MessagePack array that starts with its number (the tag); trailing fields may be added in later
versions, since a decoder fills missing ones with their default and passes over extra ones. Numbers are never used
again. `docs/protocol.md` lists them for other languages; `tests/golden/` holds one sample of each.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.transport.descriptions import (
    BindingSpec as BindingSpec,
)  # fmt: skip
from posthouse.transport.descriptions import (
    ConsumerInfo as ConsumerInfo,
)
from posthouse.transport.descriptions import (
    Durability as Durability,
)
from posthouse.transport.descriptions import (
    ExchangeSpec as ExchangeSpec,
)
from posthouse.transport.descriptions import (
    Options as Options,
)
from posthouse.transport.descriptions import (
    Outcome as Outcome,
)
from posthouse.transport.descriptions import (
    QueueInfo as QueueInfo,
)
from posthouse.transport.descriptions import (
    QueueSpec as QueueSpec,
)
from posthouse.transport.messages_dead import DeadLetterMessage
from posthouse.transport.messages_use import (
    PrepareDelete as PrepareDelete,
)
from posthouse.transport.messages_use import (
    QueueUnused as QueueUnused,
)
from posthouse.transport.messages_use import UseMessage


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


# ---- publishing: client → exchange → queue; receipts come back ----


@final
class Batch(_Message, frozen=True, tag=1):
    """Messages of one publisher that share exchange, routing key, headers and options.

    Message i has sequence number `first_seq + i` of `stream`. `lengths` is an array of u32, little endian, one per
    message; `bodies` is the bodies one after the other; `properties`, when there, is a MessagePack array with one
    `[message_id, correlation_id]` or nil per message. `headers` is a MessagePack map or nil.
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


@final
class Receipt(_Message, frozen=True, tag=2):
    """The fate of a range of one stream: `code` is None when every queue in `queues` holds it."""

    stream: int
    first_seq: int
    count: int
    queues: tuple[str, ...] = ()
    durability: int = Durability.SYNC
    duplicate: bool = False
    code: str | None = None
    text: str = ""


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


# ---- topology: client → registry ----


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
    """The answer is a list of `ExchangeSpec`."""

    request: int


@final
class ListQueues(_Message, frozen=True, tag=37):
    """The answer is a list of `QueueInfo`, from the queues themselves."""

    request: int


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


# ---- registry → exchanges ----


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
    | QueueStatus | QueueConsumers | DeclareExchange | DeclareQueue | DeleteExchange | DeleteQueue | Bind | Unbind
    | ListExchanges | ListQueues | ListBindings | ListConsumers | Explain | DescribeTree | Locate | UseMessage
    | WatchTopology | TopologyChange | Reply | Failed | ActorUp | ActorDown | DeadLetterMessage
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
