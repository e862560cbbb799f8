"""The pages without a broker: every page shows hostile names as text, every action needs a token, errors are pages."""

from __future__ import annotations

import asyncio
import json
import re
from html.parser import HTMLParser
from typing import Any, final
from urllib.parse import urlencode

import httpx
import pytest
from starlette.requests import Request

from posthouse.transport.errors import NotDone, UnknownQueue
from posthouse.web import csrf
from posthouse.web.pages import live
from posthouse.web.pages.frame import Page, live_parts
from posthouse.web.pages.site import ACTIONS, PAGES
from posthouse.web.pages.visit import Desk
from tests.support.page_broker import ANSWERS, HOSTILE, OVERVIEW, PageBroker, app_of
from tests.support.web_client import SETTINGS, ask

NUMBER = "0123456789abcdef" * 2
QUERIES = {
    "/queue": {"name": HOSTILE},
    "/queue/message": {"name": HOSTILE, "offset": 1},
    "/queue/purge": {"name": HOSTILE},
    "/exchange": {"name": "x", "explain": 1, "key": HOSTILE, "headers": "a=b"},
    "/held": {"exchange": HOSTILE},
    "/dead-letters/cause": {"fingerprint": HOSTILE},
    "/dead-letters/purge": {"fingerprint": HOSTILE},
    "/dead-letter": {"id": 17},
    "/redrive": {"id": 5},
}
"""What a page has to be told; all others need nothing."""


def get(path: str, broker: PageBroker | None = None, **query: Any) -> httpx.Response:
    address = f"{path}?{urlencode(query)}" if query else path
    return ask(app_of(broker or PageBroker()), "GET", address, headers={"accept": "text/html"})


def post(path: str, broker: PageBroker, **fields: Any) -> httpx.Response:
    form = {csrf.FIELD: csrf.token_of(NUMBER, SETTINGS.secret), **fields}
    headers = {"accept": "text/html", "cookie": f"{csrf.COOKIE}={NUMBER}"}
    return ask(app_of(broker), "POST", path, data=form, headers=headers)


