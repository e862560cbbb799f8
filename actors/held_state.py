"""What an exchange holds because no queue wanted it: in order, within bounds, until it may leave.

Pure: no clock, journal or link. A batch is held under numbers of its own and leaves in pieces: to the queues that a new
binding leads to, or to the dead letters when its time or the room is over. A piece leaves by one *road* per
destination, each a numbered stream of moves that the journal knows; when it has landed everywhere it is forgotten. A
message waits, or is in exactly one piece, or is gone.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Final, final

import msgspec

from posthouse.actors.held_batch import HEADERS_KEPT_BYTES_MAX, Group, Held, Piece
from posthouse.actors.held_records import Counters, LeavingRecord, Mark, RoadRecord
from posthouse.actors.held_seen import Seen
from posthouse.actors.move import Intent, Outbox
from posthouse.actors.stored_batch import Bytes
from posthouse.transport.messages import Batch

FOOTPRINT_BYTES: Final = 512
"""What a held batch costs in memory besides its bytes, about."""

RoadKey = tuple[str, int, bool]


@final
class Road:
    """The way to one queue, or with no name to the dead letters.

    What is in no journal travels on a stream of its own, or numbers would miss in the other one after a crash.
    `is_blocked`: nothing is offered for a while; `is_refused`: because the other end said no.
    """

    __slots__ = ("is_blocked", "is_durable", "is_refused", "outbox", "queue", "serial")

    def __init__(self, queue: str, serial: int, stream: int, *, is_durable: bool) -> None:
        self.queue = queue
        self.serial = serial
        self.is_durable = is_durable
        self.is_blocked = False
        self.is_refused = False
        self.outbox: Outbox[Piece] = Outbox(stream)


@final
class HeldState:
    """Everything one exchange holds. `messages` and `bytes` wait; `leaving` messages are in pieces."""

    def __init__(self, memory_bytes_max: int) -> None:
        self.entries: dict[int, Held] = {}
        self.waiting: dict[int, Held] = {}
        self.groups: dict[tuple[str, bytes], Group] = {}
        self.roads: dict[RoadKey, Road] = {}
        self.seen = Seen()
        self.counters = Counters()
        self.next_number = 1
        self.messages = 0
        self.bytes = 0
        self.leaving = 0
        self.bytes_in_memory = 0
        self._memory_bytes_max = memory_bytes_max
        self._deadlines: list[tuple[int, int]] = []

    # ---- coming in ----

    def hold(self, batch: Batch, raw: Bytes, held_ms: int, for_ms: int) -> Held:
        """Keep a batch for at most `for_ms`, less if it lives shorter. The caller journals it and calls `placed`."""
        entry = self.admit(self.next_number, batch, raw, held_ms, for_ms)
        self.counters.held += entry.count
        return entry

    def admit(self, number: int, batch: Batch, raw: Bytes, held_ms: int, for_ms: int, start: int = 0) -> Held:
        """The same under a number that the journal tells; what is before `start` has left."""
        headers = bytes(batch.headers)
        # What is too large to keep would be a key just as large, so such batches do not share a group.
        is_kept = len(headers) <= HEADERS_KEPT_BYTES_MAX
        key = (batch.routing_key, headers if is_kept else b"#%d" % number)
        group = self.groups.get(key) or Group(key, headers if is_kept else None)
        entry = Held(number, batch.count, group, raw, held_ms)
        entry.start = start
        entry.until_ms = held_ms + for_ms
        ttl_ms = None if batch.options is None else batch.options.ttl_ms
        if ttl_ms is not None and ttl_ms < for_ms:
            entry.until_ms, entry.has_ttl = held_ms + ttl_ms, True
        self.next_number = max(self.next_number, number + batch.count)
        self.seen.add(batch.stream, batch.first_seq, batch.first_seq + batch.count - 1)
        self.entries[number] = entry
        self.bytes_in_memory += entry.size + FOOTPRINT_BYTES
        if start < entry.count:
            self._wait(entry)
        return entry

    def placed(self, entry: Held, position: int) -> None:
        """The journal has it there; beyond the limit of memory, only there."""
        entry.position = position
        if entry.raw is not None and self.bytes_in_memory > self._memory_bytes_max:
            entry.raw = None
            self.bytes_in_memory -= entry.size

    def road(self, queue: str, serial: int, *, is_durable: bool, new_stream: int) -> Road:
        """The road to this queue; `new_stream` numbers it if it is new."""
        key = (queue, serial, is_durable)
        road = self.roads.get(key)
        if road is None:
            road = self.roads[key] = Road(queue, serial, new_stream, is_durable=is_durable)
        return road

    # ---- leaving ----

    def oldest(self) -> Held | None:
        """The batch that has waited longest."""
        return next(iter(self.waiting.values()), None)

    def due(self, now_ms: int) -> Held | None:
        """A batch whose time is over, if there is one."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now_ms:
            entry = self.waiting.get(deadlines[0][1])
            if entry is not None:
                return entry
            heapq.heappop(deadlines)
        return None

    def next_due(self) -> int | None:
        """When the next batch may be over its time; None when nothing waits."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self.waiting:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def leave(
        self, chosen: Iterable[tuple[Held, int]], roads: list[Road], reason: str = "", now_ms: int = 0
    ) -> LeavingRecord:
        """Waiting messages up to the index beside each batch leave by all of these roads; returns the record of it."""
        first_seqs = [road.outbox.next_seq for road in roads]
        flat: list[int] = []
        for entry, stop in chosen:
            flat += (entry.number, entry.start, stop)
            piece = self.part(entry, entry.start, stop, reason, now_ms)
            for road in roads:
                self.add(road, piece)
        told = [
            RoadRecord(road.queue, road.serial, road.outbox.stream, first_seq)
            for road, first_seq in zip(roads, first_seqs, strict=True)
        ]
        return LeavingRecord(flat, told, reason, now_ms)

    def part(self, entry: Held, start: int, stop: int, reason: str, now_ms: int) -> Piece:
        """Messages become a piece that leaves; a part that left before the journal's records begin only moves on."""
        count = stop - start
        entry.moves += 1
        self.leaving += count
        if start < entry.start:
            return Piece(entry, start, stop, reason, now_ms)
        self.messages -= count
        self.bytes -= entry.share(entry.start, stop)
        self.left(reason, count)
        entry.start = stop
        if stop == entry.count:
            self._wait_no_longer(entry)
        return Piece(entry, start, stop, reason, now_ms)

    def left(self, reason: str, count: int) -> None:
        """Count what leaves; only dead letters have a reason."""
        if reason:
            self.counters.dead += count
        else:
            self.counters.released += count

    def add(self, road: Road, piece: Piece, first_seq: int | None = None) -> None:
        """One more road for a piece."""
        piece.open += 1
        road.outbox.add(piece.count, piece.entry.share(piece.start, piece.stop), piece, first_seq)

    def landed(self, road: Road, intent: Intent[Piece]) -> bool:
        """The other end has settled a piece; False when it had refused it, and it is to be sent again."""
        if not road.outbox.answered(intent):
            return False
        self.arrived(intent.item)
        return True

    def arrived(self, piece: Piece) -> None:
        """By one road a piece is there."""
        piece.has_landed = True
        piece.open -= 1
        if not piece.open:
            self._finish(piece)

    def abandon(self, road: Road) -> list[Held]:
        """The queue at its end was deleted. What has landed nowhere waits again; returns those batches."""
        back: list[Held] = []
        for intent in reversed(road.outbox.intents()):
            road.outbox.drop(intent)
            piece = intent.item
            piece.open -= 1
            if piece.open:
                continue
            if piece.has_landed:
                self._finish(piece)
            else:
                self._return(piece)
                back.append(piece.entry)
        self.roads = {key: other for key, other in self.roads.items() if other is not road}
        if back:
            self._sort()
        return back

    # ---- the journal's view ----

    def lowest_position(self) -> int | None:
        """The lowest journal position that is still needed; None when none is."""
        return min((entry.position for entry in self.entries.values() if entry.position is not None), default=None)

    def below(self, position: int) -> list[Held]:
        """The batches whose bytes are in the journal below this position."""
        return [entry for entry in self.entries.values() if entry.position is not None and entry.position < position]

    def restated(self) -> dict[int, list[LeavingRecord]]:
        """What a copied batch must be followed by, by its number: the roads that its pieces have still to go."""
        open_roads: dict[Piece, list[RoadRecord]] = {}
        for road in self.roads.values():
            if road.is_durable:
                for intent in road.outbox.intents():
                    told = RoadRecord(road.queue, road.serial, road.outbox.stream, intent.first_seq)
                    open_roads.setdefault(intent.item, []).append(told)
        found: dict[int, list[LeavingRecord]] = {}
        for piece, roads in open_roads.items():
            flat = [piece.entry.number, piece.start, piece.stop]
            record = LeavingRecord(flat, roads, piece.reason, piece.moved_ms, piece.has_landed)
            found.setdefault(piece.entry.number, []).append(record)
        return found

    def replayed(self) -> None:
        """The journal has been read: bring everything back into its order."""
        self._sort()
        self.entries = dict(sorted(self.entries.items()))
        for road in self.roads.values():
            road.outbox.replayed()

    def mark(self) -> Mark:
        """What the head of a new segment says. A copy."""
        roads = [
            RoadRecord(road.queue, road.serial, road.outbox.stream, road.outbox.next_seq)
            for road in self.roads.values()
            if road.is_durable
        ]
        return Mark(self.next_number, roads, self.seen.flat(), msgspec.structs.replace(self.counters))

    # ---- inside ----

    def _wait(self, entry: Held) -> None:
        count = entry.count - entry.start
        group = entry.group = self.groups.setdefault(entry.group.key, entry.group)
        self.waiting[entry.number] = group.waiting[entry.number] = entry
        self.messages += count
        self.bytes += entry.share(entry.start, entry.count)
        if len(self._deadlines) > 2 * len(self.waiting) + 1_000:
            # Batches that were released left their deadlines behind.
            self._deadlines = [(held.until_ms, held.number) for held in self.waiting.values()]
            heapq.heapify(self._deadlines)
        else:
            heapq.heappush(self._deadlines, (entry.until_ms, entry.number))

    def _wait_no_longer(self, entry: Held) -> None:
        del self.waiting[entry.number]
        group = entry.group
        del group.waiting[entry.number]
        if not group.waiting:
            del self.groups[group.key]

    def _return(self, piece: Piece) -> None:
        """Pieces go to queues whole to the end of their batch, so what returns follows what has left before."""
        entry = piece.entry
        assert piece.stop == entry.count == entry.start, "what waits is the end of its batch"
        entry.moves -= 1
        self.leaving -= piece.count
        self.counters.released -= piece.count
        entry.start = piece.start
        self._wait(entry)

    def _sort(self) -> None:
        self.waiting = dict(sorted(self.waiting.items()))
        for group in self.groups.values():
            group.waiting = dict(sorted(group.waiting.items()))

    def _finish(self, piece: Piece) -> None:
        entry = piece.entry
        entry.moves -= 1
        self.leaving -= piece.count
        if entry.start == entry.count and not entry.moves:
            del self.entries[entry.number]
            self.bytes_in_memory -= FOOTPRINT_BYTES + (entry.size if entry.raw is not None else 0)
