"""The event loop's side of the client: when the pump is turned, who is woken, and what closing and failing leave.

`PlayedPump` stands for the socket: a session and its scripted broker in memory, and a descriptor that the test makes
readable. It does not simulate that the descriptor of a ZeroMQ socket speaks once only; the system tests have it.
"""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast, final

import pytest

from posthouse.address import Address
from posthouse.aio_wire import Wire
from posthouse.errors import BrokerNotRunning, InvalidArgument, OutcomeUnknown, Unavailable
from posthouse.transport.messages import NIL, ListQueues
from posthouse.wire_pump import Pump
from tests.support.client_bench import ClientBench

KEY = ("k", NIL, None)


@final
class PlayedPump:
    """Pushes count; what `push` answers is written in `answers`, and True whenever the descriptor was readable."""

    def __init__(self) -> None:
        self.bench = ClientBench()
        self.bench.begin()
        self.session = self.bench.session
        self.address = Address(door="tcp://played:1")
        self.is_connected = True
        self.is_closed = False
        self.pushes = 0
        self.answers: list[bool | Exception] = []
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)

    @property
    def descriptors(self) -> list[int]:
        return [self._near.fileno()]

    def signal(self) -> None:
        """Something has come."""
        self._far.send(b"!")

    def push(self) -> bool:
        self.pushes += 1
        answer = self.answers.pop(0) if self.answers else False
        if isinstance(answer, Exception):
            raise answer
        self.bench.run()
        try:
            return bool(self._near.recv(100)) or answer
        except BlockingIOError:
            return answer

    def overdue(self, limit_s: float, was_connected: bool) -> Unavailable:
        return OutcomeUnknown(f"{limit_s} s") if was_connected else BrokerNotRunning(f"{limit_s} s")

    def close(self) -> None:
        self.is_closed = True
        self._near.close()
        self._far.close()


def make_wire(pump: PlayedPump) -> Wire:
    return Wire(cast(Pump, pump), asyncio.get_running_loop())


