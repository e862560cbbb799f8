"""Spans by OpenTelemetry, after its conventions for messaging; imported by `tracing.enable` alone.

The span of a publish is a PRODUCER's and the message carries its context, unless its headers have one: then that is
carried, and the span is linked to it. The span of the handling is a CONSUMER's, linked to the context that the message
brings, and its child where no other span is current. Settling is a CLIENT's span inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import posthouse
from posthouse.failure import Failure
from posthouse.message import Message, Settler
from posthouse.transport.messages import Outcome

SYSTEM: Final = "posthouse"
ROUTING_KEY: Final = "messaging.posthouse.destination.routing_key"
ATTEMPT: Final = "messaging.posthouse.message.attempt"
_OUTCOMES: Final = {Outcome.ACK: "ack", Outcome.NACK: "nack", Outcome.REJECT: "reject", Outcome.RELEASE: "release"}

_propagator: Final = TraceContextTextMapPropagator()


def context_in(headers: Mapping[str, Any]) -> Context | None:
    """The trace context that headers carry; None where there is none, or none that can be read."""
    carrier = {name: headers[name] for name in ("traceparent", "tracestate") if type(headers.get(name)) is str}
    if "traceparent" not in carrier:
        return None
    context = _propagator.extract(carrier, Context())
    return context if trace.get_current_span(context).get_span_context().is_valid else None


def links_to(context: Context | None) -> list[Link]:
    """A link to the span of a context."""
    return [] if context is None else [Link(trace.get_current_span(context).get_span_context())]


def span_name(operation: str, destination: str | None) -> str:
    """As the conventions have it: the operation and where. The default exchange is in words."""
    return f"{operation} {destination}" if destination else operation


@final
class Spans:
    """Makes the spans of one process."""

    def __init__(self, tracer_provider: Any = None) -> None:
        self._tracer = trace.get_tracer("posthouse", posthouse.__version__, tracer_provider)

    @contextmanager
    def sending(
        self, operation: str, exchange: str, routing_key: str, headers: dict[str, Any] | None, body: Any
    ) -> Iterator[_Sending]:
        given = context_in(headers or {})
        attributes: dict[str, Any] = {
            "messaging.system": SYSTEM,
            "messaging.operation.name": operation,
            "messaging.operation.type": "send",
            "messaging.destination.name": exchange or "(default)",
            ROUTING_KEY: routing_key,
            "messaging.message.body.size": len(body) if isinstance(body, bytes | bytearray) else 0,
        }
        name = span_name(operation, exchange or "(default)")
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.PRODUCER, attributes=attributes, links=links_to(given)
        ) as span:
            yield _Sending(span, self.carried(headers))

    def carried(self, headers: dict[str, Any] | None) -> dict[str, Any] | None:
        if type(headers) is not dict and headers is not None:
            return headers  # No headers; the client says so.
        if headers and "traceparent" in headers:
            return headers
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return {**(headers or {}), **carrier} if carrier else headers

    @contextmanager
    def processing(self, message: Message, queue: str | None) -> Iterator[trace.Span]:
        settler = message._settler
        queue = getattr(settler, "queue", None) if queue is None else queue
        creation = context_in(message.headers)
        parent = None if trace.get_current_span().get_span_context().is_valid else creation
        attributes = _of_message(message, queue) | {
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.message.body.size": len(message.body),
            ATTEMPT: message.attempt,
        }
        with self._tracer.start_as_current_span(
            span_name("process", queue), parent, SpanKind.CONSUMER, attributes, links_to(creation)
        ) as span:
            if settler is not None:
                message._settler = _TracedSettler(self._tracer, settler, queue)
            try:
                yield span
            finally:
                if isinstance(message._settler, _TracedSettler):
                    message._settler = settler


@final
class _Sending:
    """The span of one message on its way out."""

    def __init__(self, span: trace.Span, headers: dict[str, Any] | None) -> None:
        self.headers = headers
        self._span = span

    def done(self, result: Any) -> None:
        message_id = getattr(result, "message_id", None)
        if message_id and not isinstance(result, Message):
            self._span.set_attribute("messaging.message.id", message_id)


@final
class _TracedSettler:
    """Stands before whoever takes settlements while a message is handled."""

    def __init__(self, tracer: trace.Tracer, settler: Settler, queue: str | None) -> None:
        self._tracer = tracer
        self._settler = settler
        self._queue = queue

    def settle(
        self, message: Message, outcome: Outcome, requeue: bool, reason: str, failure: Failure | None = None
    ) -> None:
        operation = _OUTCOMES[outcome]
        attributes = _of_message(message, self._queue) | {
            "messaging.operation.name": operation,
            "messaging.operation.type": "settle",
        }
        links = links_to(context_in(message.headers))
        with self._tracer.start_as_current_span(
            span_name(operation, self._queue), kind=SpanKind.CLIENT, attributes=attributes, links=links
        ):
            self._settler.settle(message, outcome, requeue, reason, failure)


def _of_message(message: Message, queue: str | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": SYSTEM,
        "messaging.message.id": message.message_id,
        "messaging.destination_publish.name": message.exchange or "(default)",
        ROUTING_KEY: message.routing_key,
    }
    if queue:
        attributes["messaging.destination.name"] = queue
    if message.correlation_id is not None:
        attributes["messaging.message.conversation_id"] = message.correlation_id
    return attributes
