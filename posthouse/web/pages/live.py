"""A page that goes on: its changed parts as server-sent events, once a second, for as long as somebody looks.

What cannot be looked up at the moment is told as trouble, and the stream goes on: it is over only with the page or with
this process. Beyond a number of streams a browser is sent away and loads the page now and then instead.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from posthouse.transport.errors import PosthouseError
from posthouse.web.faults import HttpFault
from posthouse.web.pages.frame import Page, fill, live_parts
from posthouse.web.pages.visit import Desk, Visit
from posthouse.web.request_context import web_of

PERIOD_S: Final = 1.0
STREAMS_MAX: Final = 64
QUIET_PERIODS_MAX: Final = 10
"""After so many with nothing to say that is said, which finds out whether anybody is still there."""


def wants_stream(request: Request) -> bool:
    """Does a script of ours ask, and not a browser?"""
    return "text/event-stream" in request.headers.get("accept", "")


def stream(page: Page, request: Request, desk: Desk) -> Response:
    """The answer that does not end."""
    if desk.streams >= STREAMS_MAX:
        return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE, headers={"retry-after": "5"})
    headers = {"cache-control": "no-store", "x-accel-buffering": "no", "vary": "accept"}
    return StreamingResponse(_events(page, request, desk), media_type="text/event-stream", headers=headers)


async def _events(page: Page, request: Request, desk: Desk) -> AsyncIterator[str]:
    stopping = web_of(request).is_stopping
    sent: dict[str, str] = {}
    quiet = 0
    desk.streams += 1
    try:
        yield "retry: 2000\n\n"
        while not stopping.is_set():
            events = await _changes(page, Visit(request, desk, is_live=True), sent)
            quiet = 0 if events else quiet + 1
            if events or quiet % QUIET_PERIODS_MAX == 0:
                yield events or _event("beat", None)
            await _until(stopping)
    finally:
        desk.streams -= 1


async def _until(stopping: asyncio.Event) -> None:
    try:
        async with asyncio.timeout(PERIOD_S):
            await stopping.wait()
    except TimeoutError:
        pass


async def _changes(page: Page, visit: Visit, sent: dict[str, str]) -> str:
    """What differs from what was sent, as events."""
    try:
        parts = live_parts(page, await fill(page, visit))
    except (PosthouseError, HttpFault) as error:
        sent.clear()  # When it is over everything is told again, and that it is over with it.
        return _event("trouble", str(error))
    changed = {name: html for name, html in parts.items() if sent.get(name) != html}
    sent.update(changed)
    return "".join(_event("part", {"id": name, "html": html}) for name, html in changed.items())


def _event(kind: str, value: object) -> str:
    return f"event: {kind}\ndata: {json.dumps(value)}\n\n"
