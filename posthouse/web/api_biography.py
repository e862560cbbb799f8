"""What became of a message, as the journals tell it."""

from __future__ import annotations

from typing import Any, Final

from posthouse.biography.events import Biography
from posthouse.biography.reading import biography_of
from posthouse.web.operation import Call, Operation
from posthouse.web.request_context import web_of


async def why(call: Call) -> Any:
    """The biography of a message: published, routed, stored, delivered, failed, dead, redriven, acked, and when.

    Read from the journals, so settled messages are told of too, as long as their segments exist. It takes as long as
    reading the journals takes; one is read at a time.
    """
    web = web_of(call.request)
    return await web.read_files(biography_of, web.settings.data, call.path["message_id"])


OPERATIONS: Final = (Operation("why", "GET", "/messages/{message_id}/why", why, Biography),)
