"""HTTP on one connection: uvicorn's, with a limit on how long a request may take to arrive, and errors as JSON.

Without the limit a connection that never says what it wants would stay for ever, and enough of them would leave no
room for others.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Final, final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from posthouse.web.answers import encode
from posthouse.web.faults import Fault, FaultBody

HEAD_S: Final = 10.0
"""From the connection, or the first byte of a further request, to the end of its head."""


@final
class HttpProtocol(H11Protocol):
    """One connection."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        self._expect_head()
        super().data_received(data)
        if self._is_answering:
            self._forget_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What came was no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, "invalid_http", "what was sent is no HTTP/1.1 request")

    @property
    def _is_answering(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not cycle.response_complete

    def _expect_head(self) -> None:
        if self._deadline is None and not self._is_answering:
            self._deadline = self.loop.call_later(HEAD_S, self._too_slow)

    def _forget_head(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if self.transport.is_closing() or self._is_answering:
            return
        self._refuse(HTTPStatus.REQUEST_TIMEOUT, "request_timeout", f"no request arrived whole within {HEAD_S:g} s")

    def _refuse(self, status: HTTPStatus, code: str, text: str) -> None:
        """Answer what is no request, and close. Past its own state machine, which such a connection has broken."""
        body = encode(FaultBody(Fault(code, text)))
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nx-content-type-options: nosniff\r\nconnection: close\r\n\r\n"
        )
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.write(head.encode("ascii") + body)
        self.transport.close()
