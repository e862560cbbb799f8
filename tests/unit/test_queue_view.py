"""A queue looked at without changing it."""

from __future__ import annotations

from posthouse.actors.queue_state import QueueState
from posthouse.transport.messages import ConsumerInfo, Outcome, QueueInfo, QueueSpec
from tests.support.queue_samples import sample_batch


def looked_at() -> QueueState:
    """Two batches of four; a consumer holds 1 to 5 and has given 2 back, a getter holds it now."""
    state = QueueState(QueueSpec(name="ewr", durable=False, auto_delete=True))
    state.store(*sample_batch(4), now_ms=0)
    state.store(*sample_batch(4, first_seq=5), now_ms=0)
    state.add_consumer(1, 3, 1, "radar", prefetch=5)
    state.dispatch()
    state.settle(1, 3, Outcome.NACK, [2, 2])
    state.get_one(2, 2, auto_ack=False)
    return state


def test_info_counts_messages_and_bytes() -> None:
    assert looked_at().info() == QueueInfo(
        name="ewr",
        ready=3,
        unacked=5,
        consumers=1,
        bytes=64,
        durable=False,
        auto_delete=True,
        stored=8,
        delivered=6,
        redelivered=1,
    )


def test_consumers_are_listed_with_what_they_hold() -> None:
    assert looked_at().consumers() == [
        ConsumerInfo(
            queue="ewr", consumer=3, client="radar", prefetch=5, unacked=4, auto_ack=False, is_active=True, client_id=1
        )
    ]


def test_peek_shows_the_lowest_messages_ready_or_unacked_in_order() -> None:
    state = looked_at()
    peeked = [(p.first_offset, p.attempt, p.entry.first_offset, p.start, p.stop) for p in state.peek(7)]
    assert peeked == [(1, 1, 1, 0, 1), (2, 2, 1, 1, 2), (3, 1, 1, 2, 4), (5, 1, 5, 0, 1), (6, 1, 5, 1, 3)]
    assert [(p.first_offset, p.stop - p.start) for p in state.peek(3)] == [(1, 1), (2, 1), (3, 1)]
    assert sum(p.stop - p.start for p in state.peek(100)) == 8
    assert state.peek(0) == []


def test_peek_changes_nothing() -> None:
    state = looked_at()
    before = (state.info(), state.consumers(), state.storage.mark())
    state.peek(100)
    assert (state.info(), state.consumers(), state.storage.mark()) == before


def test_live_ranges_tell_how_often_each_was_delivered() -> None:
    state = looked_at()
    first, second = (state.peek(1)[0].entry, state.peek(8)[-1].entry)
    assert state.storage.live_ranges(first) == [1, 1, 1, 2, 2, 2, 3, 4, 1]
    assert state.storage.live_ranges(second) == [5, 5, 1, 6, 8, 0]
