"""What exchanges hold for queues to come: listed, let go of, given up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from posthouse.transport.errors import InvalidArgument
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.visit import Visit, url
from posthouse.web.pages.words import plural, when

ROWS: Final = 100
NUMBER_MAX: Final = (1 << 63) - 1


async def view(visit: Visit) -> Mapping[str, Any]:
    """What one exchange holds, or which exchanges hold anything. Raises UnknownExchange."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    exchange = visit.query.text("exchange")
    holders = [one for one in await broker.exchanges() if one.held or one.leaving]
    if not exchange:
        return {"exchange": "", "holders": holders, "status": None, "rows": [], "next": ""}
    after = visit.query.whole("after", 0, 0, NUMBER_MAX)
    status = await broker.held.status(exchange)
    found = await broker.held.list(exchange, limit=ROWS + 1, after=after) if status.messages else []
    more = url("/held", exchange=exchange, after=found[ROWS - 1].number) if len(found) > ROWS else ""
    rows = [(one, when(one.held_at, snapshot.now_ms), when(one.until, snapshot.now_ms)) for one in found[:ROWS]]
    return {"exchange": exchange, "holders": holders, "status": status, "rows": rows, "next": more}


async def release(visit: Visit, form: Fields) -> Done:
    """Let go of everything."""
    exchange, queue = form.text("exchange"), form.line("to")
    leaving = await (await visit.broker()).held.release(exchange, queue)
    where = f" for {queue}" if queue else " by its bindings"
    return Done(url("/held", exchange=exchange), f"{plural(leaving, 'message')} leave{where}.")


async def expire(visit: Visit, form: Fields) -> Done:
    """Make dead letters of everything."""
    exchange = form.text("exchange")
    if form.text("typed") != exchange:
        raise InvalidArgument(f"the name you typed is not {exchange!r}; type it exactly to give up what it holds")
    leaving = await (await visit.broker()).held.expire(exchange)
    return Done("/dead-letters", f"{plural(leaving, 'message')} become dead letters.")
