"""Messages that were stored one by one and are not looked at yet: what is folded, and that nobody notices."""

from __future__ import annotations

import random

import msgspec
import pytest

from posthouse.actors import queue_fold
from posthouse.actors import queue_records as records
from posthouse.actors.queue_backlog import Backlog
from posthouse.actors.queue_fold import FOLD_MAX, FOLD_MIN, Fold, fold
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_state import QueueState
from posthouse.actors.queue_summary import Summing
from posthouse.actors.stored_batch import stored
from posthouse.transport import messages
from posthouse.transport.messages import Batch, Options, QueueSpec
from tests.support.actor_bench import batch
from tests.support.queue_model import chunks_of
from tests.support.queue_samples import sample_batch

Record = tuple[int, int, bytes]


def raws_of(count: int, options: Options | None = None) -> list[memoryview]:
    return [memoryview(sample_batch(1, number + 1, options=options)[1]) for number in range(count)]


def folded(count: int, first_offset: int = 1, position: int = 100) -> Fold:
    made = fold(position, list(range(first_offset, first_offset + count)), raws_of(count))
    assert made is not None
    return made


def journal(count: int, *, summed: bool, first_offset: int = 1, position: int = 1) -> list[Record]:
    """A round that stored so many messages one by one."""
    summing, written = Summing(2), list[Record]()
    for number in range(count):
        batch, raw = sample_batch(1, number + 1, stream=1 + number % 2)
        entry = stored(first_offset + number, batch, raw)
        entry.position = position + number
        summing.stored(batch, entry)
        written.append((entry.position, Kind.STORE, b"".join(records.encode_store(entry.first_offset, raw))))
    summary = summing.take(position + count)
    assert summary is not None
    if summed:
        written.append((position + count, Kind.SUMMARY, records.encode_summary(summary)))
    return written


def rebuilt(written: list[Record], spec: QueueSpec | None = None) -> QueueState:
    state = QueueState(spec or QueueSpec(name="q"))
    state.replay.chunks(chunks_of(written))
    return state


def one_by_one(written: list[Record]) -> QueueState:
    state = QueueState(QueueSpec(name="q"))
    for record in written:
        state.replay.record(*record)
    return state


def shown(state: QueueState) -> list[tuple[int, int, int | None, int, int, int]]:
    """What is known of each message without its bytes."""
    entries = [(piece.entry, piece.attempt) for piece in state.peek(1_000_000)]
    return [(e.first_offset, e.size, e.position, e.body_bytes, e.published_ms, attempt) for e, attempt in entries]


def same(state: QueueState, other: QueueState) -> None:
    assert (state.info(), state.storage.mark()) == (other.info(), other.storage.mark())
    assert state.storage.lowest_position() == other.storage.lowest_position()
    assert shown(state) == shown(other)


def test_what_is_folded_is_read_as_the_batch_that_it_is() -> None:
    raw = messages.encode(batch(b"x", b"yy", headers={"a": 1}, options=Options(dedup_id="once")))
    found = queue_fold._decode(raw)
    assert type(found) is Batch
    assert found == messages.decode(raw)


@pytest.mark.parametrize("is_summed", [True, False])
@pytest.mark.parametrize("count", [2, FOLD_MIN, 3 * FOLD_MAX + FOLD_MIN])
def test_folded_messages_are_the_same_as_those_taken_one_by_one(count: int, is_summed: bool) -> None:
    written = journal(count, summed=is_summed)
    state = rebuilt(written)
    assert state.storage.bytes_in_memory == 0 or count < FOLD_MIN
    same(state, one_by_one(written))


@pytest.mark.parametrize("is_summed", [True, False])
def test_what_follows_finds_what_was_folded(is_summed: bool) -> None:
    written = journal(20, summed=is_summed)
    last = written[-1][0]
    written.append((last + 1, Kind.GIVEN, records.encode_receivers([("shop", 1, [1, 3, 7, 7])])))
    written.append((last + 2, Kind.SETTLED, records.encode_ranges([(2, 5)])))
    written += journal(20, summed=is_summed, first_offset=21, position=last + 3)
    written.append((written[-1][0] + 1, Kind.SETTLED, records.encode_ranges([(21, 40)])))
    state = rebuilt(written)
    assert state.info().ready == 16
    same(state, one_by_one(written))


def test_chunks_of_few_messages_are_folded_together() -> None:
    written = journal(20, summed=False)
    state = QueueState(QueueSpec(name="q"))
    state.replay.chunks([chunk for record in written for chunk in chunks_of([record])])
    assert state.storage.bytes_in_memory == 0
    same(state, one_by_one(written))


@pytest.mark.parametrize("is_summed", [True, False])
def test_a_journal_that_comes_twice_changes_nothing(is_summed: bool) -> None:
    written = journal(20, summed=is_summed)
    state = rebuilt(written)
    state.replay.chunks(chunks_of(written))
    moved = [(position + 50, kind, payload) for position, kind, payload in written]
    state.replay.chunks(chunks_of(moved))
    assert (state.info().ready, state.info().stored) == (20, 20)
    same(state, one_by_one(written))


