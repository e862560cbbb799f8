"""Spans of both clients, collected in memory, and the trace context on the messages themselves."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import posthouse
from posthouse import tracing
from posthouse.biography.reading import biography_of
from posthouse.biography.spans import export_spans
from posthouse.errors import UnknownExchange
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
_numbers = itertools.count(1)


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """Where the spans of the test arrive; tracing is off again after it."""
    exporter = InMemorySpanExporter()
    tracing.enable(provider_of(exporter))
    yield exporter
    tracing.disable()


def provider_of(exporter: InMemorySpanExporter) -> TracerProvider:
    """A program's own provider, whose spans arrive there as well."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


@pytest.fixture
def queue(broker: posthouse.Broker) -> str:
    return broker.declare_queue(f"traced-{next(_numbers)}").name


def spans_in(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def context_of(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}"


def without_flags(traceparent: str | None) -> str | None:
    """The flags say which level of the standard made the ids, and that differs between versions."""
    return None if traceparent is None else traceparent.rpartition("-")[0]


def linked(span: ReadableSpan) -> list[str]:
    return [f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}" for link in span.links]


def taken(broker: posthouse.Broker, queue: str) -> posthouse.Message:
    message = broker.get(queue)
    assert message is not None
    return message


def test_publish_process_and_ack_are_linked_spans(
    broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    receipt = broker.publish("", b"four", queue, headers={"carrier": "UA"}, correlation_id="c-1")
    message = taken(broker, queue)
    with tracing.processing(message) as span:
        message.ack()
        span.set_attribute("mine", 1)
    spans = spans_in(exporter)
    assert set(spans) == {"publish (default)", f"process {queue}", f"ack {queue}"}
    published, processed, acked = spans["publish (default)"], spans[f"process {queue}"], spans[f"ack {queue}"]
    assert (published.kind, processed.kind, acked.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER, SpanKind.CLIENT)
    assert without_flags(message.traceparent) == context_of(published)
    assert message.headers["carrier"] == "UA"
    assert linked(processed) == linked(acked) == [context_of(published)]
    assert processed.parent is not None
    assert acked.parent is not None
    assert f"{processed.parent.span_id:016x}" in context_of(published)
    assert f"{acked.parent.span_id:016x}" in context_of(processed)
    said = attributes_of(published)
    assert said["messaging.system"] == "posthouse"
    assert said["messaging.operation.type"] == "send"
    assert said["messaging.message.id"] == receipt.message_id == message.message_id
    assert said["messaging.message.body.size"] == 4
    assert attributes_of(processed)["messaging.message.conversation_id"] == "c-1"
    assert attributes_of(processed)["mine"] == 1
    assert attributes_of(acked)["messaging.operation.type"] == "settle"


def test_a_context_that_the_user_gave_is_carried_as_it_is_and_linked(
    broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    broker.publish("", b"x", queue, headers={"traceparent": GIVEN, "tracestate": "vendor=1"})
    message = taken(broker, queue)
    assert (message.traceparent, message.headers["tracestate"]) == (GIVEN, "vendor=1")
    assert linked(spans_in(exporter)["publish (default)"]) == [without_flags(GIVEN)]
    message.ack()


def test_without_tracing_headers_go_as_they_are(broker: posthouse.Broker, queue: str) -> None:
    assert tracing.active is None
    broker.publish("", b"x", queue, headers={"traceparent": GIVEN})
    broker.publish("", b"y", queue)
    first, second = taken(broker, queue), taken(broker, queue)
    assert (first.traceparent, second.traceparent, second.headers) == (GIVEN, None, {})
    with tracing.processing(first) as span:
        assert span is None
        first.ack()


def test_what_cannot_be_read_is_carried_and_not_linked(
    broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    for value in ("rubbish", 17, "00-" + "0" * 32 + "-" + "0" * 16 + "-01"):
        broker.publish("", b"x", queue, headers={"traceparent": value})
        message = taken(broker, queue)
        with tracing.processing(message):
            message.ack()
        assert message.headers["traceparent"] == value
    assert all(not span.links for span in exporter.get_finished_spans())


def handle_badly(message: posthouse.Message) -> None:
    with tracing.processing(message):
        message.reject("no amount", error=KeyError("amount"))
        raise KeyError("amount")


def test_a_failure_is_on_its_span_and_raised(
    broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(UnknownExchange):
        broker.publish("nowhere", b"x", "k")
    broker.publish("", b"x", queue)
    message = taken(broker, queue)
    with pytest.raises(KeyError):
        handle_badly(message)
    spans = spans_in(exporter)
    assert spans["publish nowhere"].status.status_code is StatusCode.ERROR
    assert spans[f"process {queue}"].status.status_code is StatusCode.ERROR
    assert f"reject {queue}" in spans


def test_a_pipelined_publisher_carries_the_current_context_and_still_makes_batches(
    broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    with broker.publisher("") as out:
        out.send(b"before", queue)
        with provider_of(exporter).get_tracer("test").start_as_current_span("job"):
            for _ in range(3):
                out.send(b"inside", queue)
            out.send_many([b"many", b"many"], queue)
        out.send(b"after", queue)
    job = context_of(spans_in(exporter)["job"])
    with broker.consume(queue) as messages:
        found = [messages.get(timeout_s=60.0) for _ in range(7)]
    assert [None if one is None else without_flags(one.traceparent) for one in found] == [
        None,
        job,
        job,
        job,
        job,
        job,
        None,
    ]
    assert [span.name for span in exporter.get_finished_spans()] == ["job"]


async def _publish_and_process(process: BrokerProcess, queue: str) -> str | None:
    async with posthouse.aio.connect(f"ipc://{process.data}") as broker:
        await broker.publish("", b"x", queue)
        async with broker.consume(queue) as messages:
            message = await messages.get(timeout_s=60.0)
            assert message is not None
            with tracing.processing(message):
                await message.ack()
            return without_flags(message.traceparent)


def test_the_asyncio_client_does_the_same(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    traceparent = asyncio.run(_publish_and_process(shared, queue))
    spans = spans_in(exporter)
    assert traceparent == context_of(spans["publish (default)"])
    assert linked(spans[f"process {queue}"]) == linked(spans[f"ack {queue}"]) == [traceparent]


def test_the_brokers_side_joins_the_trace_of_the_publisher(
    shared: BrokerProcess, broker: posthouse.Broker, queue: str, exporter: InMemorySpanExporter
) -> None:
    receipt = broker.publish("", b"x", queue)
    with broker.consume(queue) as messages:
        message = messages.get(timeout_s=60.0)
        assert message is not None
        message.ack()
    eventually(lambda: broker.queue_info(queue).acked == 1)
    published = spans_in(exporter)["publish (default)"]
    told = InMemorySpanExporter()
    found = biography_of(str(shared.data), receipt.message_id)
    count = export_spans(found, told)
    names = [span.name for span in told.get_finished_spans()]
    assert names == ["route (default)", f"wait {queue}", f"deliver {queue}", f"settle {queue}", "journey (default)"]
    assert count == 5
    contexts = [context_of(span).split("-")[1] for span in told.get_finished_spans()]
    assert set(contexts) == {context_of(published).split("-")[1]}
    journey = told.get_finished_spans()[-1]
    assert linked(journey) == [context_of(published)]
    again = InMemorySpanExporter()
    export_spans(found, again)
    assert list(map(context_of, again.get_finished_spans())) == list(map(context_of, told.get_finished_spans()))
