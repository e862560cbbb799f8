"""The delay scheduler's decisions: what it takes, what falls due, what becomes of what it has sent.

It promises that a message leaves at its time and never before, the oldest first; that each leaves once, whatever it
was cancelled, moved or replaced by in between; and that counts, cancelling and finding cost nothing that grows with
the number of messages. It must not know of clocks, sockets or files: `now_ms` comes in, and the shell reads bodies.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple, final

from posthouse.actors.delay_bodies import Bodies, Body
from posthouse.actors.delay_contents import DelayContents
from posthouse.actors.delay_ledger import BURYING, FAILED, FIRING, GONE
from posthouse.actors.delay_moves import Move
from posthouse.actors.delay_records import Mark, Occurred
from posthouse.actors.delay_replay import DelayReplay
from posthouse.actors.timetable import Timetable
from posthouse.transport.batch import due_of, slice_batch
from posthouse.transport.errors import InvalidArgument, UnknownDelayed
from posthouse.transport.limits import DELAY_MS_MAX, SCHEDULE_KEY_BYTES_MAX
from posthouse.transport.messages import Batch

ON_WAY_MAX: Final = 8_192
"""Messages on their way to one exchange. What more is due waits its turn here, and holds up no other exchange."""

OCCURRED_BYTES_MAX: Final = 4 * 1024 * 1024
"""While bodies in memory are fewer, that of a schedule's message is not read back from the journal."""


WHY_NOT: Final = {
    GONE: "it never did, was published, became a dead letter or was cancelled",
    FIRING: "it is being published at this moment",
    BURYING: "it was refused, and is on its way to the dead letters",
}


@final
class Admission(NamedTuple):
    """What becomes of a batch. `batch` None: all of it was here before. `first_id` 0: nobody remembers its id."""

    first_id: int
    batch: Batch | None = None
    dues: array[int] | None = None


