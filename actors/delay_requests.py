"""What clients ask the delay scheduler: to list, cancel, put off or fire what waits."""

from __future__ import annotations

from itertools import islice
from typing import Final, final

import msgspec

from posthouse.actors import delay_records as records
from posthouse.actors.actor import Context
from posthouse.actors.delay_journal import DelayJournal
from posthouse.actors.delay_ledger import BURYING, FAILED, FIRING
from posthouse.actors.delay_records import Kind
from posthouse.actors.delay_state import DelayState, check_due
from posthouse.transport.errors import InvalidArgument, ProtocolViolation
from posthouse.transport.links import Link
from posthouse.transport.messages import Message
from posthouse.transport.messages_delay import (
    CancelDelayed,
    DelayedInfo,
    DelayInfo,
    DelayStatus,
    FireDelayed,
    ListDelayed,
    RescheduleDelayed,
)
from posthouse.transport.messages_sessions import ListSessions

LIST_MESSAGES_MAX: Final = 1_000


@final
class DelayRequests:
    """Answers, and journals what changes before the answer leaves. Raises UnknownDelayed, InvalidArgument."""

    def __init__(self, context: Context, state: DelayState, journal: DelayJournal) -> None:
        self._context = context
        self._state = state
        self._journal = journal

    def receive(self, link: Link, message: Message) -> None:
        context, state = self._context, self._state
        match message:
            case ListDelayed(request):
                context.reply(link, request, self._list(message))
            case CancelDelayed(request, scheduled_id, key):
                message_id = state.find(scheduled_id, key)
                context.append(Kind.CANCELLED, records.encode([message_id]))
                state.cancel(message_id)
                context.reply(link, request, None)
            case RescheduleDelayed(request, deliver_at_ms, scheduled_id, key):
                check_due(deliver_at_ms, context.wall_ms)
                self._reschedule(state.find(scheduled_id, key), deliver_at_ms)
                context.reply(link, request, None)
            case FireDelayed(request, scheduled_id, key):
                self._reschedule(state.find(scheduled_id, key), context.wall_ms)
                context.reply(link, request, None)
            case ListSessions(request):
                context.reply(link, request, context.sessions())
            case DelayStatus(request):
                context.reply(link, request, self._status())
            case _:
                raise ProtocolViolation(f"the delay scheduler does not understand {type(message).__name__}")

    def _reschedule(self, message_id: int, due_ms: int) -> None:
        self._context.append(Kind.RESCHEDULED, records.encode(records.Rescheduled(message_id, due_ms)))
        self._state.reschedule(message_id, due_ms)

    def _list(self, asked: ListDelayed) -> list[DelayedInfo]:
        state = self._state
        if not 1 <= asked.limit <= LIST_MESSAGES_MAX:
            raise InvalidArgument(f"limit is {asked.limit}; it is 1 to {LIST_MESSAGES_MAX}")
        if asked.schedule_key is not None:
            message_id = state.contents.keys.get(asked.schedule_key, 0)
            found = [(one, due) for one, due in state.in_order(asked.exchange) if one == message_id]
        else:
            found = list(islice(state.in_order(asked.exchange), asked.limit))
        bodies = self._journal.peek([message_id for message_id, _ in found])
        infos = []
        for (message_id, due), body in zip(found, bodies, strict=True):
            now = state.ledger.due(message_id)
            code, text = state.contents.failures.get(message_id, (None, ""))
            infos.append(
                DelayedInfo(
                    scheduled_id=message_id,
                    schedule_key=body.template.schedule_key,
                    exchange=body.template.exchange,
                    routing_key=body.template.routing_key,
                    deliver_at_ms=due,
                    size=len(body.data),
                    state="failed" if now in (FAILED, BURYING) else "firing" if now == FIRING else "waiting",
                    code=code,
                    text=text,
                )
            )
        return infos

    def _status(self) -> DelayInfo:
        ledger, counters = self._state.ledger, self._state.contents.counters
        return DelayInfo(
            waiting=ledger.waiting,
            firing=ledger.firing,
            failed=ledger.failed,
            next_due_ms=self._state.next_due(),
            journal_bytes=self._context.journal.stats().bytes,
            **{name: value for name, value in msgspec.structs.asdict(counters).items() if name != "accepted_bytes"},
        )
