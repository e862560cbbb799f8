"""What children ask of the tree, by example."""

from __future__ import annotations

import pytest

from posthouse.supervisor import commands
from posthouse.supervisor.child_spec import Restart, Strategy
from posthouse.supervisor.control_messages import (
    Alarm,
    Announce,
    DescribeTree,
    Done,
    Down,
    FromSupervisor,
    Ready,
    RestartChild,
    StartChild,
    StopChild,
    Unwatch,
    Up,
    Watch,
)
from posthouse.supervisor.effects import EventKind
from posthouse.supervisor.node import State
from tests.support.tree_world import World, child, group, pool

REST = Strategy.REST_FOR_ONE


@pytest.fixture
def world() -> World:
    world = World(group(REST, child("boss"), pool(), pool("other")))
    world.all_ready()
    world.log.clear()
    return world


def start(world: World, name: str = "q", kind: str = "permanent", arguments: bytes = b"") -> Done:
    world.command("boss", StartChild(1, "pool", kind, name, arguments))
    return done(world)


def done(world: World) -> Done:
    (answer,) = (message for message in world.heard("boss") if isinstance(message, Done))
    return answer


def refused(world: World, reason: str, message: StartChild | StopChild | RestartChild) -> None:
    world.command("boss", message)
    answer = done(world)
    assert not answer.ok
    assert reason in answer.text


def test_a_dynamic_child_is_taken_on_at_once_and_watched_to_see_it_up(world: World) -> None:
    world.command("boss", Watch("q"))
    assert world.heard("boss") == [Down("q", 0, "unknown", "no child of that id is known")]
    assert start(world) == Done(1, ok=True)
    world.ready("q")
    assert world.heard("boss") == [Up("q", world.lives["q"], "at q")]


def test_to_start_what_runs_already_is_fine_with_the_same_arguments_only(world: World) -> None:
    start(world, arguments=b"1")
    assert start(world, arguments=b"1").ok
    assert world.log == ["+q"]
    refused(world, "other arguments", StartChild(1, "pool", "permanent", "q", b"2"))
    refused(world, "other arguments", StartChild(1, "pool", "transient", "q", b"1"))
    refused(world, "other arguments", StartChild(1, "other", "permanent", "q", b"1"))


def test_a_start_that_cannot_be_meant_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(world, "no dynamic group 'root'", StartChild(1, "root", "permanent", "q"))
    refused(world, "no dynamic group 'x'", StartChild(1, "x", "permanent", "q"))
    refused(world, "no such kind", StartChild(1, "pool", "bad", "q"))
    refused(world, "1 to 512 bytes", StartChild(1, "pool", "permanent", ""))
    refused(world, "name of a group", StartChild(1, "pool", "permanent", "other"))
    monkeypatch.setattr(commands, "CHILDREN_MAX", 1)
    refused(world, "the most", StartChild(1, "pool", "permanent", "q"))
    assert world.log == []


def test_a_stop_is_answered_when_the_process_is_gone_and_then_the_child_is_forgotten(world: World) -> None:
    start(world)
    world.ready("q")
    world.command("boss", Watch("q"))
    world.heard("boss")
    world.command("boss", StopChild(2, "q"))
    world.command("boss", StopChild(3, "q"))
    (down,) = world.heard("boss")
    assert isinstance(down, Down)
    assert down.state == "stopped"
    world.obey()
    assert world.heard("boss") == [Done(2, ok=True), Done(3, ok=True)]
    assert "q" not in world.tree.children
    assert world.log == ["+q", "~q", "-q"]


def test_a_stop_of_a_child_that_waits_to_be_restarted_is_answered_at_once(world: World) -> None:
    start(world)
    world.exit("q")
    world.exit("q")
    world.command("boss", StopChild(2, "q"))
    assert done(world).ok
    world.advance(60_000)
    assert world.log == ["+q", "-q", "+q", "-q"]


