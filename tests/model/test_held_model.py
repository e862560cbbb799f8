"""What an exchange holds beside a naive model: every message waits, is on its way, or is gone; and so after a crash.

The model knows single messages only. The journal is a list; a crash replays it, from its last marks or from the start,
with or without what was not synced. It does not simulate links: landings and refusals are the machine's whim.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.actors.held_records import Kind, encode, encode_held, encode_numbers
from posthouse.actors.held_replay import HeldReplay
from posthouse.actors.held_state import HeldState, Road
from posthouse.transport import messages
from tests.support.actor_bench import batch

FOR_MS = 1_000_000
QUEUES = ("one", "two", "")


class HeldMachine(RuleBasedStateMachine):
    """`waiting`: numbers that wait; `open`: number → queues still to reach; `reached`: number → queues that have it."""

    def __init__(self) -> None:
        super().__init__()
        self.state = HeldState(memory_bytes_max=500)
        self.records: list[tuple[int, bytes, bool]] = []
        self.waiting: set[int] = set()
        self.open: dict[int, set[str]] = {}
        self.reached: dict[int, list[str]] = {}
        self.streams = 0
        self.next_seq = 1
        self.serials = dict.fromkeys(QUEUES, 0)

    # ---- what happens ----

    @rule(count=st.integers(1, 4), key=st.sampled_from("ab"))
    def hold(self, count: int, key: str) -> None:
        sent = batch(*[b"x"] * count, routing_key=key, first_seq=self.next_seq)
        self.next_seq += count + 1
        entry = self.state.hold(sent, messages.encode(sent), 5, FOR_MS)
        assert entry.raw is not None
        self._write(Kind.HELD, b"".join(map(bytes, encode_held(entry.number, 5, 0, entry.raw))))
        self.state.placed(entry, len(self.records))
        self.waiting |= set(range(entry.number, entry.number + count))

    @precondition(lambda self: self.waiting)
    @rule(key=st.sampled_from("ab"), queues=st.sampled_from([("one",), ("two",), ("one", "two")]))
    def release(self, key: str, queues: tuple[str, ...]) -> None:
        entries = [entry for entry in self.state.waiting.values() if entry.group.routing_key == key]
        self._leave([(entry, entry.count) for entry in entries], queues, "")

    @precondition(lambda self: self.waiting)
    @rule(share=st.integers(1, 4))
    def bury_the_oldest(self, share: int) -> None:
        entry = self.state.oldest()
        assert entry is not None
        assert entry.number + entry.start == min(self.waiting)
        self._leave([(entry, min(entry.count, entry.start + share))], ("",), "no_subscriber")

    @rule(queue=st.sampled_from(QUEUES), is_refused=st.booleans())
    def settle_one(self, queue: str, is_refused: bool) -> None:
        road = self.state.roads.get((queue, self.serials[queue], True))
        intent = None if road is None else road.outbox.take()
        if road is None or intent is None:
            return
        piece = intent.item
        numbers = range(piece.entry.number + piece.start, piece.entry.number + piece.stop)
        if is_refused:
            road.outbox.refused(intent.first_seq)
            assert not self.state.landed(road, intent)
            return
        assert self.state.landed(road, intent)
        for number in numbers:
            self._reach(number, queue)
        landed = [road.outbox.stream, intent.first_seq, intent.first_seq + intent.count - 1]
        self._write(Kind.LANDED, encode_numbers(landed), is_synced=False)

    @rule(queue=st.sampled_from(("one", "two")))
    def delete_queue(self, queue: str) -> None:
        road = self.state.roads.get((queue, self.serials[queue], True))
        self.serials[queue] += 1
        if road is None:
            return
        self._write(Kind.ABANDONED, encode_numbers([road.outbox.stream]))
        self.state.abandon(road)
        for number in [number for number, queues in self.open.items() if queue in queues]:
            self.open[number].discard(queue)
            if not self.open[number]:
                del self.open[number]
                if not self.reached.get(number):
                    self.waiting.add(number)

    @rule()
    def begin_a_segment(self) -> None:
        self._write(Kind.MARK, encode(self.state.mark()))

    @rule()
    def copy_forward_and_trim(self) -> None:
        self._write(Kind.MARK, encode(self.state.mark()))
        begin = len(self.records) - 1
        restated = self.state.restated()
        for entry in self.state.entries.values():
            assert entry.position is not None
            raw = entry.raw or self.records[entry.position - 1][1][20:]
            self._write(Kind.KEPT, b"".join(map(bytes, encode_held(entry.number, 5, entry.start, raw))))
            self.state.placed(entry, len(self.records))
            for record in restated.get(entry.number, ()):
                self._write(Kind.LEAVING, encode(record))
        # Positions stay what they were: what is trimmed leaves a gap that nothing refers to.
        self.records = [(0, b"", True)] * begin + self.records[begin:]

    @rule()
    def crash(self) -> None:
        before = self.state.seen.flat()
        self.state = HeldState(memory_bytes_max=500)
        replay = HeldReplay(self.state, FOR_MS)
        for position, (kind, payload, _) in enumerate(self.records, start=1):
            if kind:
                replay.record(position, kind, payload)
        self.state.replayed()
        assert sorted(self.state.seen.flat()) == sorted(before)

    # ---- what must hold ----

    @invariant()
    def every_message_is_in_one_place(self) -> None:
        found = {
            number
            for entry in self.state.waiting.values()
            for number in range(entry.number + entry.start, entry.number + entry.count)
        }
        assert found == self.waiting
        assert self.state.messages == len(self.waiting)
        assert list(self.state.waiting) == sorted(self.state.waiting)
        grouped = [number for group in self.state.groups.values() for number in group.waiting]
        assert sorted(grouped) == list(self.state.waiting)
        assert all(group.waiting for group in self.state.groups.values())

    @invariant()
    def what_is_open_is_in_its_roads_in_order(self) -> None:
        found: dict[int, set[str]] = {}
        for road in self.state.roads.values():
            intents = road.outbox.intents()
            assert [intent.first_seq for intent in intents] == sorted(intent.first_seq for intent in intents)
            for intent in intents:
                piece = intent.item
                for number in range(piece.entry.number + piece.start, piece.entry.number + piece.stop):
                    found.setdefault(number, set()).add(road.queue)
        assert found == self.open
        assert self.state.leaving == len(self.open)

    @invariant()
    def nothing_is_kept_of_what_is_gone(self) -> None:
        alive = self.waiting | set(self.open)
        for entry in self.state.entries.values():
            assert alive & set(range(entry.number, entry.number + entry.count))
        if not self.state.entries:
            assert (self.state.bytes, self.state.bytes_in_memory) == (0, 0)

    # ---- inside ----

    def _leave(self, chosen: list[tuple[object, int]], queues: tuple[str, ...], reason: str) -> None:
        if not chosen:
            return
        roads = [self._road(queue) for queue in queues]
        record = self.state.leave(chosen, roads, reason, 6)  # type: ignore[arg-type]
        self._write(Kind.LEAVING, encode(record))
        flat = record.pieces
        for number, start, stop in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
            for one in range(number + start, number + stop):
                self.waiting.remove(one)
                self.open[one] = set(queues)
                self.reached[one] = []

    def _road(self, queue: str) -> Road:
        self.streams += 1
        return self.state.road(queue, self.serials[queue], is_durable=True, new_stream=self.streams)

    def _reach(self, number: int, queue: str) -> None:
        assert queue in self.open[number], "landed twice"
        self.open[number].discard(queue)
        self.reached[number].append(queue)
        if not self.open[number]:
            del self.open[number]

    def _write(self, kind: int, payload: bytes, *, is_synced: bool = True) -> None:
        self.records.append((kind, payload, is_synced))


TestHeld = HeldMachine.TestCase
