"""Journal records of one message's life, for tests of the stories that are told from them.

Times are milliseconds after `START_MS`; every record is a commit of its own, of generation 1 unless said otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import msgspec

from posthouse.actors import queue_records
from posthouse.actors.queue_records import Kind
from posthouse.biography.events import Moment, Told
from posthouse.transport import messages
from posthouse.transport.batch import pack_lengths
from posthouse.transport.messages import NIL, Batch, Options
from posthouse.transport.messages_dead import Attempt, Death

START_MS = 1_700_000_000_000


class Line(NamedTuple):
    """One record of a journal."""

    ms: int
    kind: int
    payload: bytes
    generation: int = 1


class Story(Protocol):
    """What is fed with records."""

    events: list[Told]

    def find(self, kind: int, payload: memoryview) -> None: ...
    def tell(self, moment: Moment, position: int, kind: int, payload: memoryview) -> None: ...


def feed(story: Story, lines: Iterable[Line]) -> list[tuple[int, str]]:
    """The story of a journal, as (milliseconds after the start, what)."""
    lines = list(lines)
    for line in lines:
        story.find(line.kind, memoryview(line.payload))
    for position, line in enumerate(lines, start=1):
        moment = Moment(line.ms and START_MS + line.ms, line.generation)
        story.tell(moment, position, line.kind, memoryview(line.payload))
    return [(told.at_ms and told.at_ms - START_MS, told.what) for told in story.events]


def sample_message(
    count: int = 3,
    *,
    stream: int = 0xA1,
    first_seq: int = 1,
    ids: list[str | None] | None = None,
    headers: dict[str, Any] | None = None,
    options: Options | None = None,
    due: memoryview | None = None,
) -> bytes:
    """A batch, encoded. `ids` are those its publisher chose."""
    properties = None if ids is None else [None if one is None else (one, None) for one in ids]
    return messages.encode(
        Batch(
            exchange="flights",
            routing_key="UA.EWR.IAH",
            stream=stream,
            first_seq=first_seq,
            count=count,
            published_ms=START_MS,
            headers=NIL if headers is None else msgspec.Raw(messages.encode(headers)),
            lengths=pack_lengths([4] * count),
            bodies=memoryview(b"body" * count),
            properties=None if properties is None else memoryview(messages.encode(properties)),
            options=options,
            due=due,
        )
    )


def store(ms: int, first: int, raw: bytes, generation: int = 1) -> Line:
    return Line(ms, Kind.STORE, b"".join(queue_records.encode_store(first, raw)), generation)


def given(ms: int, first: int, last: int, name: str = "till", generation: int = 1, kind: Kind = Kind.GIVEN) -> Line:
    return Line(ms, kind, queue_records.encode_receivers([(name, 1, [first, last])]), generation)


def ranges(ms: int, kind: Kind, first: int, last: int, generation: int = 1) -> Line:
    return Line(ms, kind, queue_records.encode_ranges([(first, last)]), generation)


def attempt(number: int, ms: int, how: str = "nack", consumer: str = "till") -> Attempt:
    return Attempt(
        attempt=number, at_ms=START_MS + ms, consumer=consumer, how=how, error_type="KeyError", error="'amount'"
    )


def death(ms: int, *history: Attempt, reason: str = "attempts_exhausted") -> Death:
    return Death(
        reason=reason,
        queue="ewr",
        died_ms=START_MS + ms,
        attempt=len(history),
        cause="KeyError: 'amount'",
        fingerprint="8d8be5ad2bca",
        history=history,
    )
