"""One seed from the beginning to the verdict: faults first, then healed, then judged."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from posthouse.transport.errors import JournalCorrupt
from tests.simulation.calls import CallHistory, SimCaller, SimServer
from tests.simulation.clients import History, SimArchitect, SimBinder, SimConsumer, SimPublisher
from tests.simulation.faults import plan_faults
from tests.simulation.latecomer import SimLatecomer
from tests.simulation.plan import CHANGING, KEYS, LARGE_EVERY, LATE, TWICE_CONSUMED, Plan, plan_of, queues_of
from tests.simulation.redriving import SimUndertaker
from tests.simulation.repeaters import SimRepeater
from tests.simulation.scheduling import SimScheduler
from tests.simulation.verdict import HOLDERS, judge
from tests.simulation.world import World

SETUP_MS_MAX = 10_000
HEALED_MS_MAX = 60_000


@dataclass
class Result:
    """What one run came to. `broken`: promises, each after the number of its invariant; `seen`: rare states."""

    seed: int
    broken: list[str]
    deaths: int = 0
    power_cuts: int = 0
    dropped_frames: int = 0
    confirmed: int = 0
    delivered: int = 0
    answered: int = 0
    trace: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)


def simulate(seed: int, *, is_large: bool | None = None) -> Result:
    """Run one seed. The same seed gives the same run. `is_large` None: the seed decides."""
    source = random.Random(seed)
    plan = plan_of(source, is_large=seed % LARGE_EVERY == 0 if is_large is None else is_large)
    world = World(seed)
    run = _Run(world, plan, source)
    try:
        broken = run.to_the_end()
    except Exception as error:
        promise = "I21" if isinstance(error, JournalCorrupt) else "I18"
        broken = [f"{promise}: {type(error).__name__}: {error}\n{traceback.format_exc(limit=-6)}"]
    history = run.history
    return Result(
        seed,
        broken,
        sum(world.deaths.values()),
        world.power_cuts,
        world.network.dropped,
        len(history.confirmed),
        len(history.delivered),
        len(run.calls.replies),
        world.trace,
        world.seen + history.rare(),
    )


class _Run:
    """The clients of one run, and when it is over."""

    def __init__(self, world: World, plan: Plan, source: random.Random) -> None:
        self.history = History(died=world.died)
        self.calls = CallHistory()
        self._world = world
        self._plan = plan
        self._source = source
        self._expected = _Expected(self.history)
        self._consumers: list[SimConsumer] = []
        self._callers: list[SimCaller] = []
        self._repeaters: list[SimRepeater] = []
        self._latecomer: SimLatecomer | None = None
        self._undertaker: SimUndertaker | None = None

    def to_the_end(self) -> list[str]:
        """The promises that were broken."""
        world, plan, source = self._world, self._plan, self._source
        architect = SimArchitect(world, self.history, plan.topology())
        assert self._until(lambda: architect.is_done, SETUP_MS_MAX)
        self._make_publishers()
        self._make_consumers()
        undertaker = self._undertaker = SimUndertaker(world, "undertaker", self.history)
        world.introduce_all()
        world.begin_faults(plan.weather, plan.crash_chance, plan.power_chance)
        plan_faults(world, plan, source)
        world.run_until(world.now_ms + plan.faults_ms)
        world.heal()
        if plan.clock_steps:
            world.kill_all()  # What waits in a queue goes by the clock as it was when its process began.
        for consumer in self._consumers:
            consumer.tidy_up()
        undertaker.tidy_up()
        do_calls_work = self._until(lambda: all(one.has_worked_since_calm for one in self._callers), HEALED_MS_MAX)
        for caller in self._callers:
            caller.is_stopped = True
        self._until(lambda: all(caller.is_idle for caller in self._callers), HEALED_MS_MAX)
        is_drained = self._until(self._is_over, HEALED_MS_MAX)
        broken = judge(self.history, self._expected.queues())
        broken += [f"I4: {text}" for text in self.calls.broken()]
        if not do_calls_work:
            broken.append(f"I18: calls do not work {HEALED_MS_MAX} ms after the last fault")
        if not is_drained:
            missing = self._expected.missing()[:5]
            broken.append(f"I18: not drained {HEALED_MS_MAX} ms after the last fault: {missing}")
        return broken + world.judge_journals()

    def _make_publishers(self) -> None:
        world, history, plan, source = self._world, self.history, self._plan, self._source
        count = plan.messages
        if plan.has("delay"):
            for exchange in ("fan", "top") if plan.has("routes") else ():
                SimScheduler(world, f"scheduler-{exchange}", history, (exchange, KEYS, count // 2), plan.delays_ms)
            SimScheduler(world, "scheduler-default", history, ("", ["one", "three"], count // 2), plan.delays_ms)
            SimScheduler(world, "scheduler-picky", history, ("picky", ["k"], count // 4), plan.delays_ms)
        keys = ["one", "three", *(["circle"] if plan.has("circle") else [])]
        SimPublisher(world, "publisher-default", history, ("", keys, count // 2))
        for exchange in ("fan", "top", "head") if plan.has("routes") else ():
            SimPublisher(world, f"publisher-{exchange}", history, (exchange, KEYS, count))
        if plan.has("hold"):
            SimPublisher(world, "publisher-patient", history, ("patient", KEYS, count // 2))
            SimPublisher(world, "publisher-brief", history, ("brief", ["k"], count // 2))
        if plan.has("changing"):
            SimBinder(world, "binder", history, 6)
        # Which instants a schedule has missed cannot be told by a clock that steps.
        if plan.has("recurring") and not plan.has("clock"):
            choices = [("", "three"), *([("fan", "a.b")] if plan.has("routes") else [])]
            exchange, key = source.choice(choices)
            self._repeaters.append(
                SimRepeater(world, "repeater", history, exchange, key, world.now_ms + plan.faults_ms)
            )

    def _make_consumers(self) -> None:
        world, history, plan, source = self._world, self.history, self._plan, self._source
        for queue in plan.queues():
            names = [f"-{n}" for n in range(2)] if queue in TWICE_CONSUMED else [""]
            self._consumers += [SimConsumer(world, f"consumer-{queue}{name}", history, queue) for name in names]
        if plan.has("hold") or plan.has("delay"):
            latest_ms = plan.faults_ms + plan.faults_ms // 3
            late = [(source.randint(latest_ms // 12, latest_ms), one) for one in LATE if plan.has("hold")]
            self._latecomer = SimLatecomer(world, "latecomer", history, late)
        if plan.has("calls"):
            for number in range(2):
                SimServer(world, f"server-{number}", history, self.calls)
            self._callers = [SimCaller(world, f"caller-{number}", history, self.calls) for number in range(2)]

    def _is_over(self) -> bool:
        assert self._undertaker is not None
        is_quiet = all(repeater.is_done for repeater in self._repeaters) and self._undertaker.left == 0
        is_quiet = is_quiet and (self._latecomer is None or self._latecomer.is_done)
        return is_quiet and not self._expected.missing() and all(one.is_idle for one in self._consumers)

    def _until(self, is_done: Callable[[], bool], limit_ms: int) -> bool:
        end_ms = self._world.now_ms + limit_ms
        while not is_done():
            if self._world.now_ms >= end_ms:
                return False
            self._world.run_until(self._world.now_ms + 50)
        return True


class _Expected:
    """What the history still owes."""

    def __init__(self, history: History) -> None:
        self._history = history

    def queues(self) -> dict[bytes, set[str]]:
        return {
            body: queues_of(exchange, key, headers)
            for body, (exchange, key, headers) in self._history.published.items()
            if exchange not in CHANGING
        }

    def missing(self) -> list[str]:
        history = self._history
        undecided = [
            repr(body) for body in history.published if body not in history.confirmed and body not in history.refused
        ]
        if undecided:
            return undecided
        expected = self.queues()
        seen = history.acked
        held = [body for body, receipt in history.confirmed.items() if receipt.held]
        undecided += [
            f"{body!r}, which was held" for body in held if not any((body, queue) in seen for queue in HOLDERS)
        ]
        reached = {body for body, _ in seen}
        return undecided + [
            f"{body!r} in {queue}"
            for body, receipt in history.confirmed.items()
            for queue in (receipt.queues if body not in history.due else expected[body])
            if (body, queue) not in seen and (body not in history.perhaps_gone or body in reached)
        ]
