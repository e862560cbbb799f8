"""Journal records with bytes that nobody wrote: refused as corrupt, whichever actor reads them, and never a crash.

A journal's checksums keep such bytes away from the actors; this is what holds should a defect pass them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.actors.dead_letter_replay import replay_record
from posthouse.actors.dead_letter_store import DeadLetterStore, StoreLimits
from posthouse.actors.delay_state import DelayState
from posthouse.actors.held_replay import HeldReplay
from posthouse.actors.held_state import HeldState
from posthouse.actors.queue_state import QueueState
from posthouse.transport.errors import JournalCorrupt
from posthouse.transport.messages import QueueSpec

GOLDEN = Path(__file__).parents[1] / "golden"
Take = Callable[[int, int, memoryview], None]


def queue() -> Take:
    return QueueState(QueueSpec(name="ewr")).replay.record


def delay() -> Take:
    return DelayState().replay.record


def held() -> Take:
    return HeldReplay(HeldState(memory_bytes_max=500), 1_000).record


def dead_letter() -> Take:
    store = DeadLetterStore(StoreLimits())
    return lambda position, kind, payload: replay_record(store, position, kind, payload)


@cache
def golden(name: str) -> list[tuple[int, bytes]]:
    """Kind and payload of each record in the actor's golden file."""
    lines = (GOLDEN / f"{name}_records.txt").read_text().splitlines()
    fields = [line.replace("-", " ", 1).split() for line in lines if line.strip()]
    return [(int(parts[0]), bytes.fromhex(parts[-1])) for parts in fields]


@pytest.mark.parametrize("make", [queue, delay, held, dead_letter], ids=lambda make: make.__name__)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bytes_in_a_record_are_a_crash(make: Callable[[], Take], data: st.DataObject) -> None:
    records = golden(make.__name__)
    assert len(records) >= 5
    take = make()
    for position in range(1, 4):
        kind, payload = data.draw(st.sampled_from(records))
        changed = bytearray(payload)
        for _ in range(data.draw(st.integers(0, 3))):
            at = data.draw(st.integers(0, len(changed)))
            what = data.draw(st.sampled_from(["flip", "cut", "insert"]))
            if what == "flip" and at < len(changed):
                changed[at] ^= 1 << data.draw(st.integers(0, 7))
            elif what == "cut":
                del changed[at:]
            else:
                changed[at:at] = data.draw(st.binary(max_size=9))
        try:
            take(position, kind, memoryview(bytes(changed)))
        except JournalCorrupt:
            return


@pytest.mark.parametrize("make", [queue, delay, held, dead_letter], ids=lambda make: make.__name__)
@settings(max_examples=150, deadline=None)
@given(kind=st.integers(1, 25), payload=st.binary(max_size=200))
def test_no_bytes_at_all_are_a_crash(make: Callable[[], Take], kind: int, payload: bytes) -> None:
    try:
        make()(1, kind, memoryview(payload))
    except JournalCorrupt:
        return
