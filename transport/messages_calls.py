"""Messages of request-reply: how a caller says that it takes replies, and how they are counted.

A request is a `Batch` with `reply_to` and `deadline_ms` in its options. A reply is a `Batch` too, published to the
default exchange under the routing key that `reply_to` named, with the request's correlation id. The exchange passes
it on to the session that asked for it with `ReceiveReplies`; no queue holds it on the way.
"""

from __future__ import annotations

from typing import Final, TypeAlias, final

import msgspec

REPLY_PREFIX: Final = "\0reply/"
"""Begins the routing key of a reply. No queue has such a name: a name has no control characters."""


def reply_key(client_id: int) -> str:
    """The routing key under which replies reach a client."""
    return f"{REPLY_PREFIX}{client_id:x}"


class _Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message. Field order is the wire order."""


@final
class ReceiveReplies(_Message, frozen=True, tag=100):
    """Pass replies for this client to this session, as `Batch`, until it ends. The answer is nil."""

    request: int


@final
class ReplyStatus(_Message, frozen=True, tag=101):
    """The answer is a `ReplyCounts`."""

    request: int


@final
class ReplyCounts(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """Replies in this life of the default exchange: `passed` on to a caller, `dropped` since it was gone.

    `callers` are the sessions that take replies now.
    """

    callers: int = 0
    passed: int = 0
    dropped: int = 0


CallMessage: TypeAlias = ReceiveReplies | ReplyStatus
