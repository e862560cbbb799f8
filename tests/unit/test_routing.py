"""The router: walks, alternates, policies, memory, refreshing, explanations."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.actors import routing
from posthouse.actors.binding_table import DefaultTable
from posthouse.actors.route_ledger import RouteLedger
from posthouse.actors.routing import Route, Router
from posthouse.actors.topology import Topology
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument, UnknownExchange
from posthouse.transport.explanation import EXPLAINED_BINDINGS_MAX, EXPLAINED_BYTES_MAX, Explanation
from posthouse.transport.messages import NIL, BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from posthouse.transport.names import encode_headers


class World:
    """A topology that is changed step by step, with one router on each exchange that follows it."""

    def __init__(self) -> None:
        self.topology = Topology()
        self.routers: dict[str, Router] = {"": Router(self.topology, "")}

    def apply(self, change: TopologyChange | None) -> None:
        assert change is not None
        self.topology.apply(change)
        for router in self.routers.values():
            router.refresh()

    def exchange(self, name: str, kind: str = "direct", **properties: Any) -> Router:
        self.apply(self.topology.declare_exchange(ExchangeSpec(name=name, kind=kind, **properties)))
        return self.routers.setdefault(name, Router(self.topology, name))

    def queues(self, *names: str) -> None:
        for name in names:
            self.apply(self.topology.declare_queue(QueueSpec(name=name)))

    def bind(self, source: str, destination: str, key: str = "", **more: Any) -> BindingSpec:
        binding = BindingSpec(source=source, destination=destination, key=key, **more)
        self.apply(self.topology.bind(binding))
        return binding

    def link(self, source: str, destination: str, key: str = "") -> BindingSpec:
        return self.bind(source, destination, key, to_exchange=True)


@pytest.fixture
def world() -> World:
    world = World()
    world.queues("p", "q", "r")
    return world


def reached(route: Route) -> str:
    return "".join(route.queues)


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
    assert router.route("k") == Route(("q",))
    world.bind("third", "r")
    assert router.route("k") == Route(("q",))
    assert router.route("other") == Route(("r",))


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
    assert router.route("k") == Route(("q",))
    world.apply(world.topology.delete_exchange("later"))
    assert router.route("k") == Route((), "return")


def test_the_default_exchange_can_be_an_alternate(world: World) -> None:
    router = world.exchange("x", unrouted="alternate", alternate="")
    assert router.route("q") == Route(("q",))
    assert router.route("k") == Route((), "return")
    world.queues("k")
    assert router.route("k") == Route(("k",))


def test_the_policy_is_that_of_the_exchange_it_was_published_to(world: World) -> None:
    world.exchange("inner", unrouted="drop")
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


def test_routes_are_forgotten_when_they_name_too_many_queues(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    for table in (kind() for kind in routing.KINDS.values()):
        table.remove(1, binding)
        table.add(1, binding)
        table.add(1, binding)
        table.remove(2, binding)
        assert table.match("k", None) == [binding]


# ---- explaining ----


def test_an_explanation_lists_every_binding_with_its_reason(world: World) -> None:
    router = world.exchange("flights", "topic")
    world.bind("flights", "q", "*.EWR.#")
    world.bind("flights", "p", "*.JFK.*")
    explanation = router.explain("UA.EWR.IAH", {})
    assert explanation.queues == ("q",)
    assert explanation.unrouted is None
    assert [(entry.destination, entry.key, entry.reason) for entry in explanation.matched] == [
        ("q", "*.EWR.#", "'UA.EWR.IAH' matches '*.EWR.#'")
    ]
    assert [(entry.destination, entry.reason) for entry in explanation.unmatched] == [
        ("p", "'UA.EWR.IAH' does not match '*.JFK.*'")
    ]
    assert explanation.notes == ()


def test_every_kind_gives_its_reason(world: World) -> None:
    world.exchange("d")
    world.exchange("f", "fanout")
    world.exchange("h", "headers")
    world.bind("d", "p", "x")
    world.bind("d", "q", "y")
    world.bind("f", "q")
    world.bind("h", "q", arguments={"carrier": "UA"})

    def reasons(exchange: str, headers: dict[str, Any] | None = None) -> list[str]:
        explanation = world.routers[exchange].explain("x", headers)
        return [entry.reason for entry in (*explanation.matched, *explanation.unmatched)]

    assert reasons("d") == ["direct key 'x' is the binding's key", "direct key 'x' is not 'y'"]
    assert reasons("f") == ["a fanout exchange passes everything to every binding"]
    assert reasons("h", {"carrier": "AA"}) == ["header carrier is 'AA', the binding wants 'UA'"]
    assert reasons("h") == ["header carrier is missing, the binding wants 'UA'"]


def test_an_explanation_follows_exchanges_and_alternates(world: World) -> None:
    world.exchange("spare", "fanout")
    world.bind("spare", "r")
    world.exchange("inner", unrouted="alternate", alternate="spare")
    world.bind("inner", "p", "other")
    router = world.exchange("x", "fanout")
    world.link("x", "inner")
    explanation = router.explain("k")
    assert explanation.queues == ("r",)
    assert [(entry.source, entry.destination, entry.to_exchange) for entry in explanation.matched] == [
        ("x", "inner", True),
        ("spare", "r", False),
    ]
    assert [entry.source for entry in explanation.unmatched] == ["inner"]
    assert explanation.notes == ("no binding of exchange 'inner' matches, so its alternate 'spare' is asked",)


def test_an_explanation_of_the_unrouted_names_the_policy_and_the_cause(world: World) -> None:
    assert world.exchange("bin", unrouted="drop").explain("k").unrouted == "drop"
    lost = world.exchange("lost", unrouted="alternate", alternate="nowhere").explain("k")
    assert (lost.queues, lost.unrouted) == ((), "return")
    assert lost.notes == (
        "no binding of exchange 'lost' matches, and its alternate 'nowhere' does not exist",
    )
    self_made = world.exchange("self", unrouted="alternate", alternate="self").explain("k")
    assert self_made.notes == (
        "no binding of exchange 'self' matches, and its alternate 'self' was asked already",
    )


def test_the_default_exchange_explains_itself(world: World) -> None:
    found = world.routers[""].explain("q")
    assert (found.queues, found.unmatched, found.notes) == (("q",), (), ())
    assert found.matched[0].reason == "the default exchange passes key 'q' to the queue of that name"
    missing = world.routers[""].explain("nobody")
    assert (missing.queues, missing.matched, missing.unrouted) == ((), (), "return")
    assert missing.notes == ("no queue is named 'nobody', and the default exchange knows no other key",)


def test_an_explanation_refuses_keys_and_headers_no_message_could_have(world: World) -> None:
    router = world.exchange("x")
    with pytest.raises(InvalidArgument, match="256 bytes"):
        router.explain("k" * 256)
    with pytest.raises(InvalidArgument, match="header 'a'"):
        router.explain("k", {"a": object()})


def test_an_explanation_travels_as_a_map(world: World) -> None:
    router = world.exchange("x", "headers")
    world.bind("x", "q", arguments={"a": b"x"})
    encoded = messages.encode(router.explain("k", {"a": b"x"}))
    assert msgspec.msgpack.decode(encoded)["matched"][0]["destination"] == "q"
    assert msgspec.msgpack.decode(encoded, type=Explanation) == router.explain("k", {"a": b"x"})


def test_an_explanation_of_many_bindings_is_cut_and_says_how_many_there_are(world: World) -> None:
    router = world.exchange("x")
    for number in range(EXPLAINED_BINDINGS_MAX + 5):
        world.bind("x", "q", str(number))
    explanation = router.explain("0")
    assert (explanation.matched_count, len(explanation.matched)) == (1, 1)
    assert explanation.unmatched_count == EXPLAINED_BINDINGS_MAX + 4
    assert len(explanation.unmatched) == EXPLAINED_BINDINGS_MAX


def test_an_explanation_of_large_bindings_is_cut_by_bytes() -> None:
    ledger = RouteLedger()
    binding = BindingSpec(source="x", destination="q", arguments={"a": "x" * 60_000})
    for _ in range(100):
        ledger.add(binding, "it is large", is_match=True)
    assert ledger.matched_count == 100
    assert len(messages.encode(ledger.matched)) < EXPLAINED_BYTES_MAX + 61_000
