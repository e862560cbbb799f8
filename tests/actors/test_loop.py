"""The loop around a cell, with sockets and a cell in their places that only note what is done with them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

from posthouse.actors.cell import Cell
from posthouse.actors.loop import Loop
from posthouse.supervisor.child_spec import Life
from posthouse.supervisor.meter import Meter
from posthouse.transport.sockets import Sockets


def test_a_round_has_its_time_when_all_it_handles_is_there() -> None:
    arrived_us: list[int] = []
    handled: list[bytes] = []
    rounds_us: list[int] = []

    def receive(_frames_max: int) -> Iterator[tuple[bytes, bytes]]:
        for number in range(3):
            arrived_us.append(time.monotonic_ns() // 1_000)
            yield b"peer", b"frame %d" % number

    def frame(_route: Any, frame: bytes) -> None:
        handled.append(frame)
        loop._is_stopping = True

    def nothing(*_: Any) -> None:
        pass

    router = SimpleNamespace(receive=receive)
    silent = SimpleNamespace(receive=lambda _frames_max: iter(()))
    sockets = SimpleNamespace(
        served=router, outbound=silent, watch=nothing, wait=nothing, is_readable=lambda _: False, endpoint="ipc://x"
    )
    cell = SimpleNamespace(
        figures=SimpleNamespace(rounds=0, busy_ns=0), start=nothing, frame=frame, finish_round=list,
        begin=lambda _wall_ms, _monotonic_ms, monotonic_us: rounds_us.append(monotonic_us),
        next_wake_ms=lambda: 0, to_supervisor=[], to_connect=[],
    )  # fmt: skip
    life = SimpleNamespace(
        beacon=SimpleNamespace(idle=nothing, busy=nothing), meter=Meter(),
        control=SimpleNamespace(fileno=lambda: 0, send=nothing),
    )  # fmt: skip
    loop = Loop(cast("Cell", cell), cast("Life", life), cast("Sockets", sockets))
    assert loop.run() == 0
    assert handled == [b"frame 0", b"frame 1", b"frame 2"]
    assert len(rounds_us) == 1
    assert rounds_us[0] >= max(arrived_us)
