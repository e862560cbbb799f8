"""What the registry has promised and not yet done, and who lives where."""

from __future__ import annotations

import pytest

from posthouse.actors.registry_state import Directory, Operation, Operations, Whereabouts
from posthouse.transport.limits import Limits
from posthouse.transport.links import Link

FAN, TOP = "exchange:fan", "exchange:top"


def link() -> Link:
    return Link("registry", is_opener=False, survives=False, limits=Limits())


class World:
    """Two living exchanges, and operations that wait for them."""

    def __init__(self) -> None:
        self.directory = Directory()
        self.operations = Operations(self.directory)
        for actor in (FAN, TOP):
            self.directory.actors[actor] = Whereabouts(1, "ipc:///x", "up")

    def finished(self) -> list[int]:
        return [operation.request for operation in self.operations.take_finished({FAN, TOP})]


def test_an_operation_waits_until_every_exchange_routes_by_it() -> None:
    world = World()
    world.operations.add(Operation(None, 1, None, version=5))
    assert world.finished() == []
    world.operations.applied(FAN, 5)
    world.operations.applied(TOP, 4)
    assert world.finished() == []
    world.operations.applied(TOP, 6)
    assert world.finished() == [1]
    assert world.finished() == []


def test_what_an_exchange_has_applied_never_goes_back() -> None:
    world = World()
    world.operations.applied(FAN, 5)
    world.operations.applied(FAN, 3)
    world.operations.applied(TOP, 5)
    world.operations.add(Operation(None, 1, None, version=5))
    assert world.finished() == [1]


def test_operations_that_wait_for_nothing_are_finished_in_the_order_they_came() -> None:
    world = World()
    world.operations.add(Operation(None, 1, None))
    world.operations.add(Operation(None, 2, None, version=9))
    world.operations.add(Operation(None, 3, None))
    assert world.finished() == [1, 3]
    world.operations.applied(FAN, 9)
    world.operations.applied(TOP, 9)
    assert world.finished() == [2]


@pytest.mark.parametrize(
    ("state", "is_waited_for"),
    [("up", True), ("starting", True), ("restarting", False), ("quarantined", False), ("stopped", False)],
)
def test_an_exchange_that_will_begin_with_a_snapshot_is_not_waited_for(state: str, is_waited_for: bool) -> None:
    world = World()
    world.operations.applied(TOP, 5)
    world.directory.actors[FAN] = Whereabouts(state=state)
    world.operations.add(Operation(None, 1, None, version=5))
    assert world.finished() == ([] if is_waited_for else [1])


def test_an_exchange_that_nobody_has_heard_of_yet_is_waited_for() -> None:
    world = World()
    del world.directory.actors[FAN]
    world.operations.applied(TOP, 5)
    world.operations.add(Operation(None, 1, None, version=5))
    assert world.finished() == []


def test_a_new_life_of_an_exchange_has_applied_nothing() -> None:
    world = World()
    world.operations.applied(FAN, 5)
    world.operations.applied(TOP, 5)
    world.operations.left(FAN)
    world.operations.left("exchange:never there")
    world.operations.add(Operation(None, 1, None, version=5))
    assert world.finished() == []


def test_an_operation_waits_for_the_actor_it_made() -> None:
    world = World()
    world.operations.add(Operation(None, 1, None, actor="queue:q"))
    assert world.finished() == []
    world.directory.actors["queue:q"] = Whereabouts(state="restarting")
    assert world.finished() == []
    world.directory.actors["queue:q"] = Whereabouts(state="quarantined")
    assert world.finished() == [1]


def test_the_directory_remembers_who_asked_until_they_leave() -> None:
    directory, first, second = Directory(), link(), link()
    directory.watch("queue:a", first)
    directory.watch("queue:a", first)
    directory.watch("queue:a", second)
    directory.watch("queue:b", first)
    assert {actor: list(links) for actor, links in directory.watchers.items()} == {
        "queue:a": [first, second],
        "queue:b": [first],
    }
    directory.forget_link(first)
    assert {actor: list(links) for actor, links in directory.watchers.items()} == {"queue:a": [second]}
    directory.forget_link(second)
    assert directory.watchers == {}


def test_an_actor_that_was_never_heard_of_is_starting() -> None:
    directory = Directory()
    assert directory.where("queue:q") == Whereabouts(0, "", "starting")
    assert not directory.where("queue:q").is_up
    assert list(directory.actors) == ["queue:q"]
