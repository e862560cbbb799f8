"""Calling from a blocking program: the request goes out and the calling thread waits for the reply."""

from __future__ import annotations

import time
from typing import Any, final

from posthouse.calls import Calls, check_call_seconds, not_sent, timed_out
from posthouse.message import Message
from posthouse.wire_pump import Pump


@final
class Caller:
    """The calls of one connection."""

    def __init__(self, pump: Pump) -> None:
        self._pump = pump
        self._calls = Calls(pump.session)

    @property
    def late_replies(self) -> int:
        return self._calls.late_replies

    def call(
        self,
        exchange: str,
        body: bytes,
        routing_key: str,
        headers: dict[str, Any] | None,
        timeout_s: float,
        options: dict[str, Any],
    ) -> Message:
        """See `Broker.call`."""
        limit_s = check_call_seconds(timeout_s)
        data, key = self._calls.make_key(exchange, body, routing_key, headers, options)
        pump, calls = self._pump, self._calls
        deadline, deadline_ms = time.monotonic() + limit_s, (time.time() + limit_s) * 1_000
        with pump.lock:
            pump.check_open()
            was_connected = pump.is_connected
            listening = pump.session.listen()
            if not pump.wait_until(lambda: listening.is_done, deadline):
                raise not_sent(limit_s, pump.overdue(limit_s, was_connected))
            if listening.error is not None:
                raise listening.error
            outgoing = calls.begin(exchange, data, key, options.get("message_id"), deadline_ms)
            try:
                if not pump.wait_until(lambda: calls.is_over(outgoing), deadline):
                    raise timed_out(limit_s, pump.overdue(limit_s, was_connected))
                return calls.result(outgoing)
            finally:
                calls.end(outgoing)
