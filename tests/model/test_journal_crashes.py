"""The journal beside its model: random lives with Hypothesis, and every crash point of one long life."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from posthouse.transport.errors import DiskFull
from tests.support.journal_world import JournalWorld
from tests.support.sim_disk import PowerCut

payloads = strategies.binary(max_size=300)
kinds = strategies.integers(1, 255)
seeds = strategies.integers(0, 2**32)


def long_life(world: JournalWorld) -> list[Callable[[], None]]:
    """Steps that use every operation, with several segments, a trim, checkpoints and unsynced commits."""

    def batch(count: int, size: int, sync: bool) -> Callable[[], None]:
        def step() -> None:
            for number in range(count):
                world.append(1 + number, bytes([number]) * size)
            world.commit(sync)

        return step

    return [
        batch(3, 40, True),
        batch(2, 150, False),
        batch(1, 700, True),
        lambda: world.rotate([(7, b"head")], False),
        batch(5, 90, False),
        batch(1, 10, False),
        lambda: world.rotate([(8, b"h" * 150), (9, b"h" * 150)], False),
        batch(4, 60, True),
        lambda: world.trim(world.journal.written - 3),
        batch(2, 60, False),
        lambda: world.rotate([(10, b"state" * 30), (11, b"more" * 30)], True),
        batch(2, 33, True),
        batch(6, 100, False),
        lambda: world.rotate([], True),
        batch(1, 5, False),
        lambda: world.journal.close(),
    ]


def live(world: JournalWorld, steps: list[Callable[[], None]]) -> None:
    for step in steps:
        step()


@pytest.mark.parametrize("power", [True, False], ids=["power cut", "process killed"])
@pytest.mark.parametrize("image", range(8))
def test_every_crash_point_of_a_long_life_keeps_what_was_promised(power: bool, image: int) -> None:
    at = 1
    while True:
        world = JournalWorld(seed=at)
        choice = random.Random(at * 7 + image)
        if not world.survive(partial(live, world, long_life(world)), at, power, choice):
            break
        world.append(3, b"goes on")
        world.commit(True)
        world.check()
        # What the recovery built on must be durable too, though the first end left it in memory only.
        world.die(True, random.Random(at * 11 + image))
        world.recover()
        world.check()
        at += 1
    assert at > 80, "the life is too short to prove anything"


@pytest.mark.parametrize("power", [True, False], ids=["power cut", "process killed"])
def test_a_crash_at_any_point_of_a_recovery_changes_nothing_for_the_next_one(power: bool) -> None:
    for crash_at in range(4, 100, 3):
        for again_at in range(1, 30):
            world = JournalWorld(seed=crash_at)
            choice = random.Random(crash_at * 31 + again_at)
            world.disk.cut_power_at(crash_at)
            try:
                live(world, long_life(world))
            except PowerCut:
                world.die(power, choice)
            else:
                break
            world.disk.cut_power_at(again_at)
            try:
                world.recover()
            except PowerCut:
                world.die(power, choice)
                world.recover()
            else:
                break
            world.check()


class JournalMachine(RuleBasedStateMachine):
    """Random lives: any order of calls, faults of the disk, and ends of both kinds."""

    def __init__(self) -> None:
        super().__init__()
        self.world = JournalWorld(seed=1)
        self.is_up = True

    @rule(kind=kinds, payload=payloads)
    def append(self, kind: int, payload: bytes) -> None:
        self.world.append(kind, payload)

    @rule(sync=strategies.booleans())
    def commit(self, sync: bool) -> None:
        self.world.commit(sync)

    @rule(head=strategies.lists(strategies.tuples(kinds, payloads), max_size=3), whole=strategies.booleans())
    def rotate(self, head: list[tuple[int, bytes]], whole: bool) -> None:
        self.world.rotate(head, whole)

    @rule(back=strategies.integers(0, 12))
    def trim(self, back: int) -> None:
        self.world.trim(max(1, self.world.journal.durable + 1 - back))

    @rule(seed=seeds)
    def lose_power(self, seed: int) -> None:
        self.world.die(True, random.Random(seed))
        self.world.recover()

    @rule()
    def be_killed(self) -> None:
        self.world.die(False)
        self.world.recover()

    @rule(at=strategies.integers(1, 12), power=strategies.booleans(), seed=seeds, whole=strategies.booleans())
    def die_in_a_rotation(self, at: int, power: bool, seed: int, whole: bool) -> None:
        head = [(5, b"cut short")]
        self.world.survive(lambda: self.world.rotate(head, whole), at, power, random.Random(seed))

    @rule(at=strategies.integers(1, 8), power=strategies.booleans(), seed=seeds)
    def die_in_a_trim(self, at: int, power: bool, seed: int) -> None:
        position = self.world.journal.durable + 1
        self.world.survive(lambda: self.world.trim(position), at, power, random.Random(seed))

    @rule(at=strategies.integers(1, 6), power=strategies.booleans(), seed=seeds, payload=payloads)
    def die_in_a_commit(self, at: int, power: bool, seed: int, payload: bytes) -> None:
        def step() -> None:
            self.world.append(1, payload)
            self.world.append(2, payload)
            self.world.commit(True)

        self.world.survive(step, at, power, random.Random(seed))

    @rule(at=strategies.integers(1, 12), power=strategies.booleans(), seed=seeds)
    def die_in_a_recovery(self, at: int, power: bool, seed: int) -> None:
        choice = random.Random(seed)
        self.world.die(power, choice)
        self.world.survive(self.world.recover, at, power, choice)

    @rule(
        operation=strategies.sampled_from(["pwritev", "fdatasync", "fsync", "rename", "fsync_dir", "unlink"]),
        after=strategies.integers(0, 3),
        times=strategies.integers(1, 3),
        seed=seeds,
        power=strategies.booleans(),
    )
    def meet_a_sick_disk(self, operation: str, after: int, times: int, seed: int, power: bool) -> None:
        world = self.world
        world.disk.fail(operation, errno.EIO, after=after, times=times)

        def step() -> None:
            world.append(1, b"sick")
            world.commit(True)
            world.rotate([(2, b"sick head")], bool(seed & 1))

        world.survive(step, 10**6, power, random.Random(seed))

    @rule(room=strategies.integers(0, 2000), seed=seeds)
    def meet_a_full_disk(self, room: int, seed: int) -> None:
        world = self.world
        world.disk.capacity_bytes = world.disk.used_bytes + room
        try:
            world.append(1, b"f" * 400)
            world.commit(bool(seed & 1))
            world.rotate([(2, b"f" * 300)], False)
        except DiskFull:
            pass
        finally:
            world.disk.heal()

    @rule()
    def meet_short_writes(self) -> None:
        self.world.disk.has_short_writes = not self.world.disk.has_short_writes

    @invariant()
    def shows_what_was_written(self) -> None:
        self.world.check()


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
