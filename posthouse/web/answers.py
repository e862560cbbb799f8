"""What goes out: JSON of anything the clients return."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, final

import msgspec
from starlette.responses import Response

from posthouse.transport.errors import PosthouseError, Unavailable
from posthouse.web.faults import RETRY_AFTER_S, Fault, FaultBody, HttpFault, fault_of, status_of


def _encode_other(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, range):
        return [value.start, value.stop]
    raise TypeError(f"nothing says how {type(value).__name__} looks as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_encode_other)


def encode(value: Any) -> bytes:
    """As JSON, in one line."""
    return _encoder.encode(value)


@final
class JsonResponse(Response):
    """Any value the clients return: structs, data classes, lists and dictionaries of them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


def failed(status: HTTPStatus, fault: Fault, headers: Mapping[str, str] | None = None) -> JsonResponse:
    """An answer that is an error."""
    return JsonResponse(FaultBody(fault), status, headers)


def failed_by(error: PosthouseError | HttpFault) -> JsonResponse:
    """The answer to a request that ended with that error."""
    if isinstance(error, HttpFault):
        return failed(error.status, error.fault, error.headers)
    headers = {"retry-after": str(RETRY_AFTER_S)} if isinstance(error, Unavailable) else None
    return failed(status_of(error), fault_of(error), headers)
