"""Batches for tests of the queue, as a link hands them over: decoded, with their exact bytes.

Bodies say which message they are (`stream:seq`, padded to `size`), so a test can see what a slice really holds. It
simulates no publisher: sequence numbers are the test's to choose.
"""

from __future__ import annotations

from posthouse.transport import messages
from posthouse.transport.batch import pack_lengths
from posthouse.transport.messages import NIL, Batch, Options


def sample_batch(
    count: int = 1, first_seq: int = 1, stream: int = 1, size: int = 8, dedup_id: str | None = None
) -> tuple[Batch, bytes]:
    """A batch and its MessagePack."""
    bodies = b"".join(
        f"{stream}:{seq}".encode().ljust(size, b".")[:size] for seq in range(first_seq, first_seq + count)
    )
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
            options=None if dedup_id is None else Options(dedup_id=dedup_id),
        )
    )
    batch = messages.decode(raw)
    assert isinstance(batch, Batch)
    return batch, raw