def in_loop(test: Callable[[Wire, PlayedPump], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a test as a task, with a wire that is closed after it."""

    async def run() -> None:
        pump = PlayedPump()
        wire = make_wire(pump)
        try:
            async with asyncio.timeout(30.0):
                await test(wire, pump)
        finally:
            await wire.close()

    @functools.wraps(test)
    def in_a_loop_of_its_own() -> None:
        asyncio.run(run())

    del in_a_loop_of_its_own.__dict__["__wrapped__"]  # pytest would look for fixtures of the inner arguments
    return in_a_loop_of_its_own


async def until(look: Callable[[], object]) -> None:
    """Let the loop pass until it is so."""
    for _ in range(10_000):
        if look():
            return
        await asyncio.sleep(0)
    raise AssertionError("it does not become so")


async def start(*coroutines: Any) -> list[asyncio.Task[Any]]:
    """Tasks that have come as far as they can by themselves."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    await passes(5)
    return tasks


async def passes(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


@in_loop
async def test_what_tasks_leave_in_one_pass_travels_in_one_turn(wire: Wire, pump: PlayedPump) -> None:
    for _ in range(100):
        wire.wake()
    assert pump.pushes == 0
    await passes(3)
    assert pump.pushes == 1


@in_loop
async def test_a_turn_is_repeated_until_nothing_moves(wire: Wire, pump: PlayedPump) -> None:
    pump.answers = [True, True, False]
    wire.wake()
    await until(lambda: pump.pushes == 3)
    await passes(5)
    assert pump.pushes == 3


@in_loop
async def test_a_readable_descriptor_turns_and_wakes(wire: Wire, pump: PlayedPump) -> None:
    come: list[int] = []
    waiting = asyncio.create_task(wire.wait_until(lambda: bool(come), None))
    await passes(3)
    come.append(1)
    pump.signal()
    assert await waiting


@in_loop
async def test_the_clock_ticks_when_nothing_happens(wire: Wire, pump: PlayedPump) -> None:
    ticked = asyncio.create_task(wire.wait_until(lambda: False, wire.now() + 0.3))
    assert not await ticked
    assert pump.pushes >= 3


@in_loop
async def test_what_is_so_already_is_not_waited_for(wire: Wire, pump: PlayedPump) -> None:
    assert await wire.wait_until(lambda: True, wire.now() - 1.0)
    assert pump.pushes == 0


@in_loop
async def test_a_deadline_that_passes_looks_once_more(wire: Wire, pump: PlayedPump) -> None:
    looks = iter([False, True])
    assert await wire.wait_until(lambda: next(looks), wire.now())
    assert not await wire.wait_until(lambda: False, wire.now())
    assert wire._waiting == {}


@in_loop
async def test_a_cancelled_wait_is_forgotten_and_no_other_is_disturbed(wire: Wire, pump: PlayedPump) -> None:
    come: list[int] = []
    waits = [asyncio.create_task(wire.wait_until(lambda: bool(come), None)) for _ in range(3)]
    await passes(3)
    waits[1].cancel()
    come.append(1)
    wire.look()
    results = await asyncio.gather(*waits, return_exceptions=True)
    assert (results[0], results[2]) == (True, True)
    assert isinstance(results[1], asyncio.CancelledError)
    assert wire._waiting == {}


@in_loop
async def test_an_urgent_batch_leaves_at_once_and_another_when_the_stream_is_quiet(
    wire: Wire, pump: PlayedPump
) -> None:
    stream = wire.session.stream("ex")
    stream.add(b"1", KEY)
    wire.leave(stream, is_urgent=False)
    await passes(2)
    assert stream.unconfirmed_messages == 1, "a quiet stream does not wait"
    stream.add(b"2", KEY)
    wire.leave(stream, is_urgent=False)
    await passes(5)
    assert stream.unconfirmed_messages == 1, "while a confirm is outstanding, more may come"
    stream.add(b"3", KEY)
    wire.leave(stream, is_urgent=True)
    await passes(2)
    assert not stream.has_open_batch
    assert stream.unconfirmed_messages == 3


@in_loop
async def test_a_failed_stream_sends_no_more(wire: Wire, pump: PlayedPump) -> None:
    stream = wire.session.stream("ex")
    stream.add(b"1", KEY)
    wire.leave(stream, is_urgent=True)
    stream.fail(OutcomeUnknown("gone"))
    await passes(2)
    assert stream.unconfirmed_messages == 0
    assert wire._left == {}


@in_loop
async def test_what_goes_wrong_in_a_turn_is_told_to_all_who_wait(wire: Wire, pump: PlayedPump) -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["exception"]))
    waits = [asyncio.create_task(wire.wait_until(lambda: False, None)) for _ in range(2)]
    await passes(3)
    fault = ValueError("what the broker sent")
    pump.answers = [fault]
    wire.wake()
    assert await asyncio.gather(*waits, return_exceptions=True) == [fault, fault]
    assert reported == [fault]
    wire.wake()
    await passes(2)
    assert pump.answers == []


@in_loop
async def test_closing_ends_whoever_waits_and_stops_everything(wire: Wire, pump: PlayedPump) -> None:
    waiting = asyncio.create_task(wire.wait_until(lambda: False, None))
    await passes(3)
    wire.wake()
    await wire.close()
    pushes = pump.pushes
    assert pump.is_closed
    assert await waiting is False
    assert await wire.wait_until(lambda: False, None) is False
    with pytest.raises(InvalidArgument, match="closed"):
        wire.check_open()
    await wire.close()
    wire.wake()
    await passes(3)
    assert pump.pushes == pushes


@in_loop
async def test_what_a_cancelled_task_leaves_is_done_when_its_call_is(wire: Wire, pump: PlayedPump) -> None:
    done: list[str] = []
    call = wire.session.call("registry", ListQueues)
    wire.when_done(call, lambda: done.append("answered"))
    await passes(3)
    assert done == []
    pump.bench.reply("registry", call, [])
    pump.signal()
    await until(lambda: done == ["answered"])
    late = wire.session.call("registry", call.make)
    wire.when_done(late, lambda: done.append("never"))
    await wire.close()
    await passes(3)
    assert done == ["answered"]
