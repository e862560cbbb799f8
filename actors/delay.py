"""The delay scheduler: keeps delayed messages in its journal and publishes each to its exchange when it is due.

A little before its time a message is read back from disk and its departure announced in the journal, so that no sync
stands between the moment it is due and the moment it leaves. Where it goes is its exchange's business. Due times are
wall-clock times, looked at in every round; between announcement and departure the clock that never steps decides.

Fails with: DiskFault (its journal), assertions (ours; the next life replays the journal and sends again).
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Final, final

import msgspec

from posthouse.actors import delay_records as records
from posthouse.actors.actor import Context
from posthouse.actors.delay_bodies import Body, joined
from posthouse.actors.delay_burials import TIMER as BURIALS
from posthouse.actors.delay_burials import DelayBurials
from posthouse.actors.delay_figures import DelayFigures
from posthouse.actors.delay_journal import DelayJournal
from posthouse.actors.delay_moves import Move, grouped
from posthouse.actors.delay_records import Kind
from posthouse.actors.delay_repeats import DelayRepeats
from posthouse.actors.delay_requests import DelayRequests
from posthouse.actors.delay_state import DelayState
from posthouse.supervisor import control_messages as control
from posthouse.supervisor.meter import Meter
from posthouse.transport import messages
from posthouse.transport.batch import check_batch, check_readable, durability_of
from posthouse.transport.errors import (
    ActorDown,
    DiskSpaceLow,
    HoldFull,
    PreconditionFailed,
    QueueFull,
    Refused,
    UnknownExchange,
)
from posthouse.transport.links import Arrived, Link
from posthouse.transport.messages import (
    Batch,
    Durability,
    Message,
    Receipt,
    StoreNote,
    TopologyChange,
    WatchTopology,
)
from posthouse.transport.messages_delay import Scheduled
from posthouse.transport.messages_recurring import RecurringMessage
from posthouse.transport.names import REGISTRY, actor_of_exchange

DEFAULT_EXCHANGE: Final = ""
HORIZON_MS: Final = 8_192
"""Messages due within this time are lined up, and their bodies fetched."""

LINE_MESSAGES_MAX: Final = 16_384
LINE_UP_MAX: Final = 256
ROUND_MESSAGES_MAX: Final = 2_000
FETCH_RECORDS_MAX: Final = 8
"""Records read ahead in one round: about a millisecond, so that what is due is not late."""

LEAD_MIN_MS: Final = 10
LEAD_MAX_MS: Final = 20
"""What is due within the shorter time is announced, together with all that is due within the longer."""

SETTLED_WORD_MS: Final = 50
"""What exchanges have settled is journaled this much later at most, together with other things that are."""

CLOCK_LOOK_MS: Final = 100  # A wall clock that was set forward tells nobody.
RETRY_MS: Final = 5_000
TRY_AGAIN: Final = frozenset(
    {ActorDown.code, DiskSpaceLow.code, HoldFull.code, QueueFull.code, "unavailable", "not_done"}
)
"""Refusals that time may mend. After any other the message goes to the dead letters."""

DISK_LOOK_MS: Final = 1_000


@final
@dataclass(frozen=True)
class DelayLimits:
    """`fire_per_s_max` bounds the pace at which everything due leaves, above all what became due while nobody was
    there. Bodies beyond `memory_bytes_max` are read when they are due. With less than `disk_free_bytes_min` left on
    the disk nothing new is taken. A journal over `compact_bytes_min` is relieved of old segments in which little waits.
    """

    fire_per_s_max: int = 50_000
    memory_bytes_max: int = 32 * 1024 * 1024
    disk_free_bytes_min: int = 64 * 1024 * 1024
    compact_bytes_min: int = 64 * 1024 * 1024


@final
class DelayActor:
    """The one scheduler of a broker."""

    def __init__(self, context: Context, limits: DelayLimits) -> None:
        self._context = context
        self._limits = limits
        self._state = DelayState()
        self._journal = DelayJournal(context, self._state, limits.compact_bytes_min)
        self._requests = DelayRequests(context, self._state, self._journal)
        self._burials = DelayBurials(context, self._state, self._journal)
        self._repeats = DelayRepeats(context, self._state, self._check_new)
        self._registry = context.connect(REGISTRY, survives=False)
        self._exchanges: set[str] | None = None
        self._internal: set[str] = set()
        self._links: dict[str, Link] = {}
        self._leaving: list[tuple[int, int, Move, bytes]] = []
        self._announced = 0
        self._ended: list[Move] = []
        self._fired: list[tuple[int, int, int]] = []
        self._fired_ms = 0
        self._line: list[int] = []
        self._tokens = float(self._burst)
        self._tokens_ms = 0
        self._is_disk_low = False
        self._figures = DelayFigures(context.meter, self._state)

    @property
    def _burst(self) -> int:
        return max(1, self._limits.fire_per_s_max // 10)

    # ---- life ----

    def start(self) -> None:
        replay = self._state.replay
        for chunk in self._context.journal.replay_chunks():
            for record in chunk:
                replay.record(record.position, record.kind, record.payload)
        self._state.rebuilt()
        self._burials.start()
        self._look_at_disk()
        # A crash between announcement and departure: not early now, and not for ever if the clock was set back.
        now_ms = self._context.wall_ms
        latest_ms = max((move.due_ms for move in self._state.contents.moves), default=now_ms)
        leaves_ms = self._context.monotonic_ms + min(max(0, latest_ms - now_ms), LEAD_MAX_MS)
        for move in self._state.contents.moves:
            self._pack(move, self._journal.bodies_of(move.ids), leaves_ms)

    def receive(self, arrived: Arrived, message: Message, raw: msgspec.Raw) -> None:
        if type(message) is Batch:
            self._take_in(arrived.link, message, raw)
        elif isinstance(message, Receipt) and self._links.get(_exchange_of(arrived.link)) is arrived.link:
            for move in self._state.contents.moves.within(message.stream, message.first_seq, message.count):
                move.refusal = None if message.code is None else (message.code, message.text)
        elif isinstance(message, StoreNote) and self._burials.owns(arrived.link):
            self._burials.noted(message)
        elif isinstance(message, TopologyChange) and arrived.link is self._registry:
            self._learn(message)
        elif isinstance(message, RecurringMessage):
            self._repeats.receive(arrived.link, message)
        else:
            self._requests.receive(arrived.link, message)

    def link_opened(self, link: Link) -> None:
        if link is self._registry:
            self._context.send(link, WatchTopology(1))

    def link_ended(self, link: Link, abandoned: list[Any]) -> None:
        """Exchanges that come back get everything unsettled again; who asked and left gets no answer."""
        if self._burials.owns(link) and abandoned:
            self._burials.abandoned(abandoned)

    def settled(self, link: Link, contexts: list[Any]) -> None:
        if self._burials.owns(link):
            self._burials.settled(contexts)
        else:
            self._ended += contexts

    def wake(self, key: str) -> None:
        """What is due is looked at in every round."""
        if key == "disk":
            self._look_at_disk()
        elif key == BURIALS:
            self._burials.wake()

    def noticed(self, message: control.FromSupervisor) -> None:
        """Where others live is the links' business."""

    def measure(self, meter: Meter) -> None:
        self._figures.show(self._context.wall_ms)

    def finish_round(self) -> None:
        self._repeat()
        self._announce()
        self._depart()
        self._finish_moves()
        self._burials.finish_round()
        is_fetching = self._fetch()
        if self._context.journal.segment_is_full:
            self._write_fired()
            self._journal.tidy()
        self._arm(self._journal.keep_some() or is_fetching)

    def _look_at_disk(self) -> None:
        self._is_disk_low = self._context.journal.free_bytes() < self._limits.disk_free_bytes_min
        self._context.set_timer("disk", self._context.monotonic_ms + DISK_LOOK_MS)

    # ---- messages in ----

    def _take_in(self, link: Link, batch: Batch, raw: msgspec.Raw) -> None:
        context, state = self._context, self._state
        try:
            check_batch(batch, context.limits)
            check_readable(batch)
            self._check_room()
            admission = state.admit(batch, context.wall_ms)
        except Refused as error:
            context.send(link, StoreNote(batch.stream, batch.first_seq, batch.count, error.code, str(error)))
            return
        first_id = admission.first_id
        if admission.batch is not None:
            stored: msgspec.Raw | bytes = raw
            if admission.batch is not batch:
                stored, first_id = messages.encode(admission.batch), 0
            parts = records.encode_store(admission.first_id, memoryview(stored))
            is_durable = durability_of(batch) == Durability.SYNC
            position = context.append(Kind.STORE, *parts, is_durable=is_durable)
            has_room = state.bodies.size < self._limits.memory_bytes_max
            wanted_until_ms = context.wall_ms + (HORIZON_MS if has_room else 0)
            state.store(admission, len(parts[1]), position, wanted_until_ms)
        context.send(link, Scheduled(batch.stream, batch.first_seq, batch.count, first_id))

    def _check_room(self) -> None:
        if self._is_disk_low:
            minimum = self._limits.disk_free_bytes_min
            raise DiskSpaceLow(f"the broker's disk has less than {minimum} bytes free; make room")

    def _check_new(self, exchange: str) -> None:
        """Refuse a schedule whose messages no publisher could publish."""
        self._check_room()
        if self._exchanges is not None and exchange not in self._exchanges:
            raise UnknownExchange(f"there is no exchange {exchange!r}; declare it first")
        if exchange in self._internal:
            raise PreconditionFailed(f"exchange {exchange!r} is internal: publish to an exchange that is bound to it")

    # ---- messages out ----

    def _repeat(self) -> None:
        """The messages that schedules have for what is due soon come to be, just before they are announced."""
        now_ms, next_ms = self._context.wall_ms, self._state.contents.schedules.next_due()
        if 0 < next_ms <= now_ms + LEAD_MIN_MS:
            self._repeats.come_to_be(now_ms + LEAD_MAX_MS, self._tokens_now())

    def _announce(self) -> None:
        """What is due soon gets its numbers, and the journal hears of it."""
        state, now_ms = self._state, self._context.wall_ms
        next_ms = state.next_due()
        if not (0 < next_ms <= now_ms + LEAD_MIN_MS or state.has_turn_waiting):
            return
        count_max = min(self._tokens_now(), ROUND_MESSAGES_MAX)
        due = state.take_due(now_ms + LEAD_MAX_MS, count_max) if count_max else []
        self._tokens -= len(due)
        bodies = self._journal.bodies_of([message_id for message_id, _ in due])
        timed = [(one, max(due_ms, now_ms), body) for (one, due_ms), body in zip(due, bodies, strict=True)]
        self._write_fired()
        for due_ms, ids, group in grouped(timed):
            leaves_ms = self._context.monotonic_ms + due_ms - now_ms
            new_stream = self._context.random.getrandbits(62) | 1
            move = state.announce(due_ms, ids, group[0], leaves_ms, new_stream)
            self._context.append(Kind.FIRE, records.encode(move.record()))
            self._pack(move, group, leaves_ms)

    def _tokens_now(self) -> int:
        now_ms = self._context.monotonic_ms
        gained = (now_ms - self._tokens_ms) * self._limits.fire_per_s_max / 1000
        self._tokens = min(float(self._burst), self._tokens + gained)
        self._tokens_ms = now_ms
        return int(self._tokens)

    def _pack(self, move: Move, bodies: list[Body], leaves_ms: int) -> None:
        self._announced += 1
        encoded = joined(bodies, move.stream, move.first_seq, move.due_ms)
        heapq.heappush(self._leaving, (leaves_ms, self._announced, move, encoded))

    def _depart(self) -> None:
        leaving, now_ms, wall_ms = self._leaving, self._context.monotonic_ms, self._context.wall_ms
        while leaving and leaving[0][0] <= now_ms:
            if leaving[0][0] == now_ms and wall_ms < leaving[0][2].due_ms:
                break  # Milliseconds of the two clocks do not begin together.
            _, _, move, encoded = heapq.heappop(leaving)
            if self._exchanges is not None and move.exchange not in self._exchanges:
                self._strand(move)
                continue
            link = self._links.get(move.exchange)
            if link is None:
                link = self._links[move.exchange] = self._context.connect(actor_of_exchange(move.exchange))
            self._context.forward(link, encoded, len(encoded), len(move.ids), move)
            self._figures.left(move, wall_ms)

    def _strand(self, move: Move) -> None:
        move.refusal = (UnknownExchange.code, f"exchange {move.exchange!r} was deleted")
        self._ended.append(move)

    def _finish_moves(self) -> None:
        """The exchanges have settled these: journal what became of them. A lost word costs a repetition, no more."""
        ended, self._ended = self._ended, []
        contents = self._state.contents
        for move in ended:
            if contents.moves.get(*move.key) is not move:
                continue
            if move.refusal is None:
                self._fired.append((*move.key, len(move.ids)))
                contents.fired(move)
            elif move.refusal[0] in TRY_AGAIN:
                due_ms = self._context.wall_ms + RETRY_MS
                returned = records.Returned(*move.key, due_ms)
                self._context.append(Kind.RETURNED, records.encode(returned), is_durable=False)
                self._state.returned(move, due_ms)
            else:
                self._fail(move, *move.refusal)
        if not self._fired:
            self._fired_ms = self._context.monotonic_ms
        elif self._context.monotonic_ms >= self._fired_ms + SETTLED_WORD_MS:
            self._write_fired()

    def _fail(self, move: Move, code: str, text: str) -> None:
        self._context.append(Kind.FAILED, records.encode(records.Failed(*move.key, code, text)), is_durable=False)
        failed = self._state.contents.failed(move, code, text)
        self._burials.refused(failed.dead, code, text)
        if failed.superseded:
            self._context.append(Kind.CANCELLED, records.encode(failed.superseded), is_durable=False)
            for message_id in failed.superseded:
                self._state.cancel(message_id)

    def _write_fired(self) -> None:
        """Before anything that these messages stood in is let go of, or they would be there again after a crash."""
        if self._fired:
            self._context.append(Kind.FIRED, records.encode(self._fired), is_durable=False)
            self._fired.clear()
            self._fired_ms = self._context.monotonic_ms

    # ---- what comes next ----

    def _fetch(self) -> bool:
        """Line up some of what is near, or read ahead some bodies of the line; True when there is more to do.

        A few in each round, so that what is due meanwhile is not late; and not before half of the line has left, so
        that many messages of one record are read together.
        """
        journal, line = self._journal, self._line
        if not journal.is_reading_ahead and (line or 2 * self._state.lined_up <= LINE_MESSAGES_MAX):
            horizon_ms = self._context.wall_ms + HORIZON_MS
            ids = self._state.line_up(horizon_ms, LINE_UP_MAX, LINE_MESSAGES_MAX)
            line += ids
            if len(ids) == LINE_UP_MAX and len(line) < LINE_MESSAGES_MAX:
                return True
            journal.begin_to_read(line)
            line.clear()
        return journal.read_ahead(FETCH_RECORDS_MAX, self._limits.memory_bytes_max)

    def _arm(self, is_fetching: bool) -> None:
        """Come back when something is to be announced, lined up, sent or fetched."""
        context = self._context
        now_ms = context.wall_ms
        due_ms = self._state.next_due()
        waits: list[int] = []
        if due_ms:
            lead_ms = LEAD_MIN_MS if due_ms <= now_ms + HORIZON_MS else HORIZON_MS
            waits += [max(1, due_ms - lead_ms - now_ms), CLOCK_LOOK_MS]
        repeats_ms = self._state.contents.schedules.next_due()
        if repeats_ms:
            waits += [max(1, repeats_ms - LEAD_MIN_MS - now_ms), CLOCK_LOOK_MS]
        if self._state.has_turn_waiting:
            waits.append(1)
        if self._leaving:
            waits.append(max(0, self._leaving[0][0] - context.monotonic_ms))
        if is_fetching:
            waits.append(0)
        if self._fired:
            waits.append(SETTLED_WORD_MS)
        if waits:
            context.set_timer("due", context.monotonic_ms + min(waits))

    # ---- topology ----

    def _learn(self, change: TopologyChange) -> None:
        """Which exchanges there are. What is on its way to one that is gone has failed."""
        if change.is_snapshot or self._exchanges is None:
            self._internal.clear()
            self._exchanges = {DEFAULT_EXCHANGE}  # A snapshot does not name it: it is always there.
        self._exchanges.update(spec.name for spec in change.put_exchanges)
        self._exchanges.difference_update(change.drop_exchanges)
        self._internal.update(spec.name for spec in change.put_exchanges if spec.internal)
        self._internal.intersection_update(self._exchanges)
        for exchange in [name for name in self._links if name not in self._exchanges]:
            for move in self._context.disconnect(self._links.pop(exchange)):
                self._strand(move)
            self._state.contents.moves.forget_lanes(exchange)


def _exchange_of(link: Link) -> str:
    return link.target.partition(":")[2]
