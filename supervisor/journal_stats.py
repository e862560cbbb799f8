"""The figures that a journal shows to monitoring.

Pure. A record of numbers and nothing else; the journal fills it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True)
class JournalStats:
    """The figures of one moment. Bytes are those written, not those preallocated."""

    segments: int
    bytes: int
    first_position: int
    written: int
    durable: int
    chunks: int
    syncs: int
    sync_last_ns: int
    sync_total_ns: int
    sync_failures: int
    refused_commits: int
    unsynced_bytes: int
    has_reserve: bool


@final
@dataclass
class JournalCounters:
    """What has happened since the opening."""

    chunks: int = 0
    syncs: int = 0
    sync_last_ns: int = 0
    sync_total_ns: int = 0
    sync_failures: int = 0
    refused_commits: int = 0
