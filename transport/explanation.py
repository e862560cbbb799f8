"""The explanation of a route: what an exchange would do with a message, and why.

It travels as a MessagePack map, so that people and other languages can read it without this file. It holds at
most `EXPLAINED_BINDINGS_MAX` bindings of either kind and `EXPLAINED_BYTES_MAX` bytes of them; the counts are
always whole.
"""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

EXPLAINED_BINDINGS_MAX: Final = 1_000
EXPLAINED_BYTES_MAX: Final = 4 * 1024 * 1024


@final
class ExplainedBinding(msgspec.Struct, frozen=True, kw_only=True):
    """One binding that was looked at, and the reason why it matched or did not."""

    source: str
    destination: str
    to_exchange: bool
    key: str
    arguments: dict[str, Any] | None
    reason: str


@final
class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Where a message would go. `queues` is sorted; `unrouted` is the policy that would apply, else None.

    `matched` and `unmatched` list the bindings of every exchange the message would pass, in that order;
    `notes` says what no binding can: which alternates were asked, what is missing.
    """

    exchange: str
    routing_key: str
    queues: list[str]
    matched: list[ExplainedBinding]
    unmatched: list[ExplainedBinding]
    matched_count: int
    unmatched_count: int
    unrouted: str | None
    notes: list[str]
