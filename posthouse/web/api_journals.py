"""Journals on disk: how large each is, and whether every byte of one is as it was written."""

from __future__ import annotations

import asyncio
import os
from http import HTTPStatus
from typing import Any, Final, final

import msgspec

from posthouse.supervisor import journal_tools
from posthouse.supervisor.disk import RealDisk
from posthouse.supervisor.journal_tools import SegmentReport
from posthouse.transport.errors import InvalidArgument, PreconditionFailed
from posthouse.transport.names import shown
from posthouse.web.faults import HttpFault
from posthouse.web.listing import Window, is_named, listing_of, part_of
from posthouse.web.operation import Call, Operation
from posthouse.web.request_context import web_of

VERIFY_BYTES_MAX: Final = 4 * 1024 * 1024 * 1024
"""A larger one takes too long for a request; `posthouse journal verify` has no such limit."""


@final
class JournalQuery(Window, kw_only=True, forbid_unknown_fields=True):
    """`name`: with that text in the name of its directory."""

    name: str | None = None


@final
class JournalListed(msgspec.Struct, frozen=True, kw_only=True):
    """One actor's journal: the name of its directory, its segments, their bytes, and when it was last written to."""

    name: str
    segments: int
    bytes: int
    changed_at: float


@final
class JournalVerified(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict. `is_corrupt`: it would refuse to open; `is_torn`: it repairs itself. One in use may look torn."""

    name: str
    is_corrupt: bool
    is_torn: bool
    durable: int
    generation: int
    missing: list[tuple[int, int]]
    faults: list[str]
    segments: list[SegmentReport]
    lock_holder: int


async def journals(call: Call) -> Any:
    """All journals, by name. The figures of each actor's journal are also in the overview."""
    wanted: JournalQuery = call.query
    found = await asyncio.to_thread(_listed, _root(call))
    return part_of([one for one in found if is_named(one.name, wanted.name)], wanted)


async def verify(call: Call) -> Any:
    """Read and check every byte of a journal, without disturbing whoever writes it."""
    directory = os.path.join(_root(call), _checked(call.path["journal"]))
    return await web_of(call.request).read_files(_verified, directory)


def _root(call: Call) -> str:
    return os.path.join(web_of(call.request).settings.data, "journal")


def _checked(name: str) -> str:
    """The name of a directory among the journals, and not a way out of there. Raises InvalidArgument."""
    if not name or len(name) > 255 or name.startswith(".") or os.sep in name or "\0" in name:
        raise InvalidArgument(f"{shown(name)} is no journal; GET /journals lists them")
    return name


def _listed(root: str) -> list[JournalListed]:
    found = []
    with os.scandir(root) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.is_dir(follow_symlinks=False):
                sizes = _sizes(entry.path)
                found.append(
                    JournalListed(
                        name=entry.name,
                        segments=len(sizes),
                        bytes=sum(size for size, _ in sizes),
                        changed_at=max((changed for _, changed in sizes), default=0.0),
                    )
                )
    return found


def _sizes(directory: str) -> list[tuple[int, float]]:
    """Size and time of change of each segment; one that goes away meanwhile is gone."""
    found = []
    for name in _names(directory):
        try:
            status = os.stat(os.path.join(directory, name))
        except FileNotFoundError:
            continue
        found.append((status.st_size, status.st_mtime))
    return found


def _names(directory: str) -> list[str]:
    try:
        return [name for name in os.listdir(directory) if name.endswith(".seg")]
    except FileNotFoundError:
        return []


def _verified(directory: str) -> JournalVerified:
    name = os.path.basename(directory)
    if not os.path.isdir(directory):
        raise HttpFault(
            HTTPStatus.NOT_FOUND, "unknown_journal", f"there is no journal {shown(name)}; GET /journals lists them"
        )
    size = sum(size for size, _ in _sizes(directory))
    if size > VERIFY_BYTES_MAX:
        raise PreconditionFailed(
            f"the journal has {size} bytes, and more than {VERIFY_BYTES_MAX} take too long for a request; "
            f"use posthouse journal verify {directory}"
        )
    report = journal_tools.verify(RealDisk(), directory)
    return JournalVerified(
        name=name,
        is_corrupt=report.is_corrupt,
        is_torn=report.is_torn,
        durable=report.durable,
        generation=report.generation,
        missing=list(report.missing),
        faults=list(report.faults),
        segments=list(report.segments),
        lock_holder=report.lock_holder,
    )


OPERATIONS: Final = (
    Operation("list_journals", "GET", "/journals", journals, listing_of(JournalListed), query=JournalQuery),
    Operation("verify_journal", "POST", "/journals/{journal}/verify", verify, JournalVerified),
)
