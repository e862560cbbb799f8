"""Sockets of an actor: what it does with connections to the lives of others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from posthouse.testing.waiting import eventually
from posthouse.transport.limits import Limits
from posthouse.transport.sockets import Sent, Sockets


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ph-") as path:
        yield Path(path)


def test_a_life_that_is_told_of_again_stays_connected_and_others_of_it_go(place: Path) -> None:
    with closing(Sockets(Limits())) as peer, closing(Sockets(Limits())) as ours:
        peer.serve(f"ipc://{place}/peer")
        outbound, served = ours.outbound, peer.served
        assert served is not None
        outbound.connect_life("queue:a/b", b"queue:a/b/1", f"ipc://{place}/gone")
        outbound.connect_life("queue:a/b", b"queue:a/b/2", f"ipc://{place}/peer")
        # ZeroMQ would end this process if the name were given up and taken again.
        for _ in range(100):
            outbound.connect_life("queue:a/b", b"queue:a/b/2", f"ipc://{place}/peer")
        assert outbound.names_of("queue:a/b") == [b"queue:a/b/2"]

        def arrives() -> bool:
            return outbound.send(b"queue:a/b/2", b"x") is Sent.TAKEN and bool(list(served.receive(10)))

        eventually(arrives, 10, "a frame arrives")
