"""A queue rebuilt from its journal."""

from __future__ import annotations

import pytest

from posthouse.actors import queue_records as records
from posthouse.actors.queue_records import Counters, Kind, Mark, Moved
from posthouse.actors.queue_state import QueueState
from posthouse.transport import messages
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import Cancel, QueueSpec
from tests.support.queue_samples import sample_batch

Record = tuple[int, int, bytes]


def empty() -> QueueState:
    return QueueState(QueueSpec(name="ewr"))


def replayed(*payloads: tuple[int, bytes]) -> QueueState:
    """A queue rebuilt from these records, at positions 1, 2, 3, …"""
    state = empty()
    for position, (kind, payload) in enumerate(payloads, start=1):
        state.replay.record(position, kind, payload)
    return state


def store(first_offset: int, count: int, first_seq: int = 1, stream: int = 1) -> tuple[int, bytes]:
    _, raw = sample_batch(count, first_seq, stream)
    return Kind.STORE, b"".join(records.encode_store(first_offset, raw))


def ranges(kind: Kind, *pairs: tuple[int, int]) -> tuple[int, bytes]:
    return kind, records.encode_ranges(pairs)


def moved(first_offset: int, count: int, live: list[int]) -> tuple[int, bytes]:
    _, raw = sample_batch(count)
    return Kind.MOVED, b"".join(records.encode_moved(first_offset, live, raw))


def alive(state: QueueState) -> list[tuple[int, int, int]]:
    """(first offset, count, attempt to come) of what is ready."""
    return [(p.first_offset, p.stop - p.start, p.attempt) for p in state.peek(1_000_000)]


def test_what_is_not_settled_is_ready_with_its_attempts() -> None:
    state = replayed(
        store(1, 5),
        store(6, 5, first_seq=6),
        ranges(Kind.DELIVERED, (1, 7)),
        ranges(Kind.SETTLED, (2, 3)),
        ranges(Kind.DELIVERED, (1, 1)),
        ranges(Kind.REJECTED, (6, 6)),
        ranges(Kind.PURGED, (10, 10)),
    )
    assert alive(state) == [(1, 1, 3), (4, 2, 2), (7, 1, 2), (8, 2, 1)]
    info = state.info()
    assert (info.ready, info.unacked, info.stored, info.delivered, info.redelivered) == (6, 0, 10, 8, 1)
    assert (info.acked, info.rejected) == (2, 1)
    assert state.storage.lowest_position() == 1


def test_who_got_a_message_changes_nothing_for_the_queue() -> None:
    given = records.encode_receivers([("shop", 1, [1, 2]), ("till", 0, [4, 4])])
    taken = records.encode_receivers([("shop", 2, [3, 3])])
    state = replayed(store(1, 5), (Kind.GIVEN, given), (Kind.TAKEN, taken))
    assert alive(state) == [(1, 2, 2), (4, 1, 2), (5, 1, 1)]
    info = state.info()
    assert (info.delivered, info.acked) == (3, 1)


def test_offsets_and_streams_go_on_after_a_restart() -> None:
    state = replayed(store(1, 5), ranges(Kind.SETTLED, (1, 5)))
    assert state.storage.mark().next_offset == 6
    assert state.store(*sample_batch(5), now_ms=0).outcome.value == "resent"
    assert state.store(*sample_batch(5, first_seq=6), now_ms=0).first_offset == 6


def test_dedup_ids_survive() -> None:
    _, raw = sample_batch(dedup_id="order-1")
    state = replayed((Kind.STORE, b"".join(records.encode_store(1, raw))))
    again = sample_batch(first_seq=2, dedup_id="order-1")
    assert state.store(*again, now_ms=2_000).outcome.value == "duplicate"


