"""The rules that are there without anybody's doing, by name.

Pure. They are meant to be right for most: each tells of something that an administrator has to look at, now or soon,
and none of it is normal on a healthy broker. What depends on how a queue is used is switched off and waits to be named
in a file. `docs/alerts.md` has the table.
"""

from __future__ import annotations

from typing import Final

from posthouse.actors.alert_rules import (
    MACHINE,
    Absence,
    Alarms,
    Events,
    Forecast,
    Growth,
    Level,
    Quantile,
    Rule,
    State,
    check_rule,
)
from posthouse.supervisor.exit_codes import JOURNAL_CORRUPT, STORAGE_FAULT

_GIB: Final = 1024 * 1024 * 1024
_DISK: Final = (JOURNAL_CORRUPT, STORAGE_FAULT)


def default_rules(disk_free_bytes_min: int) -> dict[str, Rule]:
    """All of them, in the order they are listed. `disk_free_bytes_min`: where the broker refuses durable messages."""
    rules = (*_lives(), *_messages(), *_machine(disk_free_bytes_min))
    for rule in rules:
        check_rule(rule)
    return {rule.name: rule for rule in rules}


def _lives() -> tuple[Rule, ...]:
    """Processes that end, hang, or do not come back."""
    return (
        Events(
            name="crash",
            summary="ended unexpectedly and is started again",
            events=("restarting", "quarantined"),
            ignore_codes=_DISK,
            clear_for_s=60.0,
            # It says that the actor is back already; where it is not, crash-loop or quarantine speaks.
            tell_resolved=False,
        ),
        Events(
            name="crash-loop",
            summary="keeps ending unexpectedly",
            severity="critical",
            events=("restarting", "quarantined"),
            ignore_codes=_DISK,
            count=3,
            window_s=60.0,
            clear_for_s=60.0,
        ),
        State(
            name="quarantine",
            summary="failed too often and is kept down",
            severity="critical",
            states=("quarantined",),
            ignore_codes=_DISK,
        ),
        State(
            name="journal-damage",
            summary="its journal is damaged, nothing of it is served; see posthouse journal verify",
            severity="critical",
            states=("quarantined",),
            codes=(JOURNAL_CORRUPT,),
            clear_for_s=5.0,
        ),
        Events(
            name="storage-fault",
            summary="the disk failed it",
            severity="critical",
            events=("exited",),
            codes=(STORAGE_FAULT,),
            clear_for_s=60.0,
        ),
        Events(
            name="hung",
            summary="made no progress and is killed",
            severity="critical",
            events=("hung", "stuck"),
            clear_for_s=60.0,
        ),
        Events(
            name="broker-failing",
            summary="failed too often; the broker ends",
            severity="critical",
            events=("escalated",),
        ),
        Level(
            name="descriptors",
            summary="share of its file descriptors in use",
            actors="*",
            measure="descriptors_share",
            above=0.8,
            clear=0.7,
            for_s=10.0,
        ),
    )


def _messages() -> tuple[Rule, ...]:
    """Messages that do not get on."""
    return (
        Level(
            name="oldest-ready",
            summary="the oldest ready message waits",
            actors="queue",
            measure="oldest_ready_age_seconds",
            above=900.0,
            clear=600.0,
            for_s=5.0,
        ),
        Absence(
            name="no-messages",
            summary="had traffic, and nothing came for",
            enabled=False,
            actors="exchange",
            measure="published",
            after_s=3_600.0,
            clear_for_s=0.0,
        ),
        Growth(
            name="dead-letter-growth",
            summary="new dead letters",
            actors="dead-letter",
            measure="buried",
            above=9,
            clear=0,
            window_s=300.0,
            clear_for_s=0.0,
        ),
        Level(
            name="dead-letters",
            summary="dead letters in the store",
            actors="dead-letter",
            measure="letters",
            above=10_000,
            clear=9_000,
        ),
        Alarms(
            name="dead-letters-full",
            summary="the dead-letter store takes nothing more",
            severity="critical",
            alarms=("dead_letters_full",),
            clear_for_s=5.0,
        ),
        Growth(
            name="held-growth",
            summary="messages held that no queue wanted",
            actors="exchange",
            measure="held",
            above=1_000,
            clear=100,
            window_s=300.0,
        ),
        Alarms(
            name="breaker-open",
            summary="its outage breaker holds deliveries back",
            alarms=("breaker", "breaker_opened"),
            clear_for_s=10.0,
        ),
    )


def _machine(disk_free_bytes_min: int) -> tuple[Rule, ...]:
    """The machine below."""
    return (
        Level(
            name="disk-full",
            summary="free on the disk of the data directory, durable messages are refused",
            severity="critical",
            actors=MACHINE,
            measure="disk_free_bytes",
            below=float(max(disk_free_bytes_min, 1)),
            clear=float(max(disk_free_bytes_min, 1)) * 1.25,
            clear_for_s=5.0,
        ),
        Level(
            name="disk-low",
            summary="free on the disk of the data directory",
            actors=MACHINE,
            measure="disk_free_bytes",
            below=float(max(_GIB, 2 * disk_free_bytes_min)),
            clear=float(max(_GIB, 2 * disk_free_bytes_min)) * 1.25,
        ),
        Forecast(
            name="disk-forecast",
            summary="until the disk of the data directory is full, as it fills now",
            measure="disk_free_bytes",
            floor=float(disk_free_bytes_min),
            below_s=7_200.0,
            clear_s=14_400.0,
            for_s=60.0,
        ),
        Level(
            name="memory-low",
            summary="of the machine's memory free",
            actors=MACHINE,
            measure="memory_free_share",
            below=0.05,
            clear=0.1,
            for_s=10.0,
        ),
        Forecast(
            name="memory-forecast",
            summary="until the machine's memory is used up, as it is used now",
            measure="memory_free_bytes",
            below_s=1_800.0,
            clear_s=7_200.0,
            for_s=60.0,
        ),
        Quantile(
            name="sync-latency",
            summary="99th percentile of the time a sync of its journal takes",
            actors="*",
            measure="journal_sync_seconds",
            above=0.5,
            clear=0.25,
            window_s=60.0,
        ),
    )
