"""The vocabulary of looking into a queue, and of pausing it.

Frozen values like those of `messages.py`, whose union they join; numbers 52 to 54.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

LOOK_MESSAGES_MAX: Final = 1_000
LOOK_BODY_BYTES_MAX: Final = 1024 * 1024


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


class _Value(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """A record inside a message; it has no number of its own."""


@final
class LookedAt(_Value, frozen=True):
    """Messages of one batch at one place: ready, unacked, waiting or leaving. `batch` is a `Batch` of them.

    Its bodies are cut; `sizes` are those of the whole ones. What is unacked is held by that consumer of that client,
    `consumer` 0 where it asked for a single message, since `since_ms`; what waits is ready again at `due_ms`.
    """

    first_offset: int
    attempt: int
    place: str
    batch: msgspec.Raw
    sizes: tuple[int, ...]
    client: str = ""
    consumer: int = 0
    since_ms: int = 0
    due_ms: int = 0


@final
class LookInto(_Message, frozen=True, tag=52):
    """Look at up to `count` messages above the offset `after`, `place` "" wherever they are.

    The answer is a list of `LookedAt` in the order of their offsets, with at most `body_bytes_max` of each body. It
    ends early where it would be too large.
    """

    request: int
    count: int
    after: int = 0
    place: str = ""
    body_bytes_max: int = 4_096


@final
class PauseQueue(_Message, frozen=True, tag=53):
    """Deliver nothing until told to go on, in later lives as well; or go on. The answer is nil."""

    request: int
    is_paused: bool = True


LookingMessage = LookInto | PauseQueue
