"""Sending dead letters back: tried dry, begun, watched while it goes, stopped, undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from posthouse.dead_letter_requests import CANARY_MAX, is_running
from posthouse.transport.messages_dead import RedriveInfo
from posthouse.web.pages.dead_letters import ID_MAX, cause_rows
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import plural

SENTENCES: Final = {
    "dry_run": "This is what would be sent. Nothing has moved.",
    "running": "Letters are on their way.",
    "canary": "The first few have been sent; the rest waits for how they fare.",
    "done": "All that were meant have been sent.",
    "stopped": "It has stopped; what was not sent is where it was.",
}


async def view(visit: Visit) -> Mapping[str, Any]:
    """A redrive as it stands. Raises UnknownDeadLetter."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    info = await broker.dead_letters.redrive_status(visit.query.whole("id", 0, 0, ID_MAX))
    return {
        "info": info,
        "sentence": SENTENCES.get(info.state, info.state),
        "is_running": is_running(info),
        "is_undoable": info.state in ("running", "canary", "done", "stopped")
        and not info.taken_back
        and info.moved > 0,
        "gone": settled(info),
        "causes": cause_rows(info.causes, snapshot.now_ms),
    }


def settled(info: RedriveInfo) -> int:
    """Of how many it is known what became of them."""
    return min(info.matched, info.moved + info.returned)


async def start(visit: Visit, form: Fields) -> Done:
    """Begin, or only count."""
    is_dry = bool(form.text("dry_run"))
    number = form.whole("id", 0, 0, ID_MAX)
    percent = form.number("failure_percent")
    only: dict[str, Any] = {"ids": (number,)} if number else {}
    info = await (await visit.broker()).dead_letters.redrive(
        form.line("queue"),
        form.line("reason"),
        form.line("fingerprint"),
        to=form.line("to"),
        to_exchange=form.line("to_exchange"),
        rate=form.number("rate"),
        canary=form.whole("canary", 0, 0, CANARY_MAX) or None,
        failure_share=(percent or 0.0) / 100,
        dry_run=is_dry,
        wait=False,
        **only,
    )
    if is_dry:
        back = url("/dead-letters/cause", fingerprint=form.line("fingerprint"))
        if number:
            back = url("/dead-letter", id=number)
        return Done(back, f"A dry run: {plural(info.matched, 'dead letter')} would be sent. Nothing has moved.")
    return Done(url("/redrive", id=info.id), f"Begun: {plural(info.matched, 'dead letter')}.")


async def stop(visit: Visit, form: Fields) -> Done:
    """Send nothing more."""
    number = form.whole("id", 0, 0, ID_MAX)
    await (await visit.broker()).dead_letters.redrive_stop(number)
    return Done(url("/redrive", id=number), "Stopped. What is on its way arrives.")


async def undo(visit: Visit, form: Fields) -> Done:
    """Bring back what nobody was given yet."""
    number = form.whole("id", 0, 0, ID_MAX)
    info = await (await visit.broker()).dead_letters.redrive_undo(number)
    return Done(
        url("/redrive", id=number), f"Taken back: {plural(info.taken_back, 'message')} that nobody had been given."
    )
