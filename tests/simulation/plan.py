"""What takes part in a run: exchanges, queues and bindings, which clients, how much, how long, which faults.

A *large* plan has everything. A *small* one has some features, chosen by the seed, for a short time: a hundred small
runs meet more orders of events than one large one, and one that fails is easier to read.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec
from tests.simulation.network import Weather

KEYS: Final = ["a.b", "a.c", "x.y.z", "a"]
FEATURES: Final = (
    "routes",
    "circle",
    "changing",
    "hold",
    "delay",
    "recurring",
    "calls",
    "power",
    "disk",
    "clock",
    "cuts",
)
LARGE_EVERY: Final = 250
"""One seed in so many has the large plan."""

PATIENT: Final = RetrySpec(max_attempts=1_000, first_delay_ms=20, max_delay_ms=100)
HASTY: Final = RetrySpec(max_attempts=3, first_delay_ms=10, max_delay_ms=20)
JUMPY: Final = BreakerSpec(window=3, failure_share=0.3, probe_after_ms=50, max_probe_after_ms=400)

CHANGING: Final = ("changing", "patient", "brief")
"""Exchanges whose bindings change in a run, so that no table knows their routes."""

TWICE_CONSUMED: Final = ("two",)

Spec = ExchangeSpec | QueueSpec | BindingSpec

TOPOLOGY: Final[dict[str, list[Spec]]] = {
    "": [
        QueueSpec(name="one", retry=PATIENT),
        QueueSpec(name="three", retry=HASTY, ack_timeout_ms=300),
    ],
    "routes": [
        ExchangeSpec(name="fan", kind="fanout"),
        ExchangeSpec(name="top", kind="topic", unrouted="alternate", alternate="rest"),
        ExchangeSpec(name="rest", kind="fanout"),
        ExchangeSpec(name="head", kind="headers", unrouted="drop"),
        QueueSpec(name="two", retry=RetrySpec(kind="off")),
        QueueSpec(name="ranked", retry=PATIENT, priority=True, breaker=JUMPY),
        BindingSpec(source="fan", destination="one"),
        BindingSpec(source="fan", destination="two"),
        BindingSpec(source="fan", destination="ranked"),
        BindingSpec(source="fan", destination="top", to_exchange=True),
        BindingSpec(source="top", destination="one", key="a.*"),
        BindingSpec(source="top", destination="three", key="#.z"),
        BindingSpec(source="rest", destination="two"),
        BindingSpec(source="head", destination="three", arguments={"x-match": "all", "colour": "red"}),
    ],
    # What is rejected there comes back through the default exchange.
    "circle": [QueueSpec(name="circle", retry=PATIENT, dead_letter_exchange="")],
    "changing": [ExchangeSpec(name="changing", kind="fanout"), QueueSpec(name="changing", retry=PATIENT)],
    "hold": [
        ExchangeSpec(name="patient", kind="topic", unrouted="hold"),
        ExchangeSpec(name="brief", kind="direct", unrouted="hold", hold_max_length=6),
        QueueSpec(name="late", retry=PATIENT),
        QueueSpec(name="later", retry=PATIENT),
    ],
    # No queue is ever bound: what is due there becomes a dead letter, and is sent to one queue from there.
    "delay": [ExchangeSpec(name="picky", kind="fanout", unrouted="return")],
    "calls": [QueueSpec(name="calls", retry=HASTY)],
}
RESCUED: Final = QueueSpec(name="rescued", retry=PATIENT)
"""Where what died in no queue is sent."""

LATE: Final = [
    BindingSpec(source="patient", destination="late", key="#"),
    BindingSpec(source="patient", destination="later", key="a.*"),
    BindingSpec(source="brief", destination="later", key="k"),
]


@dataclass(frozen=True)
class Plan:
    """One run. `messages` is what a publisher has, times are milliseconds of the simulated clock."""

    features: frozenset[str]
    messages: int
    faults_ms: int
    delays_ms: tuple[int, ...]
    weather: Weather
    crash_chance: float
    power_cuts: int
    power_chance: float
    disk_faults: int
    clock_steps: int
    partitions: int

    def has(self, *features: str) -> bool:
        return self.features.issuperset(features)

    def topology(self) -> list[Spec]:
        """Everything to declare, in an order that works."""
        specs = [spec for feature, some in TOPOLOGY.items() for spec in some if not feature or feature in self.features]
        if self.features & {"hold", "delay"}:
            specs.append(RESCUED)
        order = (ExchangeSpec, QueueSpec, BindingSpec)
        return sorted(specs, key=lambda spec: order.index(type(spec)))

    def queues(self) -> list[str]:
        """All but that of the calls."""
        return [spec.name for spec in self.topology() if isinstance(spec, QueueSpec) and spec.name != "calls"]


def plan_of(source: random.Random, *, is_large: bool) -> Plan:
    """The plan that a source of random numbers chooses."""
    features = set(FEATURES) if is_large else {feature for feature in FEATURES if source.random() < 0.35}
    weather = Weather(
        drop=source.choice([0.0, 0.0, 0.02, 0.1, 0.3]),
        duplicate=source.choice([0.0, 0.05, 0.3]),
        reorder=source.choice([0.0, 0.05, 0.3]),
        delay_ms_max=source.choice([1, 3, 15]),
    )
    return Plan(
        features=frozenset(features),
        messages=120 if is_large else source.choice([6, 12, 24]),
        faults_ms=3_000 if is_large else source.choice([300, 600, 1_000]),
        delays_ms=(1, 5, 40, 300, 2_000, 9_000) if is_large else (1, 5, 40, 300, 900),
        weather=weather,
        crash_chance=source.choice([0.0, 0.01, 0.03, 0.1]),
        power_cuts=source.choice([0, 1, 2]) if "power" in features else 0,
        power_chance=0.3 if "power" in features else 0.0,
        disk_faults=source.choice([1, 3]) if "disk" in features else 0,
        clock_steps=source.choice([1, 3]) if "clock" in features else 0,
        partitions=source.choice([1, 3]) if "cuts" in features else 0,
    )


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
