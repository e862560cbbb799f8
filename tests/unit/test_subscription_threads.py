"""Settling takes no lock, and loses nothing to the stand-in thread that gathers at the same moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from posthouse.message import Message, Slice
from posthouse.subscription import Subscription
from posthouse.transport.messages import NIL, Batch, Outcome

MESSAGES = 20_000


@pytest.fixture
def _eager_threads() -> Iterator[None]:
    """Threads take turns as often as the interpreter can manage."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_eager_threads")
def test_no_ack_is_lost_when_two_threads_settle_and_gather() -> None:
    subscription = Subscription("q", 1, 256, auto_ack=False, exclusive=False)
    subscription.open(1)
    batch = Batch("", "q", 1, 1, 1, 0, NIL, memoryview(bytes(4)), memoryview(b""))
    shared = Slice(batch, 1, 1, subscription.epoch)
    is_done = threading.Event()
    seen: list[int] = []

    def gather() -> None:
        while not is_done.is_set() or subscription.has_settlements:
            for settle in subscription.take_settlements():
                assert settle.outcome == Outcome.ACK
                for first, last in zip(settle.ranges[::2], settle.ranges[1::2], strict=True):
                    seen.extend(range(first, last + 1))

    thread = threading.Thread(target=gather)
    thread.start()
    for offset in range(1, MESSAGES + 1):
        Message(b"", offset, shared, subscription).ack()
    is_done.set()
    thread.join(30)

    assert seen == list(range(1, MESSAGES + 1))
