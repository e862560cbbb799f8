"""The API under `/api/v1`: finds the operation for a request, reads what came with it, and answers in its shape.

Names in paths are matched before they are decoded, so a queue may be called `a/b` and is reached as `a%2Fb`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.types import Receive, Scope, Send

from posthouse.transport.errors import InvalidArgument
from posthouse.web import (
    api_alerts,
    api_biography,
    api_dead_letters,
    api_definitions,
    api_delayed,
    api_events,
    api_held,
    api_journals,
    api_looking,
    api_queues,
    api_topology,
)
from posthouse.web.answers import JsonResponse, encode
from posthouse.web.faults import HttpFault
from posthouse.web.openapi import document
from posthouse.web.operation import Call, Operation, read_body, read_query
from posthouse.web.shapes import shown_as

ROOT: Final = "/api/v1"
OPENAPI: Final = "openapi.json"

OPERATIONS: Final[tuple[Operation, ...]] = (
    *api_looking.OPERATIONS,
    *api_topology.OPERATIONS,
    *api_queues.OPERATIONS,
    *api_held.OPERATIONS,
    *api_delayed.OPERATIONS,
    *api_dead_letters.OPERATIONS,
    *api_alerts.OPERATIONS,
    *api_events.OPERATIONS,
    *api_journals.OPERATIONS,
    *api_biography.OPERATIONS,
    *api_definitions.OPERATIONS,
)


def routes() -> list[BaseRoute]:
    """Where programs look."""
    return [Mount(ROOT, app=Api(OPERATIONS))]


@final
class Api:
    """An ASGI application for a table of operations."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        self._by_length: dict[int, list[Operation]] = {}
        for operation in operations:
            self._by_length.setdefault(len(operation.parts), []).append(operation)
        self._operations = operations
        self._document = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._answer(request)
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        parts = _parts(request.scope)
        if parts == [OPENAPI]:
            if request.method not in ("GET", "HEAD"):
                raise _not_allowed(request, ["GET", "HEAD"])
            # Made when it is first asked for: it takes longer than everything else that is done at the start.
            self._document = self._document or encode(document(self._operations, ROOT))
            return Response(self._document, media_type="application/json")
        operation, path = self._find(request, parts)
        query = read_query(operation, request)
        body = await read_body(operation, request)
        answer = await operation.run(Call(request, path, query, body))
        if operation.is_response:
            assert isinstance(answer, Response)
            return answer
        return JsonResponse(shown_as(answer, operation.answer))

    def _find(self, request: Request, parts: list[str]) -> tuple[Operation, dict[str, str]]:
        method = "GET" if request.method == "HEAD" else request.method
        matching = [one for one in self._by_length.get(len(parts), []) if _matches(one.parts, parts)]
        # A word of ours stands before a name: `/queues/{queue}` never takes what has a path of its own.
        fewest = min((_names(one) for one in matching), default=0)
        matching = [one for one in matching if _names(one) == fewest]
        for operation in matching:
            if operation.method == method:
                return operation, _named(operation.parts, parts)
        if matching:
            raise _not_allowed(request, [one.method for one in matching])
        text = f"nothing is at {request.url.path}; {ROOT}/{OPENAPI} lists what there is"
        raise HttpFault(HTTPStatus.NOT_FOUND, "not_found", text)


def _parts(scope: Scope) -> list[str]:
    """The path below the root, cut at its slashes and still percent-encoded."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1").removeprefix(ROOT).removeprefix("/").split("/")


def _matches(pattern: tuple[str, ...], parts: list[str]) -> bool:
    return all((one.startswith("{") and part) or one == part for one, part in zip(pattern, parts, strict=True))


def _names(operation: Operation) -> int:
    return sum(part.startswith("{") for part in operation.parts)


def _named(pattern: tuple[str, ...], parts: list[str]) -> dict[str, str]:
    named: dict[str, str] = {}
    for one, part in zip(pattern, parts, strict=True):
        if one.startswith("{"):
            try:
                named[one[1:-1]] = unquote(part, errors="strict")
            except UnicodeDecodeError as error:
                raise InvalidArgument(f"the {one[1:-1]} in the path is not UTF-8: {error}") from error
    return named


def _not_allowed(request: Request, methods: list[str]) -> HttpFault:
    allowed = ", ".join(sorted(methods))
    text = f"{request.url.path} does not take {request.method}; it takes {allowed}"
    return HttpFault(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed", text, headers={"allow": allowed})
