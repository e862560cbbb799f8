"""What a client process of a chaos run is told: who it is, what it does, and when it shall stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Final, final

import msgspec

import posthouse
from posthouse.errors import PosthouseError

AGAIN_S: Final = 0.1


@final
class Orders(msgspec.Struct, kw_only=True, frozen=True):
    """`number`: of a publisher. `lanes`: indices. `rate`: messages per second over all lanes of this process."""

    name: str
    address: str
    history: str
    number: int = 0
    lanes: list[int] = []
    queues: list[str] = []
    rate: float = 100.0
    size: int = 200


def connected(shift: Shift, timeout_s: float = 10.0) -> posthouse.Broker:
    """A client, as soon as there is a broker. It comes back by itself after that."""
    while True:
        try:
            return posthouse.connect(shift.orders.address, timeout_s=timeout_s)
        except PosthouseError:
            if shift.stopping.wait(AGAIN_S):
                raise


def in_threads(works: Sequence[Callable[[], None]], stopping: threading.Event) -> None:
    """Do all of them at once; returns when all have returned. An exception of one stops the others and is raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(work) for work in works]
        for future in as_completed(futures):
            if future.exception() is not None:
                stopping.set()
    for future in futures:
        future.result()


@final
class Shift:
    """Orders, and the two signals that a process may get. `gentle`: refuse nothing any more."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.stopping = threading.Event()
        self.gentle = threading.Event()
