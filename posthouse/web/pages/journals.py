"""The journals: how much each actor has on disk, how often and how quickly it syncs, and which are damaged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, final

from posthouse.actors.measure import SECONDS
from posthouse.transport.messages_monitor import ActorReading
from posthouse.web.pages.drawing import quantile
from posthouse.web.pages.listing import Listing
from posthouse.web.pages.tree import place_of
from posthouse.web.pages.visit import Visit

JOURNAL_CORRUPT: Final = 20
"""The exit code of an actor that found its journal damaged; docs/supervision.md lists them."""


@final
class JournalRow(NamedTuple):
    """One actor's journal. Times in seconds, None before the first sync."""

    actor: str
    href: str
    state: str
    tone: str
    bytes: int
    segments: int
    syncs: float
    half_s: float | None
    most_s: float | None
    failures: int
    replay_s: float


SORTS: Final[dict[str, Callable[[JournalRow], Any]]] = {
    "size": lambda row: row.bytes,
    "name": lambda row: row.actor,
    "segments": lambda row: row.segments,
    "syncs": lambda row: row.syncs,
    "half": lambda row: row.half_s or 0.0,
    "most": lambda row: row.most_s or 0.0,
    "replay": lambda row: row.replay_s,
}


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    snapshot = await visit.snapshot()
    rows = [row_of(reading) for reading in snapshot.overview.actors if has_journal(reading)]
    counts = [sum(column) for column in zip(*_histograms(snapshot.overview.actors), strict=True)]
    return {
        "list": Listing("/journals", visit.query, rows, SORTS),
        "damaged": [row for row in rows if row.tone == "bad"],
        "total": sum(row.bytes for row in rows),
        "syncs": sum(row.syncs for row in rows),
        "half_s": quantile(counts, SECONDS, 0.5),
        "most_s": quantile(counts, SECONDS, 0.99),
    }


def _histograms(actors: list[ActorReading]) -> list[list[float]]:
    return [found for actor in actors if (found := actor.histograms.get("journal_sync_seconds"))]


def has_journal(reading: ActorReading) -> bool:
    """Does this actor write one, or has it one that it cannot open?"""
    return reading.values.get("journal_segments", 0) > 0 or is_damaged(reading)


def is_damaged(reading: ActorReading) -> bool:
    """Did its last life end because its journal is damaged below what was promised?"""
    return reading.state != "up" and f"code {JOURNAL_CORRUPT}" in reading.last_exit


def row_of(reading: ActorReading) -> JournalRow:
    """The row of one journal."""
    failures = int(reading.values.get("journal_sync_failures", 0))
    state, tone = "intact", "good"
    if is_damaged(reading):
        state, tone = "damaged", "bad"
    elif failures:
        state, tone = f"{failures} syncs failed", "bad"
    elif reading.state != "up":
        state, tone = reading.state, "warn"
    counts = reading.histograms.get("journal_sync_seconds", [])
    return JournalRow(
        actor=reading.id,
        href=place_of(reading),
        state=state,
        tone=tone,
        bytes=int(reading.values.get("journal_bytes", 0)),
        segments=int(reading.values.get("journal_segments", 0)),
        syncs=reading.rates.get("journal_syncs", 0.0),
        half_s=quantile(counts, SECONDS, 0.5),
        most_s=quantile(counts, SECONDS, 0.99),
        failures=failures,
        replay_s=reading.values.get("replay_seconds", 0.0),
    )
