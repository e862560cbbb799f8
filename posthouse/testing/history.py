"""What clients did and were told, in files that survive them.

One file per process, appended by whole records in one write each, so that a killed process loses at most the record it
was writing, and one that was torn is the last. A record is a length and MessagePack. Times are nanoseconds of the
host's monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import heapq
import os
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, final

import msgspec

from posthouse.testing.plan import Name

_LENGTH: Final = struct.Struct(">I")


class _Record(msgspec.Struct, array_like=True, frozen=True, gc=False):
    at_ns: int


@final
class Invoked(_Record, tag="i", array_like=True, frozen=True, gc=False):
    """About to publish `count` messages of a lane from number `first` on."""

    publisher: int
    lane: int
    first: int
    count: int


@final
class Decided(_Record, tag="o", array_like=True, frozen=True, gc=False):
    """What became of them: all confirmed, but for those refused (with the code) and those nobody knows."""

    publisher: int
    lane: int
    first: int
    count: int
    refused: dict[int, str]
    unknown: list[int]


@final
class Opened(_Record, tag="s", array_like=True, frozen=True, gc=False):
    """A consumer's session began."""

    consumer: str
    queue: str


@final
class Got(_Record, tag="d", array_like=True, frozen=True, gc=False):
    """Messages arrived. Each: publisher, lane, number, attempt, offset, lateness in ms (-1: not delayed)."""

    consumer: str
    queue: str
    messages: list[tuple[int, int, int, int, int, int]]
    spoiled: list[str]
    """What was not as it had been published, in words."""


@final
class Acked(_Record, tag="a", array_like=True, frozen=True, gc=False):
    """Messages, by offset, were acked; the broker has been told once a `Closed` follows."""

    consumer: str
    queue: str
    offsets: list[int]


@final
class Refused(_Record, tag="n", array_like=True, frozen=True, gc=False):
    """One was nacked, or rejected."""

    consumer: str
    queue: str
    offset: int
    is_reject: bool


@final
class Closed(_Record, tag="c", array_like=True, frozen=True, gc=False):
    """The session ended in order: everything that was settled in it has been told."""

    consumer: str
    queue: str


@final
class Broken(_Record, tag="x", array_like=True, frozen=True, gc=False):
    """The session ended with an error, or its process was killed."""

    consumer: str
    queue: str


@final
class Called(_Record, tag="q", array_like=True, frozen=True, gc=False):
    """A call ended: `ok`, `wrong`, or the code of the error."""

    caller: str
    outcome: str


@final
class Fault(_Record, tag="f", array_like=True, frozen=True, gc=False):
    """Something was done to the broker or to a client.

    `kind`: kill, stop, hang, cont, restart, bind, phase, failpoint, delay. `hung` is written again and again while
    something hangs, since its supervisor may kill it at any time; `up` says that a start is over.
    """

    kind: str
    target: str


@final
class Letter(_Record, tag="l", array_like=True, frozen=True, gc=False):
    """A dead letter was seen: the reason, its message's publisher and number in the lane of work, its attempt."""

    reason: str
    publisher: int
    number: int
    attempt: int


Record = Invoked | Decided | Opened | Got | Acked | Refused | Closed | Broken | Called | Fault | Letter
_DECODER: Final[msgspec.msgpack.Decoder[Record]] = msgspec.msgpack.Decoder(Record)
_ENCODER: Final = msgspec.msgpack.Encoder()


def now_ns() -> int:
    """The time of records."""
    return time.monotonic_ns()


@final
class Writer:
    """Appends to one file."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, *records: Record) -> None:
        """One write, so that it is whole or the last."""
        pieces = []
        for record in records:
            encoded = _ENCODER.encode(record)
            pieces += [_LENGTH.pack(len(encoded)), encoded]
        os.write(self._descriptor, b"".join(pieces))

    def close(self) -> None:
        os.close(self._descriptor)


def read(path: Path) -> Iterator[Record]:
    """The records of one file; one that was torn at the end is not there."""
    with path.open("rb") as file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            encoded = file.read(length)
            if len(encoded) < length:
                return
            yield _DECODER.decode(encoded)


def read_all(folder: Path) -> Iterator[Record]:
    """All files of a folder as one history, in the order of time."""
    return merged(read(path) for path in sorted(folder.glob("*.history")))


def merged(histories: Iterable[Iterable[Record]]) -> Iterator[Record]:
    """Several histories, each in order, as one."""
    return heapq.merge(*histories, key=lambda record: record.at_ns)


def name_of(item: tuple[int, int, int, int, int, int]) -> Name:
    """The message an item of `Got` is about."""
    return Name(*item[:3])
