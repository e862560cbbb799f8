"""The biography of a message: all that the journals tell of it, also when it is long settled."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, final

import msgspec

from posthouse.biography.events import Biography, BiographyEvent
from posthouse.transport.errors import InvalidArgument, PreconditionFailed
from posthouse.transport.names import shown
from posthouse.web.pages.visit import Visit
from posthouse.web.pages.words import readable_map, span

READERS_MAX: Final = 2
"""Reading journals takes a processor; more at a time would only make all of them late."""
READING_S_MAX: Final = 25.0
"""Shorter than the guard's patience, so that whoever waits hears what to do instead."""
ID_CHARACTERS_MAX: Final = 1_000

_BAD: Final = ("failed", "died", "buried", "dead_lettered", "expired", "dropped", "late", "gone", "purged")
_TONES: Final = {**dict.fromkeys(_BAD, "bad"), "acked": "good"}
_readers: Final = asyncio.Semaphore(READERS_MAX)


@final
class StoryRow(NamedTuple):
    """One event. `day` is a heading where another day begins, `gap` the time since the event before."""

    event: BiographyEvent
    day: str
    clock: str
    iso: str
    gap: str
    tone: str
    notes: list[str]
    traceback: str


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows: the form, and the story when a message is named. Raises InvalidArgument."""
    message_id = visit.query.text("id").strip()
    if not message_id:
        return {"id": "", "found": None, "rows": []}
    if not visit.data:
        raise PreconditionFailed("this page was started without the broker's data directory, and reads no journals")
    if len(message_id) > ID_CHARACTERS_MAX or "\0" in message_id:
        raise InvalidArgument(f"no message is called {shown(message_id)}")
    async with _readers:
        found = await read(visit.data, message_id)
    return {"id": message_id, "found": found, "rows": rows(found)}


async def read(data: str, message_id: str) -> Biography:
    """The biography, by `posthouse why` in a process of its own.

    In a thread of this one it would hold up every page that is open, for seconds where journals are large, and nothing
    could end it. Raises InvalidArgument, and PreconditionFailed when it takes too long.
    """
    command = (sys.executable, "-m", "posthouse", "why", "--json", "--data", data, "--", message_id)
    reader = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(READING_S_MAX):
            out, complaint = await reader.communicate()
    except TimeoutError:
        raise PreconditionFailed(
            f"the journals are too large to be read within {READING_S_MAX:g} s; on a terminal there is no limit: "
            f"posthouse why --data {data} {message_id}"
        ) from None
    finally:
        if reader.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                reader.kill()
            await reader.wait()
    if reader.returncode:
        raise InvalidArgument(complaint.decode(errors="replace").strip() or "the journals cannot be read")
    return msgspec.convert(json.loads(out), Biography)


def rows(found: Biography) -> list[StoryRow]:
    """The story under the days on which it happened."""
    made: list[StoryRow] = []
    day, before = "", None
    for event in found.events:
        its_day = day if event.at is None else event.at.strftime("%A, %d %B %Y")
        made.append(
            StoryRow(
                event,
                its_day if its_day != day else "",
                "" if event.at is None else event.at.strftime("%H:%M:%S.%f")[:-3],
                "" if event.at is None else event.at.isoformat(timespec="milliseconds"),
                gap(before, event.at),
                _TONES.get(event.what, ""),
                notes(event.details),
                str(event.details.get("traceback") or ""),
            )
        )
        day, before = its_day, event.at or before
    return made


def gap(before: datetime | None, at: datetime | None) -> str:
    """How long after the event before."""
    if before is None or at is None:
        return ""
    seconds = (at - before).total_seconds()
    return f"+{span(seconds)}" if seconds > 0 else ""


def notes(details: Mapping[str, Any]) -> list[str]:
    """What is said of an event besides its sentence: which bindings matched, headers, remarks."""
    found: list[str] = []
    matched: Sequence[Mapping[str, Any]] = details.get("matched") or ()
    for one in matched:
        kind = "exchange" if one["to_exchange"] else "queue"
        wanted = " ".join(filter(None, (one["key"], readable_map(one["arguments"])))) or "(no key)"
        found.append(f"✓ {wanted} → {kind} {one['destination']}: {one['reason']}")
    found += [str(remark) for remark in details.get("remarks") or ()]
    if details.get("headers"):
        found.append(f"headers {readable_map(details['headers'])}")
    return found
