"""What a router says about a route, and how much."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.actors.route_ledger import RouteLedger
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.explanation import EXPLAINED_BINDINGS_MAX, EXPLAINED_BYTES_MAX, Explanation
from posthouse.transport.messages import BindingSpec
from tests.support.routing_world import World


@pytest.fixture
def world() -> World:
    world = World()
    world.queues("p", "q", "r")
    return world


def test_an_explanation_lists_every_binding_with_its_reason(world: World) -> None:
    router = world.exchange("flights", "topic")
    world.bind("flights", "q", "*.EWR.#")
    world.bind("flights", "p", "*.JFK.*")
    explanation = router.explain("UA.EWR.IAH", {})
    assert explanation.queues == ["q"]
    assert explanation.unrouted is None
    assert [(entry.destination, entry.key, entry.reason) for entry in explanation.matched] == [
        ("q", "*.EWR.#", "'UA.EWR.IAH' matches '*.EWR.#'")
    ]
    assert [(entry.destination, entry.reason) for entry in explanation.unmatched] == [
        ("p", "'UA.EWR.IAH' does not match '*.JFK.*'")
    ]
    assert explanation.notes == []


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
    assert explanation.queues == ["r"]
    assert [(entry.source, entry.destination, entry.to_exchange) for entry in explanation.matched] == [
        ("x", "inner", True),
        ("spare", "r", False),
    ]
    assert [entry.source for entry in explanation.unmatched] == ["inner"]
    assert explanation.notes == ["no binding of exchange 'inner' matches, so its alternate 'spare' is asked"]


def test_an_explanation_of_the_unrouted_names_the_policy_and_the_cause(world: World) -> None:
    assert world.exchange("bin", unrouted="drop").explain("k").unrouted == "drop"
    lost = world.exchange("lost", unrouted="alternate", alternate="nowhere").explain("k")
    assert (lost.queues, lost.unrouted) == ([], "return")
    assert lost.notes == ["no binding of exchange 'lost' matches, and its alternate 'nowhere' does not exist"]
    self_made = world.exchange("self", unrouted="alternate", alternate="self").explain("k")
    assert self_made.notes == ["no binding of exchange 'self' matches, and its alternate 'self' was asked already"]


def test_the_default_exchange_explains_itself(world: World) -> None:
    found = world.routers[""].explain("q")
    assert (found.queues, found.unmatched, found.notes) == (["q"], [], [])
    assert found.matched[0].reason == "the default exchange passes key 'q' to the queue of that name"
    missing = world.routers[""].explain("nobody")
    assert (missing.queues, missing.matched, missing.unrouted) == ([], [], "return")
    assert missing.notes == ["no queue is named 'nobody', and the default exchange knows no other key"]


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
