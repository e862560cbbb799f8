"""Batches and queues for tests of the queue core; batches as a link hands them over, with their bytes.

Bodies say which message they are (`stream:seq`, padded to `size`), so a test can see what a slice really
holds. It simulates no publisher: sequence numbers are the test's to choose.
"""

from __future__ import annotations

from typing import Any

from posthouse.actors.queue_effects import Delivery
from posthouse.actors.queue_state import QueueState
from posthouse.actors.retry import OFF
from posthouse.transport import messages
from posthouse.transport.batch import pack_lengths
from posthouse.transport.messages import NIL, Batch, Options, QueueSpec


def sample_body(stream: int, seq: int, size: int = 8) -> bytes:
    """The body that says which message it is."""
    return f"{stream}:{seq}".encode().ljust(size, b".")[:size]


def sample_batch(
    count: int = 1,
    first_seq: int = 1,
    stream: int = 1,
    size: int = 8,
    dedup_id: str | None = None,
    deadline_ms: int | None = None,
    options: Options | None = None,
) -> tuple[Batch, bytes]:
    """A batch and its MessagePack."""
    if options is None:
        options = Options(dedup_id=dedup_id, deadline_ms=deadline_ms)
    bodies = b"".join(sample_body(stream, seq, size) for seq in range(first_seq, first_seq + count))
    raw = messages.encode(
        Batch(
            exchange="flights",
            routing_key="UA.EWR.IAH",
            stream=stream,
            first_seq=first_seq,
            count=count,
            published_ms=1_000,
            headers=NIL,
            lengths=pack_lengths([size] * count),
            bodies=memoryview(bodies),
            options=None if options == Options() else options,
        )
    )
    batch = messages.decode(raw)
    assert isinstance(batch, Batch)
    return batch, raw


def sample_queue(*batch_counts: int, **spec: Any) -> QueueState:
    """A queue that holds batches of these counts, each in the journal at 100 + its number."""
    state = QueueState(QueueSpec(name="ewr", **{"retry": OFF, "dead_letter": "off", **spec}))
    seq = 1
    for number, count in enumerate(batch_counts):
        result = state.store(*sample_batch(count, seq), now_ms=0)
        state.storage.placed(result.first_offset, 100 + number)
        seq += count
    return state


def sample_consumer(state: QueueState, number: int = 1, session: int = 1, prefetch: int = 1_000, **flags: bool) -> None:
    state.add_consumer(session, number, session, f"program {session}", prefetch, **flags)


def shape(deliveries: list[Delivery]) -> list[tuple[int, int, int, int]]:
    """(consumer, first offset, count, attempt) of each."""
    return [(d.consumer, d.first_offset, d.count, d.attempt) for d in deliveries]
