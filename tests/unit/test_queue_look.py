"""A queue looked into: which messages, where each is, how much of its body; and a queue that is paused."""

from __future__ import annotations

from typing import Any

import pytest

from posthouse.actors import queue_look
from posthouse.actors import queue_records as records
from posthouse.actors.queue_records import Kind
from posthouse.actors.queue_state import QueueState
from posthouse.actors.stored_batch import Bytes, StoredBatch
from posthouse.transport import messages
from posthouse.transport.batch import lengths_of
from posthouse.transport.descriptions import Options, RetrySpec
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import Batch, Outcome, QueueSpec
from posthouse.transport.messages_looking import LOOK_BODY_BYTES_MAX, LOOK_MESSAGES_MAX, LookedAt, LookInto
from tests.support.queue_samples import sample_batch

RETRY = RetrySpec(kind="fixed", first_delay_ms=5_000, jitter=False)


def raw_of(entry: StoredBatch) -> Bytes:
    assert entry.raw is not None
    return entry.raw


def look(state: QueueState, count: int = 100, **asked: Any) -> list[LookedAt]:
    return state.look(LookInto(1, count, **asked), raw_of)


def test_what_a_consumer_holds_is_told_by_delivery_with_its_time() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.add_consumer(1, 3, 1, "radar", prefetch=10)
    for seq, now_ms in ((1, 1_000), (2, 2_000), (3, 3_000)):
        state.store(*sample_batch(1, first_seq=seq), now_ms=now_ms)
        state.dispatch(now_ms)
    state.store(*sample_batch(2, first_seq=4), now_ms=4_000)
    state.dispatch(4_000)
    found = look(state, place="unacked")
    assert [(one.first_offset, len(one.sizes), one.since_ms) for one in found] == [
        (1, 1, 1_000), (2, 1, 2_000), (3, 1, 3_000), (4, 2, 4_000),
    ]  # fmt: skip
    state.settle(1, 3, Outcome.RELEASE, [2, 2])
    state.dispatch(9_000)
    assert [one.since_ms for one in look(state, place="unacked", after=1, count=1)] == [9_000]
    assert [one.since_ms for one in look(state, place="ready")] == []


def places(found: list[LookedAt]) -> list[tuple[int, int, str, int]]:
    """First offset, count, place and attempt of each piece."""
    return [(one.first_offset, len(one.sizes), one.place, one.attempt) for one in found]


def bodies(one: LookedAt) -> list[bytes]:
    batch = messages.decode(one.batch)
    assert isinstance(batch, Batch)
    found, start = [], 0
    for length in lengths_of(batch):
        found.append(bytes(batch.bodies[start : start + length]))
        start += length
    return found


def busy() -> QueueState:
    """Two batches of four: 1 and 3 are held by a consumer, 2 waits for its second attempt, 4 and 5 are a getter's."""
    state = QueueState(QueueSpec(name="ewr", retry=RETRY))
    state.store(*sample_batch(4), now_ms=0)
    state.store(*sample_batch(4, first_seq=5), now_ms=0)
    state.add_consumer(1, 3, 1, "radar", prefetch=3)
    state.dispatch()
    state.get_one(2, 2, auto_ack=False)
    state.get_one(2, 2, auto_ack=False)
    state.pause(1, is_paused=True)
    state.settle(1, 3, Outcome.NACK, [2, 2])
    return state


def test_every_message_is_shown_in_the_order_of_offsets_with_its_place_and_holder() -> None:
    found = look(busy())
    assert places(found) == [
        (1, 1, "unacked", 1),
        (2, 1, "waiting", 2),
        (3, 1, "unacked", 1),
        (4, 1, "unacked", 1),
        (5, 1, "unacked", 1),
        (6, 3, "ready", 1),
    ]
    assert [(one.client, one.consumer) for one in found if one.place == "unacked"] == [
        ("radar", 3), ("radar", 3), ("", 0), ("", 0),
    ]  # fmt: skip
    assert [one.due_ms for one in found if one.place == "waiting"] == [5_000]
    assert bodies(found[-1]) == [b"1:6.....", b"1:7.....", b"1:8....."]


def test_what_leaves_for_the_dead_letters_is_shown_with_its_last_attempt() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.store(*sample_batch(2), now_ms=0)
    state.add_consumer(1, 3, 1, "radar", prefetch=1)
    state.dispatch()
    state.settle(1, 3, Outcome.REJECT, [1, 1])
    state.remove_consumer(1, 3)
    assert places(look(state)) == [(1, 1, "leaving", 1), (2, 1, "ready", 1)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"place": "ready"}, [(6, 3)]),
        ({"place": "unacked"}, [(1, 1), (3, 1), (4, 1), (5, 1)]),
        ({"place": "leaving"}, []),
        ({"after": 5}, [(6, 3)]),
        ({"after": 6}, [(7, 2)]),
        ({"after": 8}, []),
        ({"after": 3, "count": 3}, [(4, 1), (5, 1), (6, 1)]),
        ({"after": 6, "count": 1}, [(7, 1)]),
    ],
)
def test_a_look_shows_what_is_asked_for_and_goes_on_where_the_last_one_ended(
    asked: dict[str, Any], expected: list[tuple[int, int]]
) -> None:
    assert [(first, count) for first, count, _, _ in places(look(busy(), **asked))] == expected


