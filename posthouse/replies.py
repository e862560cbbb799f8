"""The replies a client waits for, and how a reply says that its handler failed.

Pure. One `Replies` per session: it gives every call a correlation id, takes what the default exchange passes on, and
counts what comes too late. A failure travels as an empty body with the headers below.
"""

from __future__ import annotations

from typing import Any, Final, final

from posthouse.message import Message, Slice
from posthouse.transport.errors import CallFailed
from posthouse.transport.messages import Batch
from posthouse.transport.messages_calls import reply_key

ERROR_TYPE: Final = "posthouse-error"
ERROR_TEXT: Final = "posthouse-error-text"
ERROR_TRACEBACK: Final = "posthouse-error-traceback"


@final
class Awaited:
    """One reply that somebody waits for."""

    __slots__ = ("correlation_id", "reply")

    def __init__(self, correlation_id: str) -> None:
        self.correlation_id = correlation_id
        self.reply: Message | None = None


@final
class Replies:
    """All replies of one client. `address` is where they are sent; `late` counts those nobody waited for."""

    def __init__(self, client_id: int) -> None:
        self.address = reply_key(client_id)
        self.late = 0
        self._awaited: dict[str, Awaited] = {}
        self._last_number = 0

    def expect(self) -> Awaited:
        """A new correlation id, and a place for its reply."""
        self._last_number += 1
        awaited = Awaited(f"{self._last_number:x}")
        self._awaited[awaited.correlation_id] = awaited
        return awaited

    def forget(self, awaited: Awaited) -> None:
        """Its deadline has passed, or its reply was read."""
        self._awaited.pop(awaited.correlation_id, None)

    def take(self, batch: Batch) -> None:
        """Replies have come. The first one of a call counts; a second, or one nobody waits for, is dropped."""
        for reply in Slice(batch, 0, 1, 0).messages(None):
            awaited = self._awaited.get(reply.correlation_id or "")
            if awaited is None or awaited.reply is not None:
                self.late += 1
            else:
                awaited.reply = reply


def failure_of(reply: Message) -> CallFailed | None:
    """The error that the reply tells, if it tells one."""
    error_type = reply.headers.get(ERROR_TYPE)
    if error_type is None:
        return None
    text, traceback = reply.headers.get(ERROR_TEXT, ""), reply.headers.get(ERROR_TRACEBACK)
    return CallFailed(str(error_type), str(text), None if traceback is None else str(traceback))


def failure_headers(error_type: str, error_text: str, traceback: str | None) -> dict[str, Any]:
    """The headers that tell an error, cut to fit."""
    headers = {ERROR_TYPE: _cut(error_type, 255), ERROR_TEXT: _cut(error_text, 8 * 1024)}
    if traceback is not None:
        headers[ERROR_TRACEBACK] = _cut(traceback, 32 * 1024, is_end=True)
    return headers


def _cut(text: str, bytes_max: int, *, is_end: bool = False) -> str:
    """At most that many bytes of UTF-8, from the beginning or the end; what is no Unicode is spelled out."""
    encoded = text.encode(errors="backslashreplace")
    return (encoded[-bytes_max:] if is_end else encoded[:bytes_max]).decode(errors="ignore")
