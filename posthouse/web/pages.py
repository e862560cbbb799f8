"""The pages for people: which there are, and the templates and static files they are made of.

A page is a template filled with what the client returns; everything is escaped. `csrf_token` is in every template.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.templating import Jinja2Templates

import posthouse
from posthouse.web.request_context import broker_of, csrf_token_of

_HERE: Final = Path(__file__).parent


def _facts(request: Request) -> dict[str, Any]:
    return {"csrf_token": csrf_token_of(request), "version": posthouse.__version__}


templates: Final = Jinja2Templates(_HERE / "templates", context_processors=[_facts])


def routes() -> list[BaseRoute]:
    """What a browser may open."""
    return [
        Route("/", overview, name="overview"),
        Mount("/static", StaticFiles(directory=_HERE / "static"), name="static"),
    ]


async def overview(request: Request) -> Response:
    """What this broker is and whether it is well."""
    status = await (await broker_of(request)).status()
    return templates.TemplateResponse(request, "overview.html", {"status": status})
