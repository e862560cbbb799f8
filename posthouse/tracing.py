"""Trace context on messages, and spans around what a client does; off until `enable` is called.

Every message may carry a W3C trace context in its headers `traceparent` and `tracestate`; whoever sets them himself
needs nothing of this. With `enable()` (and `pip install 'posthouse[otel]'`) the clients put the current OpenTelemetry
context there and make a span of each `publish` and `call`; a pipelined publisher carries the context that is current
when it is handed a message, and makes no spans of its own, since one for each message would cost more than the message.

    with posthouse.tracing.processing(message):
        ...
        message.ack()

is the consumer's side: a span that is linked to the publisher's, and one for the settling. Whoever was made before
`enable` (a pipelined publisher keeps what it found) goes on without.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, TypeVar, cast

from posthouse.transport.errors import InvalidArgument

F = TypeVar("F", bound=Callable[..., Any])


class Sending(Protocol):
    """A span around one request. `headers` are what the message carries."""

    headers: dict[str, Any] | None

    def done(self, result: Any) -> None:
        """It was confirmed, or answered."""


class Tracing(Protocol):
    """What makes spans; `otel` has the one there is."""

    def sending(
        self, operation: str, exchange: str, routing_key: str, headers: dict[str, Any] | None, body: Any
    ) -> AbstractContextManager[Sending]:
        """A span of a message that is sent, current while it lasts."""

    def carried(self, headers: dict[str, Any] | None) -> dict[str, Any] | None:
        """The headers with the current context; as they are where it is in them, or where there is none."""

    def processing(self, message: Any, queue: str | None) -> AbstractContextManager[Any]:
        """A span of a message that is handled."""


active: Tracing | None = None
"""What makes spans in this process; None, as long as nobody asked for any."""


def enable(tracer_provider: Any = None) -> None:
    """Make spans from now on, with the tracer provider of the process unless another is given.

    Raises InvalidArgument when OpenTelemetry is not installed.
    """
    global active
    try:
        from posthouse.otel import Spans
    except ImportError as error:
        raise InvalidArgument(f"tracing needs {error.name}: pip install 'posthouse[otel]'") from None
    active = Spans(tracer_provider)


def disable() -> None:
    """Make no spans any more."""
    global active
    active = None


def processing(message: Any, queue: str | None = None) -> AbstractContextManager[Any]:
    """A span around the handling of a message of either client, and around its settling inside.

    Gives the span, or None where tracing is off. What the handling raises is noted on it and raised again. The queue is
    known of messages that can be settled; of others it may be said.
    """
    return nullcontext() if active is None else active.processing(getattr(message, "received", message), queue)


def spans_around(operation: str) -> Callable[[F], F]:
    """Put a span around a client's `publish` or `call`. Where tracing is off it costs one look at a name."""

    def decorate(method: F) -> F:
        if inspect.iscoroutinefunction(method):

            @functools.wraps(method)
            async def run_async(
                self: Any, exchange: str, body: Any, routing_key: str = "", headers: Any = None, **rest: Any
            ) -> Any:
                if active is None:
                    return await method(self, exchange, body, routing_key, headers, **rest)
                with active.sending(operation, exchange, routing_key, headers, body) as sending:
                    result = await method(self, exchange, body, routing_key, sending.headers, **rest)
                    sending.done(result)
                    return result

            return cast("F", run_async)

        @functools.wraps(method)
        def run(self: Any, exchange: str, body: Any, routing_key: str = "", headers: Any = None, **rest: Any) -> Any:
            if active is None:
                return method(self, exchange, body, routing_key, headers, **rest)
            with active.sending(operation, exchange, routing_key, headers, body) as sending:
                result = method(self, exchange, body, routing_key, sending.headers, **rest)
                sending.done(result)
                return result

        return cast("F", run)

    return decorate
