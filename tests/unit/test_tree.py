"""The supervision tree by example: + forked, ~ asked to stop, ? aborted, ! killed, - gone."""

from __future__ import annotations

from posthouse.supervisor.child_spec import GroupSpec, Restart, RestartIntensity, Strategy
from posthouse.supervisor.control_messages import Ready, StartChild, StopMe, Watch
from posthouse.supervisor.effects import EventKind
from posthouse.supervisor.node import State
from tests.support.tree_world import World, child, group, make_child, pool

ONE, REST, ALL = Strategy.ONE_FOR_ONE, Strategy.REST_FOR_ONE, Strategy.ONE_FOR_ALL
ABC = (child("a"), child("b"), child("c"))


def log_of(world: World) -> str:
    text = " ".join(world.log)
    world.log.clear()
    return text


def started(strategy: Strategy) -> World:
    world = World(group(strategy, *ABC))
    world.all_ready()
    assert log_of(world) == "+a +b +c"
    return world


def test_each_child_waits_until_the_one_before_it_is_ready() -> None:
    world = World(group(REST, *ABC))
    assert log_of(world) == "+a"
    world.ready("a")
    assert log_of(world) == "+b"
    assert world.kinds("root") == []
    world.ready("b", "c")
    assert world.kinds("root") == [EventKind.ALL_UP]


def test_a_stop_goes_from_right_to_left_one_at_a_time_and_ends_with_0() -> None:
    world = started(ONE)
    world.shutdown()
    assert log_of(world) == "~c"
    world.obey()
    assert log_of(world) == "-c ~b -b ~a -a"
    assert world.exit_code == 0
    assert {node.state for node in world.tree.children.values()} <= {State.STOPPED, State.RESTARTING}


def test_a_second_stop_kills_all_at_once() -> None:
    world = started(ONE)
    world.shutdown()
    world.shutdown()
    assert log_of(world) == "~c !a !b !c"
    for name in "abc":
        world.exit(name, number=9)
    assert world.exit_code == 0


def test_one_for_one_restarts_the_failed_child_only_and_side_by_side() -> None:
    world = started(ONE)
    world.exit("a")
    world.exit("b")
    assert log_of(world) == "-a +a -b +b"


def test_rest_for_one_stops_those_after_it_in_reverse_and_starts_all_in_order() -> None:
    world = started(REST)
    world.exit("a")
    assert log_of(world) == "-a ~c"
    world.obey()
    world.all_ready()
    assert log_of(world) == "-c ~b -b +a +b +c"


def test_one_for_all_stops_everybody_first() -> None:
    world = started(ALL)
    world.exit("b")
    world.obey()
    world.all_ready()
    assert log_of(world) == "-b ~c -c ~a -a +a +b +c"


def test_a_crash_in_the_middle_of_a_restart_is_one_more_dead_child() -> None:
    world = started(REST)
    world.exit("b")
    assert log_of(world) == "-b ~c"
    world.exit("a")
    world.exit("c", 10)
    assert log_of(world) == "-a -c +a"
    world.all_ready()
    assert log_of(world) == "+b +c"


def test_more_restarts_than_the_intensity_allows_end_the_tree_with_70() -> None:
    world = started(ONE)
    for _ in range(3):
        world.exit("b")
    assert log_of(world) == "-b +b -b +b -b ~c"
    world.obey()
    assert world.exit_code == 70
    assert world.kinds("root") == [EventKind.ALL_UP, EventKind.ESCALATED, EventKind.STOPPING]


def test_restarts_spread_over_more_than_the_period_end_nothing() -> None:
    world = started(ONE)
    for _ in range(10):
        world.exit("b")
        world.ready("b")
        world.advance(2_500)
    assert world.kinds("b").count(EventKind.STARTED) == 11


def test_a_failed_group_is_restarted_by_the_strategy_of_the_group_above() -> None:
    inner = group(ONE, child("b"), child("c"), name="inner")
    world = World(group(REST, child("a"), inner, child("d")))
    world.all_ready()
    log_of(world)
    for _ in range(3):
        world.exit("c")
    assert log_of(world) == "-c +c -c +c -c ~d"
    world.obey()
    world.all_ready()
    assert log_of(world) == "-d ~b -b +b +c +d"
    assert world.exit_code is None


def test_a_failed_group_with_nobody_alive_in_it_is_started_at_once() -> None:
    world = World(group(ONE, child("a"), group(ONE, child("b"), name="inner")))
    world.all_ready()
    for _ in range(3):
        world.exit("b")
    assert log_of(world) == "+a +b -b +b -b +b -b +b"