@final
class DelayState:
    """The state machine of the scheduler. `replay` rebuilds it from the journal; then `rebuilt` before all else."""

    __slots__ = ("_parked", "_timetable", "bodies", "contents", "ledger", "replay")

    def __init__(self) -> None:
        self.contents = DelayContents()
        self.ledger = self.contents.ledger
        self.replay = DelayReplay(self.contents)
        self.bodies = Bodies()
        self._timetable = Timetable(self._is_current)
        self._parked: dict[int, deque[tuple[int, int]]] = {}

    def _is_current(self, message_id: int, due: int) -> bool:
        return self.ledger.due(message_id) == due

    def rebuilt(self) -> None:
        """The journal was replayed: put everything that waits into the timetable."""
        self.replay.finish()
        self.contents.schedules.rebuilt()
        add = self._timetable.add
        for message_id, due, _ in self.ledger.entries():
            if due > 0:
                add(message_id, due)

    # ---- messages come in ----

    def admit(self, batch: Batch, now_ms: int) -> Admission:
        """Check a delayed batch and give it ids. Raises InvalidArgument; changes nothing until `store`."""
        options = batch.options
        if options is None or options.deliver_at_ms is None:
            raise InvalidArgument("the scheduler takes delayed messages only; this one says no deliver_at_ms")
        key = options.schedule_key
        if key is not None:
            if batch.count != 1:
                raise InvalidArgument(f"{batch.count} messages share a schedule_key; send each in a batch of its own")
            if not 0 < len(key.encode()) <= SCHEDULE_KEY_BYTES_MAX:
                raise InvalidArgument(f"a schedule_key has 1 to {SCHEDULE_KEY_BYTES_MAX} bytes")
        dues = due_of(batch)
        check_due(min(dues), now_ms)
        check_due(max(dues), now_ms)
        seen_seq = self.contents.streams.last(batch.stream)
        if batch.first_seq + batch.count - 1 <= seen_seq:
            return Admission(self.contents.recent.get((batch.stream, batch.first_seq), 0))
        if batch.first_seq <= seen_seq:
            start = seen_seq + 1 - batch.first_seq
            batch, dues = slice_batch(batch, start, batch.count), dues[start:]
        return Admission(self.contents.next_id, batch, dues)

    def store(self, admission: Admission, size: int, position: int, wanted_until_ms: int) -> None:
        """The journal holds an admitted batch at `position`.

        Bodies due until `wanted_until_ms` are kept in memory; all others may be read back from the next round on.
        """
        first_id, batch, dues = admission
        assert batch is not None
        assert dues is not None
        contents = self.contents
        contents.next_id = first_id + batch.count
        contents.streams.saw(batch.stream, batch.first_seq + batch.count - 1)
        contents.counters.accepted += batch.count
        contents.counters.accepted_bytes += size
        contents.remember(batch.stream, batch.first_seq, first_id)
        self.ledger.extend(first_id, dues, position, self.ledger.exchange_number(batch.exchange))
        assert batch.options is not None
        if batch.options.schedule_key is not None:
            before = contents.name(first_id, batch.options.schedule_key)
            if before:
                self._leave(before, contents.forget(before))
                contents.counters.replaced += 1
        near = [index for index in self._timetable.add_many(first_id, dues) if dues[index] <= wanted_until_ms]
        for index, body in zip(near, self.bodies.cut(batch, near) if near else (), strict=True):
            self.bodies.keep(first_id + index, body)

    def occurred(self, head: Occurred, batch: Batch, size: int, position: int) -> None:
        """The journal holds, at `position`, the message that a schedule has for an instant. It is due at once."""
        assert head.message_id == self.contents.next_id
        contents = self.contents
        contents.next_id += 1
        contents.counters.accepted += 1
        contents.counters.accepted_bytes += size
        dues = due_of(batch)
        self.ledger.extend(head.message_id, dues, position, self.ledger.exchange_number(batch.exchange))
        contents.schedules.owns(head.message_id, head.schedule_id)
        contents.schedules.occurred(head)
        self._timetable.add(head.message_id, dues[0])
        if self.bodies.size < OCCURRED_BYTES_MAX:
            self.bodies.keep(head.message_id, self.bodies.cut(batch, (0,))[0])

    # ---- what people ask for ----

    def find(self, scheduled_id: int, key: str | None) -> int:
        """The id of a message that waits or has failed, by id or key. Raises UnknownDelayed."""
        message_id = scheduled_id or self.contents.keys.get(key or "", 0)
        due = self.ledger.due(message_id)
        if due in WHY_NOT:
            what = f"with the id {scheduled_id}" if scheduled_id else f"with the key {key!r}"
            raise UnknownDelayed(f"no message {what} waits: {WHY_NOT[due]}")
        return message_id

    def cancel(self, message_id: int) -> None:
        """Forget a message that `find` found."""
        self._leave(message_id, self.contents.forget(message_id))
        self.contents.counters.cancelled += 1

    def reschedule(self, message_id: int, due: int) -> None:
        """Another time for a message that `find` found."""
        before = self.ledger.set(message_id, due)
        self.contents.failures.pop(message_id, None)
        if before == due:
            return
        self.bodies.take(message_id)
        self._timetable.move(message_id, max(0, before), due)

    def in_order(self, exchange: str | None) -> Iterator[tuple[int, int]]:
        """`(id, due)` of all messages, or those for one exchange: on their way, due, waiting by time, failed (0)."""
        ledger = self.ledger
        wanted = None if exchange is None else ledger.known_exchange(exchange)
        for move in self.contents.moves:
            if exchange is None or move.exchange == exchange:
                yield from ((message_id, move.due_ms) for message_id in move.ids)
        for number, parked in self._parked.items():
            if wanted is None or number == wanted:
                yield from ((message_id, due) for message_id, due in parked if self._is_current(message_id, due))
        for message_id, due in self._timetable.in_order():
            if self._is_current(message_id, due) and (wanted is None or ledger.place(message_id).exchange == wanted):
                yield message_id, due
        for message_id in self.contents.failures:
            if wanted is None or ledger.place(message_id).exchange == wanted:
                yield message_id, 0

    # ---- messages go out ----

    def next_due(self) -> int:
        """When something is due next, not later than it really is; 0 when nothing waits."""
        return self._timetable.next_due() if self.ledger.waiting else 0

    def overdue(self, now_ms: int, count_max: int) -> int:
        """How many are due and were not announced yet; about, and `count_max` at most."""
        parked = sum(map(len, self._parked.values()))
        return min(count_max, parked + self._timetable.count_due(now_ms, count_max))

    @property
    def has_turn_waiting(self) -> bool:
        """Something is due that waits for others on their way to the same exchange."""
        return any(self._has_room(number) for number in self._parked)

    @property
    def lined_up(self) -> int:
        """How many stand in the line."""
        return self._timetable.lined_up

    def line_up(self, horizon_ms: int, count_max: int, line_max: int) -> list[int]:
        """At most so many of the next messages that come near, while the line has room. Their bodies are wanted."""
        self._timetable.open_until(horizon_ms)
        return self._timetable.line_up(min(count_max, line_max - self._timetable.lined_up))

    def take_due(self, until_ms: int, count_max: int) -> list[tuple[int, int]]:
        """Take what is due until then as `(id, due)`, oldest first, but for exchanges that have enough on their way."""
        self._timetable.open_until(until_ms)
        taken: list[tuple[int, int]] = []
        coming: dict[int, int] = {}
        for number, parked in list(self._parked.items()):
            while parked and len(taken) < count_max and self._has_room(number, coming.get(number, 0)):
                message_id, due = parked.popleft()
                if self._is_current(message_id, due):
                    taken.append((message_id, due))
                    coming[number] = coming.get(number, 0) + 1
                else:
                    self._timetable.dropped(message_id, due)
            if not parked:
                del self._parked[number]
        for message_id, due in self._timetable.take_due(until_ms, count_max - len(taken)):
            number = self.ledger.place(message_id).exchange
            if number in self._parked or not self._has_room(number, coming.get(number, 0)):
                self._parked.setdefault(number, deque()).append((message_id, due))
            else:
                taken.append((message_id, due))
                coming[number] = coming.get(number, 0) + 1
        return taken

    def _has_room(self, number: int, coming: int = 0) -> bool:
        return self.contents.moves.on_way_to(self.ledger.exchange_name(number)) + coming < ON_WAY_MAX

    def announce(self, due_ms: int, ids: list[int], body: Body, leaves_ms: int, new_stream: int) -> Move:
        """These messages leave as one batch; the caller journals the move's record and sends it then."""
        move = self.contents.moves.number(body.template.exchange, due_ms, ids, leaves_ms, new_stream)
        self.contents.moves.add(move)
        for message_id in ids:
            self.ledger.set(message_id, FIRING)
        return move

    def returned(self, move: Move, due_ms: int) -> None:
        """The exchange could not take it now."""
        self.contents.returned(move, due_ms)
        for message_id in move.ids:
            self._timetable.move(message_id, 0, due_ms)

    # ---- the journal ----

    def mark(self) -> Mark:
        return self.contents.mark()

    def live_bytes(self) -> int:
        """What of the journal is still needed, estimated by the average of all messages."""
        counters = self.contents.counters
        return counters.accepted_bytes * self.ledger.live // max(1, counters.accepted)

    def due_or_failed(self, message_id: int) -> int:
        """What a KEPT record says of a message: its due time, or 0 when it has failed."""
        due = self.ledger.due(message_id)
        return 0 if due in (FAILED, BURYING) else due

    def _leave(self, message_id: int, before: int) -> None:
        self.bodies.take(message_id)
        if before > 0:
            self._timetable.left(before)


def check_due(due_ms: int, now_ms: int) -> None:
    """Raise InvalidArgument for a time that nobody can mean. One that has passed is due at once."""
    if not 0 < due_ms <= now_ms + DELAY_MS_MAX:
        raise InvalidArgument(
            f"deliver_at_ms is {due_ms}, in milliseconds since 1970; it lies after 1970 and at most a century from now"
        )
