"""The vocabulary of hold: what may be asked of an exchange about the messages no queue has wanted yet.

Frozen values like those of `messages.py`, whose union they join; numbers 90 to 99.
"""

from __future__ import annotations

from typing import final

import msgspec


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True, gc=False):
    """A record inside a message; it has no number of its own."""


@final
class HeldInfo(_Value, frozen=True):
    """One held message. `number` is its place in its exchange; it leaves at `until_ms` at the latest. `size`: body."""

    number: int
    exchange: str
    routing_key: str
    message_id: str
    held_ms: int
    until_ms: int
    size: int


@final
class HoldInfo(_Value, frozen=True):
    """What an exchange holds. Counts are messages. `leaving`: on their way to queues or to the dead letters.

    `held`, `released` and `dead` count since the exchange was made. `is_full`: it refuses what no queue wants.
    """

    exchange: str
    messages: int = 0
    bytes: int = 0
    leaving: int = 0
    hold_for_ms: int = 0
    messages_max: int = 0
    bytes_max: int = 0
    is_full: bool = False
    held: int = 0
    released: int = 0
    dead: int = 0
    journal_bytes: int = 0


@final
class ListHeld(_Message, frozen=True, tag=90):
    """The answer is a list of `HeldInfo`, oldest first, from above the number `after`."""

    request: int
    limit: int = 100
    after: int = 0


@final
class ReleaseHeld(_Message, frozen=True, tag=91):
    """Let go of what is held: through the exchange's bindings, or to `queue`. The answer is how many messages go."""

    request: int
    queue: str | None = None


@final
class ExpireHeld(_Message, frozen=True, tag=92):
    """All that is held becomes dead letters now. The answer is how many messages go."""

    request: int


@final
class HoldStatus(_Message, frozen=True, tag=93):
    """The answer is a `HoldInfo`."""

    request: int


@final
class PrepareDeleteExchange(_Message, frozen=True, tag=94):
    """The registry asks an exchange to hold nothing more from now on. Refused while it holds anything; else nil.

    `is_called_off`: it may go on as before; there is no answer.
    """

    request: int
    is_called_off: bool = False


HoldMessage = ListHeld | ReleaseHeld | ExpireHeld | HoldStatus | PrepareDeleteExchange
