"""Which pages there are, and where."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from posthouse.web.pages import (
    alerts,
    connections,
    dead_letters,
    delayed,
    events,
    exchanges,
    held,
    journals,
    overview,
    queue,
    queues,
    redrives,
    tree,
    why,
)
from posthouse.web.pages.frame import Action, Page, act, environment, show
from posthouse.web.pages.live import stream, wants_stream
from posthouse.web.pages.visit import Desk
from posthouse.web.pages.words import when_ms

_STATIC: Final = Path(__file__).parent.parent / "static"

PAGES: Final = (
    Page("/", "overview.html", overview.view),
    Page("/actors", "actors.html", tree.view),
    Page("/queues", "queues.html", queues.view),
    Page("/queue", "queue.html", queue.view),
    Page("/queue/message", "message.html", queue.message_view, is_live=False),
    Page("/queue/purge", "queue_purge.html", queue.purge_view, is_live=False),
    Page("/connections", "connections.html", connections.view),
    Page("/exchanges", "exchanges.html", exchanges.view),
    Page("/exchange", "exchange.html", exchanges.one_view),
    Page("/held", "held.html", held.view),
    Page("/delayed", "delayed.html", delayed.view),
    Page("/dead-letters", "dead_letters.html", dead_letters.view),
    Page("/dead-letters/cause", "cause.html", dead_letters.cause_view),
    Page("/dead-letters/purge", "letters_purge.html", dead_letters.purge_view, is_live=False),
    Page("/dead-letter", "dead_letter.html", dead_letters.letter_view, is_live=False),
    Page("/redrive", "redrive.html", redrives.view),
    Page("/alerts", "alerts.html", alerts.view),
    Page("/journals", "journals.html", journals.view),
    Page("/events", "events.html", events.view),
    Page("/why", "why.html", why.view, is_live=False),
)

ACTIONS: Final[dict[str, Action]] = {
    "/queue/publish": queue.publish,
    "/queue/purge": queue.purge,
    "/queue/pause": queue.pause,
    "/queue/resume": queue.resume,
    "/held/release": held.release,
    "/held/expire": held.expire,
    "/delayed/cancel": delayed.cancel,
    "/delayed/fire": delayed.fire,
    "/delayed/reschedule": delayed.reschedule,
    "/recurring/pause": delayed.pause,
    "/recurring/resume": delayed.resume,
    "/recurring/stop": delayed.stop,
    "/redrive/start": redrives.start,
    "/redrive/stop": redrives.stop,
    "/redrive/undo": redrives.undo,
    "/dead-letters/purge": dead_letters.purge,
    "/alerts/silence": alerts.silence,
    "/alerts/unsilence": alerts.unsilence,
    "/alerts/test": alerts.test,
}

environment.globals["when_ms"] = when_ms


def routes() -> list[BaseRoute]:
    """What a browser may open, and what its forms may do."""
    desk = Desk()
    found: list[BaseRoute] = [_page(page, desk) for page in PAGES]
    found += [_action(path, action, desk) for path, action in ACTIONS.items()]
    return [*found, Mount("/static", _Static(directory=_STATIC), name="static")]


def _page(page: Page, desk: Desk) -> Route:
    async def endpoint(request: Request) -> Response:
        if page.is_live and wants_stream(request):
            return stream(page, request, desk)
        return await show(page, request, desk)

    return Route(page.path, endpoint, methods=["GET"], name=page.template)


def _action(path: str, action: Action, desk: Desk) -> Route:
    async def endpoint(request: Request) -> Response:
        return await act(action, request, desk)

    return Route(path, endpoint, methods=["POST"], name=path)


@final
class _Static(StaticFiles):
    """Files that a browser may keep, but asks about each time: they change with the version only."""

    def file_response(self, *given: Any, **more: Any) -> Response:
        response = super().file_response(*given, **more)
        response.headers["cache-control"] = "no-cache"
        return response
