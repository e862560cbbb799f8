"""The topology: binding, deleting, cascades, versions, snapshots, a new boot."""

from __future__ import annotations

import time
from typing import Any

import pytest

from posthouse.actors.topology import Topology
from posthouse.transport import messages
from posthouse.transport.errors import (
    InvalidArgument,
    PreconditionFailed,
    ResourceLocked,
    UnknownBinding,
    UnknownExchange,
    UnknownQueue,
)
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange


def applied(topology: Topology, change: TopologyChange | None) -> TopologyChange:
    assert change is not None
    assert topology.apply(change)
    return change


def exchange(topology: Topology, name: str, kind: str = "direct", **properties: Any) -> None:
    applied(topology, topology.declare_exchange(ExchangeSpec(name=name, kind=kind, **properties)))


def queue(topology: Topology, name: str, **properties: Any) -> None:
    applied(topology, topology.declare_queue(QueueSpec(name=name, **properties)))


def link(source: str, destination: str, key: str = "", **more: Any) -> BindingSpec:
    return BindingSpec(source=source, destination=destination, key=key, **more)


def onward(source: str, destination: str, key: str = "") -> BindingSpec:
    return link(source, destination, key, to_exchange=True)


def bind(topology: Topology, *bindings: BindingSpec) -> None:
    for binding in bindings:
        applied(topology, topology.bind(binding))


@pytest.fixture
def topology() -> Topology:
    topology = Topology()
    for kind in ("direct", "topic", "fanout", "headers"):
        exchange(topology, kind, kind)
    queue(topology, "q")
    queue(topology, "p")
    return topology


# ---- binding ----


def test_a_binding_is_found_from_both_ends(topology: Topology) -> None:
    bind(topology, link("direct", "q", "k"), onward("direct", "topic"))
    assert list(topology.bindings_from("direct").values()) == [
        link("direct", "q", "k"),
        onward("direct", "topic"),
    ]
    assert list(topology.bindings_to("q").values()) == [link("direct", "q", "k")]
    assert list(topology.bindings_to("topic", to_exchange=True).values()) == [onward("direct", "topic")]
    assert not topology.bindings_to("topic")
    assert not topology.bindings_from("fanout")


def test_binding_again_changes_nothing(topology: Topology) -> None:
    bind(topology, link("direct", "q", "k"))
    assert topology.bind(link("direct", "q", "k")) is None
    assert topology.bind(link("direct", "q", "k", arguments={})) is None


def test_key_and_arguments_are_part_of_the_identity_of_a_binding(topology: Topology) -> None:
    bind(
        topology,
        link("fanout", "q"),
        link("fanout", "q", "k"),
        link("fanout", "q", arguments={"a": 1}),
        link("fanout", "q", arguments={"a": 1.0}),
        link("fanout", "q", arguments={"a": True}),
        link("fanout", "q", arguments={"a": 1, "b": {"c": 1, "d": 2}}),
    )
    assert topology.bind(link("fanout", "q", arguments={"b": {"d": 2, "c": 1}, "a": 1})) is None
    assert len(topology.bindings_from("fanout")) == 6


def test_a_queue_and_an_exchange_of_the_same_name_are_different_ends(topology: Topology) -> None:
    exchange(topology, "q", "fanout")
    bind(topology, link("fanout", "q"), onward("fanout", "q"))
    applied(topology, topology.delete_queue("q"))
    assert list(topology.bindings()) == [onward("fanout", "q")]


def test_both_ends_of_a_binding_must_exist(topology: Topology) -> None:
    for operation in (topology.bind, topology.unbind):
        with pytest.raises(UnknownExchange, match="no exchange is named 'nowhere'"):
            operation(link("nowhere", "q"))
        with pytest.raises(UnknownQueue, match="no queue is named 'fanout'"):
            operation(link("direct", "fanout"))
        with pytest.raises(UnknownExchange, match="no exchange is named 'q'"):
            operation(onward("direct", "q"))


def test_the_default_exchange_takes_no_bindings_on_either_end(topology: Topology) -> None:
    for operation in (topology.bind, topology.unbind):
        with pytest.raises(InvalidArgument, match="the default exchange has its bindings by itself"):
            operation(link("", "q", "q"))
        with pytest.raises(InvalidArgument, match="the default exchange cannot be bound to"):
            operation(onward("direct", ""))


def test_keys_and_arguments_are_checked_for_every_kind(topology: Topology) -> None:
    with pytest.raises(InvalidArgument, match="has 256 bytes"):
        topology.bind(link("direct", "q", "k" * 256))
    with pytest.raises(InvalidArgument, match="header 'a' is"):
        topology.bind(link("fanout", "q", arguments={"a": object()}))


