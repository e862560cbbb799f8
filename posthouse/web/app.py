"""The web application, put together: routes, guard, and the one client that they share."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from posthouse.transport.errors import PosthouseError
from posthouse.web import api, health, metrics
from posthouse.web.answers import failed, failed_by
from posthouse.web.connection import Connection
from posthouse.web.faults import Fault, HttpFault
from posthouse.web.guard import Guard
from posthouse.web.pages import site
from posthouse.web.pages.frame import error_page, failed_page, wants_page
from posthouse.web.request_context import Web
from posthouse.web.settings import WebSettings

_TEXTS: Final = {
    HTTPStatus.NOT_FOUND: ("not_found", "nothing is at {path}; /api/v1/openapi.json lists what there is"),
    HTTPStatus.METHOD_NOT_ALLOWED: ("method_not_allowed", "{path} does not take {method}"),
}


def make_app(broker_address: str, settings: WebSettings, web: Web | None = None) -> ASGIApp:
    """The application for a broker at an address as `posthouse.connect` takes it."""
    here = web or Web(Connection(broker_address, settings.broker_timeout_s), settings)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await here.connection.close()

    app = Starlette(
        routes=[*health.routes(), *metrics.routes(settings.metrics_named_max), *api.routes(), *site.routes()],
        lifespan=life,
        exception_handlers={
            PosthouseError: _refused,
            HttpFault: _refused,
            HTTPException: _not_served,
            Exception: _bug,
        },
    )
    app.router.redirect_slashes = False
    app.state.web = here
    return Guard(app, settings, _refused_by_guard)


def _refused_by_guard(scope: Scope, error: HttpFault) -> Response:
    request = Request(scope)
    return failed_page(request, error) if wants_page(request) else failed_by(error)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, PosthouseError | HttpFault)
    return failed_page(request, error) if wants_page(request) else failed_by(error)


async def _not_served(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code, text = _TEXTS.get(status, (status.name.lower(), error.detail))
    fault = Fault(code, text.format(path=request.url.path, method=request.method))
    if wants_page(request):
        return error_page(request, status, fault)
    return failed(status, fault, error.headers)


async def _bug(request: Request, error: Exception) -> Response:
    fault = Fault("bug", f"{type(error).__name__}: a bug in posthouse; the broker's log has its traceback", "unknown")
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_page(request, status, fault) if wants_page(request) else failed(status, fault)