def test_a_queue_with_priorities_is_shown_in_the_order_of_offsets_too() -> None:
    state = QueueState(QueueSpec(name="ewr", priority=True))
    for seq, priority in ((1, 0), (2, 9), (3, 0)):
        state.store(*sample_batch(1, first_seq=seq, options=Options(priority=priority)), now_ms=0)
    assert [one.first_offset for one in look(state)] == [1, 2, 3]


def test_bodies_are_cut_and_their_sizes_told() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.store(*sample_batch(2, size=50), now_ms=0)
    (found,) = look(state, body_bytes_max=3)
    assert (found.sizes, bodies(found)) == ((50, 50), [b"1:1", b"1:2"])
    (found,) = look(state, body_bytes_max=0)
    assert (found.sizes, bodies(found)) == ((50, 50), [b"", b""])
    (found,) = look(state, body_bytes_max=50)
    assert bodies(found)[0] == b"1:1".ljust(50, b".")


def test_a_look_changes_nothing() -> None:
    state = busy()
    before = (state.info(), list(map(places, [look(state)])), state.next_ms())
    look(state, body_bytes_max=1)
    assert (state.info(), list(map(places, [look(state)])), state.next_ms()) == before


def test_an_answer_ends_before_it_is_too_large_and_always_has_something(monkeypatch: pytest.MonkeyPatch) -> None:
    state = QueueState(QueueSpec(name="ewr"))
    for seq in (1, 2, 3):
        state.store(*sample_batch(1, first_seq=seq, size=2_000), now_ms=0)
    monkeypatch.setattr(queue_look, "ANSWER_BYTES_MAX", 5_000)
    assert [one.first_offset for one in look(state)] == [1, 2]
    monkeypatch.setattr(queue_look, "ANSWER_BYTES_MAX", 10)
    assert [one.first_offset for one in look(state)] == [1]
    monkeypatch.setattr(queue_look, "READ_BYTES_MAX", 5_000)
    assert [one.first_offset for one in look(state, body_bytes_max=1, after=1)] == [2]


@pytest.mark.parametrize(
    "asked",
    [
        {"count": 0},
        {"count": LOOK_MESSAGES_MAX + 1},
        {"count": 1, "place": "nowhere"},
        {"count": 1, "body_bytes_max": -1},
        {"count": 1, "body_bytes_max": LOOK_BODY_BYTES_MAX + 1},
    ],
)
def test_a_look_that_cannot_be_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        queue_look.check_look(LookInto(1, **asked))


# ---- pausing ----


def test_a_paused_queue_takes_messages_and_gives_none() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.add_consumer(1, 3, 1, "radar", prefetch=5)
    assert state.pause_all(True)
    state.store(*sample_batch(2), now_ms=0)
    assert not state.can_dispatch
    assert state.dispatch() == []
    assert state.get_one(2, 2, auto_ack=True) is None
    assert (state.info().ready, state.info().is_paused) == (2, True)


def test_a_queue_that_goes_on_gives_what_came_meanwhile() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.add_consumer(1, 3, 1, "radar", prefetch=5)
    state.pause_all(True)
    state.store(*sample_batch(2), now_ms=0)
    assert state.pause_all(False)
    assert [(one.first_offset, one.count) for one in state.dispatch()] == [(1, 2)]


def test_what_was_given_before_the_pause_may_be_settled_in_it() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.store(*sample_batch(2), now_ms=0)
    state.add_consumer(1, 3, 1, "radar", prefetch=1)
    state.dispatch()
    state.pause_all(True)
    assert state.settle(1, 3, Outcome.ACK, [1, 1]).settled == [(1, 1)]
    assert state.dispatch() == []


def test_pausing_twice_is_no_change() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    assert not state.pause_all(False)
    assert state.pause_all(True)
    assert not state.pause_all(True)


def test_the_journal_says_whether_a_queue_is_paused() -> None:
    state = QueueState(QueueSpec(name="ewr"))
    state.replay.record(1, Kind.PAUSED, records.encode_paused(True))
    assert state.info().is_paused
    again = QueueState(QueueSpec(name="ewr"))
    again.replay.record(1, Kind.MARK, records.encode_mark(state.storage.mark()))
    assert again.info().is_paused
    again.replay.record(2, Kind.PAUSED, records.encode_paused(False))
    assert not again.info().is_paused