@final
class Outline(HTMLParser):
    """What matters of a page to those who cannot see it, and what a page must not have."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.labelled: set[str] = set()
        self.inside_label = False
        self.unlabelled: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append((tag, given))
        if tag == "label":
            self.labelled.add(given.get("for") or "")
            self.inside_label = "for" not in given
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden" and not self.inside_label:
            self.unlabelled.append(given.get("id") or f"a {tag} without an id")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self.inside_label = False

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [given for name, given in self.tags if name == tag]

    @property
    def nameless(self) -> list[str]:
        return [found for found in self.unlabelled if found not in self.labelled]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_shows_whatever_anybody_chose_as_a_name_as_text(page: Page) -> None:
    answer = get(page.path, **QUERIES.get(page.path, {}))
    assert answer.status_code == 200, answer.text
    assert "<script>alert" not in answer.text
    assert "\u202e" not in "".join(Outline(answer.text).words)
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts == ['<script src="/static/page.js" defer>']


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_can_be_read_by_those_who_do_not_see_it(page: Page) -> None:
    outline = Outline(get(page.path, **QUERIES.get(page.path, {})).text)
    assert [given.get("lang") for given in outline.all("html")] == ["en"]
    assert len(outline.all("h1")) == 1
    assert len(outline.all("main")) == 1
    assert outline.nameless == []
    assert len(outline.all("caption")) == len(outline.all("table"))
    assert all(given.get("scope") for given in outline.all("th"))
    assert all(given.get("aria-label") or given.get("aria-hidden") for given in outline.all("svg"))
    names = [given["id"] for _, given in outline.tags if given.get("id")]
    assert sorted(names) == sorted(set(names)), "ids stand for one element each"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_has_nothing_that_the_policy_for_content_forbids(page: Page) -> None:
    outline = Outline(get(page.path, **QUERIES.get(page.path, {})).text)
    for tag, given in outline.tags:
        assert tag != "style"
        assert "style" not in given
        assert not [name for name in given if name.startswith("on")]
        for name in ("src", "href", "action"):
            assert (given.get(name) or "/").startswith(("/", "#")), f"{tag} leads elsewhere: {given}"


@pytest.mark.parametrize("page", [page for page in PAGES if page.is_live], ids=lambda page: page.path)
def test_every_live_part_is_one_element_that_is_on_the_page(page: Page) -> None:
    html = get(page.path, **QUERIES.get(page.path, {})).text
    parts = parts_of(page)
    assert parts
    for name, part in parts.items():
        assert f'id="{name}"' in html
        assert re.match(rf'<\w+[^>]*id="{name}"', part.strip()), f"{name} does not begin with its element"


def parts_of(page: Page, broker: PageBroker | None = None) -> dict[str, str]:
    """The live parts as the stream would send them, by their names."""
    return dict(asyncio.run(_parts(page, broker or PageBroker())))


async def _parts(page: Page, broker: PageBroker) -> list[tuple[str, str]]:
    sent: dict[str, str] = {}
    text = await live._changes(page, visit_of(page, broker), sent)
    events = [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]
    return [(event["id"], event["html"]) for event in events]


def visit_of(page: Page, broker: PageBroker) -> live.Visit:
    inner = app_of(broker)._app  # type: ignore[attr-defined]
    scope = {
        "type": "http", "method": "GET", "path": page.path, "headers": [], "app": inner,
        "query_string": urlencode(QUERIES.get(page.path, {})).encode(), "state": {"csrf_token": "t"},
    }  # fmt: skip
    return live.Visit(Request(scope), Desk(), is_live=True)


def test_a_stream_tells_what_changed_and_nothing_twice() -> None:
    page = next(page for page in PAGES if page.path == "/queues")
    broker = PageBroker()

    async def twice() -> tuple[str, str]:
        sent: dict[str, str] = {}
        first = await live._changes(page, visit_of(page, broker), sent)
        return first, await live._changes(page, visit_of(page, broker), sent)

    first, second = asyncio.run(twice())
    assert first.count("event: part") == 3
    assert second == ""


def test_a_stream_goes_on_through_trouble_and_tells_everything_again_after_it() -> None:
    page = next(page for page in PAGES if page.path == "/queue")
    broker = PageBroker()

    async def through_trouble() -> list[str]:
        sent: dict[str, str] = {}
        told = [await live._changes(page, visit_of(page, broker), sent)]
        broker.answers["queue_info"] = NotDone("nobody answered")
        told.append(await live._changes(page, visit_of(page, broker), sent))
        broker.answers["queue_info"] = ANSWERS["queue_info"]
        return [*told, await live._changes(page, visit_of(page, broker), sent)]

    first, trouble, after = asyncio.run(through_trouble())
    assert trouble == 'event: trouble\ndata: "nobody answered"\n\n'
    assert after.count("event: part") == first.count("event: part")


def test_a_stream_never_asks_for_messages() -> None:
    broker = PageBroker()
    parts_of(next(page for page in PAGES if page.path == "/queue"), broker)
    assert "admin.look" not in [name for name, _, _ in broker.asked]


def test_streams_beyond_the_limit_are_sent_away() -> None:
    desk = Desk()
    desk.streams = live.STREAMS_MAX
    page = PAGES[0]
    assert live.stream(page, visit_of(page, PageBroker()).request, desk).status_code == 503


@pytest.mark.parametrize("path", sorted(ACTIONS))
def test_an_action_without_its_token_is_refused_as_a_page_and_nothing_is_asked(path: str) -> None:
    broker = PageBroker()
    answer = ask(app_of(broker), "POST", path, data={"name": "newark"}, headers={"accept": "text/html"})
    assert answer.status_code == 403
    assert "<h1>Refused</h1>" in answer.text
    assert "Nothing was changed" in answer.text
    assert broker.asked == []


ACTED: list[tuple[str, dict[str, Any], str]] = [
    ("/queue/publish", {"name": "newark", "body": "hello", "headers": "carrier=UA\nhour:=7"}, "publish"),
    ("/queue/purge", {"name": "newark", "typed": "newark"}, "purge_queue"),
    ("/queue/pause", {"name": "newark"}, "admin.pause_queue"),
    ("/queue/resume", {"name": "newark"}, "admin.resume_queue"),
    ("/held/release", {"exchange": "x", "to": ""}, "held.release"),
    ("/held/expire", {"exchange": "x", "typed": "x"}, "held.expire"),
    ("/delayed/cancel", {"id": "9"}, "delayed.cancel"),
    ("/delayed/fire", {"id": "9"}, "delayed.fire"),
    ("/delayed/reschedule", {"id": "9", "at": "2027-01-04T09:30"}, "delayed.reschedule"),
    ("/recurring/pause", {"key": "k"}, "delayed.pause"),
    ("/recurring/resume", {"key": "k"}, "delayed.resume"),
    ("/recurring/stop", {"key": "k"}, "delayed.stop"),
    (
        "/redrive/start",
        {"fingerprint": "f", "rate": "5.5", "canary": "10", "failure_percent": "20"},
        "dead_letters.redrive",
    ),
    ("/redrive/stop", {"id": "5"}, "dead_letters.redrive_stop"),
    ("/redrive/undo", {"id": "5"}, "dead_letters.redrive_undo"),
    ("/dead-letters/purge", {"fingerprint": "f", "typed": "delete"}, "dead_letters.purge"),
    ("/alerts/silence", {"rule": "", "subject": "queue:x", "minutes": "30"}, "alerts.silence"),
    ("/alerts/unsilence", {"number": "1"}, "alerts.unsilence"),
    ("/alerts/test", {"target": ""}, "alerts.test"),
]


@pytest.mark.parametrize(("path", "fields", "asked"), ACTED, ids=[path for path, _, _ in ACTED])
def test_an_action_asks_the_broker_once_and_sends_the_browser_on(path: str, fields: dict[str, Any], asked: str) -> None:
    broker = PageBroker({**ANSWERS, "dead_letters.purge": 2})
    answer = post(path, broker, **fields)
    assert answer.status_code == 303, answer.text
    assert [name for name, _, _ in broker.asked] == [asked]
    assert re.search(r"[?&]note=[\w-]+", answer.headers["location"])


def test_every_action_is_tried() -> None:
    assert {path for path, _, _ in ACTED} == set(ACTIONS)


def test_a_redrive_is_asked_for_as_the_form_says() -> None:
    broker = PageBroker()
    post("/redrive/start", broker, fingerprint="f", rate="5.5", canary="10", failure_percent="20", to="newark")
    _, given, named = broker.asked[0]
    assert given == (None, None, "f")
    assert named == {
        "to": "newark", "to_exchange": None, "rate": 5.5, "canary": 10, "failure_share": 0.2, "dry_run": False,
        "wait": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/queue/purge", {"name": "newark", "typed": "newark "}),
        ("/held/expire", {"exchange": "x", "typed": ""}),
        ("/dead-letters/purge", {"typed": "yes"}),
        ("/delayed/reschedule", {"id": "9", "at": "tomorrow"}),
        ("/queue/publish", {"name": "newark", "headers": "no header"}),
        ("/redrive/start", {"rate": "fast"}),
        ("/alerts/silence", {"minutes": "-1"}),
    ],
)
def test_what_was_not_confirmed_or_makes_no_sense_is_refused_and_nothing_is_asked(
    path: str, fields: dict[str, Any]
) -> None:
    broker = PageBroker()
    answer = post(path, broker, **fields)
    assert answer.status_code == 400
    assert "Nothing was changed" in answer.text
    assert broker.asked == []


def test_a_note_is_shown_once() -> None:
    broker = PageBroker()
    app = app_of(broker)

    async def sequence() -> tuple[str, str]:
        transport = httpx.ASGITransport(app)
        form = {csrf.FIELD: csrf.token_of(NUMBER, SETTINGS.secret), "name": "newark"}
        headers = {"accept": "text/html", "cookie": f"{csrf.COOKIE}={NUMBER}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            place = (await client.post("/queue/pause", data=form)).headers["location"]
            return (await client.get(place)).text, (await client.get(place)).text

    first, again = asyncio.run(sequence())
    assert "Paused: it takes messages in" in first
    assert "Paused: it takes messages in" not in again


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (UnknownQueue("there is no queue 'nope'"), 404, "There is no queue"),
        (NotDone("no answer within 10 s"), 503, "look at the actors"),
    ],
)
def test_an_error_is_a_page_that_says_what_to_do(error: Exception, status: int, words: str) -> None:
    answer = get("/queue", PageBroker({**ANSWERS, "queue_info": error}), name="nope")
    assert answer.status_code == status
    assert words in answer.text
    assert answer.headers["content-type"].startswith("text/html")


def test_nonsense_in_the_query_is_refused_with_the_field_that_it_is_in() -> None:
    for query in ({"page": "-1"}, {"sort": "'; drop table"}, {"page": "9" * 50}, {"q": "x" * 2_000}, {"show": "?"}):
        answer = get("/queues", **query)
        assert answer.status_code == 400, query
        assert next(iter(query)) in answer.text.lower()


def test_an_address_that_is_none_is_a_page_for_people_and_json_for_programs() -> None:
    assert "<h1>Not found</h1>" in get("/no/such/page").text
    assert ask(app_of(PageBroker()), "GET", "/no/such/page").json()["error"]["code"] == "not_found"


def test_pages_work_while_the_monitor_does_not_answer() -> None:
    broker = PageBroker({**ANSWERS, "overview": NotDone("it is being restarted"), "tree": TREE})
    answer = get("/", broker)
    assert answer.status_code == 200
    assert "The monitor does not answer" in answer.text
    assert "monitor is quarantined" in answer.text


TREE = [
    {"id": "monitor", "kind": "monitor", "group": "edge", "state": "quarantined", "generation": 2, "pid": 0,
     "restarts": 7, "last_exit": "was killed by signal 9", "started_at": 0.0, "ready_ms": 0, "rss_bytes": 0},
]  # fmt: skip


def test_the_first_page_of_an_empty_broker_teaches_the_first_commands() -> None:
    empty = type(OVERVIEW)(at_ms=OVERVIEW.at_ms)
    html = get("/", PageBroker({**ANSWERS, "overview": empty, "events": []})).text
    assert "posthouse declare queue newark" in html


def test_static_files_are_served_and_nothing_beside_them() -> None:
    for name in ("page.css", "page.js", "horn.svg"):
        assert get(f"/static/{name}").status_code == 200
    assert get("/static/../pages/site.py").status_code == 404
    assert get("/static/%2e%2e/pages/site.py").status_code == 404


def test_live_parts_are_blocks_of_the_template_by_their_name() -> None:
    page = next(page for page in PAGES if page.path == "/queues")
    assert set(parts_of(page)) == {"live_nav", "live_problem", "live_list"}
    assert callable(live_parts)
