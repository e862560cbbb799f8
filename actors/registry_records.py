"""The records of the registry's journal: changes of the topology, and starts of the broker; and whose journal is whose.

kind      payload
1 CHANGE  a `TopologyChange`, MessagePack as it is sent to exchanges; a snapshot heads every segment
2 BOOT    the name of a start of the broker, UTF-8: what is transient ended before it
"""

from __future__ import annotations

from typing import Final

import msgspec

from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import ExchangeSpec, QueueSpec, TopologyChange

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


def journal_id(spec: QueueSpec | ExchangeSpec) -> str:
    """What names the journal of a queue or an exchange: one that is made again under its name begins another."""
    kind = "queue" if isinstance(spec, QueueSpec) else "exchange"
    return f"{kind}:{spec.name}:{spec.serial}"