def test_a_stop_of_a_quarantined_child_is_answered_at_once(world: World) -> None:
    start(world)
    world.exit("q", 20)
    world.command("boss", StopChild(2, "q"))
    assert done(world).ok
    assert "q" not in world.tree.children


def test_a_stop_of_nobody_is_fine_and_of_a_fixed_child_refused(world: World) -> None:
    world.command("boss", StopChild(1, "nobody"))
    assert done(world) == Done(1, ok=True, text="there was no such child")
    refused(world, "fixed part", StopChild(1, "boss"))


def test_not_everybody_may_wait_for_one_stop(world: World) -> None:
    start(world)
    for number in range(commands.STOP_REQUESTS_MAX):
        world.command("boss", StopChild(number, "q"))
    world.heard("boss")
    refused(world, "too many", StopChild(99, "q"))


def test_a_child_started_again_while_it_stops_lives_after_the_first_is_dead(world: World) -> None:
    start(world, arguments=b"1")
    world.command("boss", StopChild(2, "q"))
    assert start(world, arguments=b"2").ok
    refused(world, "still stopping", StartChild(1, "other", "permanent", "q"))
    refused(world, "no child of the id", RestartChild(1, "q"))
    world.obey()
    assert done(world) == Done(2, ok=True)
    assert world.log == ["+q", "~q", "-q", "+q"]
    assert world.tree.children["q"].arguments == b"2"


def test_a_second_stop_takes_back_the_start_in_between(world: World) -> None:
    start(world)
    world.command("boss", StopChild(2, "q"))
    start(world, arguments=b"2")
    world.command("boss", StopChild(3, "q"))
    world.obey()
    assert "q" not in world.tree.children
    assert world.log == ["+q", "~q", "-q"]


def test_an_answer_to_a_life_that_is_over_is_dropped(world: World) -> None:
    start(world)
    world.command("boss", StopChild(2, "q"))
    world.exit("boss")
    world.obey()
    world.all_ready()
    assert world.heard("boss") == []
    assert "q" not in world.tree.children


def test_dynamic_children_come_back_when_their_group_was_restarted(world: World) -> None:
    start(world, "q1")
    start(world, "q2")
    world.all_ready()
    world.log.clear()
    world.exit("boss")
    world.obey()
    assert world.log == ["-boss", "~q1", "~q2", "-q1", "-q2", "+boss"]
    world.ready("boss")
    assert world.log[-2:] == ["+q1", "+q2"]


def test_many_children_are_forked_a_few_at_a_time_in_the_order_of_the_requests(world: World) -> None:
    names = [f"q{number}" for number in range(20)]
    for name in names:
        start(world, name)
    assert list(world.lives) == ["boss", *names[:8]]
    assert world.tree.has_backlog
    world.command("boss", StopChild(1, "q9"))
    world.exit("q0")
    world.advance(0)
    assert world.tree.groups["pool"].waiting == {}
    assert list(world.lives) == ["boss", *names[1:9], *names[10:], "q0"]


def test_a_stop_overtakes_children_that_wait_to_be_forked(world: World) -> None:
    for number in range(20):
        start(world, f"q{number}")
    world.shutdown()
    world.obey()
    assert world.exit_code == 0
    assert [entry for entry in world.log if entry[0] == "+"] == [f"+q{number}" for number in range(8)]


def test_a_child_asked_for_before_its_group_is_active_waits_for_its_turn() -> None:
    world = World(group(REST, child("boss"), child("slow"), pool()))
    world.ready("boss")
    assert start(world).ok
    assert world.log == ["+boss", "+slow"]
    world.ready("slow")
    assert world.log == ["+boss", "+slow", "+q"]


def test_a_transient_child_that_has_finished_is_forgotten(world: World) -> None:
    start(world, kind="transient")
    world.exit("q", 0)
    assert "q" not in world.tree.children
    assert world.kinds("q")[-1] is EventKind.STOPPED


