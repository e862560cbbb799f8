"""The records of the registry's journal: changes of the topology, and starts of the broker.

    kind      payload
    1 CHANGE  a `TopologyChange`, MessagePack as it is sent to exchanges; a snapshot heads every segment
    2 BOOT    the name of a start of the broker, UTF-8: what is transient ended before it
"""

from __future__ import annotations

from typing import Final

import msgspec

from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import TopologyChange

KIND_CHANGE: Final = 1
KIND_BOOT: Final = 2


def change_of(payload: bytes | memoryview, position: int) -> TopologyChange:
    """The change in a CHANGE record. Raises JournalCorrupt."""
    try:
        change = messages.decode(payload)
    except msgspec.DecodeError as error:
        raise JournalCorrupt(f"the change at {position} cannot be read: {error}", ((position, position),)) from error
    assert isinstance(change, TopologyChange)
    return change
