"""The router: one exchange, several, alternates and policies, headers."""

from __future__ import annotations

import msgspec
import pytest

from posthouse.actors.binding_table import DefaultTable
from posthouse.actors.routing import Route
from posthouse.transport.errors import InvalidArgument, UnknownExchange
from posthouse.transport.messages import NIL, BindingSpec
from posthouse.transport.names import encode_headers
from tests.support.routing_world import World, reached


@pytest.fixture
def world() -> World:
    world = World()
    world.queues("p", "q", "r")
    return world


# ---- one exchange ----


def test_a_direct_exchange_passes_a_key_to_every_queue_bound_with_it(world: World) -> None:
    router = world.exchange("x")
    world.bind("x", "q", "k")
    world.bind("x", "p", "k")
    world.bind("x", "r", "other")
    assert router.route("k") == Route(("p", "q"), "none")
    assert router.route("K") == Route((), "return")


def test_a_fanout_exchange_ignores_the_key(world: World) -> None:
    router = world.exchange("x", "fanout")
    world.bind("x", "q", "k")
    assert reached(router.route("anything")) == "q"


def test_a_queue_is_named_once_however_many_bindings_match(world: World) -> None:
    router = world.exchange("x", "topic")
    for pattern in ("#", "a.*", "*.b", "a.b"):
        world.bind("x", "q", pattern)
    assert router.route("a.b").queues == ("q",)


def test_the_default_exchange_passes_a_message_to_the_queue_named_by_its_key(world: World) -> None:
    router = world.routers[""]
    assert router.route("q") == Route(("q",))
    assert router.route("nobody") == Route((), "return")
    world.queues("nobody")
    assert router.route("nobody") == Route(("nobody",))
    world.apply(world.topology.delete_queue("q"))
    assert router.route("q") == Route((), "return")


def test_nothing_ever_binds_the_default_exchange(world: World) -> None:
    table = DefaultTable(world.topology.queues)
    binding = BindingSpec(source="", destination="q")
    for operation in (table.add, table.remove):
        with pytest.raises(AssertionError, match="default exchange"):
            operation(1, binding)


# ---- exchange to exchange ----


def test_a_message_goes_on_through_exchanges_that_match(world: World) -> None:
    router = world.exchange("a", "topic")
    world.exchange("b", "direct")
    world.exchange("c", "fanout")
    world.link("a", "b", "eu.#")
    world.link("b", "c", "eu.x")
    world.bind("c", "q")
    assert reached(router.route("eu.x")) == "q"
    assert router.route("eu.y").queues == ()
    assert router.route("us.x").queues == ()


def test_circles_end_and_each_queue_is_named_once(world: World) -> None:
    router = world.exchange("a", "fanout")
    world.exchange("b", "fanout")
    world.link("a", "b")
    world.link("b", "a")
    world.link("a", "a")
    for source in "ab":
        world.bind(source, "q")
        world.bind(source, "p" if source == "a" else "r")
    assert reached(router.route("")) == "pqr"
    assert reached(world.routers["b"].route("")) == "pqr"


# ---- alternates and policies ----


def test_the_alternate_is_asked_only_when_no_binding_matched(world: World) -> None:
    world.exchange("spare", "fanout")
    world.bind("spare", "r")
    router = world.exchange("x", unrouted="alternate", alternate="spare")
    world.bind("x", "q", "k")
    assert reached(router.route("k")) == "q"
    assert reached(router.route("other")) == "r"


def test_an_exchange_whose_only_match_is_another_exchange_does_not_ask_its_alternate(world: World) -> None:
    world.exchange("spare", "fanout")
    world.bind("spare", "r")
    world.exchange("empty", "fanout")
    router = world.exchange("x", "fanout", unrouted="alternate", alternate="spare")
    world.link("x", "empty")
    assert router.route("") == Route((), "return")


def test_each_exchange_on_the_way_has_its_own_alternate(world: World) -> None:
    world.exchange("spare", "fanout")
    world.bind("spare", "r")
    world.exchange("inner", unrouted="alternate", alternate="spare")
    router = world.exchange("x", "fanout")
    world.link("x", "inner")
    world.bind("x", "q")
    assert reached(router.route("k")) == "qr"


def test_alternates_are_chained_until_one_routes(world: World) -> None:
    world.exchange("third", "fanout", unrouted="drop")
    world.exchange("second", unrouted="alternate", alternate="third")
    router = world.exchange("first", unrouted="alternate", alternate="second")
    assert router.route("k") == Route((), "drop")
    world.bind("second", "q", "k")
    assert router.route("k") == Route(("q",), "alternate")
    world.bind("third", "r")
    assert router.route("k") == Route(("q",), "alternate")
    assert router.route("other") == Route(("r",), "alternate")


