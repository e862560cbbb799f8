"""The journal tools: dump, verify and salvage one journal, or all journals of a data directory.

They work on files, with or without a broker, and never change the journal they read.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from posthouse.cli_connection import AsJson
from posthouse.cli_output import (
    Cell,
    Column,
    Row,
    count,
    print_json,
    print_json_line,
    print_table,
    printable,
    readable_body,
    say,
    size,
)
from posthouse.transport.errors import InvalidArgument

if TYPE_CHECKING:
    from posthouse.supervisor.journal_tools import DumpEntry, SalvageReport, SegmentReport, VerifyReport

CORRUPT: Final = 1
PAYLOAD_CHARACTERS_SHOWN: Final = 60
_RANGES_SHOWN_MAX: Final = 20

Directory = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        show_default=False,
        help="One actor's journal (DATA/journal/…), or a data directory for all of its journals.",
    ),
]


def dump(
    directory: Directory,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document per line and record.")] = False,
) -> None:
    """Print every intact record, oldest first, and where something is not intact.

    Example:  posthouse journal dump DATA/journal/registry-… --json
    """
    from posthouse.supervisor import journal_tools
    from posthouse.supervisor.disk import RealDisk

    for journal in _journals_in(directory):
        if not as_json:
            say(f"# {journal}")
        for entry in journal_tools.dump(RealDisk(), journal):
            if as_json:
                print_json_line(_entry_as_json(journal, entry))
            else:
                say(_entry_line(entry))


def _entry_as_json(journal: str, entry: DumpEntry) -> dict[str, object]:
    record = entry.record
    return {
        "journal": journal,
        "segment": entry.segment,
        "offset": entry.offset,
        "position": None if record is None else record.position,
        "kind": None if record is None else record.kind,
        "payload": None if record is None else record.payload,
        "note": entry.note,
    }


def _entry_line(entry: DumpEntry) -> str:
    if entry.record is None:
        return f"## {entry.segment}: {entry.note}"
    record = entry.record
    remark = f"  [{entry.note}]" if entry.note else ""
    payload = readable_body(bytes(record.payload), PAYLOAD_CHARACTERS_SHOWN)
    return f"{record.position:>12}  kind {record.kind:>3}  {len(record.payload):>8} B  {payload}{remark}"


def verify(directory: Directory, as_json: AsJson = False) -> None:
    """Read and check every byte that counts. Exit code 0: intact, 1: damaged. A torn tail mends itself.

    Example:  posthouse journal verify /var/lib/posthouse
    """
    from posthouse.supervisor import journal_tools
    from posthouse.supervisor.disk import RealDisk

    reports = [journal_tools.verify(RealDisk(), journal) for journal in _journals_in(directory)]
    if as_json:
        print_json([_report_as_json(report) for report in reports])
    else:
        for report in reports:
            _print_report(report)
    if any(report.is_corrupt for report in reports):
        raise typer.Exit(CORRUPT)


def _report_as_json(report: VerifyReport) -> dict[str, object]:
    from dataclasses import asdict

    return {**asdict(report), "is_corrupt": report.is_corrupt}


_SEGMENTS: Final = (
    Column("segment"),
    Column("first", is_number=True),
    Column("last", is_number=True),
    Column("records", is_number=True),
    Column("size", is_number=True),
    Column("generation", is_number=True),
    Column("state", can_shrink=True),
)


def _print_report(report: VerifyReport) -> None:
    verdict = "DAMAGED" if report.is_corrupt else "intact, with a torn tail" if report.is_torn else "intact"
    say(f"{report.directory}: {verdict}; durable up to {count(report.durable)}")
    if report.lock_holder:
        say(f"  process {report.lock_holder} has it open; its last commit may be seen half written")
    for fault in report.faults:
        say(f"  fault: {printable(fault)}")
    if report.missing:
        say(f"  missing positions: {_ranges(report.missing)}")
    if report.is_corrupt:
        say(f"  what is intact can be saved: posthouse journal salvage {report.directory} --into NEW-DIR")
    print_table(_SEGMENTS, map(_segment_row, report.segments), "  no segments")
    say("")


def _segment_row(segment: SegmentReport) -> Row:
    state = "sealed" if segment.is_sealed else "open"
    if segment.is_checkpoint:
        state += ", checkpoint"
    cell = Cell(state)
    if segment.damage_offset is not None:
        cell = Cell(f"{state}, not intact from byte {segment.damage_offset}", "bold red")
    return (
        segment.name,
        str(segment.first),
        str(segment.last),
        count(segment.records),
        size(segment.bytes),
        str(segment.generation),
        cell,
    )


def salvage(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", show_default=False, help="One actor's journal (DATA/journal/…).")
    ],
    into: Annotated[
        Path,
        typer.Option("--into", metavar="NEW-DIR", show_default=False, help="A directory that does not exist yet."),
    ],
    as_json: AsJson = False,
) -> None:
    """Copy every intact record into a new journal, and list what is lost. Leaves the damaged one as it is.

    \b
    Then, with the broker stopped, move the old directory away and the new one to its place:
      posthouse journal salvage DATA/journal/queue_ewr-… --into saved
    """
    from posthouse.supervisor import journal_tools
    from posthouse.supervisor.disk import RealDisk

    if (directory / "journal").is_dir():
        raise InvalidArgument(
            f"{directory} is a data directory; salvage one of the journals in {directory / 'journal'}"
        )
    report = journal_tools.salvage(RealDisk(), _existing(directory), str(into.absolute()))
    if as_json:
        print_json(_salvage_as_json(report))
        return
    say(f"saved {count(report.records)} records into {report.into}; next position {report.next_position}")
    say(f"lost for good: positions {_ranges(report.missing)}" if report.missing else "nothing is missing")


def _salvage_as_json(report: SalvageReport) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(report)


def _journals_in(directory: Path) -> list[str]:
    """The journals of a data directory, or the one journal that this directory is."""
    journals = directory / "journal"
    if journals.is_dir():
        return sorted(str(found) for found in journals.iterdir() if found.is_dir())
    return [_existing(directory)]


def _existing(directory: Path) -> str:
    if not directory.is_dir():
        raise InvalidArgument(f"{directory} is not a directory")
    return str(directory)


def _ranges(ranges: tuple[tuple[int, int], ...]) -> str:
    shown = [str(first) if first == last else f"{first}–{last}" for first, last in ranges[:_RANGES_SHOWN_MAX]]
    left = len(ranges) - len(shown)
    return ", ".join(shown) + (f" and {count(left)} more ranges" if left else "")
