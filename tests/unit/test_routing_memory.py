"""What a router remembers, when it forgets, and how it follows the topology."""

from __future__ import annotations

import pytest

from posthouse.actors import routing
from posthouse.actors.binding_table import KINDS
from posthouse.actors.routing import Router
from posthouse.transport.messages import NIL, BindingSpec
from posthouse.transport.names import encode_headers
from tests.support.routing_world import World, reached


@pytest.fixture
def world() -> World:
    world = World()
    world.queues("p", "q", "r")
    return world


# ---- memory ----


def test_a_route_is_remembered_until_something_that_can_change_it_changes(world: World) -> None:
    router = world.exchange("x")
    world.exchange("elsewhere", "fanout")
    world.bind("x", "q", "k")
    route = router.route("k")
    world.queues("new")
    world.bind("elsewhere", "q")
    assert router.route("k") is route
    world.bind("x", "p", "k")
    assert reached(router.route("k")) == "pq"


def test_routes_are_forgotten_when_there_are_too_many(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "REMEMBERED_ROUTES_MAX", 10)
    router = world.exchange("x", "fanout")
    world.bind("x", "q")
    for number in range(95):
        assert reached(router.route_raw(str(number), NIL)) == "q"
    assert len(router._by_key) == 5


def test_routes_are_forgotten_when_they_name_too_many_queues(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "REMEMBERED_QUEUES_MAX", 9)
    router = world.exchange("x", "headers")
    for name in "pqr":
        world.bind("x", name)
    for number in range(4):
        assert reached(router.route_raw(str(number), NIL)) == "pqr"
    assert list(router._by_key_and_headers) == [("3", b"\xc0")]


def test_a_route_by_large_headers_is_not_remembered(world: World) -> None:
    router = world.exchange("x", "headers")
    world.bind("x", "q", arguments={"a": None})
    headers = encode_headers({"a": "x" * routing.REMEMBERED_HEADERS_BYTES_MAX})
    assert reached(router.route_raw("k", headers)) == "q"
    assert not router._by_key_and_headers


# ---- refreshing ----


def test_a_router_that_missed_changes_catches_up(world: World) -> None:
    late = Router(world.topology, "x")
    world.exchange("x")
    world.bind("x", "q", "k")
    late.refresh()
    assert reached(late.route("k")) == "q"
    world.bind("x", "p", "k")
    world.bind("x", "r", "k")
    late.refresh()
    late.refresh()
    assert reached(late.route("k")) == "pqr"


def test_a_router_follows_a_snapshot_of_any_version(world: World) -> None:
    router = world.exchange("x")
    world.bind("x", "q", "k")
    assert reached(router.route("k")) == "q"
    other = World()
    other.queues("q", "p")
    other.exchange("x", "fanout")
    other.bind("x", "p")
    world.topology.apply(other.topology.snapshot())
    router.refresh()
    assert reached(router.route("k")) == "p"


def test_an_exchange_that_is_made_again_as_another_kind_is_compiled_anew(world: World) -> None:
    router = world.exchange("x")
    world.bind("x", "q", "k")
    assert router.route("other").queues == ()
    world.apply(world.topology.delete_exchange("x"))
    world.exchange("x", "fanout")
    world.bind("x", "q", "k")
    assert reached(router.route("other")) == "q"


def test_unbinding_takes_effect_at_once(world: World) -> None:
    for kind in ("direct", "topic", "fanout", "headers"):
        router = world.exchange(kind, kind)
        binding = world.bind(kind, "q", "k")
        assert reached(router.route("k")) == "q"
        world.apply(world.topology.unbind(binding))
        assert router.route("k").queues == ()


def test_two_bindings_that_differ_in_arguments_only_are_both_followed(world: World) -> None:
    router = world.exchange("x")
    first = world.bind("x", "q", "k", arguments={"a": 1})
    second = world.bind("x", "q", "k")
    assert reached(router.route("k")) == "q"
    world.apply(world.topology.unbind(first))
    assert reached(router.route("k")) == "q"
    world.apply(world.topology.unbind(second))
    assert router.route("k").queues == ()


def test_table_operations_on_unknown_bindings_change_nothing() -> None:
    binding = BindingSpec(source="x", destination="q", key="k")
    for table in (kind() for kind in KINDS.values()):
        table.remove(1, binding)
        table.add(1, binding)
        table.add(1, binding)
        table.remove(2, binding)
        assert table.match("k", None) == [binding]
