"""One test for two clients: what both promise is written once, as a coroutine, and run with each.

`Awaited` makes the methods of a blocking object awaitable without doing anything else.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Final, final

import pytest

import posthouse
from posthouse import aio
from posthouse.testing.broker import BrokerProcess

_numbers: Final = itertools.count(1)


@final
class Awaited:
    """A blocking object whose methods are awaited."""

    def __init__(self, blocking: Any) -> None:
        self._blocking = blocking

    async def __aenter__(self) -> Any:
        return Awaited(self._blocking.__enter__())

    async def __aexit__(self, *error: Any) -> None:
        self._blocking.__exit__(*error)

    async def __anext__(self) -> Any:
        return Awaited(next(self._blocking))

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._blocking, name)
        if name in ("dead_letters", "delayed", "definitions", "held"):
            return Awaited(found)
        if name in ("publisher", "consume"):
            return lambda *given, **named: Awaited(found(*given, **named))

        async def call(*given: Any, **named: Any) -> Any:
            answer = found(*given, **named)
            return [awaited(one) for one in answer] if isinstance(answer, list) else awaited(answer)

        return call if callable(found) else found


def awaited(answer: Any) -> Any:
    return Awaited(answer) if isinstance(answer, posthouse.Message) else answer


@contextlib.asynccontextmanager
async def connected(client: str, address: str, timeout_s: float = 15.0) -> AsyncIterator[Any]:
    made: Any = aio if client == "asyncio" else posthouse
    connecting = made.connect(address, timeout_s=timeout_s)
    async with connecting if client == "asyncio" else Awaited(connecting) as broker:
        yield broker


Test = Callable[..., Coroutine[Any, Any, None]]


def with_both(test: Test) -> Any:
    """Run with both clients, straight and through the door, on a queue of its own."""

    @pytest.mark.parametrize("is_behind_door", [False, True], ids=["direct", "door"])
    @pytest.mark.parametrize("client", ["blocking", "asyncio"])
    def run(shared: BrokerProcess, client: str, is_behind_door: bool) -> None:
        async def main() -> None:
            async with connected(client, shared.tcp if is_behind_door else shared.ipc) as broker:
                queue = f"both-{next(_numbers)}"
                await broker.declare_queue(queue)
                await test(broker, queue)

        asyncio.run(main())

    run.__name__ = test.__name__
    return run
