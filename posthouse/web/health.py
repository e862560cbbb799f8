"""For probes: is this process alive, and does the broker take work?

`/health/live` asks nobody. `/health/ready` asks the registry for the tree of actors: 200 when all are up, 503 with each
that is not and why.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

import posthouse
from posthouse.transport.errors import Unavailable
from posthouse.web.answers import JsonResponse
from posthouse.web.faults import RETRY_AFTER_S, fault_of
from posthouse.web.request_context import broker_of


def routes() -> list[BaseRoute]:
    """Where probes look."""
    return [Route("/health/live", live), Route("/health/ready", ready)]


async def live(request: Request) -> Response:
    """This process answers, and so its loop turns; nothing is said of the broker behind it."""
    return JsonResponse({"live": True, "version": posthouse.__version__})


async def ready(request: Request) -> Response:
    """Every actor is up, or which are not and why."""
    try:
        tree = await (await broker_of(request)).tree()
    except Unavailable as error:
        return _not_ready([{"actor": "", "state": "unreachable", "reason": fault_of(error).text}])
    reasons = [_reason(node) for node in tree if node["state"] != "up"]
    return _not_ready(reasons) if reasons else JsonResponse({"ready": True, "reasons": [], "actors": len(tree)})


def _reason(node: dict[str, Any]) -> dict[str, str]:
    return {"actor": node["id"], "state": node["state"], "reason": node["last_exit"] or "it is not up yet"}


def _not_ready(reasons: list[dict[str, str]]) -> Response:
    return JsonResponse(
        {"ready": False, "reasons": reasons},
        HTTPStatus.SERVICE_UNAVAILABLE,
        {"retry-after": str(RETRY_AFTER_S)},
    )
