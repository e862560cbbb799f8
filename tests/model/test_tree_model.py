"""The supervision tree under random crashes, hangs, requests and waits: its promises hold at every step."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from posthouse.supervisor.child_spec import Restart, Strategy
from posthouse.supervisor.control_messages import RestartChild, StartChild, StopChild, StopMe, Watch
from posthouse.supervisor.effects import EventKind
from posthouse.supervisor.node import LIVING, Child, Group, State
from tests.support.tree_world import World, child, group, pool

FIXED = ("boss", "a", "b", "c", "d", "e", "f")
NAMES = st.sampled_from((*FIXED, "q1", "q2", "q3"))


def make_world() -> World:
    one_for_one = group(Strategy.ONE_FOR_ONE, child("a"), child("b", Restart.TRANSIENT), name="left", quarantines=True)
    one_for_all = group(Strategy.ONE_FOR_ALL, child("c"), child("d", Restart.TEMPORARY), name="middle")
    inner = group(Strategy.ONE_FOR_ONE, child("e"), child("f"), name="right")
    return World(group(Strategy.REST_FOR_ONE, child("boss"), one_for_one, one_for_all, pool(), inner), random=0.5)


class TreeMachine(RuleBasedStateMachine):
    """Never two lives at once and no word or blow to the dead: `World` asserts that at every effect."""

    def __init__(self) -> None:
        super().__init__()
        self.world = make_world()

    @rule(name=NAMES)
    def become_ready(self, name: str) -> None:
        if name in self.world.lives:
            self.world.ready(name)

    @rule(name=NAMES, code=st.sampled_from((0, 1, 10, 20, 21)))
    def exit(self, name: str, code: int) -> None:
        if name in self.world.lives:
            self.world.exit(name, code)

    @rule(name=NAMES)
    def hang(self, name: str) -> None:
        if name in self.world.lives:
            self.world.hang(name)

    @rule()
    def obey(self) -> None:
        self.world.obey()

    @rule(ms=st.sampled_from((1, 100, 1_000, 6_000, 61_000)))
    def wait(self, ms: int) -> None:
        self.world.advance(ms)

    @rule(name=NAMES, fails=st.booleans())
    def let_forks_fail(self, name: str, fails: bool) -> None:
        (self.world.failing_forks.add if fails else self.world.failing_forks.discard)(name)

    @precondition(lambda self: "boss" in self.world.lives)
    @rule(
        name=NAMES,
        request=st.sampled_from((StopChild, RestartChild, Watch, StartChild)),
        kind=st.sampled_from(tuple(Restart)),
    )
    def request(self, name: str, request: type, kind: Restart) -> None:
        if request is Watch:
            self.world.command("boss", Watch(name))
        elif request is StartChild:
            self.world.command("boss", StartChild(1, "pool", kind, name))
        else:
            self.world.command("boss", request(1, name))

    @rule(name=NAMES)
    def terminate(self, name: str) -> None:
        if name in self.world.lives:
            self.world.command(name, StopMe())

    @rule()
    def shut_down(self) -> None:
        if self.world.exit_code is None:
            self.world.shutdown()

    @invariant()
    def the_tree_knows_who_lives(self) -> None:
        living = {name for name, node in self.world.tree.children.items() if node.state in LIVING}
        assert living == set(self.world.lives)
        assert self.world.tree.root.living == len(living)

    @invariant()
    def whoever_starts_first_waits_for_nobody_who_died_to_its_left(self) -> None:
        assert_order(self.world.tree.root)

    @invariant()
    def an_end_was_earned(self) -> None:
        if self.world.exit_code == 70:
            assert EventKind.ESCALATED in self.world.kinds("root")

    def teardown(self) -> None:
        """Whatever has happened, the tree can be brought down in bounded time."""
        self.world.failing_forks.clear()
        if not self.world.tree.is_ending:
            self.world.shutdown()
        for _ in range(200):
            if self.world.exit_code is not None:
                break
            self.world.obey()
            self.world.advance(10_000)
        assert self.world.exit_code in (0, 70)
        assert not self.world.lives


def assert_order(node: Group) -> None:
    """In an ordered group a member is forked only when all members to its left are settled."""
    if node.spec.strategy is not Strategy.ONE_FOR_ONE and not node.is_dynamic:
        members = list(node.members.values())
        for index, member in enumerate(members):
            if isinstance(member, Child) and member.state is State.STARTING and not member.must_stop:
                assert all(is_done(before) for before in members[:index]), member.id
    for member in node.members.values():
        if isinstance(member, Group):
            assert_order(member)


def is_done(member: Child | Group) -> bool:
    """Settled, or failed after its right neighbour had been forked; that neighbour is then on its way out."""
    return member.is_settled


TestTree = TreeMachine.TestCase
TestTree.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
