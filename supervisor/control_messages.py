"""What a child and its supervisor say to each other, and how it looks on the control channel.

One message is a length and one msgpack map, tagged with the name of the message:

    0        4
    +--------+----------------------+
    | length | msgpack, length bytes|      length: u32, big endian, at most MESSAGE_BYTES_MAX
    +--------+----------------------+

Pure: bytes in, messages out. Both ends come from the same fork, so there is no version to negotiate; what
does not decode is a bug or a broken child, and raises ProtocolViolation.
"""

from __future__ import annotations

from typing import Literal, final

import msgspec

from posthouse.transport.errors import ProtocolViolation

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
_LENGTH_BYTES = 4


@final
class Ready(msgspec.Struct, tag=True, frozen=True):
    """The child serves from now on. `endpoint` is for its peers; the supervisor only passes it on."""

    endpoint: str = ""


@final
class Watch(msgspec.Struct, tag=True, frozen=True):
    """Tell me `Up` or `Down` of that id now and at every change."""

    id: str


@final
class Unwatch(msgspec.Struct, tag=True, frozen=True):
    """No more news of that id."""

    id: str


@final
class StartChild(msgspec.Struct, tag=True, frozen=True):
    """Start a dynamic child. Answered when it is taken on, not when it is up: watch it for that."""

    request: int
    group: str
    kind: str
    id: str
    arguments: bytes = b""


@final
class StopChild(msgspec.Struct, tag=True, frozen=True):
    """Stop a dynamic child in order and forget it. Answered when its process is gone."""

    request: int
    id: str


@final
class RestartChild(msgspec.Struct, tag=True, frozen=True):
    """An operator's wish: leave quarantine, or stop in order and start again."""

    request: int
    id: str


@final
class DescribeTree(msgspec.Struct, tag=True, frozen=True):
    """Answered with `Tree`. `with_memory`: with the memory of each process, which takes a while for thousands."""

    request: int
    with_memory: bool = True


@final
class Announce(msgspec.Struct, tag=True, frozen=True):
    """A text for whoever composed the tree; the supervisor does not read it."""

    text: str


@final
class Alarm(msgspec.Struct, tag=True, frozen=True):
    """Something that an operator should know of, for the log; `is_over`: it was, and is no more.

    `key` says what is over where the two have names of their own; the event's name else.
    """

    event: str
    fields: dict[str, str | int]
    is_over: bool = False
    key: str = ""


@final
class Follow(msgspec.Struct, tag=True, frozen=True):
    """Tell me from now on what happens to every child, and what each alarms about; first, all alarms that stand."""


@final
class StopMe(msgspec.Struct, tag=True, frozen=True):
    """The child got a SIGTERM. The supervisor answers `Stop`, unless its turn to stop is yet to come."""


@final
class Up(msgspec.Struct, tag=True, frozen=True):
    """A watched child serves, in this generation, at this endpoint."""

    id: str
    generation: int
    endpoint: str


DownState = Literal["restarting", "quarantined", "stopped", "unknown"]


@final
class Down(msgspec.Struct, tag=True, frozen=True):
    """A watched child does not serve. `generation` is its last one, 0 if there was none."""

    id: str
    generation: int
    state: DownState
    reason: str


@final
class Done(msgspec.Struct, tag=True, frozen=True):
    """The answer to a request. `text` says why not."""

    request: int
    ok: bool
    text: str = ""


@final
class Happened(msgspec.Struct, tag=True, frozen=True):
    """To those who follow: something happened to a child, or to the whole tree. `at_ms` is epoch milliseconds."""

    at_ms: int
    kind: str
    id: str
    generation: int = 0
    pid: int | None = None
    reason: str = ""
    code: int | None = None
    signal: int | None = None
    delay_ms: int | None = None


@final
class Alarmed(msgspec.Struct, tag=True, frozen=True):
    """To those who follow: a child alarms, or takes an alarm back."""

    at_ms: int
    id: str
    alarm: Alarm


@final
class NodeInfo(msgspec.Struct, frozen=True):
    """One child as an operator sees it. `started_at` is in epoch seconds, `ready_ms` from fork to `Ready`.

    `meter` is the number of its page, -1 before its first life.
    """

    id: str
    kind: str
    group: str
    state: str
    generation: int = 0
    pid: int = 0
    restarts: int = 0
    last_exit: str = ""
    started_at: float = 0.0
    ready_ms: int = 0
    rss_bytes: int = 0
    endpoint: str = ""
    meter: int = -1


@final
class Tree(msgspec.Struct, tag=True, frozen=True):
    """All children, in start order."""

    request: int
    nodes: list[NodeInfo]


@final
class Stop(msgspec.Struct, tag=True, frozen=True):
    """Stop in order and exit within the `shutdown_ms` of the child spec."""

    reason: str


FromChild = (
    Ready | Watch | Unwatch | StartChild | StopChild | RestartChild | DescribeTree | Announce | Alarm | Follow | StopMe
)
FromSupervisor = Up | Down | Done | Tree | Stop | Happened | Alarmed

_encoder = msgspec.msgpack.Encoder()


def encode(message: FromChild | FromSupervisor) -> bytes:
    """One message with its length in front. Raises ProtocolViolation if it is too long to be sent."""
    body = _encoder.encode(message)
    if len(body) > MESSAGE_BYTES_MAX:
        raise ProtocolViolation(
            f"a {type(message).__name__} of {len(body)} bytes is over the limit of {MESSAGE_BYTES_MAX}"
        )
    return len(body).to_bytes(_LENGTH_BYTES, "big") + body


@final
class Unframer:
    """Cuts a stream of bytes back into the bodies of messages. Holds at most one unfinished message."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add received bytes, return the bodies that are now complete. Raises ProtocolViolation."""
        pending = self._pending
        pending += data
        bodies = []
        start = 0
        while len(pending) - start >= _LENGTH_BYTES:
            body_start = start + _LENGTH_BYTES
            length = int.from_bytes(pending[start:body_start], "big")
            if length > MESSAGE_BYTES_MAX:
                raise ProtocolViolation(f"a control message claims {length} bytes, over {MESSAGE_BYTES_MAX}")
            if len(pending) - body_start < length:
                break
            start = body_start + length
            bodies.append(bytes(pending[body_start:start]))
        del pending[:start]
        return bodies


_from_child: msgspec.msgpack.Decoder[FromChild] = msgspec.msgpack.Decoder(FromChild)
_from_supervisor: msgspec.msgpack.Decoder[FromSupervisor] = msgspec.msgpack.Decoder(FromSupervisor)


def decode_from_child(body: bytes) -> FromChild:
    """Raises ProtocolViolation if the bytes are not one of the messages a child may send."""
    try:
        return _from_child.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"a child sent what is no control message: {error}") from error


def decode_from_supervisor(body: bytes) -> FromSupervisor:
    """Raises ProtocolViolation if the bytes are not one of the messages the supervisor may send."""
    try:
        return _from_supervisor.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolViolation(f"the supervisor sent what is no control message: {error}") from error
