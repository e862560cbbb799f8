"""What the registry and the queues say to each other about whether a queue is still used.

Frozen values like those of `messages.py`, whose union they join. A queue says when nobody uses it, the registry asks it
to refuse work, and only the queue knows whether somebody has come meanwhile: so it is the queue that decides.
"""

from __future__ import annotations

from typing import final

import msgspec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


@final
class QueueUnused(_Message, frozen=True, tag=43):
    """The last consumer of an auto-delete queue left; `is_idle`: nobody has used a queue that expires for its time."""

    name: str
    serial: int
    is_idle: bool = False


@final
class PrepareDelete(_Message, frozen=True, tag=44):
    """The registry asks a queue to refuse work from now on. The answer is the number of messages in it."""

    request: int
    if_unused: bool = False
    if_empty: bool = False
    if_idle: bool = False


@final
class QueueUsed(_Message, frozen=True, tag=120):
    """The registry tells a queue that expires that somebody declared it again."""


UseMessage = QueueUnused | PrepareDelete | QueueUsed
