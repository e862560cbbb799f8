"""What every request must pass before anything of ours sees it, and the headers that every answer gets.

Nobody is authenticated, so whoever reaches the socket may do everything. Browsers reach it in the name of any page
they show; the guard is there to tell our own pages from theirs. It looks at

- `Host`: a name that somebody else made to point here (DNS rebinding) is not one of ours;
- `Origin` and `Sec-Fetch-Site` of requests that change something: they come from our own pages, or from no page;
- the CSRF token of the same requests, wherever a browser could have sent them;
- the size of the body and the time until the answer begins.

Programs send none of a browser's headers and need no token.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from typing import Final, final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posthouse.web import csrf
from posthouse.web.answers import failed_by
from posthouse.web.faults import HttpFault
from posthouse.web.settings import WebSettings

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain")
"""What a form of any page, on any origin, can send without asking first."""

CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

HEADERS: Final = {
    "content-security-policy": CSP,
    "x-content-type-options": "nosniff",
    # Not "no-referrer": under that browsers send `Origin: null` with the forms of our own pages.
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
CACHE_CONTROL: Final = "no-store"
"""Unless the answer says something else, as static files do."""


@final
class Guard:
    """Around the application. Puts the CSRF token of a page into `scope["state"]`; `refuse` answers what it refuses."""

    def __init__(
        self, app: ASGIApp, settings: WebSettings, refuse: Callable[[Scope, HttpFault], ASGIApp] | None = None
    ) -> None:
        self._app = app
        self._settings = settings
        self._refuse = refuse or (lambda _, error: failed_by(error))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        number = _cookie(headers)
        answer = _Answer(send, "" if number else csrf.new_number())
        scope.setdefault("state", {})["csrf_token"] = csrf.token_of(number or answer.number, self._settings.secret)
        try:
            self._check_host(headers)
            body = _Body(receive, self._settings.request_bytes_max)
            body.check_length(headers.get("content-length"))
            limited: Receive = body.receive
            if scope["method"] not in SAFE_METHODS:
                self._check_origin(headers)
                limited = await self._check_token(headers, number, body)
            await self._in_time(scope, limited, answer, body)
        except HttpFault as error:
            if answer.has_begun:
                raise
            await self._refuse(scope, error)(scope, receive, answer.send)

    async def _in_time(self, scope: Scope, receive: Receive, answer: _Answer, body: _Body) -> None:
        """The limit holds until the answer begins: a stream of events goes on as long as it is read."""
        try:
            async with asyncio.timeout(self._settings.request_timeout_s) as limit:
                answer.limit = limit
                await self._app(scope, receive, answer.send)
        except TimeoutError:
            if answer.has_begun or not limit.expired():
                raise
            if body.is_awaited:
                raise _slow(self._settings.request_timeout_s) from None
            raise _overdue(self._settings.request_timeout_s) from None

    # ---- checks ----

    def _check_host(self, headers: Headers) -> None:
        given = headers.getlist("host")
        if len(given) != 1 or not self._is_ours(host_name(given[0])):
            raise HttpFault(
                HTTPStatus.MISDIRECTED_REQUEST,
                "wrong_host",
                f"this broker is not called {', '.join(given) or 'nothing'!r}; reach it at {self._settings.address}, "
                "or name further hosts in its configuration (http_hosts)",
            )

    def _is_ours(self, name: str) -> bool:
        if name == "localhost" or name in self._settings.hosts:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self._settings.is_remote or address.is_loopback

    def _check_origin(self, headers: Headers) -> None:
        site = headers.get("sec-fetch-site")
        if site is not None and site != "same-origin":
            raise _foreign(f"a page of another origin sent this request (Sec-Fetch-Site: {site})")
        for origin in headers.getlist("origin"):
            scheme, _, host = origin.partition("://")
            if scheme not in ("http", "https") or host.lower() != headers["host"].lower():
                raise _foreign(f"a page of {origin} sent this request, and that is not this broker's own page")

    async def _check_token(self, headers: Headers, number: str, body: _Body) -> Receive:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        is_form = kind in FORM_TYPES
        if not (is_form or "cookie" in headers or "origin" in headers or "sec-fetch-site" in headers):
            return body.receive
        token = headers.get(csrf.HEADER, "")
        receive: Receive = body.receive
        if not token and kind == FORM_TYPES[0]:
            try:
                async with asyncio.timeout(self._settings.request_timeout_s):
                    whole = await body.read()
            except TimeoutError:
                raise _slow(self._settings.request_timeout_s) from None
            token = _field(whole)
            receive = body.again(whole)
        if not csrf.is_token(token, number, self._settings.secret):
            raise HttpFault(
                HTTPStatus.FORBIDDEN,
                "wrong_csrf_token",
                f"the CSRF token is {'wrong' if token else 'missing'}: open the page again. Programs need none: they "
                "send JSON, and none of a browser's headers",
            )
        return receive


@final
class _Body:
    """The body of a request while it comes in, never more than its limit."""

    def __init__(self, receive: Receive, bytes_max: int) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._taken = 0
        self.is_awaited = False
        """The application waits for the next piece of it."""

    def check_length(self, length: str | None) -> None:
        if length is not None and length.isdigit() and int(length) > self._bytes_max:
            raise self._too_large()

    async def receive(self) -> Message:
        self.is_awaited = True
        message = await self._receive()
        self.is_awaited = False
        if message["type"] == "http.request":
            self._taken += len(message.get("body", b""))
            if self._taken > self._bytes_max:
                raise self._too_large()
        return message

    async def read(self) -> bytes:
        whole = bytearray()
        while True:
            message = await self.receive()
            whole += message.get("body", b"")
            if not message.get("more_body", False):
                return bytes(whole)

    def again(self, whole: bytes) -> Receive:
        """For an application that has yet to read what was read here."""
        is_given = False

        async def receive() -> Message:
            nonlocal is_given
            if is_given:
                return await self._receive()
            is_given = True
            return {"type": "http.request", "body": whole, "more_body": False}

        return receive

    def _too_large(self) -> HttpFault:
        return HttpFault(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "body_too_large",
            f"the body of a request has at most {self._bytes_max} bytes",
            bytes_max=self._bytes_max,
        )


@final
class _Answer:
    """The way out: adds the headers, and the cookie for a page."""

    def __init__(self, send: Send, number: str) -> None:
        self._send = send
        self.number = number
        self.has_begun = False
        self.limit: asyncio.Timeout | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_begun = True
            if self.limit is not None and not self.limit.expired():
                self.limit.reschedule(None)
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("cache-control", CACHE_CONTROL)
            if self.number and headers.get("content-type", "").startswith("text/html"):
                headers.append("set-cookie", f"{csrf.COOKIE}={self.number}; Path=/; HttpOnly; SameSite=Strict")
        await self._send(message)


def host_name(host: str) -> str:
    """The name in a `Host` header, without its port; no name of ours when it is not one."""
    name, colon, port = host.lower().rpartition(":")
    if not colon or not port.isdigit():
        name = host.lower()
    if name.startswith("[") and name.endswith("]"):
        return name[1:-1]
    return name.removesuffix(".")


def names_of(hosts: Iterable[str]) -> tuple[str, ...]:
    """Configured names as they are compared."""
    return tuple(host_name(host) for host in hosts)


def _cookie(headers: Headers) -> str:
    """The number in the browser's cookie, empty when there is none of ours."""
    try:
        found = SimpleCookie("; ".join(headers.getlist("cookie"))).get(csrf.COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None and csrf.is_number(found.value) else ""


def _field(body: bytes) -> str:
    try:
        return parse_qs(body.decode(), max_num_fields=1_000).get(csrf.FIELD, [""])[0]
    except ValueError:
        return ""


def _foreign(text: str) -> HttpFault:
    return HttpFault(HTTPStatus.FORBIDDEN, "wrong_origin", text)


def _slow(limit_s: float) -> HttpFault:
    return HttpFault(
        HTTPStatus.REQUEST_TIMEOUT, "request_timeout", f"the request did not arrive whole within {limit_s:g} s"
    )


def _overdue(limit_s: float) -> HttpFault:
    return HttpFault(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "outcome_unknown",
        f"no answer within {limit_s:g} s. It is unknown whether anything was done: look before you repeat it",
        outcome="unknown",
    )
