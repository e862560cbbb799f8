"""Declaring the hundredth queue and binding it is the work that the tenth was, for the registry and each exchange.

Counted are the calls that run inside the cell: they do not depend on how fast the machine is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

from posthouse.actors import cell
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from tests.support.exchange_bench import ExchangeWorld
from tests.support.registry_bench import RegistryWorld

FEW, MANY = 10, 110


def calls_in_the_cell(act: Callable[[], None]) -> int:
    """How many functions, Python's own ones too, were called on behalf of the actor."""
    count = 0

    def called(frame: FrameType | None, event: str, argument: object) -> None:
        nonlocal count
        if event not in ("call", "c_call"):
            return
        while frame is not None and frame.f_code.co_filename != cell.__file__:
            frame = frame.f_back
        count += frame is not None

    before = sys.getprofile()
    sys.setprofile(called)
    try:
        act()
    finally:
        sys.setprofile(before)
    return count


def work_at(declare: Callable[[int], None]) -> dict[int, int]:
    """The work of one declaration, by how many there were before."""
    found = {}
    for number in range(MANY + 1):
        if number in (FEW, MANY):
            found[number] = calls_in_the_cell(lambda number=number: declare(number))  # type: ignore[misc]
        else:
            declare(number)
    return found


def test_an_exchange_takes_in_each_new_queue_for_the_same_work() -> None:
    world = ExchangeWorld("fan")

    def declare(number: int) -> None:
        name, version = f"queue-{number:03}", 2 * number + 2
        world.change(TopologyChange(version=version, put_queues=(QueueSpec(name=name),)))
        bindings = (BindingSpec(source="fan", destination=name),)
        world.change(TopologyChange(version=version + 1, put_bindings=bindings))

    work = work_at(declare)
    assert 0 < work[MANY] <= work[FEW] + 10


def test_the_registry_makes_each_new_queue_for_the_same_work() -> None:
    world = RegistryWorld()
    world.declare(ExchangeSpec(name="fan", kind="fanout"))

    def declare(number: int) -> None:
        name = f"queue-{number:03}"
        world.declare(QueueSpec(name=name), BindingSpec(source="fan", destination=name))

    work = work_at(declare)
    assert 0 < work[MANY] <= work[FEW] + 10