def test_a_quarantined_child_is_seen_as_such_until_it_is_up_again(world: World) -> None:
    start(world)
    world.command("boss", Watch("q"))
    for _ in range(3):
        world.exit("q")
        world.advance(100)
    states: list[FromSupervisor] = world.heard("boss")
    assert [message.state for message in states if isinstance(message, Down)] == ["restarting", "quarantined"]
    world.advance(100)
    assert world.tree.children["q"].state is State.STARTING
    assert world.heard("boss") == []
    world.ready("q")
    assert isinstance(world.heard("boss")[0], Up)


def test_an_operator_takes_a_child_out_of_quarantine(world: World) -> None:
    start(world)
    world.exit("q", 20)
    world.advance(100_000)
    assert "q" not in world.lives
    world.command("boss", RestartChild(4, "q"))
    assert done(world).ok
    assert "q" in world.lives
    world.exit("q")
    assert "q" in world.lives


def test_an_operator_restarts_what_runs_starts_or_waits(world: World) -> None:
    start(world)
    world.command("boss", RestartChild(1, "q"))
    assert world.log == ["+q"]
    world.ready("q")
    world.command("boss", RestartChild(2, "q"))
    world.obey()
    assert world.log == ["+q", "~q", "-q", "+q"]
    world.exit("q")
    world.exit("q")
    world.command("boss", RestartChild(3, "q"))
    assert world.log[-2:] == ["-q", "+q"]
    world.heard("boss")
    refused(world, "no child of the id", RestartChild(5, "nobody"))


def test_a_restart_of_a_fixed_child_takes_along_those_its_strategy_names() -> None:
    world = World(group(REST, child("boss"), child("t", Restart.TRANSIENT), child("c")))
    world.all_ready()
    world.exit("t", 0)
    world.command("boss", RestartChild(1, "t"))
    world.all_ready()
    world.log.clear()
    world.command("boss", RestartChild(2, "t"))
    world.obey()
    world.all_ready()
    assert world.log == ["~c", "-c", "~t", "-t", "+t", "+c"]


def test_nothing_is_started_while_the_tree_stops(world: World) -> None:
    start(world)
    world.shutdown()
    refused(world, "stopping", StartChild(1, "pool", "permanent", "r"))
    refused(world, "stopping", RestartChild(1, "q"))


def test_a_watch_ends_by_wish_or_with_the_life_that_asked(world: World) -> None:
    start(world)
    world.command("boss", Watch("q"))
    world.command("boss", Unwatch("q"))
    world.heard("boss")
    world.ready("q")
    assert world.heard("boss") == []
    world.command("boss", Watch("q"))
    world.exit("boss")
    assert world.tree.watches.watchers_of("q") == ()


def test_a_child_that_breaks_a_limit_is_treated_as_hung(world: World) -> None:
    start(world, "q1")
    world.command("q1", Watch("x" * 513))
    start(world, "q2")
    world.command("q2", Ready("x" * 1025))
    assert world.log == ["+q1", "?q1", "+q2", "?q2"]


def test_a_life_that_is_over_is_not_heard(world: World) -> None:
    assert commands.handle(world.tree, "boss", 99, DescribeTree(1), 0) == []
    assert commands.handle(world.tree, "nobody", 1, DescribeTree(1), 0) == []


@pytest.mark.parametrize("word", [Announce("listening"), Alarm("breaker_opened", {})])
def test_an_announcement_or_an_alarm_is_nothing_to_the_tree(world: World, word: Announce | Alarm) -> None:
    world.command("boss", word)
    assert world.told == []


def test_the_tree_is_described_in_start_order(world: World) -> None:
    start(world, "q")
    world.exit("q", number=9)
    world.command("boss", DescribeTree(7))
    (description,) = world.descriptions
    assert (description.to, description.request) == ("boss", 7)
    boss, q = description.nodes
    assert (boss.id, boss.group, boss.state, boss.endpoint) == ("boss", "root", "up", "at boss")
    assert (q.id, q.kind, q.restarts, q.last_exit) == ("q", "permanent", 1, "signal 9")