def test_failures_multiply_up_to_the_root() -> None:
    world = World(group(ONE, group(ONE, child("b"), name="inner")))
    while world.exit_code is None:
        world.exit("b")
    assert world.kinds("b").count(EventKind.STARTED) == 9


def test_a_corrupt_journal_in_a_group_without_quarantine_fails_it_at_once() -> None:
    world = started(ONE)
    world.exit("b", 20)
    world.obey()
    assert world.exit_code == 70


def test_restart_types_are_honoured_and_a_siblings_failure_wakes_a_finished_transient_one() -> None:
    members = (child("a"), child("t", Restart.TRANSIENT), child("x", Restart.TEMPORARY))
    world = World(group(REST, *members))
    world.all_ready()
    log_of(world)
    world.exit("t", 0)
    world.exit("x", 1)
    assert log_of(world) == "-t -x"
    world.exit("a")
    world.all_ready()
    assert log_of(world) == "-a +a +t"


def test_a_temporary_child_stopped_for_its_sibling_stays_away() -> None:
    world = World(group(REST, child("a"), child("x", Restart.TEMPORARY)))
    world.all_ready()
    world.exit("a")
    world.obey()
    world.all_ready()
    assert log_of(world) == "+a +x -a ~x -x +a"


def test_a_temporary_child_starts_again_with_its_group() -> None:
    inner = group(ONE, child("x", Restart.TEMPORARY), child("b"), name="inner")
    world = World(group(REST, child("a"), inner))
    world.all_ready()
    world.exit("x", 0)
    log_of(world)
    world.exit("a")
    world.obey()
    world.all_ready()
    assert log_of(world) == "-a ~b -b +a +x +b"


def test_a_child_that_ignores_stop_is_killed_and_reported_when_even_that_fails() -> None:
    world = started(ONE)
    world.shutdown()
    world.advance(999)
    assert log_of(world) == "~c"
    world.advance(1)
    assert log_of(world) == "!c"
    world.advance(11_000)
    assert world.kinds("c")[-3:] == [EventKind.KILLED, EventKind.STUCK, EventKind.STUCK]
    assert world.lives.keys() >= {"c"}


def test_a_shutdown_time_of_zero_kills_without_asking() -> None:
    world = World(group(ONE, child("a", shutdown_ms=0)))
    world.ready("a")
    world.shutdown()
    assert log_of(world) == "+a !a"


def test_a_hung_child_is_aborted_then_killed_and_replaced_when_it_is_dead() -> None:
    world = started(ONE)
    world.hang("b")
    world.hang("b")
    assert log_of(world) == "?b"
    world.advance(500)
    assert log_of(world) == "!b"
    world.hang("b")
    world.exit("b", number=9)
    assert log_of(world) == "-b +b"
    assert world.tree.children["b"].last_exit == "busy; signal 9"


def test_a_child_that_hangs_while_it_stops_is_aborted_and_not_counted_as_failed() -> None:
    world = started(ONE)
    world.shutdown()
    world.hang("c")
    world.exit("c", number=6)
    assert log_of(world) == "~c ?c -c ~b"


def test_a_child_that_is_not_ready_in_time_is_treated_as_hung() -> None:
    world = World(group(ONE, child("a")))
    world.advance(60_000)
    assert log_of(world) == "+a ?a"
    world.exit("a", number=6)
    assert "not ready within 60000 ms" in world.tree.children["a"].last_exit


def test_facts_about_a_past_life_change_nothing() -> None:
    world = started(ONE)
    assert world.tree.ready("a", 99, "", 0) == []
    assert world.tree.ready("nobody", 1, "", 0) == []
    assert world.tree.ready("a", world.lives["a"], "again", 0) == []
    assert world.tree.hung("a", 99, "", 0) == []
    world.lives["b"] += 100
    world.exit("b")
    assert log_of(world) == "-b"


def test_a_fork_that_fails_is_a_crash() -> None:
    world = World(group(ONE, child("a"), child("b")))
    world.failing_forks.add("b")
    world.ready("a")
    world.obey()
    assert world.exit_code == 70
    assert world.tree.children["b"].last_exit == "no memory"


