"""A biography as OpenTelemetry spans: what the broker did with a message, beside what its clients traced themselves.

Made after the fact from the journals, so it costs the broker nothing. The spans join the trace whose context the
message carries; without one they are a trace of their own. Their ids are made of the message and a count, so that a
biography that is sent twice is the same trace twice.

Fails with: ImportError where OpenTelemetry is not installed; `NotDone` when the endpoint does not take them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, final
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, set_span_in_context

import posthouse
from posthouse.biography.events import Biography, BiographyEvent
from posthouse.otel import ATTEMPT, ROUTING_KEY, SYSTEM, context_in, links_to
from posthouse.transport.errors import InvalidArgument, NotDone
from posthouse.transport.names import shown

EXPORT_TIMEOUT_S: Final = 10.0

_ENDS_PUBLISHING: Final = ("stored", "held", "scheduled")
_ENDS_DELIVERY: Final = ("failed", "acked", "restarted", "returned", "died", "gone")
_ENDS_WAITING: Final = ("delivered", "expired", "purged", "dropped", "late", "died", "fired", "cancelled", "released")
_SETTLES: Final = ("acked", "gone", "died", "expired", "dropped", "purged", "late", "buried", "redriven", "republished")


class Stretch(NamedTuple):
    """A span before it is made: operation, who, from, to."""

    operation: str
    kind: str
    event: BiographyEvent
    start: datetime
    end: datetime
    outcome: BiographyEvent | None


def send_spans(found: Biography, url: str) -> int:
    """Send the spans to an OTLP/HTTP endpoint (http://localhost:4318/v1/traces); returns how many.

    Raises InvalidArgument for what is no address, NotDone when nobody there takes them.
    """
    _check_endpoint(url)
    exporter = OTLPSpanExporter(endpoint=url, timeout=EXPORT_TIMEOUT_S)
    try:
        return export_spans(found, exporter)
    finally:
        exporter.shutdown()  # type: ignore[no-untyped-call]  # the package is typed, this method is not


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise InvalidArgument(f"--otlp is {shown(url)}; an endpoint has the form http://localhost:4318/v1/traces")


def export_spans(found: Biography, exporter: SpanExporter) -> int:
    """Hand the spans to an exporter; returns how many. Raises NotDone when it does not take them."""
    spans = spans_of(found)
    if exporter.export(spans) is not SpanExportResult.SUCCESS:
        raise NotDone("the spans were not taken; see what the exporter logged")
    return len(spans)


def spans_of(found: Biography) -> list[ReadableSpan]:
    """One span for the whole, and inside it one for each routing, delivery, pause and end."""
    collected = _Collector()
    resource = Resource.create({"service.name": "posthouse", "service.version": posthouse.__version__})
    provider = TracerProvider(resource=resource, id_generator=_Ids(found.message_id), shutdown_on_exit=False)
    provider.add_span_processor(collected)
    tracer = provider.get_tracer("posthouse.biography", posthouse.__version__)
    times = [event.at for event in found.events if event.at is not None]
    if not times:
        return []
    creation = context_in({} if found.traceparent is None else {"traceparent": found.traceparent})
    common: dict[str, Any] = {"messaging.system": SYSTEM, "messaging.message.id": found.message_id}
    if found.routing_key is not None:
        common[ROUTING_KEY] = found.routing_key
    exchange = found.exchange or "(default)"
    root = tracer.start_span(
        f"journey {exchange}",
        context=creation,
        attributes={**common, "messaging.destination.name": exchange},
        links=links_to(creation),
        start_time=_ns(min(times)),
    )
    for event in found.events:
        if event.at is not None:
            root.add_event(event.what, {"actor": event.actor, "text": event.text}, _ns(event.at))
    context = set_span_in_context(root)
    for stretch in stretches(found.events):
        if stretch.operation == "publish" and creation is not None:
            continue  # Whoever published it has made that span.
        where = _where(stretch.event)
        attributes = {**common, **_attributes(stretch, where)}
        kind = SpanKind.PRODUCER if stretch.operation == "publish" else SpanKind.INTERNAL
        start = _ns(stretch.start)
        span = tracer.start_span(f"{stretch.operation} {where}", context, kind, attributes, start_time=start)
        _judge(span, stretch)
        span.end(_ns(stretch.end))
    root.end(_ns(max(times)))
    return collected.spans


def stretches(events: Sequence[BiographyEvent]) -> Iterable[Stretch]:
    """What takes time, with its end; what does not, as a moment."""
    for place, event in enumerate(events):
        if event.at is None:
            continue
        later = events[place + 1 :]
        if event.what == "published":
            end = _next(event, later, _ENDS_PUBLISHING, anybody=True)
            yield Stretch("publish", "send", event, event.at, _at(end, event.at), None)
        elif event.what == "routed":
            published = [one.at for one in events[:place] if one.what == "published" and one.at is not None]
            yield Stretch("route", "", event, min(published[-1], event.at) if published else event.at, event.at, None)
        elif event.what == "delivered":
            end = _next(event, later, _ENDS_DELIVERY)
            yield Stretch("deliver", "process", event, event.at, _at(end, event.at), end)
        elif event.what in ("stored", "waits", "requeued", "restarted", "held", "scheduled"):
            end = _next(event, later, _ENDS_WAITING)
            if end is not None:
                yield Stretch("wait", "", event, event.at, _at(end, event.at), end)
        if event.what in _SETTLES:
            yield Stretch("settle", "settle", event, event.at, event.at, event)


def _where(event: BiographyEvent) -> str:
    """The queue or exchange of an event, or else its actor."""
    if event.what == "published":
        return event.details["exchange"] or "(default)"
    _, colon, name = event.actor.partition(":")
    return (name or "(default)") if colon else event.actor


def _next(
    event: BiographyEvent, later: Iterable[BiographyEvent], what: Sequence[str], *, anybody: bool = False
) -> BiographyEvent | None:
    """The next event of that kind about the same message of the same actor, or of `anybody`."""
    place = {name: event.details.get(name) for name in ("offset", "scheduled_id", "held")}
    for one in later:
        is_same = one.actor == event.actor and all(one.details.get(name) == value for name, value in place.items())
        if one.what in what and (anybody or is_same):
            return one
    return None


def _at(event: BiographyEvent | None, start: datetime) -> datetime:
    return start if event is None or event.at is None else max(event.at, start)


def _attributes(stretch: Stretch, where: str) -> dict[str, Any]:
    event = stretch.event
    attributes: dict[str, Any] = {
        "messaging.destination.name": where,
        "messaging.operation.name": stretch.operation,
        "posthouse.actor": event.actor,
        "posthouse.event": event.what,
    }
    if stretch.kind:
        attributes["messaging.operation.type"] = stretch.kind
    if event.details.get("consumer"):
        attributes["messaging.client.id"] = event.details["consumer"]
    if event.details.get("attempt"):
        attributes[ATTEMPT] = event.details["attempt"]
    if event.what == "routed":
        attributes["posthouse.queues"] = list(event.details["queues"])
    return attributes


def _judge(span: Span, stretch: Stretch) -> None:
    """A delivery that failed is an error; so is an end that loses the message to its queue."""
    outcome = stretch.outcome
    if outcome is None:
        return
    span.set_attribute("posthouse.outcome", outcome.what)
    if stretch.operation == "deliver" and outcome.what not in ("acked",):
        span.set_attribute(
            "error.type", outcome.details.get("error_type") or outcome.details.get("how") or outcome.what
        )
        span.set_status(Status(StatusCode.ERROR, outcome.text))
    elif stretch.operation == "settle" and outcome.what in ("died", "gone", "expired", "dropped", "late"):
        span.set_attribute("error.type", outcome.details.get("reason") or outcome.what)
        span.set_status(Status(StatusCode.ERROR, outcome.text))


def _ns(at: datetime) -> int:
    return round(at.timestamp() * 1_000) * 1_000_000


@final
class _Collector(SpanProcessor):
    """Keeps what has ended."""

    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


@final
class _Ids(IdGenerator):
    """Ids made of the message id and a count: the same biography gets the same ones."""

    def __init__(self, message_id: str) -> None:
        self._seed = message_id.encode()
        self._count = 0

    def generate_span_id(self) -> int:
        self._count += 1
        data = hashlib.blake2b(self._seed + b"\0%d" % self._count, digest_size=8).digest()
        return int.from_bytes(data, "big") or 1

    def generate_trace_id(self) -> int:
        return int.from_bytes(hashlib.blake2b(self._seed, digest_size=16).digest(), "big") or 1