def test_each_kind_refuses_only_what_means_nothing_to_it(topology: Topology) -> None:
    three, mode = "#.#.#", {"x-match": "none"}
    with pytest.raises(InvalidArgument, match="3 words '#'"):
        topology.bind(link("topic", "q", three))
    with pytest.raises(InvalidArgument, match="x-match is 'none'"):
        topology.bind(link("headers", "q", arguments=mode))
    for source in ("direct", "fanout"):
        bind(topology, link(source, "q", three, arguments=mode))
    bind(topology, link("topic", "q", "#.#", arguments=mode), link("headers", "q", three))


def test_unbinding_takes_out_that_binding_only(topology: Topology) -> None:
    bind(topology, link("direct", "q", "a"), link("direct", "q", "b"))
    change = applied(topology, topology.unbind(link("direct", "q", "a", arguments={})))
    assert change.drop_bindings == (link("direct", "q", "a"),)
    assert list(topology.bindings()) == [link("direct", "q", "b")]


def test_unbinding_what_is_not_bound_is_refused(topology: Topology) -> None:
    bind(topology, link("direct", "q", "a"))
    text = "no binding leads from exchange 'direct' to queue 'q' with key 'b' and arguments {}"
    with pytest.raises(UnknownBinding, match=text):
        topology.unbind(link("direct", "q", "b"))
    with pytest.raises(UnknownBinding, match="to exchange 'topic'"):
        topology.unbind(onward("direct", "topic"))


def test_only_its_owner_and_the_broker_may_bind_or_delete_an_exclusive_queue(topology: Topology) -> None:
    queue(topology, "mine", exclusive=True, durable=False, owner=1)
    binding = link("direct", "mine")
    locked = "queue 'mine' is exclusive to another client"
    with pytest.raises(ResourceLocked, match=locked):
        topology.bind(binding, client=2)
    with pytest.raises(ResourceLocked, match=locked):
        topology.unbind(binding, client=2)
    with pytest.raises(ResourceLocked, match=locked):
        topology.delete_queue("mine", client=2)
    applied(topology, topology.bind(binding, client=1))
    applied(topology, topology.unbind(binding, client=1))
    applied(topology, topology.delete_queue("mine"))


# ---- deleting ----


def test_deleting_a_queue_takes_its_bindings_along(topology: Topology) -> None:
    bind(topology, link("direct", "q", "a"), link("topic", "q", "#"), link("direct", "p", "a"))
    change = applied(topology, topology.delete_queue("q"))
    assert change.drop_queues == ("q",)
    assert set(binding.source for binding in change.drop_bindings) == {"direct", "topic"}
    assert list(topology.bindings()) == [link("direct", "p", "a")]
    assert "q" not in topology.queues


def test_deleting_an_exchange_takes_its_bindings_in_both_directions_along(topology: Topology) -> None:
    bind(
        topology,
        link("topic", "q"),
        onward("direct", "topic"),
        onward("topic", "fanout"),
        onward("topic", "topic"),
    )
    change = applied(topology, topology.delete_exchange("topic"))
    assert change.drop_exchanges == ("topic",)
    assert len(change.drop_bindings) == 4
    assert not list(topology.bindings())
    assert "topic" not in topology.exchanges


def test_deleting_what_does_not_exist_is_refused(topology: Topology) -> None:
    with pytest.raises(UnknownExchange, match="no exchange is named 'q'"):
        topology.delete_exchange("q")
    with pytest.raises(UnknownQueue, match="no queue is named 'direct'"):
        topology.delete_queue("direct")
    with pytest.raises(InvalidArgument, match="the default exchange cannot be deleted"):
        topology.delete_exchange("")


def test_an_exchange_in_use_is_not_deleted_if_unused_was_asked(topology: Topology) -> None:
    bind(topology, link("direct", "q"), link("direct", "p"), onward("direct", "topic"))
    with pytest.raises(PreconditionFailed, match="exchange 'direct' is in use: 3 bindings lead from it"):
        topology.delete_exchange("direct", if_unused=True)
    assert topology.delete_exchange("topic", if_unused=True).drop_bindings == (onward("direct", "topic"),)


def test_an_exchange_that_is_the_alternate_of_another_can_be_deleted(topology: Topology) -> None:
    exchange(topology, "x", unrouted="alternate", alternate="fanout")
    applied(topology, topology.delete_exchange("fanout", if_unused=True))
    assert topology.exchanges["x"].alternate == "fanout"


