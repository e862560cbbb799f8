"""A biography as spans: which there are, how long they last, which are errors; and an endpoint that takes none."""

from __future__ import annotations

import http.server
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode

from posthouse.biography.events import Biography, BiographyEvent
from posthouse.biography.spans import export_spans, send_spans, spans_of
from posthouse.transport.errors import NotDone

CREATED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def event(ms: int | None, actor: str, what: str, **details: Any) -> BiographyEvent:
    at = None if ms is None else datetime.fromtimestamp(1_700_000_000 + ms / 1_000, UTC)
    return BiographyEvent(at=at, actor=actor, what=what, text=what, details=details)


def biography(*events: BiographyEvent, traceparent: str | None = None) -> Biography:
    return Biography(
        message_id="order-17", ids=["order-17"], exchange="flights", routing_key="k", traceparent=traceparent,
        now=[], events=list(events), notes=[],
    )  # fmt: skip


LIFE = (
    event(0, "publisher", "published", exchange="flights"),
    event(4, "exchange:flights", "routed", queues=["ewr"]),
    event(5, "queue:ewr", "stored", offset=7),
    event(9, "queue:ewr", "delivered", offset=7, attempt=1, consumer="till"),
    event(20, "queue:ewr", "failed", offset=7, attempt=1, error_type="KeyError"),
    event(20, "queue:ewr", "waits", offset=7),
    event(500, "queue:ewr", "delivered", offset=7, attempt=2, consumer="till"),
    event(None, "queue:ewr", "copied", offset=7),
    event(510, "queue:ewr", "acked", offset=7),
)


def shape(spans: list[ReadableSpan]) -> list[tuple[str, int]]:
    """Names, and how long they last in milliseconds."""
    return [(span.name, ((span.end_time or 0) - (span.start_time or 0)) // 1_000_000) for span in spans]


def trace_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"{context.trace_id:032x}"


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_every_stretch_of_a_life_is_a_span_of_its_length() -> None:
    spans = spans_of(biography(*LIFE))
    assert shape(spans) == [
        ("publish flights", 5),
        ("route flights", 4),
        ("wait ewr", 4),
        ("deliver ewr", 11),
        ("wait ewr", 480),
        ("deliver ewr", 10),
        ("settle ewr", 0),
        ("journey flights", 510),
    ]
    assert spans[0].kind is SpanKind.PRODUCER
    assert len(set(map(trace_of, spans))) == 1
    failed, acked = spans[3], spans[5]
    assert (failed.status.status_code, attributes_of(failed)["error.type"]) == (StatusCode.ERROR, "KeyError")
    assert (acked.status.status_code, attributes_of(acked)["posthouse.outcome"]) == (StatusCode.UNSET, "acked")
    assert attributes_of(failed)["messaging.client.id"] == "till"
    assert attributes_of(failed)["messaging.posthouse.message.attempt"] == 1
    assert len(spans[-1].events) == len(LIFE) - 1


def test_where_the_publisher_made_a_span_there_is_no_other_one() -> None:
    spans = spans_of(biography(*LIFE, traceparent=CREATED))
    assert "publish flights" not in [span.name for span in spans]
    assert set(map(trace_of, spans)) == {CREATED.split("-")[1]}


def test_what_is_not_over_ends_where_it_begins() -> None:
    spans = spans_of(biography(*LIFE[:4]))
    assert shape(spans)[-2:] == [("deliver ewr", 0), ("journey flights", 9)]


def test_without_any_time_there_are_no_spans() -> None:
    assert spans_of(biography(event(None, "queue:ewr", "stored", offset=7))) == []


class _Refusing(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.FAILURE


def test_an_exporter_that_takes_nothing_is_an_error() -> None:
    with pytest.raises(NotDone):
        export_spans(biography(*LIFE), _Refusing())


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list[tuple[str, int]], list[int]]]:
    """An HTTP server: its address, what it was sent (path, bytes), and the code it answers."""
    received: list[tuple[str, int]] = []
    codes = [200]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, len(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(codes[0])
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is written while tests run."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", received, codes
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_endpoint_gets_them_in_one_request(endpoint: tuple[str, list[tuple[str, int]], list[int]]) -> None:
    url, received, _ = endpoint
    assert send_spans(biography(*LIFE), url) == 8
    ((path, size),) = received
    assert path == "/v1/traces"
    assert size > 500


def test_an_endpoint_that_refuses_is_an_error(
    endpoint: tuple[str, list[tuple[str, int]], list[int]], caplog: pytest.LogCaptureFixture
) -> None:
    url, _, codes = endpoint
    codes[0] = 400
    with caplog.at_level(logging.CRITICAL), pytest.raises(NotDone):
        send_spans(biography(*LIFE), url)