def test_a_child_of_a_quarantining_group_that_keeps_failing_holds_nobody_up() -> None:
    world = World(group(REST, group(ONE, child("a"), child("b"), name="inner", quarantines=True), child("c")))
    assert log_of(world) == "+a"
    world.exit("a")
    world.exit("a")
    assert log_of(world) == "-a +a -a"
    world.advance(100)
    world.exit("a")
    assert world.tree.children["a"].state is State.QUARANTINED
    assert log_of(world) == "+a -a +b"
    world.ready("b")
    assert log_of(world) == "+c"
    world.advance(200)
    world.ready("a")
    assert log_of(world) == "+a"


def test_a_backoff_that_ends_while_the_group_is_down_waits_for_its_turn() -> None:
    inner = group(ONE, child("b"), name="inner", quarantines=True)
    world = World(group(REST, child("a"), inner))
    world.all_ready()
    world.exit("b")
    world.exit("b")
    world.exit("a")
    log_of(world)
    world.advance(1_000)
    assert log_of(world) == ""
    world.ready("a")
    assert log_of(world) == "+b"


def test_a_sigterm_to_a_child_stops_it_in_order_and_counts_for_nothing() -> None:
    world = started(ONE)
    for _ in range(5):
        world.command("b", StopMe())
        world.command("b", StopMe())
        world.obey()
        world.ready("b")
    assert log_of(world) == " ".join(["~b -b +b"] * 5)


def test_a_sigterm_to_a_child_does_not_bring_its_turn_forward() -> None:
    world = started(ONE)
    world.shutdown()
    world.command("a", StopMe())
    assert log_of(world) == "~c"


def test_watchers_hear_of_every_change_and_of_the_stop() -> None:
    world = started(ONE)
    world.command("a", Watch("b"))
    world.exit("b")
    world.ready("b")
    world.hang("b")
    world.exit("b", number=9)
    assert [type(message).__name__ for message in world.heard("a")] == ["Up", "Down", "Up", "Down"]
    world.ready("b")
    world.shutdown()
    world.obey()
    assert world.heard("a")[1].state == "stopped"  # type: ignore[union-attr]


def test_a_crash_of_a_child_that_is_about_to_be_stopped_counts_for_nothing() -> None:
    world = started(REST)
    world.exit("a")
    world.exit("b")
    assert EventKind.RESTARTING not in world.kinds("b")
    world.obey()
    world.all_ready()
    assert log_of(world) == "-a ~c -b -c +a +b +c"


def test_a_crash_in_a_group_that_is_about_to_be_stopped_counts_for_nothing() -> None:
    never = RestartIntensity(0, 5.0)
    inner = GroupSpec("inner", ONE, never, ABC)
    world = World(group(ONE, inner))
    world.all_ready()
    world.exit("b")
    world.exit("a")
    world.obey()
    world.all_ready()
    assert log_of(world) == "+a +b +c -b ~c -a -c +a +b +c"
    assert world.kinds("inner") == [EventKind.ESCALATED]


def test_a_child_that_is_long_in_stopping_keeps_no_independent_sibling_down() -> None:
    world = started(ONE)
    world.command("a", StopMe())
    world.exit("b")
    assert log_of(world) == "~a -b +b"


def test_a_child_whose_fork_is_under_way_is_asked_to_stop_when_it_lives() -> None:
    strict = GroupSpec("pool", ONE, RestartIntensity(0, 5.0), make_child=make_child)
    world = World(group(REST, child("boss"), child("slow"), strict))
    world.ready("boss")
    for name in ("q1", "q2", "q3"):
        world.command("boss", StartChild(1, "pool", "permanent", name))
    world.failing_forks.add("q1")
    log_of(world)
    world.ready("slow")
    assert log_of(world) == "+q2 +q3 ~q2 ~q3"
    world.failing_forks.clear()
    world.obey()
    assert log_of(world) == "-q2 -q3 +q1 +q2 +q3"


def test_dynamic_children_stop_together() -> None:
    world = World(group(REST, child("boss"), pool(), child("z")))
    world.all_ready()
    for name in ("q1", "q2", "q3"):
        world.command("boss", StartChild(1, "pool", "permanent", name))
    world.all_ready()
    world.shutdown()
    world.exit("z", 10)
    assert log_of(world) == "+boss +z +q1 +q2 +q3 ~z -z ~q1 ~q2 ~q3"
    world.exit("q2", 10)
    world.obey()
    assert world.exit_code == 0


def test_ready_is_heard_as_a_message_too() -> None:
    world = World(group(ONE, child("a")))
    world.command("a", Ready("here"))
    assert world.tree.children["a"].endpoint == "here"
