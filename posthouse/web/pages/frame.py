"""How a page comes about: code fills a view, a template shows it; once as HTML, or again and again as a live stream.

A template's blocks named `live_…` each hold one element of that id. A browser that asks for the page as a stream of
events gets those blocks again whenever they have changed. Whoever cannot do that gets the same page by loading it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, final

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

import posthouse
from posthouse.transport.errors import PosthouseError
from posthouse.web import csrf
from posthouse.web.faults import Fault, HttpFault, fault_of, status_of
from posthouse.web.pages import words
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.navigation import navigation
from posthouse.web.pages.notes import Note
from posthouse.web.pages.visit import Desk, Visit, url
from posthouse.web.request_context import csrf_token_of

View = Callable[[Visit], Awaitable[Mapping[str, Any]]]
Action = Callable[[Visit, Fields], Awaitable["Done"]]
LIVE: Final = "live_"

_TEMPLATES: Final = Path(__file__).parent.parent / "templates"
_HELP: Final = {
    HTTPStatus.NOT_FOUND: "It may have been deleted, or the link is old. The lists show what there is now.",
    HTTPStatus.CONFLICT: "Nothing was changed. The sentence above says what stands in the way.",
    HTTPStatus.BAD_REQUEST: "Nothing was changed. Go back, correct it, and send it again.",
    HTTPStatus.UNPROCESSABLE_ENTITY: "Nothing was changed. Look at the exchange's bindings, or ask where it would go.",
    HTTPStatus.FORBIDDEN: "Nothing was changed. Open the page again in this browser, and send the form from there.",
    HTTPStatus.MISDIRECTED_REQUEST: "Open the page under one of the names that it knows.",
    HTTPStatus.SERVICE_UNAVAILABLE: "This page is a process of its own and is well; what it asked is not. Try again in "
    "a moment, and look at the actors: the supervisor restarts what crashed.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "This is a bug in posthouse. The broker goes on; its log has the traceback.",
}


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters.update(
        count=words.count,
        rate=words.rate,
        size=words.size,
        duration=words.duration,
        span=words.span,
        share=words.share,
        visible=words.visible,
    )
    made.globals.update(url=url, plural=words.plural, version=posthouse.__version__, csrf_field=csrf.FIELD)
    made.globals["ui"] = made.get_template("ui.html").module
    return made


environment: Final = _environment()


@final
class Page(NamedTuple):
    """A page: its address, its template, and the code that looks up what the template shows."""

    path: str
    template: str
    view: View
    is_live: bool = True


@final
class Done(NamedTuple):
    """An action is over: what is to be said, and where to go on."""

    to: str
    text: str
    tone: str = "good"


async def fill(page: Page, visit: Visit) -> dict[str, Any]:
    """Everything the template needs. Raises what the view raises."""
    snapshot = await visit.snapshot()
    view = await page.view(visit)
    return {
        "snapshot": snapshot,
        "now_ms": snapshot.now_ms,
        "nav": navigation(snapshot, page.path),
        "csrf_token": csrf_token_of(visit.request),
        "page": page,
        **view,
    }


async def show(page: Page, request: Request, desk: Desk) -> Response:
    """The page as HTML, or the page of the error that its view ended with."""
    visit = Visit(request, desk)
    try:
        values = await fill(page, visit)
    except (PosthouseError, HttpFault) as error:
        return failed_page(request, error)
    note = visit.note()
    return HTMLResponse(environment.get_template(page.template).render(values, note=note), headers={"vary": "accept"})


def live_parts(page: Page, values: Mapping[str, Any]) -> dict[str, str]:
    """The blocks of a page that may change, by their names."""
    template = environment.get_template(page.template)
    blocks = {**environment.get_template("frame.html").blocks, **template.blocks}
    return {
        name: "".join(block(template.new_context({**values, "note": None})))
        for name, block in blocks.items()
        if name.startswith(LIVE)
    }


async def act(action: Action, request: Request, desk: Desk) -> Response:
    """Do what a form asks, and send the browser on, so that reloading does not repeat it."""
    visit = Visit(request, desk)
    try:
        done = await action(visit, Fields.of_form(await request.body()))
    except (PosthouseError, HttpFault) as error:
        return failed_page(request, error)
    note = desk.notes.leave(Note(done.text, done.tone))
    path, mark, place = done.to.partition("#")
    joint = "&" if "?" in path else "?"
    return RedirectResponse(f"{path}{joint}note={note}{mark}{place}", HTTPStatus.SEE_OTHER)


def failed_page(request: Request, error: PosthouseError | HttpFault) -> Response:
    """An error for people: what is wrong, whether anything was done, and what to do now."""
    if isinstance(error, HttpFault):
        return error_page(request, error.status, error.fault)
    return error_page(request, status_of(error), fault_of(error))


def error_page(request: Request, status: HTTPStatus, fault: Fault) -> Response:
    """The same from what is known of it."""
    advice = _HELP.get(status, "Nothing was changed." if status < HTTPStatus.INTERNAL_SERVER_ERROR else "")
    if fault.outcome == "unknown":
        advice = "Whether it was done is not known. Look before you repeat it."
    html = environment.get_template("error.html").render(
        fault=fault, status=status, advice=advice, nav=navigation(None, ""), path=request.url.path, note=None
    )
    return HTMLResponse(html, status, {"vary": "accept"})


def wants_page(request: Request) -> bool:
    """Does a person look at the answer, and not a program?"""
    return "text/html" in request.headers.get("accept", "")