def test_alternates_in_a_circle_end_with_the_message_returned(world: World) -> None:
    world.exchange("b", unrouted="alternate", alternate="a")
    router = world.exchange("a", unrouted="alternate", alternate="b")
    assert router.route("k") == Route((), "return")


def test_a_missing_alternate_returns_the_message_until_it_is_declared(world: World) -> None:
    router = world.exchange("x", unrouted="alternate", alternate="later")
    assert router.route("k") == Route((), "return")
    world.exchange("later", "fanout", unrouted="drop")
    assert router.route("k") == Route((), "drop")
    world.bind("later", "q")
    assert router.route("k") == Route(("q",), "alternate")
    world.apply(world.topology.delete_exchange("later"))
    assert router.route("k") == Route((), "return")


def test_the_default_exchange_can_be_an_alternate(world: World) -> None:
    router = world.exchange("x", unrouted="alternate", alternate="")
    assert router.route("q") == Route(("q",), "alternate")
    assert router.route("k") == Route((), "return")
    world.queues("k")
    assert router.route("k") == Route(("k",), "alternate")


def test_the_policy_is_that_of_the_exchange_it_was_published_to(world: World) -> None:
    world.exchange("inner", unrouted="drop")
    router = world.exchange("x", "fanout")
    world.link("x", "inner")
    assert router.route("k") == Route((), "return")
    assert world.routers["inner"].route("k") == Route((), "drop")


def test_the_policy_of_an_alternate_on_a_side_road_does_not_drop_a_message(world: World) -> None:
    world.exchange("bin", unrouted="drop")
    world.exchange("inner", unrouted="alternate", alternate="bin")
    router = world.exchange("x", "fanout")
    world.link("x", "inner")
    assert router.route("k") == Route((), "return")
    assert world.routers["inner"].route("k") == Route((), "drop")


def test_the_policy_of_an_alternate_that_was_never_asked_does_not_drop_a_message(world: World) -> None:
    world.exchange("bin", unrouted="drop")
    world.exchange("empty", "fanout")
    router = world.exchange("x", "fanout", unrouted="alternate", alternate="bin")
    assert router.route("k") == Route((), "drop")
    world.link("x", "empty")
    assert router.route("k") == Route((), "return")


def test_an_exchange_that_is_gone_routes_nothing(world: World) -> None:
    router = world.exchange("x", "fanout")
    world.bind("x", "q")
    assert reached(router.route("k")) == "q"
    world.apply(world.topology.delete_exchange("x"))
    for refused in (
        lambda: router.route("k"),
        lambda: router.route_raw("k", NIL),
        lambda: router.explain("k"),
    ):
        with pytest.raises(UnknownExchange, match="no exchange is named 'x'; it was deleted"):
            refused()


# ---- headers, encoded ----


def test_headers_are_not_even_decoded_where_no_binding_can_ask_for_them(world: World) -> None:
    router = world.exchange("x", "topic")
    world.bind("x", "q", "#")
    assert reached(router.route_raw("k", msgspec.Raw(b"\xc1"))) == "q"


def test_encoded_headers_are_matched_wherever_a_headers_exchange_can_be_reached(world: World) -> None:
    world.exchange("h", "headers")
    world.bind("h", "q", arguments={"a": 1})
    through = world.exchange("through", "fanout")
    world.link("through", "h")
    asked = world.exchange("asked", unrouted="alternate", alternate="h")
    for router in (world.routers["h"], through, asked):
        for _ in range(2):
            assert reached(router.route_raw("k", encode_headers({"a": 1.0}))) == "q"
            assert router.route_raw("k", encode_headers({"a": 2})).queues == ()
            assert router.route_raw("k", NIL).queues == ()
        assert reached(router.route("k", {"a": 1})) == "q"
        with pytest.raises(InvalidArgument, match="not a MessagePack map"):
            router.route_raw("k", msgspec.Raw(b"\xc1"))


def test_headers_begin_to_matter_when_a_headers_exchange_comes_into_reach_and_end_with_it(
    world: World,
) -> None:
    router = world.exchange("x", "fanout")
    world.exchange("h", "headers")
    world.bind("h", "q", arguments={"a": 1})
    headers = encode_headers({"a": 1})
    assert router.route_raw("k", headers).queues == ()
    binding = world.link("x", "h")
    assert reached(router.route_raw("k", headers)) == "q"
    world.apply(world.topology.unbind(binding))
    assert router.route_raw("k", msgspec.Raw(b"\xc1")).queues == ()
