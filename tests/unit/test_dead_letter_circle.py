"""The way of dead letters through the topology, by example."""

from __future__ import annotations

import pytest

from posthouse.actors import dead_letter_circle
from posthouse.actors.dead_letter_circle import circle_of
from posthouse.actors.topology import Topology
from posthouse.transport.errors import UnknownQueue
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange


def apply(topology: Topology, change: TopologyChange | None) -> None:
    assert change is not None
    topology.apply(change)


def world(*queues: QueueSpec, bindings: tuple[BindingSpec, ...] = ()) -> Topology:
    """These queues, a topic exchange `graves` and these bindings."""
    topology = Topology()
    apply(topology, topology.declare_exchange(ExchangeSpec(name="graves", kind="topic")))
    for spec in queues:
        apply(topology, topology.declare_queue(spec))
    for binding in bindings:
        apply(topology, topology.bind(binding))
    return topology


def dying(name: str, exchange: str | None = None, key: str | None = None) -> QueueSpec:
    return QueueSpec(name=name, dead_letter_exchange=exchange, dead_letter_routing_key=key)


def test_what_goes_to_the_store_never_comes_back() -> None:
    assert circle_of(world(dying("work")), "work", ["k"]) == []


def test_a_queue_that_sends_its_dead_to_itself_is_a_circle() -> None:
    assert circle_of(world(dying("work", "", "work")), "work", ["k"]) == ["work", "work"]
    assert circle_of(world(dying("work", "")), "work", ["k", "work"]) == ["work", "work"], "under the key it came with"
    assert circle_of(world(dying("work", "")), "work", ["k"]) == []


def test_a_circle_by_way_of_others_is_told_in_their_order() -> None:
    topology = world(
        dying("work", "graves"), dying("other"), dying("pause", "", "back"), dying("back", "", "work"),
        bindings=(
            BindingSpec(source="graves", destination="other", key="#"),
            BindingSpec(source="graves", destination="pause", key="orders.*"),
        ),
    )  # fmt: skip
    assert circle_of(topology, "work", ["orders.eu"]) == ["work", "pause", "back", "work"]
    assert circle_of(topology, "work", ["bills.eu"]) == [], "no binding takes it there"


def test_a_circle_of_others_is_not_its_own_and_ends() -> None:
    topology = world(dying("work", "", "a"), dying("a", "", "b"), dying("b", "", "a"))
    assert circle_of(topology, "work", ["k"]) == []
    assert circle_of(topology, "b", ["k"]) == ["b", "a", "b"]


def test_an_exchange_that_is_not_there_leads_nowhere() -> None:
    assert circle_of(world(dying("work", "missing")), "work", ["k"]) == []


def test_a_queue_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownQueue, match="there is no queue 'gone'"):
        circle_of(world(), "gone", ["k"])


def test_the_search_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letter_circle, "STEPS_MAX", 2)
    topology = world(dying("work", "", "a"), dying("a", "", "b"), dying("b", "", "work"))
    assert circle_of(topology, "work", ["k"]) == []
