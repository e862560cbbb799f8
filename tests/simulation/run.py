"""One seed from the beginning to the verdict: faults first, then healed, then judged."""

from __future__ import annotations

import random
from dataclasses import dataclass

from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec
from tests.simulation.calls import CallHistory, SimCaller, SimServer
from tests.simulation.clients import (
    History,
    SimArchitect,
    SimBinder,
    SimConsumer,
    SimPublisher,
)
from tests.simulation.latecomer import SimLatecomer
from tests.simulation.network import Weather
from tests.simulation.redriving import SimUndertaker
from tests.simulation.repeaters import SimRepeater
from tests.simulation.scheduling import SimScheduler
from tests.simulation.verdict import HOLDERS, judge
from tests.simulation.world import World

KEYS = ["a.b", "a.c", "x.y.z", "a"]
SINGLY_CONSUMED = ("one", "three", "changing", "circle", "ranked", "late", "later", "rescued")
FAULTS_MS = 3_000
SETUP_MS_MAX = 10_000
HEALED_MS_MAX = 60_000

EXCHANGES = [
    ExchangeSpec(name="fan", kind="fanout"),
    ExchangeSpec(name="top", kind="topic", unrouted="alternate", alternate="rest"),
    ExchangeSpec(name="rest", kind="fanout"),
    ExchangeSpec(name="head", kind="headers", unrouted="drop"),
    ExchangeSpec(name="changing", kind="fanout"),
    ExchangeSpec(name="patient", kind="topic", unrouted="hold"),
    ExchangeSpec(name="brief", kind="direct", unrouted="hold", hold_max_length=6),
    # No queue is ever bound: what is due there becomes a dead letter, and is sent to one queue from there.
    ExchangeSpec(name="picky", kind="fanout", unrouted="return"),
]
CHANGING = ("changing", "patient", "brief")
"""Exchanges whose bindings change in a run, so that no table knows their routes."""

PATIENT = RetrySpec(max_attempts=1_000, first_delay_ms=20, max_delay_ms=100)
HASTY = RetrySpec(max_attempts=3, first_delay_ms=10, max_delay_ms=20)
JUMPY = BreakerSpec(window=3, failure_share=0.3, probe_after_ms=50, max_probe_after_ms=400)
QUEUES = [
    QueueSpec(name="one", retry=PATIENT),
    QueueSpec(name="two", retry=RetrySpec(kind="off")),
    QueueSpec(name="three", retry=HASTY, ack_timeout_ms=300),
    QueueSpec(name="changing", retry=PATIENT),
    # What is rejected there comes back through the default exchange.
    QueueSpec(name="circle", retry=PATIENT, dead_letter_exchange=""),
    QueueSpec(name="late", retry=PATIENT),
    QueueSpec(name="later", retry=PATIENT),
    QueueSpec(name="rescued", retry=PATIENT),
    QueueSpec(name="calls", retry=HASTY),
    QueueSpec(name="ranked", retry=PATIENT, priority=True, breaker=JUMPY),
]
LATE = [
    BindingSpec(source="patient", destination="late", key="#"),
    BindingSpec(source="patient", destination="later", key="a.*"),
    BindingSpec(source="brief", destination="later", key="k"),
]
BINDINGS = [
    BindingSpec(source="fan", destination="one"),
    BindingSpec(source="fan", destination="two"),
    BindingSpec(source="fan", destination="ranked"),
    BindingSpec(source="fan", destination="top", to_exchange=True),
    BindingSpec(source="top", destination="one", key="a.*"),
    BindingSpec(source="top", destination="three", key="#.z"),
    BindingSpec(source="rest", destination="two"),
    BindingSpec(source="head", destination="three", arguments={"x-match": "all", "colour": "red"}),
]


@dataclass
class Result:
    """What one run came to."""

    seed: int
    broken: list[str]
    deaths: dict[str, int]
    power_cuts: int
    dropped_frames: int
    confirmed: int
    delivered: int
    answered: int
    trace: list[str]


def queues_of(exchange: str, key: str, headers: dict[str, str] | None) -> set[str]:
    """The plan's routes, by hand."""
    top = {"one"} if key in ("a.b", "a.c") else {"three"} if key == "x.y.z" else set()
    if exchange == "fan":
        return {"one", "two", "ranked"} | (top or {"two"})
    if exchange == "top":
        return top or {"two"}
    if exchange == "picky":
        return {"rescued"}
    if exchange == "head":
        return {"three"} if headers == {"colour": "red"} else set()
    return {key}


