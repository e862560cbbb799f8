"""What dead letters died of, counted: thousands of letters are usually a few causes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

import msgspec

from posthouse.actors.dead_letter_group import Group
from posthouse.transport.messages_dead import Cause


@final
class _Tally(msgspec.Struct):
    """What is counted of one cause."""

    first_ms: int
    last_ms: int = 0
    count: int = 0
    cause: str = ""
    queues: set[str] = msgspec.field(default_factory=set)
    reasons: set[str] = msgspec.field(default_factory=set)


def causes_of(counted: Iterable[tuple[Group, int]], limit: int) -> list[Cause]:
    """The causes of groups, of each of which so many letters count; the most frequent first."""
    found: dict[str, _Tally] = {}
    for group, count in counted:
        if not count:
            continue
        tally = found.get(group.fingerprint)
        if tally is None:
            tally = found[group.fingerprint] = _Tally(first_ms=group.first_ms)
        tally.count += count
        tally.cause = group.cause
        tally.queues.add(group.queue)
        tally.reasons.add(group.reason)
        tally.first_ms = min(tally.first_ms, group.first_ms)
        tally.last_ms = max(tally.last_ms, group.died_ms)
    causes = [
        Cause(
            fingerprint=fingerprint,
            cause=tally.cause,
            count=tally.count,
            queues=tuple(sorted(tally.queues)),
            reasons=tuple(sorted(tally.reasons)),
            first_ms=tally.first_ms,
            last_ms=tally.last_ms,
        )
        for fingerprint, tally in found.items()
    ]
    return sorted(causes, key=lambda cause: (-cause.count, cause.fingerprint))[:limit]
