"""A broker for the pages without a process: it answers what pages ask with a test's values, and notes what is asked.

It does not simulate a broker: nothing that is done to it changes what it answers next.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast, final

import msgspec
from starlette.types import ASGIApp

from posthouse.admin import Looked
from posthouse.dead_letter_requests import DeadLetter, FailedAttempt
from posthouse.delayed import Scheduled
from posthouse.held_requests import HeldMessage
from posthouse.message import Slice
from posthouse.receipt import PublishReceipt
from posthouse.recurring import Recurring
from posthouse.transport.descriptions import ConsumerInfo, ExchangeInfo, QueueInfo
from posthouse.transport.errors import PosthouseError
from posthouse.transport.explanation import ExplainedBinding, Explanation
from posthouse.transport.messages import Batch, BindingSpec
from posthouse.transport.messages_alerts import Alert, AlertList, AlertRule, AlertTarget, Silence
from posthouse.transport.messages_dead import Cause, DeadLetterStoreInfo, RedriveInfo
from posthouse.transport.messages_delay import DelayInfo
from posthouse.transport.messages_hold import HoldInfo
from posthouse.transport.messages_monitor import ActorReading, BrokerEvent, Machine, Overview, Point
from posthouse.transport.messages_sessions import ConnectionInfo, SessionInfo
from posthouse.web.app import make_app
from posthouse.web.connection import Connection
from posthouse.web.request_context import Web
from tests.support.web_client import SETTINGS

NOW_MS: Final = 1_796_000_000_000
NOW: Final = datetime.fromtimestamp(NOW_MS / 1000, UTC)
HOSTILE: Final = "<script>alert('x')</script>\"&\u202e"
"""A name as somebody would choose it who wants a page to do something else."""


def looked(body: bytes, *, size: int | None = None, place: str = "ready", offset: int = 1) -> Looked:
    """A message as `broker.admin.look` tells it, with hostile words wherever a publisher may put some."""
    batch = Batch(
        exchange=HOSTILE,
        routing_key=HOSTILE,
        stream=7,
        first_seq=1,
        count=1,
        published_ms=NOW_MS - 5_000,
        headers=msgspec.Raw(msgspec.msgpack.encode({HOSTILE: HOSTILE})),
        lengths=memoryview(len(body).to_bytes(4, "little")),
        bodies=memoryview(body),
        properties=memoryview(msgspec.msgpack.encode([(HOSTILE, None)])),
    )
    message = Slice(batch, offset, 2, 0).messages(None)[0]
    since = NOW - timedelta(seconds=90) if place == "unacked" else None
    whole = len(body) if size is None else size
    return Looked(message=message, size=whole, place=place, client=HOSTILE, consumer=1, since=since)


def queue_reading(name: str, **values: float) -> ActorReading:
    """A queue as the monitor tells it."""
    rates = {"stored": 12.5, "acked": 11.0}
    return ActorReading(
        id=f"queue:{name}", kind="queue", name=name, group="queues", state="up", generation=3, pid=77,
        started_at=NOW_MS / 1000 - 60, values={"ready": 4.0, "journal_segments": 1.0, **values}, rates=rates,
    )  # fmt: skip


OVERVIEW: Final = Overview(
    at_ms=NOW_MS,
    data="/data/of/a/broker",
    pid=4711,
    started_at=NOW_MS / 1000 - 3_600,
    machine=Machine(cores=2, load=1.0, memory_bytes=100, memory_free_bytes=50, disk_bytes=100, disk_free_bytes=4),
    actors=[
        ActorReading(id="registry", kind="registry", group="broker", state="up"),
        ActorReading(id="dead-letter", kind="dead-letter", group="stores", state="up", values={"letters": 2.0}),
        ActorReading(id="exchange:x", kind="exchange", name="x", group="exchanges", state="up", values={"held": 3.0}),
        queue_reading(HOSTILE, oldest_ready_age_seconds=12.0),
        ActorReading(
            id="queue:sick", kind="queue", name="sick", group="queues", state="quarantined", restarts=6,
            last_exit="ended with exit code 20",
        ),
    ],
    history=[Point(at_ms=NOW_MS - 1000 * n, published=float(n)) for n in range(10)],
    standing=[BrokerEvent(number=1, at_ms=NOW_MS, kind="stuck", actor=HOSTILE, severity="error", text=HOSTILE)],
)  # fmt: skip

LETTER: Final = DeadLetter(
    id=17, reason="rejected", queue=HOSTILE, exchange=HOSTILE, routing_key=HOSTILE, message_id=HOSTILE, attempt=2,
    first_at=NOW, last_at=NOW, fingerprint=HOSTILE, cause=HOSTILE, body=HOSTILE.encode(), headers={HOSTILE: 1},
    history=[FailedAttempt(1, NOW, HOSTILE, "reject", HOSTILE, HOSTILE, f"Traceback\n{HOSTILE}")],
)  # fmt: skip

ANSWERS: Final[dict[str, Any]] = {
    "overview": OVERVIEW,
    "events": OVERVIEW.standing,
    "queue_info": QueueInfo(name=HOSTILE, ready=4, unacked=1, bytes=50),
    "look": [looked(HOSTILE.encode()), looked(b"\xff\x00", place="unacked", offset=2)],
    "consumers": [
        ConsumerInfo(
            queue=HOSTILE, consumer=1, client=HOSTILE, prefetch=10, unacked=1, auto_ack=False, is_active=True
        )
    ],
    "connections": [
        ConnectionInfo(
            client_id=1, client=HOSTILE, via="door", state="silent", program=HOSTILE, host=HOSTILE, remote=HOSTILE,
            since_ms=NOW_MS - 60_000, received=7, sent=9,
            sessions=(
                SessionInfo(actor="registry", client_id=1, client=HOSTILE),
                SessionInfo(actor=f"queue:{HOSTILE}", client_id=1, client=HOSTILE),
            ),
        )
    ],
    "bindings": [
        BindingSpec(source="x", destination=HOSTILE, key=HOSTILE, arguments={HOSTILE: HOSTILE}),
        BindingSpec(source=HOSTILE, destination="x", to_exchange=True),
    ],
    "exchanges": [
        ExchangeInfo(name=HOSTILE, kind="topic", held=3, unrouted="hold"),
        ExchangeInfo(name="x", kind="direct"),
    ],
    "explain": Explanation(
        exchange="x", routing_key=HOSTILE, queues=[HOSTILE], unrouted=None, notes=[HOSTILE], matched_count=1,
        unmatched_count=5, unmatched=[],
        matched=[
            ExplainedBinding(
                source="x", destination=HOSTILE, to_exchange=False, key=HOSTILE, arguments=None, reason=HOSTILE
            )
        ],
    ),
    "causes": [
        Cause(
            fingerprint=HOSTILE, cause=HOSTILE, count=2, queues=(HOSTILE,), reasons=("rejected",), first_ms=NOW_MS,
            last_ms=NOW_MS,
        )
    ],
    "get": LETTER,
    "redrive": RedriveInfo(id=5, state="running", matched=2),
    "redrive_status": RedriveInfo(id=5, state="running", matched=2, moved=1, remaining=1, text=HOSTILE),
    "redrive_stop": RedriveInfo(id=5, state="stopped", matched=2),
    "redrive_undo": RedriveInfo(id=5, state="stopped", matched=2, taken_back=1),
    "info": DelayInfo(waiting=1, next_due_ms=NOW_MS + 60_000),
    "recurring": [
        Recurring(
            schedule_id="1", key=HOSTILE, exchange=HOSTILE, routing_key=HOSTILE, size=1, every_s=30.0, cron=None,
            zone=None, start_at=None, until=None, max_count=None, misfire="once", next_at=(NOW,), fired=2,
            is_paused=False, problem=HOSTILE,
        )
    ],
    "publish": PublishReceipt(queues=["newark"], durability="sync"),
    "purge_queue": 4,
    "release": 3,
    "expire": 3,
    "unsilence": True,
    "test": [],
}  # fmt: skip

LISTS: Final[dict[str, Any]] = {
    "dead_letters": [LETTER],
    "delayed": [
        Scheduled(
            scheduled_id="9", schedule_key=HOSTILE, exchange=HOSTILE, routing_key=HOSTILE, size=3,
            deliver_at=NOW + timedelta(minutes=1), state="failed", text=HOSTILE,
        )
    ],
    "held": [
        HeldMessage(
            number=1, exchange=HOSTILE, routing_key=HOSTILE, message_id=HOSTILE, held_at=NOW, until=NOW, size=3
        )
    ],
    "alerts": AlertList(
        at_ms=NOW_MS,
        alerts=[
            Alert(rule=HOSTILE, subject=HOSTILE, severity="critical", text=HOSTILE, since_ms=NOW_MS),
            Alert(rule="r", subject=HOSTILE, state="resolved", text=HOSTILE, resolved_ms=NOW_MS),
        ],
        silences=[Silence(number=1, comment=HOSTILE, until_ms=NOW_MS + 1_000)],
        targets=[AlertTarget(name=HOSTILE, where=HOSTILE, error=HOSTILE, attempts=3, next_ms=NOW_MS)],
        rules=[AlertRule(name="oldest-ready", kind="level", condition=HOSTILE)],
    ),
}  # fmt: skip

STATUSES: Final[dict[str, Any]] = {
    "dead_letters": DeadLetterStoreInfo(
        messages=2, leaving=0, bytes=9, messages_max=10, bytes_max=99, is_full=True, buried=2, redriven=0, purged=0,
        refused=0,
    ),
    "held": HoldInfo(exchange=HOSTILE, messages=3, bytes=9, messages_max=10, bytes_max=99, hold_for_ms=60_000),
}  # fmt: skip


@final
class PageBroker:
    """It is its own connection, and its own `delayed`, `held` and so on: what is asked is told by `room`."""

    def __init__(self, answers: dict[str, Any] | None = None, room: str = "", owner: PageBroker | None = None) -> None:
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [] if owner is None else owner.asked
        self.answers = answers if answers is not None else dict(ANSWERS)
        self._room = room

    def __getattr__(self, name: str) -> Any:
        if name in ("admin", "alerts", "dead_letters", "delayed", "held", "monitor"):
            return PageBroker(self.answers, name, self)

        async def answer(*given: Any, **named: Any) -> Any:
            self.asked.append((f"{self._room}.{name}".lstrip("."), given, named))
            by_room = {"list": LISTS, "status": STATUSES}.get(name, {})
            found = self.answers.get(f"{self._room}.{name}", by_room.get(self._room, self.answers.get(name)))
            if isinstance(found, PosthouseError):
                raise found
            return found

        return answer

    async def broker(self) -> PageBroker:
        return self

    async def close(self) -> None: ...


def app_of(broker: PageBroker) -> ASGIApp:
    """The web application in front of it."""
    return make_app("", SETTINGS, Web(cast("Connection", broker), SETTINGS))
