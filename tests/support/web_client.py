"""A web application without a socket: requests go in as a server would hand them over, answers come out.

It does not simulate a server: nothing here limits heads, connections or keep-alive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar, cast, final

import httpx
from starlette.types import ASGIApp

from posthouse.web.app import make_app
from posthouse.web.connection import Connection
from posthouse.web.request_context import Web
from posthouse.web.settings import WebSettings

ADDRESS: Final = "http://127.0.0.1:15670"
SETTINGS: Final = WebSettings(address=ADDRESS, secret=b"s" * 32)

Answer = TypeVar("Answer")


def run(work: Coroutine[Any, Any, Answer]) -> Answer:
    return asyncio.run(work)


def ask(app: ASGIApp, method: str, path: str, **more: Any) -> httpx.Response:
    """One request to the application. Errors of the application are answers, as with a server."""

    async def asking() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=ADDRESS) as client:
            return await client.request(method, path, **more)

    return run(asking())


def error_of(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of an answer that is an error."""
    return answer.status_code, answer.json()["error"]["code"]


@final
class OneAnswer:
    """A client that says the same to whatever it is asked, and notes it."""

    def __init__(self, answer: Any) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self._answer = answer

    def __getattr__(self, name: str) -> Any:
        if name in ("admin", "held", "delayed", "dead_letters", "monitor", "alerts", "definitions"):
            return self

        async def answer(*given: Any, **named: Any) -> Any:
            self.asked.append((name, given, named))
            if isinstance(self._answer, BaseException):
                raise self._answer
            return self._answer

        return answer

    async def broker(self) -> OneAnswer:
        """It is its own connection."""
        return self

    async def close(self) -> None: ...


def app_of(client: OneAnswer, settings: WebSettings = SETTINGS) -> ASGIApp:
    return make_app("", settings, Web(cast("Connection", client), settings))
