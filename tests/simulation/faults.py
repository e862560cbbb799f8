"""Faults that come at their time: power cuts, disks that fail or are full, clocks that step, partitions.

Frames that are lost and actors that die in one of their rounds are the world's everyday business, not planned here.
"""

from __future__ import annotations

import errno
import random
from functools import partial

from tests.simulation.plan import Plan
from tests.simulation.world import World

DISK_OPERATIONS = ("fdatasync", "pwritev", "fsync", "fsync_dir", "rename", "create")


def plan_faults(world: World, plan: Plan, source: random.Random) -> None:
    """Arrange what will happen from now on, within the plan's time of faults."""
    for _ in range(plan.power_cuts):
        world.after(source.randint(50, plan.faults_ms), source.choice([world.cut_power, world.kill_all]))
    for _ in range(plan.disk_faults):
        world.after(source.randint(20, plan.faults_ms), partial(_fail_disk, world, source))
    for _ in range(plan.clock_steps):
        step_ms = source.choice([-3_600_000, -700, -40, 40, 700, 3_600_000])
        world.after(source.randint(20, plan.faults_ms), partial(world.step_clock, step_ms))
    for _ in range(plan.partitions):
        begin_ms = world.now_ms + source.randint(20, plan.faults_ms)
        end_ms = min(begin_ms + source.randint(20, 700), world.now_ms + plan.faults_ms)
        world.at(begin_ms, partial(_isolate, world, source, end_ms))


def _fail_disk(world: World, source: random.Random) -> None:
    """One of the next calls, of one actor's journal or of any, fails once; or the disk is full for a while."""
    if source.random() < 0.3:
        world.note("the disk is full")
        world.disk.fail("pwritev", errno.ENOSPC, times=source.randint(1, 8))
        return
    operation = source.choice(DISK_OPERATIONS)
    world.note(f"the disk will fail at {operation}")
    world.disk.fail(operation, errno.EIO, after=source.randint(0, 5))


def _isolate(world: World, source: random.Random, end_ms: int) -> None:
    """One actor or client hears nobody, and nobody hears it, until a time."""
    who = source.choice(sorted([*world.nodes, *world.clients]))
    world.note(f"{who} is cut off until {end_ms}")
    world.network.isolate(who, end_ms)
