"""What the tests with real processes share: a short path for sockets, and brokers that are ended with their test."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from posthouse.errors import PosthouseError
from posthouse.testing.broker import BrokerProcess

QUEUES_KEPT_MAX: Final = 20
"""Each queue is a process. What many tests of a module left behind took the machine from those that came after."""

StartBroker = Callable[..., BrokerProcess]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Sockets need a path of less than 100 bytes, and pytest's own may be longer."""
    with tempfile.TemporaryDirectory(prefix="ph-") as path:
        yield Path(path)


@pytest.fixture
def start_broker(short_path: Path) -> Iterator[StartBroker]:
    """Starts brokers with their own options."""
    with ExitStack() as stack:

        def start(*options: str, **settings: Any) -> BrokerProcess:
            return stack.enter_context(BrokerProcess(short_path, *options, **settings))

        yield start


@pytest.fixture
def process(start_broker: StartBroker) -> BrokerProcess:
    """One broker for one test that kills, stops or starves it."""
    return start_broker()


@pytest.fixture(scope="module")
def shared() -> Iterator[BrokerProcess]:
    """One broker for all tests of a module that leave its processes alone."""
    with tempfile.TemporaryDirectory(prefix="ph-") as path, BrokerProcess(Path(path)) as process:
        yield process


@pytest.fixture(autouse=True)
def _few_queues_stay(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete what a test made in the broker of its module, once there is much of it."""
    if "shared" not in request.fixturenames:
        yield
        return
    process: BrokerProcess = request.getfixturevalue("shared")
    before = set(process.actors())
    yield
    if len(process.actors("queue:*")) <= QUEUES_KEPT_MAX:
        return
    with process.connect() as broker:
        for actor in set(process.actors()) - before:
            kind, _, name = actor.partition(":")
            with contextlib.suppress(PosthouseError):
                if kind == "queue":
                    broker.delete_queue(name)
                elif kind == "exchange":
                    broker.delete_exchange(name)
