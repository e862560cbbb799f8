"""What a client process of a chaos run is told: who it is, what it does, and when it shall stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
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


def in_threads(works: Iterable[Callable[[], None]], stopping: threading.Event) -> None:
    """Do all of them at once; returns when all have returned. An exception of one stops the others and is raised."""
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)
            stopping.set()

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)  # Signals are handled between two joins.
    if failures:
        raise failures[0]


@final
class Shift:
    """Orders, and the two signals that a process may get. `gentle`: refuse nothing any more."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.stopping = threading.Event()
        self.gentle = threading.Event()
