"""The figures that all cells show: mailbox, links, journal.

Counted in plain integers, written once a second.
"""

from __future__ import annotations

from typing import final

from posthouse.actors import measures
from posthouse.actors.tallies import Tally, Totals
from posthouse.supervisor.journal import Journal
from posthouse.supervisor.meter import Meter
from posthouse.transport.link_figures import figures_of
from posthouse.transport.links import Links


@final
class CellFigures:
    """Those of one cell. Frames are the cell's to count, rounds and the time they took its loop's."""

    __slots__ = (
        "_before_round",
        "_journal",
        "_mailbox",
        "_meter",
        "_stalls",
        "_syncs",
        "_totals",
        "busy_ns",
        "frames_received",
        "frames_sent",
        "rounds",
    )

    def __init__(self, meter: Meter, journal: Journal | None) -> None:
        self._meter = meter
        self._journal = journal
        self._totals = Totals(meter)
        self._syncs = Tally(measures.JOURNAL_SYNC)
        self._before_round = 0
        self._mailbox = 0
        self._stalls = 0
        self.frames_received = 0
        self.frames_sent = 0
        self.rounds = 0
        self.busy_ns = 0
        if journal is not None:
            journal.on_sync = self._synced
            if journal.recovery.torn_bytes:
                meter.add(measures.JOURNAL_TORN)

    def round_began(self) -> None:
        """What the round before found in the mailbox is known now."""
        found = self.frames_received - self._before_round
        if found > self._mailbox:
            self._mailbox = found
        self._before_round = self.frames_received

    def show(self, wall_ms: int, links: Links, refused: int) -> None:
        """Write everything down."""
        self.round_began()
        meter, totals = self._meter, self._totals
        meter.set(measures.MEASURED, wall_ms)
        figures = figures_of(links)
        self._stalls += figures.stalls
        meter.set(measures.MAILBOX, self._mailbox)
        self._mailbox = 0
        meter.set(measures.LINKS, figures.links)
        meter.set(measures.BACKLOG, figures.backlog_bytes)
        for word, value in (
            (measures.ROUNDS, self.rounds),
            (measures.BUSY, self.busy_ns // 1_000),
            (measures.FRAMES_RECEIVED, self.frames_received),
            (measures.FRAMES_SENT, self.frames_sent),
            (measures.STALLS, self._stalls),
            (measures.REFUSED, refused),
            (measures.VIOLATIONS, links.violations),
        ):
            totals.count(word, value)
        if self._journal is not None:
            self._show_journal(self._journal)

    def _synced(self, took_ns: int) -> None:
        self._syncs.observe(took_ns // 1_000)

    def _show_journal(self, journal: Journal) -> None:
        meter, totals, stats = self._meter, self._totals, journal.stats()
        meter.set(measures.JOURNAL_BYTES, stats.bytes)
        meter.set(measures.JOURNAL_SEGMENTS, stats.segments)
        for word, value in (
            (measures.JOURNAL_CHUNKS, stats.chunks),
            (measures.JOURNAL_SYNCS, stats.syncs),
            (measures.JOURNAL_SYNC_FAILURES, stats.sync_failures),
            (measures.JOURNAL_REFUSED, stats.refused_commits),
        ):
            totals.count(word, value)
        self._syncs.show(meter)
