"""What a biography is: events, where the message is now, and what nobody can know.

Frozen values for whoever shows them: the command line, the web page, the HTTP interface.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NamedTuple, final

import msgspec

from posthouse.transport.batch import headers_of, properties_of
from posthouse.transport.messages import Batch


@final
class BiographyEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened. `at` is UTC, None where no journal says when; events are in order nevertheless.

    `actor` is who wrote it down, or "publisher"; `what` is one word for programs, `text` a sentence for people.
    """

    at: datetime | None
    actor: str
    what: str
    text: str
    details: dict[str, Any] = {}


@final
class Biography(msgspec.Struct, frozen=True, kw_only=True):
    """A message's whole story.

    `ids` are all names it had, `now` says where it is or how it ended, `notes` what is not known and what has changed.
    """

    message_id: str
    ids: list[str]
    exchange: str | None
    routing_key: str | None
    traceparent: str | None
    now: list[str]
    events: list[BiographyEvent]
    notes: list[str]


class Moment(NamedTuple):
    """When a record was written, in milliseconds since 1970 (0: not known), and by which life of its actor."""

    at_ms: int
    generation: int


@final
class Told(msgspec.Struct):
    """An event before it has its place in the whole.

    Whatever the clocks say, it comes behind all that carry one of the `marks` named in `after`.
    """

    at_ms: int
    actor: str
    what: str
    text: str
    details: dict[str, Any]
    marks: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def sent(stream: int, number: int) -> str:
    """The mark of what sets out under a number of a stream."""
    return f"sent {stream:x}-{number}"


def routed(mark: str) -> str:
    """The mark of what an exchange decided on what has set out under a mark."""
    return f"routed, {mark}"


def arrived(stream: int, number: int) -> str:
    """The mark of what was stored under a number of a stream."""
    return f"arrived {stream:x}-{number}"


@final
class Copy(msgspec.Struct, frozen=True):
    """The message as one journal stored it, in a batch under a number of a stream. `at_ms` is when that was written."""

    at_ms: int
    actor: str
    exchange: str
    routing_key: str
    stream: int
    seq: int
    published_ms: int
    headers: dict[str, Any]
    chosen_id: str | None
    correlation_id: str | None
    size: int
    durability: int | None

    @property
    def own_id(self) -> str:
        """Its name as long as nobody wrote another one down."""
        return f"{self.stream:x}-{self.seq}"

    @property
    def message_id(self) -> str:
        return self.chosen_id or self.own_id


def copy_of(batch: Batch, index: int, size: int, at_ms: int, actor: str) -> Copy:
    """One message of a batch."""
    properties = properties_of(batch)
    own = None if properties is None else properties[index]
    message_id, correlation_id = own or (None, None)
    return Copy(
        at_ms=at_ms,
        actor=actor,
        exchange=batch.exchange,
        routing_key=batch.routing_key,
        stream=batch.stream,
        seq=batch.first_seq + index,
        published_ms=batch.published_ms,
        headers=headers_of(batch) or {},
        chosen_id=message_id,
        correlation_id=correlation_id,
        size=size,
        durability=None if batch.options is None else int(batch.options.durability),
    )


def moment_of(at_ms: int) -> datetime | None:
    """Milliseconds since 1970 as UTC; None for 0."""
    return datetime.fromtimestamp(at_ms / 1000, UTC) if at_ms > 0 else None


def clock(at_ms: int) -> str:
    """A moment inside a sentence: UTC, to the millisecond."""
    at = moment_of(at_ms)
    return "a time that is not known" if at is None else at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"
