"""The recurring schedules of the delay scheduler: which there are, which fires next, what each has fired.

A schedule is its rule, the message it repeats, and the time up to which its instants are done with. That time moves
only together with a message that comes to be (one journal record says both), so an instant has one message, whatever
crashes. From then on that message is like any other. No clock here, and no journal.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, final

import msgspec

from posthouse.actors.delay_records import Occurred, Schedule
from posthouse.actors.recurrence import Firing, firing, next_after
from posthouse.transport.batch import pack_lengths
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, UnknownDelayed
from posthouse.transport.limits import RECURRING_BYTES_MAX, RECURRING_MAX
from posthouse.transport.messages import Batch, Options
from posthouse.transport.names import decode_headers, encode_headers, shown

KEY_HEADER: Final = "x-schedule-key"
INSTANT_HEADER: Final = "x-scheduled-for"

ON_WAY_MAX: Final = 256
"""Messages of one schedule that have come to be and have not left. A schedule with more waits, and then misses."""


@final
class Schedules:
    """All schedules, by id and by key."""

    __slots__ = ("_by_id", "_by_key", "_is_rebuilt", "_next", "_on_way", "_owners", "_queue", "problems", "size")

    def __init__(self) -> None:
        self._by_id: dict[int, Schedule] = {}
        self._by_key: dict[str, int] = {}
        self._is_rebuilt = False
        self._next: dict[int, int] = {}
        self._queue: list[tuple[int, int]] = []
        self._owners: dict[int, int] = {}
        self._on_way: dict[int, int] = {}
        self.problems: dict[int, str] = {}
        """Schedules that cannot fire on this machine, and why: their zone is not known here any more."""
        self.size = 0

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Schedule]:
        return iter(self._by_id.values())

    def get(self, key: str) -> Schedule | None:
        return self._by_id.get(self._by_key.get(key, 0))

    def find(self, name: str) -> Schedule:
        """By key, else by id. Raises UnknownDelayed."""
        found = self.get(name)
        if found is None and name.isascii() and name.isdecimal() and len(name) < 20:
            found = self._by_id.get(int(name))
        if found is None:
            raise UnknownDelayed(f"there is no schedule {shown(name)}: it never was, was stopped, or has ended")
        return found

    def check_room(self, new: Schedule) -> None:
        """Raise PreconditionFailed when there are too many, or too large ones."""
        old = self.get(new.key)
        if old is None and len(self) >= RECURRING_MAX:
            raise PreconditionFailed(f"there are {RECURRING_MAX} schedules already; stop one first")
        size = self.size + _size(new) - (_size(old) if old is not None else 0)
        if size > RECURRING_BYTES_MAX:
            raise PreconditionFailed(
                f"all schedules together would have {size} bytes of messages, the limit is {RECURRING_BYTES_MAX}"
            )

    def rebuilt(self) -> None:
        """The journal was replayed: find out what fires when."""
        self._is_rebuilt = True
        for schedule in self:
            self._line_up(schedule)

    # ---- changes, each with its record in the journal ----

    def put(self, schedule: Schedule) -> None:
        """A schedule is new, or has changed."""
        self.remove(schedule.schedule_id)
        self._by_id[schedule.schedule_id] = schedule
        self._by_key[schedule.key] = schedule.schedule_id
        self.size += _size(schedule)
        self._line_up(schedule)

    def remove(self, schedule_id: int) -> None:
        """A schedule is gone; what has come to be of it stays."""
        schedule = self._by_id.pop(schedule_id, None)
        if schedule is not None:
            self.size -= _size(schedule)
            if self._by_key.get(schedule.key) == schedule_id:
                del self._by_key[schedule.key]
        self._next.pop(schedule_id, None)
        self.problems.pop(schedule_id, None)

    def occurred(self, head: Occurred) -> None:
        """A message came to be for an instant."""
        schedule = self._by_id.get(head.schedule_id)
        if schedule is None or head.passed_ms <= schedule.passed_ms:
            return
        schedule.passed_ms = head.passed_ms
        schedule.count += 1
        if schedule.rule.max_count is not None and schedule.count >= schedule.rule.max_count:
            self.remove(schedule.schedule_id)
        else:
            self._line_up(schedule)

    # ---- what became of its messages ----

    def failed_ids(self) -> set[int]:
        """The last message that was refused of each."""
        return {schedule.failed_id for schedule in self if schedule.failed_id}

    def owns(self, message_id: int, schedule_id: int) -> None:
        """A message of a schedule waits, or is on its way."""
        if message_id not in self._owners:
            self._owners[message_id] = schedule_id
            self._on_way[schedule_id] = self._on_way.get(schedule_id, 0) + 1

    def left(self, message_id: int) -> Schedule | None:
        """A message is gone, or has failed; returns its schedule, if it had one that is still there."""
        schedule_id = self._owners.pop(message_id, 0)
        if not schedule_id:
            return None
        count = self._on_way.pop(schedule_id) - 1
        if count:
            self._on_way[schedule_id] = count
        schedule = self._by_id.get(schedule_id)
        if schedule is not None and count == ON_WAY_MAX - 1:
            self._line_up(schedule)
        return schedule

    # ---- what fires next ----

    def next_ms(self, schedule_id: int) -> int:
        """When it fires next; 0 when it does not: paused, cannot, or waits for its earlier messages to leave."""
        return self._next.get(schedule_id, 0)

    def next_due(self) -> int:
        """When the first of all fires, perhaps long past; 0 when none does."""
        queue = self._queue
        while queue and self._next.get(queue[0][1]) != queue[0][0]:
            heapq.heappop(queue)
        return queue[0][0] if queue else 0

    def take(self, until_ms: int, now_ms: int) -> tuple[Schedule, Firing] | None:
        """The first schedule that fires up to then; None when none does.

        The caller journals the occurrence and calls `occurred` before it takes another. Schedules that have ended are
        removed on the way: without a record, since they would end again.
        """
        while 0 < self.next_due() <= until_ms:
            due_ms, schedule_id = self._queue[0]
            schedule = self._by_id[schedule_id]
            found = firing(schedule.rule, schedule.anchor_ms, schedule.passed_ms, now_ms)
            if found is None:
                self.remove(schedule_id)
            elif found.instant_ms <= until_ms:
                return schedule, found
            elif found.instant_ms == due_ms:
                return None
            else:
                self._enqueue(schedule_id, found.instant_ms)
        return None

    def _line_up(self, schedule: Schedule) -> None:
        schedule_id = schedule.schedule_id
        self._next.pop(schedule_id, None)
        if not self._is_rebuilt or schedule.is_paused or self._on_way.get(schedule_id, 0) >= ON_WAY_MAX:
            return
        try:
            found = next_after(schedule.rule, schedule.anchor_ms, schedule.passed_ms)
        except InvalidArgument as error:
            self.problems[schedule_id] = str(error)
            return
        # One that has ended is met once more, and removed then.
        self._enqueue(schedule_id, schedule.passed_ms + 1 if found is None else found)

    def _enqueue(self, schedule_id: int, due_ms: int) -> None:
        self._next[schedule_id] = due_ms
        heapq.heappush(self._queue, (due_ms, schedule_id))
        if len(self._queue) > 2 * len(self._next) + 64:
            self._queue = sorted((due, one) for one, due in self._next.items())


def occurrence(schedule: Schedule, instant_ms: int) -> Batch:
    """The message of a schedule for an instant, as a batch that is due then."""
    headers = decode_headers(msgspec.Raw(schedule.headers)) or {}
    instant = datetime.fromtimestamp(instant_ms // 1000, UTC).replace(microsecond=instant_ms % 1000 * 1000)
    headers[KEY_HEADER] = schedule.key
    headers[INSTANT_HEADER] = instant.isoformat(timespec="milliseconds")
    return Batch(
        exchange=schedule.exchange,
        routing_key=schedule.routing_key,
        stream=0,
        first_seq=1,
        count=1,
        published_ms=instant_ms,
        headers=encode_headers(headers),
        lengths=pack_lengths([len(schedule.body)]),
        bodies=memoryview(schedule.body),
        options=Options(deliver_at_ms=instant_ms),
    )


def _size(schedule: Schedule) -> int:
    return len(schedule.body) + len(schedule.headers) + len(schedule.key) + len(schedule.routing_key) + 128
