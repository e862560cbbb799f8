"""The limits a broker sets and tells its peers in `Welcome`.

Each has its unit in its name. Nothing outside these bounds is ever allocated for, stored or forwarded.
"""

from __future__ import annotations

from typing import Final, final

import msgspec

NAME_BYTES_MAX: Final = 255
"""Names of exchanges and queues and routing keys: 255 bytes of UTF-8, as in AMQP 0-9-1 (short string)."""

BATCH_MESSAGES_MAX: Final = 65_535
BATCH_BYTES_TARGET: Final = 256 * 1024
"""A publisher closes a batch at this size; a single larger message is a batch of its own."""

ENVELOPE_BYTES_TARGET: Final = 1024 * 1024
"""A link closes an envelope at this size; a single larger batch is an envelope of its own."""

HEADERS_DEPTH_MAX: Final = 8
HEADERS_BYTES_MAX: Final = 64 * 1024

PREFETCH_MAX: Final = 65_535
DEDUP_ID_BYTES_MAX: Final = 255
SCHEDULE_KEY_BYTES_MAX: Final = 255

DELAY_MS_MAX: Final = 100 * 366 * 24 * 3_600_000
"""A message may be delayed by a century. Whoever asks for more has mixed up the units."""

REPEAT_EVERY_MS_MIN: Final = 100
"""A schedule fires ten times a second at most: it is for reminders, not for load."""

CRON_CHARACTERS_MAX: Final = 255
RECURRING_MAX: Final = 10_000
"""Schedules of one broker."""

RECURRING_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bodies, headers and names of all schedules together: they are in memory, and at the head of journal segments."""
PRIORITIES: Final = 10
"""Messages have a priority from 0 to 9; higher goes first where a queue has priorities."""


@final
class Limits(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What one broker accepts; the same value rules every actor and every client of it."""

    body_bytes_max: int = 16 * 1024 * 1024
    frame_bytes_max: int = 20 * 1024 * 1024
    window_messages: int = 65_536
    window_bytes: int = 16 * 1024 * 1024
    ping_interval_ms: int = 500
