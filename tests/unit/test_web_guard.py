"""The guard: which requests pass, what refused ones are told, and the headers of every answer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message

from posthouse.web import csrf
from posthouse.web.answers import failed_by
from posthouse.web.faults import HttpFault
from posthouse.web.guard import CSP, Guard, host_name
from tests.support.web_client import ADDRESS, SETTINGS, ask, error_of, run

NUMBER = "0123456789abcdef" * 2
TOKEN = csrf.token_of(NUMBER, SETTINGS.secret)
COOKIE = {"cookie": f"{csrf.COOKIE}={NUMBER}"}
PAGE = {**COOKIE, "origin": ADDRESS, "sec-fetch-site": "same-origin"}
FORM = {"content-type": "application/x-www-form-urlencoded"}


async def echo(request: Request) -> Response:
    body = await request.body()
    return JSONResponse({"method": request.method, "size": len(body), "body": body[:100].decode()})


async def page(request: Request) -> Response:
    return HTMLResponse(f"<p>{request.state.csrf_token}</p>")


async def never(request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


async def stream(request: Request) -> Response:
    """Begins in time, and takes longer than the limit to end."""

    async def parts() -> AsyncIterator[str]:
        yield "first "
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.2)
        yield "last"

    return StreamingResponse(parts(), media_type="text/event-stream")


async def refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HttpFault)
    return failed_by(error)


def guarded(**settings: Any) -> Guard:
    routes = [
        Route("/echo", echo, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        Route("/page", page),
        Route("/never", never, methods=["GET", "POST"]),
        Route("/stream", stream),
    ]
    app = Starlette(routes=routes, exception_handlers={HttpFault: refused})
    return Guard(app, msgspec.structs.replace(SETTINGS, **settings))


# ---- Host ----


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:15670",
        "127.0.0.1",
        "localhost",
        "localhost:8080",
        "LOCALHOST",
        "[::1]:15670",
        "127.9.9.9",
        "localhost.",
    ],
)
def test_the_names_of_this_machine_pass(host: str) -> None:
    assert ask(guarded(), "GET", "/echo", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "evil.example:15670", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.7", "0.0.0.0",
        "[2001:db8::1]", "", "a b", "127.0.0.1:15670:1", "[::1", "é",
    ],
)  # fmt: skip
def test_a_name_that_is_not_ours_is_refused_whatever_is_asked(host: str) -> None:
    for method in ("GET", "POST"):
        answer = ask(guarded(), method, "/echo", headers=[("host", host.encode())])
        assert error_of(answer) == (421, "wrong_host")


def test_a_configured_name_passes_and_so_does_an_address_where_others_may_reach_us() -> None:
    assert ask(guarded(hosts=("ph.example",)), "GET", "/echo", headers={"host": "PH.example:80"}).status_code == 200
    remote = guarded(is_remote=True)
    assert ask(remote, "GET", "/echo", headers={"host": "10.0.0.7:15670"}).status_code == 200
    assert error_of(ask(remote, "GET", "/echo", headers={"host": "evil.example"})) == (421, "wrong_host")


def test_two_hosts_are_as_wrong_as_none() -> None:
    for hosts in ([], [(b"host", b"localhost"), (b"host", b"evil.example")]):
        sent = run(_call(guarded(), "GET", "/echo", hosts))
        assert sent[0]["status"] == 421


@pytest.mark.parametrize(
    ("host", "name"),
    [("a.b:80", "a.b"), ("[::1]:80", "::1"), ("[::1]", "::1"), ("a:b", "a:b"), ("A.", "a"), ("", ""), (":80", "")],
)
def test_the_name_in_a_host_is_what_is_before_its_port(host: str, name: str) -> None:
    assert host_name(host) == name


# ---- Origin ----


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:8080"},
        {"origin": "http://localhost:15670"},
        {"origin": ""},
        {"origin": "file://127.0.0.1:15670"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"origin": ADDRESS, "sec-fetch-site": "cross-site"},
    ],
)
def test_a_page_of_somebody_else_changes_nothing_even_with_our_token(method: str, headers: dict[str, str]) -> None:
    answer = ask(guarded(), method, "/echo", headers={**COOKIE, csrf.HEADER: TOKEN, **headers})
    assert error_of(answer) == (403, "wrong_origin")


def test_a_page_of_somebody_else_may_ask_and_its_browser_tells_it_nothing() -> None:
    answer = ask(guarded(), "GET", "/echo", headers={"origin": "http://evil.example"})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


# ---- CSRF token ----


def test_our_page_passes_with_its_token_in_a_header_or_a_form() -> None:
    assert ask(guarded(), "POST", "/echo", headers={**PAGE, csrf.HEADER: TOKEN}, json={}).status_code == 200
    answer = ask(guarded(), "POST", "/echo", headers={**PAGE, **FORM}, content=f"a=1&{csrf.FIELD}={TOKEN}")
    assert answer.json()["body"].startswith("a=1&csrf_token=")


@pytest.mark.parametrize("token", ["", "x", "0" * 64, TOKEN[:-1], csrf.token_of("f" * 32, SETTINGS.secret), "é"])
def test_a_missing_or_wrong_token_is_refused(token: str) -> None:
    headers = [(name.encode(), value.encode()) for name, value in PAGE.items()]
    answer = ask(guarded(), "POST", "/echo", headers=[*headers, (csrf.HEADER.encode(), token.encode())], json={})
    assert error_of(answer) == (403, "wrong_csrf_token")
    form = f"{csrf.FIELD}={token}".encode()
    assert error_of(ask(guarded(), "POST", "/echo", headers={**PAGE, **FORM}, content=form))[0] == 403


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "TEXT/plain"])
def test_what_any_form_can_send_needs_a_token_even_without_a_browser_s_headers(kind: str) -> None:
    answer = ask(guarded(), "POST", "/echo", headers={"content-type": kind}, content=b"a=1")
    assert error_of(answer) == (403, "wrong_csrf_token")


def test_a_cookie_that_was_planted_is_no_proof() -> None:
    planted = {**PAGE, "cookie": f"{csrf.COOKIE}=chosen", csrf.HEADER: csrf.token_of("chosen", SETTINGS.secret)}
    assert error_of(ask(guarded(), "POST", "/echo", headers=planted, json={})) == (403, "wrong_csrf_token")
    assert error_of(ask(guarded(), "POST", "/echo", headers={**PAGE, csrf.HEADER: NUMBER}, json={}))[0] == 403


def test_a_program_needs_no_token() -> None:
    assert ask(guarded(), "POST", "/echo", json={"a": 1}).status_code == 200
    assert ask(guarded(), "DELETE", "/echo").status_code == 200


def test_a_page_gets_a_cookie_once_and_the_token_that_belongs_to_it() -> None:
    answer = ask(guarded(), "GET", "/page")
    number = answer.headers["set-cookie"].partition("=")[2].partition(";")[0]
    assert answer.headers["set-cookie"].endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert answer.text == f"<p>{csrf.token_of(number, SETTINGS.secret)}</p>"
    again = ask(guarded(), "GET", "/page", headers={"cookie": f"{csrf.COOKIE}={number}"})
    assert "set-cookie" not in again.headers
    assert again.text == answer.text
    assert "set-cookie" not in ask(guarded(), "GET", "/echo").headers


@pytest.mark.parametrize("cookie", ["posthouse=", "posthouse=x", ";;;=", 'a="', "posthouse=" + "0" * 5_000])
def test_a_cookie_that_is_none_of_ours_is_replaced(cookie: str) -> None:
    assert "set-cookie" in ask(guarded(), "GET", "/page", headers={"cookie": cookie}).headers


# ---- size and time ----


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes() -> None:
    app = guarded(request_bytes_max=10)
    assert ask(app, "POST", "/echo", content=b"0123456789").json()["size"] == 10
    assert error_of(ask(app, "POST", "/echo", content=b"0123456789a")) == (413, "body_too_large")
    pieces = [(b"01234", True), (b"56789a", False)]
    assert run(_call(app, "POST", "/echo", [(b"host", b"localhost")], pieces))[0]["status"] == 413


def test_an_answer_that_does_not_come_in_time_is_unknown_and_never_failed() -> None:
    answer = ask(guarded(request_timeout_s=0.05), "POST", "/never")
    assert error_of(answer) == (503, "outcome_unknown")
    assert answer.json()["error"]["outcome"] == "unknown"


def test_a_body_that_does_not_come_in_time_is_a_slow_request() -> None:
    sent = run(_call(guarded(request_timeout_s=0.05), "POST", "/echo", [(b"host", b"localhost")], [(b"0", True)]))
    assert sent[0]["status"] == 408
    slow_form = [(b"host", b"localhost"), (b"content-type", b"application/x-www-form-urlencoded")]
    assert run(_call(guarded(request_timeout_s=0.05), "POST", "/echo", slow_form, [(b"0", True)]))[0]["status"] == 408


def test_a_stream_that_has_begun_may_take_as_long_as_it_likes() -> None:
    assert ask(guarded(request_timeout_s=0.05), "GET", "/stream").text == "first last"


# ---- headers ----


@pytest.mark.parametrize("path", ["/echo", "/page", "/nowhere", "/stream"])
def test_every_answer_says_what_a_browser_may_do_with_it(path: str) -> None:
    headers = ask(guarded(), "GET", path).headers
    assert headers["content-security-policy"] == CSP
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert "unsafe" not in CSP


async def _call(
    app: Guard,
    method: str,
    path: str,
    headers: list[tuple[bytes, bytes]],
    pieces: list[tuple[bytes, bool]] | None = None,
) -> list[Message]:
    """One request as a server hands it over; after its last piece nothing comes any more."""
    waiting = list(pieces or [(b"", False)])
    sent: list[Message] = []

    async def receive() -> Message:
        if not waiting:
            await asyncio.Event().wait()
        body, is_more = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": is_more}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": headers, "http_version": "1.1", "scheme": "http", "server": ("127.0.0.1", 1), "root_path": "",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent
