"""One sample of each message of looking into a queue, and of the value in them, for `wire_samples`."""

from __future__ import annotations

from typing import Final

from posthouse.transport.messages import NIL
from posthouse.transport.messages_looking import LookedAt, LookInto, PauseQueue

SAMPLES: Final = (
    LookInto(38, 50, 1_000, "unacked", 256),
    PauseQueue(39, False),
)

VALUES: Final = (
    LookedAt(
        first_offset=1_000,
        attempt=2,
        place="unacked",
        batch=NIL,
        sizes=(5, 10_000_000),
        client="shop",
        consumer=9,
        since_ms=1_700_000_000_000,
        due_ms=1_700_000_005_000,
    ),
)
