"""Recurring schedules at the delay scheduler: made, listed, stopped and paused, and turned into messages in time.

A message comes to be when it would be announced anyway, in the same round and before the same sync. So a schedule costs
no more than the message it publishes, and from there on the scheduler does not know that it is a schedule's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, final

import msgspec

from posthouse.actors import delay_records as records
from posthouse.actors.actor import Context
from posthouse.actors.delay_records import Kind, Occurred, Schedule
from posthouse.actors.delay_schedules import INSTANT_HEADER, KEY_HEADER, occurrence
from posthouse.actors.delay_state import DelayState
from posthouse.actors.recurrence import MISSED_AFTER_MS, Rule, anchor_of, check_rule, next_after
from posthouse.transport import messages
from posthouse.transport.batch import check_batch, check_readable
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.limits import SCHEDULE_KEY_BYTES_MAX
from posthouse.transport.links import Link
from posthouse.transport.messages_recurring import (
    ListRecurring,
    PauseRecurring,
    RecurringInfo,
    RecurringMessage,
    Repeat,
    StopRecurring,
)
from posthouse.transport.names import check_name, decode_headers, shown

ROUND_MESSAGES_MAX: Final = 128
"""Messages that come to be in one round: a few milliseconds, so that what is due is not late."""

SHOWN_NEXT_MAX: Final = 5


@final
class DelayRepeats:
    """`check_new` refuses what cannot be taken in now: the disk is nearly full, or there is no such exchange."""

    def __init__(self, context: Context, state: DelayState, check_new: Callable[[str], None]) -> None:
        self._context = context
        self._state = state
        self._schedules = state.contents.schedules
        self._check_new = check_new

    def receive(self, link: Link, message: RecurringMessage) -> None:
        """Answer. Raises Refused; then nothing has changed."""
        context, schedules = self._context, self._schedules
        match message:
            case Repeat(request):
                context.reply(link, request, self._repeat(message))
            case ListRecurring(request, with_bodies):
                in_order = sorted(schedules, key=lambda schedule: schedule.key)
                infos = [self._info(schedule, 1, with_body=with_bodies) for schedule in in_order]
                context.reply(link, request, infos)
            case StopRecurring(request, name):
                schedule = schedules.find(name)
                context.append(Kind.STOPPED, records.encode(schedule.schedule_id))
                schedules.remove(schedule.schedule_id)
                context.reply(link, request, None)
            case PauseRecurring(request, name, is_paused):
                self._pause(schedules.find(name), is_paused)
                context.reply(link, request, None)

    def come_to_be(self, until_ms: int, tokens: int) -> None:
        """Make the messages of instants up to then, the oldest first and so many at most."""
        for _ in range(min(tokens, ROUND_MESSAGES_MAX)):
            taken = self._schedules.take(until_ms, self._context.wall_ms)
            if taken is None:
                return
            schedule, firing = taken
            batch = occurrence(schedule, firing.instant_ms)
            raw = messages.encode(batch)
            head = Occurred(self._state.contents.next_id, schedule.schedule_id, firing.passed_ms)
            position = self._context.append(Kind.OCCURRED, *records.encode_occurred(head, raw))
            self._state.occurred(head, batch, len(raw), position)

    # ---- requests ----

    def _repeat(self, asked: Repeat) -> RecurringInfo:
        new = self._asked_for(asked)
        old = self._schedules.get(new.key)
        if old is not None and _what(old) == _what(new):
            return self._info(old, SHOWN_NEXT_MAX)
        self._check_new("" if asked.is_exchange_new else new.exchange)
        check_rule(new.rule, self._context.wall_ms)
        self._schedules.check_room(new)
        if asked.is_dry_run:
            return self._info(new, 0)
        if old is None:
            new.schedule_id, new.is_paused = self._state.contents.next_id, asked.is_paused
            self._state.contents.next_id += 1
        else:
            new.schedule_id, new.failed_id = old.schedule_id, old.failed_id
            # The instant that is about to leave is not to leave again in its new shape.
            new.passed_ms = max(new.passed_ms, min(old.passed_ms, self._context.wall_ms + MISSED_AFTER_MS))
        self._journal(new)
        return self._info(new, SHOWN_NEXT_MAX)

    def _asked_for(self, asked: Repeat) -> Schedule:
        check_name("schedule", asked.key)
        if len(asked.key.encode()) > SCHEDULE_KEY_BYTES_MAX:
            raise InvalidArgument(f"a schedule's key has 1 to {SCHEDULE_KEY_BYTES_MAX} bytes")
        headers = decode_headers(asked.headers) or {}
        for name in (KEY_HEADER, INSTANT_HEADER):
            if name in headers:
                raise InvalidArgument(f"the header {shown(name)} is the scheduler's own; leave it out")
        rule = Rule(
            asked.every_ms, asked.cron, asked.zone, asked.start_ms, asked.until_ms, asked.max_count, asked.misfire
        )
        now_ms = self._context.wall_ms
        anchor_ms = anchor_of(rule, now_ms)
        raw = bytes(memoryview(asked.headers))
        schedule = Schedule(
            0, asked.key, asked.exchange, asked.routing_key, raw, bytes(asked.body), rule, anchor_ms, now_ms
        )
        sample = occurrence(schedule, now_ms)
        check_batch(sample, self._context.limits)
        check_readable(sample)
        return schedule

    def _pause(self, schedule: Schedule, is_paused: bool) -> None:
        """What passes meanwhile is not missed: it does not fire afterwards either."""
        if schedule.is_paused != is_paused:
            passed_ms = schedule.passed_ms if is_paused else max(schedule.passed_ms, self._context.wall_ms)
            self._journal(msgspec.structs.replace(schedule, is_paused=is_paused, passed_ms=passed_ms))

    def _journal(self, schedule: Schedule) -> None:
        self._context.append(Kind.SCHEDULE, records.encode(schedule))
        self._schedules.put(schedule)

    def _info(self, schedule: Schedule, next_max: int, *, with_body: bool = False) -> RecurringInfo:
        rule = schedule.rule
        problem = self._schedules.problems.get(schedule.schedule_id, "")
        is_quiet = schedule.is_paused or problem
        return RecurringInfo(
            schedule_id=schedule.schedule_id,
            key=schedule.key,
            exchange=schedule.exchange,
            routing_key=schedule.routing_key,
            size=len(schedule.body),
            every_ms=rule.every_ms,
            cron=rule.cron,
            zone=rule.zone,
            start_ms=rule.start_ms,
            until_ms=rule.until_ms,
            max_count=rule.max_count,
            misfire=rule.misfire,
            next_ms=() if is_quiet else tuple(islice(self._instants(schedule), next_max)),
            count=schedule.count,
            is_paused=schedule.is_paused,
            problem=problem,
            headers=decode_headers(msgspec.Raw(schedule.headers)) if with_body else None,
            body=schedule.body if with_body else None,
        )

    def _instants(self, schedule: Schedule) -> Iterator[int]:
        rule, left = schedule.rule, schedule.rule.max_count
        left = SHOWN_NEXT_MAX if left is None else left - schedule.count
        time_ms = self._schedules.next_ms(schedule.schedule_id) or None
        if time_ms is None:
            time_ms = next_after(rule, schedule.anchor_ms, schedule.passed_ms)
        while time_ms is not None and left > 0:
            yield time_ms
            left -= 1
            time_ms = next_after(rule, schedule.anchor_ms, time_ms)


def _what(schedule: Schedule) -> tuple[object, ...]:
    """What a user said of it. Saying it again changes nothing, so that a program may say it whenever it starts."""
    return schedule.exchange, schedule.routing_key, schedule.headers, schedule.body, schedule.rule
