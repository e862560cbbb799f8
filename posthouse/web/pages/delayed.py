"""Delayed messages on an axis of time, and schedules that recur."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, final

from posthouse.delayed import LIST_MESSAGES_MAX, Scheduled
from posthouse.recurring import Recurring
from posthouse.web.pages.drawing import Column, columns
from posthouse.web.pages.fields import Fields
from posthouse.web.pages.frame import Done
from posthouse.web.pages.listing import Listing
from posthouse.web.pages.visit import Visit
from posthouse.web.pages.words import When, duration, moment, when, when_ms

COLUMNS: Final = 60
_STEPS_S: Final = (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200, 86_400, 604_800, 2_592_000)


@final
class Axis(NamedTuple):
    """How many messages are due when. `ticks` are the moments at its ends and in between."""

    columns: list[Column]
    ticks: list[str]
    text: str


@final
class DelayedRow(NamedTuple):
    """One message. `day` is a heading where another day begins."""

    message: Scheduled
    due: When | None
    clock: str
    local: str
    day: str


@final
class RecurringRow(NamedTuple):
    """One schedule."""

    schedule: Recurring
    rule: str
    next: When | None
    state: str


async def view(visit: Visit) -> Mapping[str, Any]:
    """What the template shows."""
    broker, snapshot = await visit.broker(), await visit.snapshot()
    exchange = visit.query.line("exchange")
    info = await broker.delayed.info()
    found = await broker.delayed.list(exchange, limit=LIST_MESSAGES_MAX)
    sorts: dict[str, Callable[[tuple[int, Scheduled]], int]] = {"due": lambda pair: pair[0]}
    listing = Listing(
        "/delayed",
        visit.query,
        list(enumerate(found)),
        sorts,
        rising=frozenset(sorts),
        kept={"exchange": exchange or ""},
    )
    return {
        "info": info,
        "axis": axis(found, snapshot.now_ms / 1000),
        "list": listing,
        "rows": rows([message for _, message in listing.rows], snapshot.now_ms),
        "exchange": exchange or "",
        "is_cut": len(found) == LIST_MESSAGES_MAX,
        "next_due": when_ms(info.next_due_ms, snapshot.now_ms) if info.next_due_ms else None,
        "recurring": [recurring_row(one, snapshot.now_ms) for one in await broker.delayed.recurring()],
    }


def axis(messages: Sequence[Scheduled], now_s: float) -> Axis | None:
    """From now to the last of them, in steps that people know; None when there are none."""
    due = [message.deliver_at.timestamp() for message in messages if message.deliver_at is not None]
    if not due:
        return None
    step: float = next((step for step in _STEPS_S if (max(due) - now_s) / step <= COLUMNS), 0)
    step = step or (max(due) - now_s) / COLUMNS
    start = min(min(due), now_s) // step * step
    count = max(1, min(COLUMNS * 2, int((max(due) - start) // step) + 1))
    edges = [start + number * step for number in range(count + 1)]
    labels = [_short(edge) for edge in edges]
    drawn = columns(due, edges, labels)
    marks = [labels[count * part // 4] for part in range(5)] if count >= 4 else [labels[0], labels[-1]]
    busiest = max(drawn, key=lambda column: column.found)
    text = f"each column is {duration(step)}; most, {busiest.found:,}, from {busiest.label} UTC on"
    return Axis(drawn, marks, text)


def _short(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%d %b %H:%M")


def rows(messages: Sequence[Scheduled], now_ms: int) -> list[DelayedRow]:
    """The messages under the days on which they are due; those that failed stand last."""
    found: list[DelayedRow] = []
    before = ""
    for message in messages:
        due = message.deliver_at
        day = "failed" if due is None or message.state == "failed" else due.strftime("%A, %d %B %Y")
        found.append(
            DelayedRow(
                message,
                None if due is None else when(due, now_ms),
                "" if due is None else due.strftime("%H:%M:%S"),
                "" if due is None else due.strftime("%Y-%m-%dT%H:%M:%S"),
                day if day != before else "",
            )
        )
        before = day
    return found


def recurring_row(schedule: Recurring, now_ms: int) -> RecurringRow:
    """A schedule in words."""
    rule = f"every {duration(schedule.every_s)}" if schedule.every_s is not None and schedule.every_s >= 1 else ""
    if not rule and schedule.every_s is not None:
        rule = f"every {schedule.every_s:g} s"
    if schedule.cron is not None:
        rule = f"{schedule.cron} · {schedule.zone or 'UTC'}"
    state = "has a problem" if schedule.problem else "paused" if schedule.is_paused else "up"
    return RecurringRow(schedule, rule, when(schedule.next_at[0], now_ms) if schedule.next_at else None, state)


# ---- actions ----


async def cancel(visit: Visit, form: Fields) -> Done:
    """Forget a message."""
    which = form.text("id")
    await (await visit.broker()).delayed.cancel(which)
    return Done("/delayed#messages", f"Message {which} is cancelled.")


async def fire(visit: Visit, form: Fields) -> Done:
    """Publish a message now."""
    which = form.text("id")
    await (await visit.broker()).delayed.fire(which)
    return Done("/delayed#messages", f"Message {which} is on its way.")


async def reschedule(visit: Visit, form: Fields) -> Done:
    """Give a message another time."""
    which, at = form.text("id"), form.moment("at")
    await (await visit.broker()).delayed.reschedule(which, at)
    return Done("/delayed#messages", f"Message {which} is due at {moment(at)}.")


async def pause(visit: Visit, form: Fields) -> Done:
    """Halt a schedule."""
    await (await visit.broker()).delayed.pause(form.text("key"))
    return Done("/delayed#recurring", f"{form.text('key')} is paused. What passes meanwhile never fires.")


async def resume(visit: Visit, form: Fields) -> Done:
    """Let a schedule go on."""
    await (await visit.broker()).delayed.resume(form.text("key"))
    return Done("/delayed#recurring", f"{form.text('key')} goes on from now.")


async def stop(visit: Visit, form: Fields) -> Done:
    """End a schedule for good."""
    await (await visit.broker()).delayed.stop(form.text("key"))
    return Done("/delayed#recurring", f"{form.text('key')} has ended.")
