"""A queue as simple as can be: one record per message, every rule spelled out per message.

The model beside which `tests/model/test_queue.py` runs the real core. It is slow on purpose. It simulates no
credit, no turns and no journal: what the core delivers is checked and then done here too, and what a crash
leaves is every journaled message without its holder.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import cycle, islice

from posthouse.actors import queue_records
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_state import QueueState
from posthouse.actors.stored_batch import Slice
from posthouse.supervisor.journal_chunk import Chunk
from posthouse.supervisor.journal_format import Body, ChunkBuilder
from posthouse.transport import messages
from posthouse.transport.batch import slice_batch
from posthouse.transport.messages import Batch, QueueSpec

Holder = tuple[int, int]
Record = tuple[int, int, bytes]
"""Position, kind and payload."""


@dataclass
class ModelMessage:
    """One message: who holds it (None: ready), how often it was delivered, and where it came from."""

    first_offset: int
    stream: int
    seq: int
    is_journaled: bool
    times: int = 0
    holder: Holder | None = None
    priority: int = 0


@dataclass
class QueueModel:
    """Living messages by offset, and the highest sequence stored per stream."""

    messages: dict[int, ModelMessage] = field(default_factory=dict)
    streams: dict[int, int] = field(default_factory=dict)
    next_offset: int = 1

    def store(self, stream: int, first_seq: int, count: int, is_journaled: bool, priority: int = 0) -> int:
        first = self.next_offset
        for index in range(count):
            message = ModelMessage(first, stream, first_seq + index, is_journaled, priority=priority)
            self.messages[first + index] = message
        self.next_offset += count
        self.streams[stream] = first_seq + count - 1
        return first

    def ready(self) -> list[int]:
        """In the order in which they are to leave."""
        ready = [offset for offset, message in self.messages.items() if message.holder is None]
        return sorted(ready, key=lambda offset: (-self.messages[offset].priority, offset))

    def held(self, holder: Holder) -> list[int]:
        return sorted(offset for offset, message in self.messages.items() if message.holder == holder)

    def deliver(self, offsets: range, holder: Holder) -> None:
        for offset in offsets:
            self.messages[offset].times += 1
            self.messages[offset].holder = holder

    def release(self, offsets: list[int]) -> None:
        for offset in offsets:
            self.messages[offset].holder = None

    def settle(self, offsets: list[int]) -> None:
        for offset in offsets:
            del self.messages[offset]

    def after_crash(self) -> QueueModel:
        """What a restart finds if nothing of the journal is lost: no holder, and only what was journaled."""
        survivors = {
            offset: replace(message, holder=None) for offset, message in self.messages.items() if message.is_journaled
        }
        return QueueModel(survivors, dict(self.streams), self.next_offset)


def rebuilt(spec: QueueSpec, records: list[Record]) -> QueueState:
    """A queue as a restart finds it, from chunks of several sizes."""
    state = QueueState(spec)
    rest = iter(records)
    for size in cycle((1, 2, 7, 40)):
        group = list(islice(rest, size))
        if not group:
            break
        state.replay.chunks(chunks_of(group))
    # What was folded has no bytes in memory.
    payloads = {position: payload for position, _, payload in records}
    for piece in state.peek(10_000):
        entry = piece.entry
        if entry.raw is None:
            assert entry.position is not None
            raw = memoryview(payloads[entry.position])[-entry.size :]
            batch = messages.decode(raw)
            assert isinstance(batch, Batch)
            state.storage.restore(entry, batch, raw)
    return state


def chunks_of(records: list[Record]) -> list[Chunk]:
    """Records as the journal hands them out: a chunk ends where the next position is missing."""
    chunks: list[Chunk] = []
    builder = ChunkBuilder(0, 2**20, 2**20)
    for position, kind, payload in records:
        if position != builder.next_position:
            chunks += map(_read, builder.take())
            builder = ChunkBuilder(position, 2**20, 2**20)
        builder.add(kind, (payload,))
    return chunks + list(map(_read, builder.take()))


def _read(body: Body) -> Chunk:
    return Chunk(body.first, body.records, memoryview(b"".join(body.buffers)))


def one_by_one(spec: QueueSpec, records: list[Record], whole: QueueState) -> None:
    """From single records a queue is the same as `whole`, which came from chunks."""
    state = QueueState(spec)
    for record in records:
        state.replay.record(*record)
    assert contents(state) == contents(whole)
    assert (state.info(), state.storage.mark()) == (whole.info(), whole.storage.mark())


def offsets_of(piece: Slice) -> range:
    return range(piece.first_offset, piece.first_offset + piece.stop - piece.start)


def spread(ranges: list[tuple[int, int]]) -> list[int]:
    """Ranges as single offsets."""
    return [offset for first, last in ranges for offset in range(first, last + 1)]


def contents(state: QueueState) -> dict[int, tuple[int, bytes]]:
    """Offset → (attempt, body) of everything in the queue, message by message."""
    found: dict[int, tuple[int, bytes]] = {}
    for piece in state.peek(10_000):
        assert piece.entry.raw is not None
        batch = messages.decode(piece.entry.raw)
        assert isinstance(batch, messages.Batch)
        part = slice_batch(batch, piece.start, piece.stop)
        size = part.bodies.nbytes // part.count
        for index in range(part.count):
            body = bytes(part.bodies[index * size : (index + 1) * size])
            found[piece.first_offset + index] = (piece.attempt, body)
    return found


def model_of(records: list[Record], *, has_priority: bool) -> QueueModel:
    """The naive reading of the records: every fact applied to single messages."""
    model = QueueModel()
    for _, kind, payload in records:
        if kind == Kind.STORE:
            first, raw = queue_records.decode_store(payload)
            batch = messages.decode(raw)
            assert isinstance(batch, Batch)
            model.next_offset = first
            asked = 0 if batch.options is None else batch.options.priority
            priority = asked if has_priority else 0
            model.store(batch.stream, batch.first_seq, batch.count, True, priority)
        elif kind == Kind.MARK:
            mark = queue_records.decode_mark(payload)
            model.next_offset = mark.next_offset
            model.streams.update(zip(mark.streams[::2], mark.streams[1::2], strict=True))
        elif kind != Kind.MOVED:
            flat = queue_records.decode_ranges(payload)
            for offset in spread(list(zip(flat[::2], flat[1::2], strict=True))):
                if kind == Kind.DELIVERED and offset in model.messages:
                    model.messages[offset].times += 1
                elif kind != Kind.DELIVERED:
                    model.messages.pop(offset, None)
    return model