def simulate(seed: int, *, messages: int = 120) -> Result:
    """Run one seed. The same seed gives the same run."""
    source = random.Random(seed)
    weather = _weather(source)
    world = World(seed)
    history = History(died=world.died)
    architect = SimArchitect(world, history, [*EXCHANGES, *QUEUES, *BINDINGS])
    assert _until(world, lambda: architect.is_done, SETUP_MS_MAX)
    for exchange in ("fan", "top"):
        SimScheduler(world, f"scheduler-{exchange}", history, (exchange, KEYS, messages // 2))
    SimScheduler(world, "scheduler-default", history, ("", ["one", "three"], messages // 2))
    SimScheduler(world, "scheduler-picky", history, ("picky", ["k"], messages // 4))
    SimPublisher(world, "publisher-default", history, ("", ["one", "three", "circle"], messages // 2))
    consumers = [SimConsumer(world, f"consumer-{q}", history, q) for q in SINGLY_CONSUMED]
    consumers += [SimConsumer(world, f"consumer-two-{n}", history, "two") for n in range(2)]
    for exchange in ("fan", "top", "head"):
        SimPublisher(world, f"publisher-{exchange}", history, (exchange, KEYS, messages))
    SimPublisher(world, "publisher-patient", history, ("patient", KEYS, messages // 2))
    SimPublisher(world, "publisher-brief", history, ("brief", ["k"], messages // 3))
    SimBinder(world, "binder", history, 6)
    latecomer = SimLatecomer(world, "latecomer", history, [(source.randint(300, 4_000), late) for late in LATE])
    undertaker = SimUndertaker(world, "undertaker", history)
    calm_ms = world.now_ms + FAULTS_MS
    exchange, key = source.choice([("fan", "a.b"), ("", "three")])
    repeaters = [SimRepeater(world, "repeater", history, exchange, key, calm_ms)]
    calls = CallHistory()
    for number in range(2):
        SimServer(world, f"server-{number}", history, calls)
    callers = [SimCaller(world, f"caller-{number}", history, calls) for number in range(2)]
    world.introduce_all()
    world.begin_faults(weather, source.choice([0.0, 0.001, 0.005, 0.02]))
    begin_ms = world.now_ms
    for _ in range(source.choice([0, 0, 1, 2])):
        world.at(begin_ms + source.randint(100, FAULTS_MS), world.cut_power)
    world.run_until(begin_ms + FAULTS_MS)
    world.heal()
    for consumer in consumers:
        consumer.tidy_up()
    undertaker.is_tidy = True
    undertaker.left = -1
    expected = _Expected(history)

    def is_over() -> bool:
        is_quiet = all(repeater.is_done for repeater in repeaters) and undertaker.left == 0
        is_quiet = is_quiet and latecomer.bound == len(LATE)
        return is_quiet and expected.is_drained() and _is_idle(consumers)

    do_calls_work = _until(world, lambda: all(caller.has_worked_since_calm for caller in callers), HEALED_MS_MAX)
    for caller in callers:
        caller.is_stopped = True
    _until(world, lambda: all(caller.is_idle for caller in callers), HEALED_MS_MAX)
    is_drained = _until(world, is_over, HEALED_MS_MAX)
    broken = judge(history, expected.queues()) + calls.broken()
    if not do_calls_work:
        broken.append(f"calls do not work {HEALED_MS_MAX} ms after the last fault")
    if not is_drained:
        broken.append(f"not drained {HEALED_MS_MAX} ms after the last fault: {expected.missing()[:5]}")
    return Result(
        seed,
        broken,
        world.deaths,
        world.power_cuts,
        world.network.dropped,
        len(history.confirmed),
        len(history.delivered),
        len(calls.replies),
        world.trace,
    )


def _weather(source: random.Random) -> Weather:
    return Weather(
        drop=source.choice([0.0, 0.0, 0.02, 0.1, 0.3]),
        duplicate=source.choice([0.0, 0.05, 0.3]),
        reorder=source.choice([0.0, 0.05, 0.3]),
        delay_ms_max=source.choice([1, 3, 15]),
    )


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
        expected = self.queues()
        seen = history.acked
        held = [body for body, receipt in history.confirmed.items() if receipt.held]
        undecided += [
            f"{body!r}, which was held" for body in held if not any((body, queue) in seen for queue in HOLDERS)
        ]
        return undecided + [
            f"{body!r} in {queue}"
            for body, receipt in history.confirmed.items()
            for queue in (receipt.queues if body not in history.due else expected[body])
            if (body, queue) not in seen and body not in history.perhaps_gone
        ]

    def is_drained(self) -> bool:
        return not self.missing()


def _is_idle(consumers: list[SimConsumer]) -> bool:
    return all(not consumer._held for consumer in consumers)


def _until(world: World, is_done: object, limit_ms: int) -> bool:
    assert callable(is_done)
    end_ms = world.now_ms + limit_ms
    while not is_done():
        if world.now_ms >= end_ms:
            return False
        world.run_until(world.now_ms + 50)
    return True
