"""One request for a page: what was asked for, the broker, and the figures of the moment."""

from __future__ import annotations

from typing import final
from urllib.parse import urlencode

from starlette.requests import Request

from posthouse import aio
from posthouse.web.pages.connected import Connected
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.notes import Note, Notes
from posthouse.web.pages.snapshot import Snapshot, Snapshots
from posthouse.web.request_context import broker_of, web_of


@final
class Desk:
    """What all visits of one application share."""

    def __init__(self) -> None:
        self.snapshots = Snapshots()
        self.connected = Connected()
        self.notes = Notes()
        self.streams = 0
        """How many pages are open and live."""


@final
class Visit:
    """What the code of a page gets."""

    def __init__(self, request: Request, desk: Desk, *, is_live: bool = False) -> None:
        self.request = request
        self.desk = desk
        self.is_live = is_live
        """Only what may change is wanted: the browser has the rest."""
        self.query = Fields(request.query_params)

    async def broker(self) -> aio.Broker:
        """The client. Raises BrokerNotRunning."""
        return await broker_of(self.request)

    async def snapshot(self) -> Snapshot:
        """The figures of this moment."""
        return await self.desk.snapshots.take(await self.broker())

    @property
    def data(self) -> str:
        """The broker's data directory."""
        return web_of(self.request).settings.data

    def note(self) -> Note | None:
        """What the action before this page had to say."""
        return self.desk.notes.take(self.query.text("note"))


def url(path: str, **query: object) -> str:
    """A link within the page; what is None or empty is left out."""
    given = {name: str(value) for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path