# ---- auto-delete ----


def test_an_auto_delete_exchange_goes_with_its_last_binding_as_source(topology: Topology) -> None:
    exchange(topology, "x", auto_delete=True)
    bind(topology, link("x", "q"), link("x", "p"), onward("direct", "x"))
    assert applied(topology, topology.unbind(link("x", "q"))).drop_exchanges == ()
    change = applied(topology, topology.delete_queue("p"))
    assert change.drop_exchanges == ("x",)
    assert set(map(messages.encode, change.drop_bindings)) == set(
        map(messages.encode, (link("x", "p"), onward("direct", "x")))
    )
    assert "x" not in topology.exchanges


def test_an_auto_delete_exchange_that_was_never_bound_stays(topology: Topology) -> None:
    exchange(topology, "x", auto_delete=True)
    bind(topology, onward("direct", "x"))
    change = applied(topology, topology.unbind(onward("direct", "x")))
    assert change.drop_exchanges == ()
    assert "x" in topology.exchanges


def test_auto_delete_goes_up_a_chain_in_one_change(topology: Topology) -> None:
    for name in "abc":
        exchange(topology, name, auto_delete=True)
    bind(topology, onward("direct", "a"), onward("a", "b"), onward("b", "c"), link("c", "q"))
    change = applied(topology, topology.unbind(link("c", "q")))
    assert change.drop_exchanges == ("c", "b", "a")
    assert len(change.drop_bindings) == 4
    assert not list(topology.bindings())


def test_auto_delete_in_a_circle_ends(topology: Topology) -> None:
    for name in "ab":
        exchange(topology, name, auto_delete=True)
    bind(topology, onward("a", "b"), onward("b", "a"), onward("a", "a"))
    change = applied(topology, topology.delete_exchange("a"))
    assert sorted(change.drop_exchanges) == ["a", "b"]
    assert len(change.drop_bindings) == 3


# ---- versions, snapshots, boots ----


def test_a_change_that_crosses_a_snapshot_is_passed_over(topology: Topology) -> None:
    change = applied(topology, topology.bind(link("direct", "q")))
    other = Topology()
    assert other.apply(topology.snapshot())
    assert not other.apply(change)
    assert other.version == topology.version


def test_a_gap_in_the_versions_is_our_own_fault(topology: Topology) -> None:
    change = topology.bind(link("direct", "q"))
    assert change is not None
    with pytest.raises(AssertionError, match="topology change 7 came after 0"):
        Topology().apply(change)


def test_a_snapshot_replaces_what_was_there(topology: Topology) -> None:
    other = Topology()
    exchange(other, "old")
    other.apply(topology.snapshot())
    assert other.snapshot() == topology.snapshot()
    assert "old" not in other.exchanges
    assert "" in other.exchanges


def test_a_snapshot_survives_the_wire(topology: Topology) -> None:
    bind(topology, link("headers", "q", arguments={"x-match": "any", "a": [1, b"x", None]}))
    snapshot = topology.snapshot()
    assert messages.decode(messages.encode(snapshot)) == snapshot


def test_a_new_boot_drops_what_is_transient_with_its_bindings(topology: Topology) -> None:
    exchange(topology, "brief", durable=False)
    exchange(topology, "follows", auto_delete=True)
    queue(topology, "brief", durable=False)
    queue(topology, "mine", exclusive=True, durable=False, owner=1)
    bind(
        topology,
        link("direct", "q"),
        link("direct", "brief"),
        link("brief", "q"),
        link("topic", "mine"),
        link("follows", "brief"),
    )
    version = topology.version
    change = topology.drop_transient()
    assert change is not None
    assert change.version == topology.version == version + 1
    assert set(change.drop_exchanges) == {"brief", "follows"}
    assert set(change.drop_queues) == {"brief", "mine"}
    assert list(topology.bindings()) == [link("direct", "q")]
    assert topology.drop_transient() is None
    assert topology.version == version + 1


def test_ten_thousand_bindings_on_one_exchange_cost_what_ten_thousand_on_many_do(topology: Topology) -> None:
    started = time.process_time()
    for number in range(10_000):
        bind(topology, link("topic", "q", f"a.{number}.#"))
    elapsed = time.process_time() - started
    assert len(topology.bindings_from("topic")) == 10_000
    assert len(applied(topology, topology.delete_queue("q")).drop_bindings) == 10_000
    assert elapsed < 5.0, f"10,000 bindings took {elapsed:.1f} s of CPU; quadratic would be minutes"
