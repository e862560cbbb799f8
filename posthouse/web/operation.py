"""One operation of the API: method, path, what it takes, what it answers with, and who carries it out.

The table of all of them is both the router and the OpenAPI document, so neither can say what the other does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, final

import msgspec
from starlette.requests import Request

from posthouse import aio
from posthouse.transport.errors import InvalidArgument
from posthouse.web.faults import HttpFault
from posthouse.web.request_context import broker_of


@final
@dataclass(frozen=True, slots=True)
class Call:
    """One request of an operation. `path`, `query` and `body` are checked; what the operation does not take is None."""

    request: Request
    path: dict[str, str]
    query: Any
    body: Any

    async def broker(self) -> aio.Broker:
        """The client. Raises BrokerNotRunning."""
        return await broker_of(self.request)


@final
@dataclass(frozen=True, slots=True)
class Operation:
    """`path` is below the API's root; its parts in braces are names, percent-encoded, so that they may hold a slash.

    `answer` is the type of what `run` returns, before it is made an object for JSON. One that returns a response of its
    own says `is_response`.
    """

    name: str
    method: str
    path: str
    run: Callable[[Call], Awaitable[Any]]
    answer: Any
    query: type[msgspec.Struct] | None = None
    body: Any = None
    is_body_optional: bool = False
    is_response: bool = False
    media_type: str = "application/json"

    @property
    def summary(self) -> str:
        """The first sentence of what carries it out."""
        return (self.run.__doc__ or "").split("\n\n")[0].strip()

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))


def read_query(operation: Operation, request: Request) -> Any:
    """What is behind the question mark. Raises InvalidArgument for what does not belong there."""
    given = request.query_params
    if operation.query is None:
        for name in given:
            raise InvalidArgument(f"{operation.path} takes no parameter {name!r}")
        return None
    lists = {field.name for field in msgspec.structs.fields(operation.query) if field.default_factory is list}
    values: dict[str, Any] = {}
    for name in given:
        found = given.getlist(name)
        if name in lists:
            values[name] = found
        elif len(found) > 1:
            raise InvalidArgument(f"the parameter {name!r} is given {len(found)} times")
        else:
            values[name] = found[0]
    try:
        return msgspec.convert(values, operation.query, strict=False)
    except (msgspec.ValidationError, OverflowError) as error:
        raise InvalidArgument(f"a parameter is wrong: {error}") from error


async def read_body(operation: Operation, request: Request) -> Any:
    """The JSON that came with the request. Raises InvalidArgument, HttpFault."""
    data = await request.body()
    if operation.body is None:
        if data.strip() not in (b"", b"{}", b"null"):
            raise InvalidArgument(f"{operation.path} takes no body")
        return None
    if not data and operation.is_body_optional:
        return operation.body()
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HttpFault(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            f"the body is {kind or 'of no type'}; send application/json",
        )
    try:
        return msgspec.json.decode(data, type=operation.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise InvalidArgument(f"the body is wrong: {error}") from error
