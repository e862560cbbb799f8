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
