"""Errors as JSON: `{"error": {"code", "text", ...}}`, and which status each gets.

4xx: the request is at fault and changed nothing. 503: nobody is at fault; `outcome` says whether anything may have
happened, for "I do not know" must never read like "no". 500 is a bug of ours.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, final

import msgspec

from posthouse.definitions import Imported, ImportRefused
from posthouse.transport import errors
from posthouse.transport.errors import PosthouseError
from posthouse.web.shapes import shown_as

RETRY_AFTER_S: Final = 1
REFUSED_SHOWN_MAX: Final = 100

_STATUS: Final[dict[type[PosthouseError], HTTPStatus]] = {
    errors.UnknownExchange: HTTPStatus.NOT_FOUND,
    errors.UnknownQueue: HTTPStatus.NOT_FOUND,
    errors.UnknownBinding: HTTPStatus.NOT_FOUND,
    errors.UnknownDelayed: HTTPStatus.NOT_FOUND,
    errors.UnknownDeadLetter: HTTPStatus.NOT_FOUND,
    errors.UnknownMessage: HTTPStatus.NOT_FOUND,
    errors.PreconditionFailed: HTTPStatus.CONFLICT,
    ImportRefused: HTTPStatus.CONFLICT,
    errors.ResourceLocked: HTTPStatus.CONFLICT,
    errors.DataDirectoryInUse: HTTPStatus.CONFLICT,
    errors.Unroutable: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NoResponders: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.QueueFull: HTTPStatus.CONFLICT,
    errors.HoldFull: HTTPStatus.CONFLICT,
    errors.DiskSpaceLow: HTTPStatus.CONFLICT,
}


@final
class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong. `code` never changes and is for programs, `text` is for people.

    `outcome` is `not_done` or `unknown` where the broker could not be asked or did not answer. `fields` holds what
    else is known.
    """

    code: str
    text: str
    outcome: str = ""
    fields: dict[str, Any] = {}


@final
class FaultBody(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    error: Fault


@final
class HttpFault(Exception):
    """A request that is wrong as HTTP, before the broker is asked."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        text: str,
        *,
        outcome: str = "",
        headers: dict[str, str] | None = None,
        **fields: Any,
    ) -> None:
        self.status = status
        self.headers = headers
        self.fault = Fault(code, text, outcome, fields)
        super().__init__(text)


def status_of(error: PosthouseError) -> HTTPStatus:
    """Which status an error of the broker gets."""
    found = _STATUS.get(type(error))
    if found is not None:
        return found
    if isinstance(error, errors.Refused):
        return HTTPStatus.BAD_REQUEST
    if isinstance(error, errors.Unavailable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def fault_of(error: PosthouseError) -> Fault:
    """What is told of it."""
    if isinstance(error, errors.OutcomeUnknown):
        text = f"{error}. It is unknown whether it was done: look before you repeat it"
        return Fault(error.code, text, "unknown")
    if isinstance(error, errors.Unavailable):
        return Fault(error.code, str(error), "not_done" if isinstance(error, errors.NotDone) else "unknown")
    if isinstance(error, ImportRefused):
        refused = [shown_as(one, Imported) for one in error.report.refused[:REFUSED_SHOWN_MAX]]
        return Fault(error.code, str(error), fields={"refused": refused})
    return Fault(error.code, str(error))
