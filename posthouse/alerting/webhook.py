"""A webhook: one POST with JSON, and an answer of 2xx in time.

Redirects are not followed, so a notice goes where its address says and nowhere else; proxies of the environment are not
used. Of the answer only the first line counts.
Fails with: a sentence; a peer that refuses, hangs, drips, or answers anything else.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

_REASON_CHARACTERS_MAX: Final = 100


def post(address: str, headers: Mapping[str, str], data: bytes, timeout_s: float) -> str:
    """Send it; "" means it was taken."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    deadline = time.monotonic() + timeout_s
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    sent = {"Content-Type": "application/json", "User-Agent": "posthouse", **_login(parts.netloc), **headers}
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.connect()
        # A timeout of a socket is one of each read; a peer that drips would never exceed it.
        guard = threading.Timer(max(0.0, deadline - time.monotonic()), _cut, (connection.sock,))
        guard.daemon = True
        guard.start()
        try:
            connection.request("POST", path, data, sent)
            answer = connection.getresponse()
        finally:
            guard.cancel()
    except TimeoutError:
        return f"did not answer within {timeout_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= deadline:
            return f"did not answer within {timeout_s:g} s"
        return _why(error)
    finally:
        connection.close()
    if time.monotonic() >= deadline:  # Cut off in its headers an answer looks whole.
        return f"did not answer within {timeout_s:g} s"
    if 200 <= answer.status < 300:
        return ""
    return f"answered {answer.status} {answer.reason[:_REASON_CHARACTERS_MAX]}".strip()


def _cut(sock: socket.socket | None) -> None:
    with contextlib.suppress(OSError):
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)


def _login(netloc: str) -> dict[str, str]:
    """Name and password of the address, as a header."""
    login, at, _ = netloc.rpartition("@")
    return {"Authorization": f"Basic {b64encode(unquote(login).encode()).decode()}"} if at else {}


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be reached: {error.strerror}"
    if isinstance(error, http.client.HTTPException):
        return f"did not answer as HTTP does: {type(error).__name__}"
    return f"cannot be reached: {str(error) or type(error).__name__}"
