"""The names of the message that is looked for, and which messages of a batch bear one.

A message is named by its publisher, or else by the stream and number it was sent under: "1f3a9c-17". Nothing of a batch
is decoded that need not be: nearly all of what is looked at is something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, final

import msgspec

from posthouse.transport import messages
from posthouse.transport.batch import message_id_of, properties_of
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import Batch

_derived: Final = re.compile(r"([0-9a-f]{1,16})-([1-9][0-9]{0,18})")


@final
class Wanted:
    """All names of one message. More may be added as they are found."""

    def __init__(self, *ids: str) -> None:
        self.ids: dict[str, None] = {}
        self._numbers: dict[int, set[int]] = {}
        self._encoded: list[bytes] = []
        for message_id in ids:
            self.add(message_id)

    def add(self, message_id: str) -> bool:
        """One name more; False when it was known."""
        if message_id in self.ids:
            return False
        self.ids[message_id] = None
        self._encoded.append(message_id.encode())
        found = _derived.fullmatch(message_id)
        # Nothing that has a name of this kind was sent in stream 0.
        if found is not None and found[1][0] != "0":
            self._numbers.setdefault(int(found[1], 16), set()).add(int(found[2]))
        return True

    def indexes(self, batch: Batch) -> list[int]:
        """Which messages of the batch bear one of the names."""
        found = [
            number - batch.first_seq
            for number in self._numbers.get(batch.stream, ())
            if batch.first_seq <= number < batch.first_seq + batch.count
        ]
        if batch.properties is None:
            return sorted(found)
        packed = bytes(batch.properties)
        if not found and not any(name in packed for name in self._encoded):
            return []
        properties = properties_of(batch) or []
        given = [None if own is None else own[0] for own in properties]
        named = {index for index, name in enumerate(given) if name in self.ids}
        return sorted(named | {index for index in found if given[index] is None})

    def numbers_within(self, stream: int, first_seq: int, count: int) -> list[int]:
        """Places in a range of a stream that are looked for by number."""
        return sorted(
            number - first_seq for number in self._numbers.get(stream, ()) if first_seq <= number < first_seq + count
        )

    def needle(self) -> WantedBytes:
        """What a journal is searched for: no batch that has the message is without it."""
        return WantedBytes(tuple(self._encoded), {stream: set(numbers) for stream, numbers in self._numbers.items()})


_WHOLE: Final = rb"([\x00-\x7f]|\xcc.|\xcd.{2}|\xce.{4}|[\xcf\xd3].{8})"
_NUMBERED_BYTES_MAX: Final = 3 * 9
"""A stream, a first number and a count, none longer than nine bytes."""


@final
class WantedBytes:
    """The names of a message as they stand in batches: chosen ones as text, others as stream, first number, count."""

    def __init__(self, names: tuple[bytes, ...], numbers: dict[int, set[int]]) -> None:
        self._names = names
        self._numbered = [(_pattern(stream), found) for stream, found in numbers.items()]
        self.length_max = max(_NUMBERED_BYTES_MAX, *map(len, names))

    def find(self, data: bytes, start: int) -> int:
        """Where the first of them from `start` on begins, -1 for nowhere."""
        places = [data.find(name, start) for name in self._names]
        places += [_numbered(pattern, numbers, data, start) for pattern, numbers in self._numbered]
        return min((place for place in places if place >= 0), default=-1)


def _pattern(stream: int) -> re.Pattern[bytes]:
    # Shortest first, as our own clients write it; others may write every number with eight bytes.
    written = {msgspec.msgpack.encode(stream), b"\xcf" + stream.to_bytes(8), b"\xd3" + stream.to_bytes(8)}
    return re.compile(b"(?:" + b"|".join(map(re.escape, written)) + b")" + _WHOLE + _WHOLE, re.DOTALL)


def _numbered(pattern: re.Pattern[bytes], numbers: set[int], data: bytes, start: int) -> int:
    for hit in pattern.finditer(data, start):
        first, count = _whole(hit[1]), _whole(hit[2])
        if any(first <= number < first + count for number in numbers):
            return hit.start()
    return -1


def _whole(written: bytes) -> int:
    return written[0] if len(written) == 1 else int.from_bytes(written[1:])


def ids_beginning(batch: Batch, prefix: str) -> Iterator[str]:
    """The names of the batch's messages that begin so."""
    if batch.properties is None and not f"{batch.stream:x}-".startswith(prefix[: len(f"{batch.stream:x}-")]):
        return
    for index in range(batch.count):
        message_id = message_id_of(batch, index)
        if message_id.startswith(prefix):
            yield message_id


def batch_of(raw: bytes | memoryview) -> Batch:
    """The batch of a record. Raises JournalCorrupt."""
    try:
        batch = messages.decode(raw)
    except msgspec.MsgspecError as error:
        raise JournalCorrupt(f"a batch cannot be read: {error}") from error
    if not isinstance(batch, Batch):
        raise JournalCorrupt("a record that should hold a batch holds something else")
    return batch
