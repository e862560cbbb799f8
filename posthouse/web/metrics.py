"""`/metrics`: the overview in Prometheus' text format."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from posthouse.prometheus import CONTENT_TYPE, Exposition
from posthouse.web.request_context import broker_of

PATH: Final = "/metrics"


def routes() -> list[BaseRoute]:
    """Where Prometheus scrapes. One exposition for all scrapes: it remembers what counters had reached."""
    exposition = Exposition()

    async def metrics(request: Request) -> Response:
        overview = await (await broker_of(request)).monitor.overview()
        return Response(exposition.render(overview), headers={"content-type": CONTENT_TYPE})

    return [Route(PATH, metrics)]
