"""`/metrics`: the overview in Prometheus' text format."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from posthouse.prometheus import CONTENT_TYPE, Exposition
from posthouse.web.request_context import broker_of

PATH: Final = "/metrics"


def routes(named_max: int) -> list[BaseRoute]:
    """Where Prometheus scrapes. One exposition for all scrapes: it remembers what counters had reached."""
    exposition = Exposition(named_max)
    turn = asyncio.Lock()

    async def metrics(request: Request) -> Response:
        overview = await (await broker_of(request)).monitor.overview()
        # A thousand busy queues are a second's work; meanwhile others are answered.
        async with turn:
            text = await run_in_threadpool(exposition.render, overview)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    return [Route(PATH, metrics)]
