"""What happens in the broker: asked for, or followed as a stream of server-sent events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, Final, final

import msgspec
from starlette.responses import StreamingResponse

from posthouse.transport.errors import InvalidArgument, Unavailable
from posthouse.transport.messages_monitor import BrokerEvent, Overview
from posthouse.transport.names import shown
from posthouse.web.answers import encode
from posthouse.web.faults import HttpFault, fault_of
from posthouse.web.listing import check_limit
from posthouse.web.operation import Call, Operation
from posthouse.web.request_context import Web, web_of
from posthouse.web.shapes import shown_as

EVENT_STREAM: Final = "text/event-stream"
STREAMS_MAX: Final = 64
WAIT_S_MAX: Final = 8.0
"""Shorter than a client's deadline, and often enough for a comment that keeps proxies from closing the connection."""

RETRY_MS: Final = 2_000
"""After so long a browser connects again."""

NUMBER_MAX: Final = (1 << 63) - 1


@final
class EventQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Events above the number `after`; -1: the last ones. `wait_s`: how long to wait where there are none."""

    after: int = -1
    limit: int = 100
    wait_s: float = 0.0


@final
class FollowQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """From above the number `after`; -1: from now on, the last ten first. The header `Last-Event-ID` wins over it."""

    after: int = -1


@final
class PulseQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Every `interval_s`, of these kinds of actors only."""

    interval_s: float = 1.0
    kinds: list[str] = []


async def events(call: Call) -> Any:
    """What happened, oldest first. The monitor keeps 10,000 events, and forgets them when it is restarted."""
    wanted: EventQuery = call.query
    check_limit(wanted.limit)
    if not 0.0 <= wanted.wait_s <= WAIT_S_MAX:
        raise InvalidArgument(f"wait_s is {wanted.wait_s}; it is 0 to {WAIT_S_MAX:g}")
    return await (await call.broker()).monitor.events(_number(wanted.after), limit=wanted.limit, wait_s=wanted.wait_s)


async def follow(call: Call) -> Any:
    """Events as they happen, as server-sent events: `id` is the number, `event` the kind, `data` the event as JSON.

    While the monitor is down an event `unavailable` says so, and the stream goes on by itself.
    """
    given = call.request.headers.get("last-event-id")
    return _stream(call, _events(call, _number(call.query.after if given is None else given)))


async def pulse(call: Call) -> Any:
    """The overview again and again, as server-sent events called `overview`."""
    wanted: PulseQuery = call.query
    if not 0.5 <= wanted.interval_s <= 60.0:
        raise InvalidArgument(f"interval_s is {wanted.interval_s}; it is 0.5 to 60")
    return _stream(call, _overviews(call, wanted))


def _stream(call: Call, lines: AsyncIterator[str]) -> StreamingResponse:
    web = web_of(call.request)
    if web.streams >= STREAMS_MAX:
        raise HttpFault(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too_many_streams",
            f"{STREAMS_MAX} streams of events are open, and no more are allowed; close one",
            outcome="not_done",
            headers={"retry-after": "5"},
        )
    return StreamingResponse(_counted(web, lines), media_type=EVENT_STREAM, headers={"x-accel-buffering": "no"})


async def _counted(web: Web, lines: AsyncIterator[str]) -> AsyncIterator[str]:
    web.streams += 1
    try:
        yield f"retry: {RETRY_MS}\n\n"
        async for line in lines:
            yield line
    finally:
        web.streams -= 1


async def _events(call: Call, after: int) -> AsyncIterator[str]:
    web = web_of(call.request)
    limit = 10 if after < 0 else 1_000
    while not web.is_stopping.is_set():
        try:
            broker = await call.broker()
            found = await web.unless_stopping(broker.monitor.events(after, limit=limit, wait_s=WAIT_S_MAX))
        except Unavailable as error:
            yield _sent("unavailable", fault_of(error))
            await web.pause(RETRY_MS / 1000)
            continue
        for event in found or ():
            yield _sent(_word(event.kind), shown_as(event, BrokerEvent), event.number)
            after = event.number
        limit = 1_000
        if not found:
            after = max(after, 0)
            yield ": still here\n\n"


async def _overviews(call: Call, wanted: PulseQuery) -> AsyncIterator[str]:
    web = web_of(call.request)
    while not web.is_stopping.is_set():
        try:
            found = await (await call.broker()).monitor.overview(wanted.kinds or None)
            yield _sent("overview", shown_as(found, Overview))
        except Unavailable as error:
            yield _sent("unavailable", fault_of(error))
        await web.pause(wanted.interval_s)


def _sent(kind: str, data: Any, number: int | None = None) -> str:
    """JSON has no line breaks of its own, so the data is one line."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {kind}\ndata: {encode(data).decode()}\n\n"


def _word(kind: str) -> str:
    return "".join(one if one.isalnum() or one in "_-" else "_" for one in kind)


def _number(given: int | str) -> int:
    """A number of an event, as it came in a query or a header. Raises InvalidArgument."""
    try:
        number = int(given) if len(str(given)) <= 20 else NUMBER_MAX + 1
    except ValueError:
        number = NUMBER_MAX + 1
    if not -1 <= number <= NUMBER_MAX:
        raise InvalidArgument(f"the number of an event is {shown(given)}; it is 0 or more, or -1 for the last ones")
    return number


OPERATIONS: Final = (
    Operation("list_events", "GET", "/events", events, list[BrokerEvent], query=EventQuery),
    Operation(
        "follow_events", "GET", "/events/stream", follow, None,
        query=FollowQuery, is_response=True, media_type=EVENT_STREAM,
    ),
    Operation(
        "follow_overview", "GET", "/overview/stream", pulse, None,
        query=PulseQuery, is_response=True, media_type=EVENT_STREAM,
    ),
)  # fmt: skip