def test_a_summary_of_other_messages_is_not_believed() -> None:
    written = journal(20, summed=True)
    other = journal(20, summed=True, first_offset=2)[-1][2]
    state = rebuilt([*written[:-1], (written[-1][0], Kind.SUMMARY, other)])
    same(state, one_by_one(written))


def test_a_queue_with_priorities_folds_nothing() -> None:
    state = rebuilt(journal(20, summed=True), QueueSpec(name="q", priority=True))
    assert state.storage.bytes_in_memory > 0
    assert state.info().ready == 20


@pytest.mark.parametrize(
    "options",
    [Options(dedup_id="a"), Options(deadline_ms=5), Options(priority=3)],
    ids=["dedup", "deadline", "priority"],
)
def test_what_the_queue_must_heed_is_not_folded(options: Options) -> None:
    assert fold(1, [1, 2], raws_of(2, options)) is None
    summing = Summing(1)
    batch, raw = sample_batch(1, options=options)
    entry = stored(1, batch, raw)
    entry.position = 1
    summing.stored(batch, entry)
    assert summing.take(2) is None


def test_what_cannot_be_folded_is_left_alone() -> None:
    raws = raws_of(2)
    assert fold(1, [1, 2], raws) is not None
    assert fold(1, [1, 2], raws_of(2, Options(durability=1))) is not None
    assert fold(1, [1, 3], raws) is None
    assert fold(1, [1, 2], [raws[0], raws[1][:-1]]) is None
    assert fold(1, [1, 2], [raws[0], memoryview(sample_batch(2)[1])]) is None
    early = msgspec.structs.replace(sample_batch(1)[0], published_ms=-1)
    assert fold(1, [1, 2], [raws[0], memoryview(messages.encode(early))]) is None


def test_only_what_follows_one_another_is_summed_up() -> None:
    summing = Summing(2)

    def stored_at(offset: int, position: int, count: int = 1) -> None:
        batch, raw = sample_batch(count)
        entry = stored(offset, batch, raw)
        entry.position = position
        summing.stored(batch, entry)

    def first_and_count(next_position: int) -> tuple[int, int] | None:
        summary = summing.take(next_position)
        return None if summary is None else (summary.first_offset, summary.count)

    assert first_and_count(1) is None
    for offset, position in ((1, 1), (2, 2), (3, 4), (4, 5), (6, 6), (7, 7)):
        stored_at(offset, position)
    assert first_and_count(8) == (6, 2)
    assert first_and_count(8) is None
    stored_at(8, 8)
    assert first_and_count(9) is None
    stored_at(9, 9)
    stored_at(10, 10)
    assert first_and_count(12) is None
    stored_at(11, 13)
    stored_at(12, 14, count=5)
    stored_at(17, 15)
    assert first_and_count(16) is None


@pytest.mark.parametrize("seed", range(40))
def test_a_backlog_with_folds_is_the_same_as_one_without(seed: int) -> None:
    """The same facts in a random order: what is settled, moved, asked for, shed."""
    chance = random.Random(seed)
    backlog, plain = Backlog(), Backlog()
    offset, position = 1, 1
    for _ in range(chance.randint(1, 6)):
        count = chance.randint(1, 12)
        if chance.random() < 0.7:
            backlog.fold(folded(count, offset, position))
        for number in range(count):
            for one in (plain, backlog) if backlog.last_first_offset < offset + number else (plain,):
                entry = stored(offset + number, *sample_batch(1, number + 1))
                one.add(entry)
                one.place(entry, position + number)
        offset += count + chance.randint(0, 2)
        position += count + chance.randint(0, 2)
    alive = [entry.first_offset for entry in plain]
    while alive:
        index = chance.randrange(len(alive)) if chance.random() < 0.5 else 0
        step = chance.random()
        if step < 0.5:
            size = chance.randint(1, len(alive))
            first = last = alive.pop(index)
            while size > 1 and index < len(alive) and alive[index] == last + 1:
                last, size = alive.pop(index), size - 1
            for one in (backlog, plain):
                one.settle(first, last)
        elif step < 0.65:
            for one in (backlog, plain):
                moved = one.get(alive[index])
                assert moved is not None
                one.place(moved, position)
            position += 1
        elif step < 0.8:
            assert backlog.find(alive[index]).published_ms == plain.find(alive[index]).published_ms
            assert (backlog.get(offset + 5), backlog.get(0)) == (None, None)
        elif step < 0.9:
            below = chance.randint(1, position)
            placed = [[(e.position, e.first_offset) for e in one.placed_below(below)] for one in (backlog, plain)]
            assert placed[0] == placed[1]
        else:
            since = [[e.first_offset for e in one.since(alive[index])] for one in (backlog, plain)]
            assert since[0] == since[1]
        assert (backlog.live, backlog.body_bytes, len(backlog)) == (plain.live, plain.body_bytes, len(plain))
        assert backlog.lowest_position() == plain.lowest_position()
    assert list(backlog) == []
    assert backlog.bytes_in_memory == plain.bytes_in_memory == 0