def test_the_same_records_twice_change_nothing() -> None:
    payloads = [
        store(1, 5),
        ranges(Kind.DELIVERED, (1, 5)),
        ranges(Kind.SETTLED, (1, 2)),
        (Kind.MARK, records.encode_mark(Mark(6, [1, 5], {"a": 7}, Counters(5, 5, 0, 2, 0, 0)))),
        moved(1, 5, [3, 5, 1]),
    ]
    state = replayed(*payloads)
    before = (alive(state), state.info(), state.storage.mark(), state.storage.lowest_position())
    for position, (kind, payload) in enumerate(payloads, start=1):
        state.replay.record(position, kind, payload)
    assert (alive(state), state.info(), state.storage.mark(), state.storage.lowest_position()) == before


def test_a_store_that_comes_again_by_itself_does_not_bring_settled_messages_back() -> None:
    state = empty()
    batch, raw = sample_batch(3)
    state.replay.store(1, batch, raw, 1)
    state.replay.settled([1, 2])
    state.replay.store(1, batch, raw, 1)
    assert alive(state) == [(3, 1, 1)]
    assert state.info().stored == 3


def test_records_about_offsets_long_gone_are_harmless() -> None:
    state = replayed(ranges(Kind.DELIVERED, (1, 100)), ranges(Kind.SETTLED, (1, 100)), store(101, 2, first_seq=101))
    state.replay.settled([1, 100], "acked")
    assert alive(state) == [(101, 2, 1)]
    assert state.info().acked == 0


def test_a_mark_may_be_written_between_a_store_and_its_record() -> None:
    early = Mark(6, [1, 5], {}, Counters(5, 0, 0, 0, 0, 0))
    state = replayed((Kind.MARK, records.encode_mark(early)), store(1, 5))
    assert alive(state) == [(1, 5, 1)]
    assert state.storage.mark().next_offset == 6


def test_an_old_mark_takes_nothing_back() -> None:
    state = replayed(store(1, 5), (Kind.MARK, records.encode_mark(Mark(1, [1, 2], {}, Counters()))))
    assert (state.storage.mark().next_offset, state.storage.mark().streams, state.info().stored) == (6, [1, 5], 5)


def test_a_moved_batch_lives_as_its_record_says() -> None:
    alone = replayed(moved(11, 5, [12, 12, 3, 14, 15, 0]))
    assert alive(alone) == [(12, 1, 4), (14, 2, 1)]
    assert (alone.storage.mark().next_offset, alone.storage.lowest_position(), alone.info().bytes) == (16, 1, 24)
    after_store = replayed(store(11, 5), store(16, 1, first_seq=6), moved(11, 5, [12, 12, 3, 14, 15, 0]))
    assert alive(after_store) == [(12, 1, 4), (14, 2, 1), (16, 1, 1)]
    assert after_store.storage.lowest_position() == 2


def test_a_move_that_is_older_than_where_the_batch_is_means_nothing() -> None:
    state = empty()
    batch, raw = sample_batch(5)
    state.replay.moved(Moved(1, [1, 2, 0], memoryview(raw)), batch, 9)
    state.replay.moved(Moved(1, [1, 5, 0], memoryview(raw)), batch, 8)
    assert alive(state) == [(1, 2, 1)]
    assert state.storage.lowest_position() == 9


@pytest.mark.parametrize("live", [[], [10, 12, 0], [12, 16, 0]])
def test_a_move_of_offsets_that_are_not_in_the_batch_is_corruption(live: list[int]) -> None:
    with pytest.raises(JournalCorrupt, match="not in its batch"):
        replayed(moved(11, 5, live))


def test_a_kind_of_a_newer_version_is_refused() -> None:
    with pytest.raises(JournalCorrupt, match="kind 99") as caught:
        replayed((99, b""))
    assert caught.value.missing == ((1, 1),)


@pytest.mark.parametrize("raw", [b"\xc1", messages.encode(Cancel(1, 2))])
def test_a_record_without_a_batch_is_corruption(raw: bytes) -> None:
    with pytest.raises(JournalCorrupt):
        replayed((Kind.STORE, b"".join(records.encode_store(1, raw))))
