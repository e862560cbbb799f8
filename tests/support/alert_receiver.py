"""A receiver of webhooks on loopback, and how it may misbehave.

It keeps every notice it took, in order. It does not simulate TLS.
"""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, final

from posthouse.testing.waiting import eventually

DRIP_S: Final = 0.02


@final
class Taken(NamedTuple):
    """One notice. `at`: seconds of the clock on the wall."""

    at: float
    body: dict[str, Any]
    headers: dict[str, str]


@final
class Receiver:
    """Listens from `with` on. `behaviour`: take, refuse (500), hang, drip, redirect."""

    def __init__(self, behaviour: str = "take") -> None:
        self.behaviour = behaviour
        self.taken: list[Taken] = []
        self.tries = 0
        self.released = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.tries += 1
                receiver.answer(self, body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/hook/s3cret-token"

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        match self.behaviour:
            case "hang":
                self.released.wait(60.0)
                return
            case "drip":
                for byte in b"HTTP/1.1 200 " + b"x" * 10_000:
                    if self.released.wait(DRIP_S):
                        return
                    handler.wfile.write(bytes([byte]))
                    handler.wfile.flush()
                return
            case "refuse":
                handler.send_response(500)
            case "redirect":
                handler.send_response(302)
                handler.send_header("Location", "http://127.0.0.1:1/elsewhere")
            case _:
                self.taken.append(Taken(time.time(), json.loads(body), dict(handler.headers)))
                handler.send_response(204)
        handler.end_headers()

    def find(self, rule: str, subject: str, state: str = "firing") -> Taken | None:
        """The first notice that says this."""
        for taken in list(self.taken):
            if any(alert["rule"] == rule and alert["subject"] == subject for alert in taken.body[state]):
                return taken
        return None

    def hears(self, rule: str, subject: str, state: str = "firing", within_s: float = 60.0) -> Taken:
        """Waits for that notice."""
        return eventually(lambda: self.find(rule, subject, state), within_s, f"{rule} {subject} {state}")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
