"""An exchange that gets dead letters: they find a queue or are refused, and never go in circles."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.transport import messages
from posthouse.transport.messages import Message, Receipt, Reply, TopologyChange
from posthouse.transport.messages_dead import Republish
from tests.support.actor_bench import Peer, batch
from tests.support.exchange_bench import TOPOLOGY, ExchangeWorld, refusal

EXPIRED_IN_ONE = {"x-death": [{"queue": "one", "reason": "expired", "count": 1}]}
REJECTED_IN_ONE = {"x-death": [{"queue": "one", "reason": "rejected", "count": 1}]}


def move(world: ExchangeWorld, exchange: str = "", *, no_cycles: bool = True, **more: Any) -> list[Message]:
    raw = msgspec.Raw(messages.encode(batch(b"x", exchange=exchange, **more)))
    return world.bench.deliver(store(world), Republish(raw, no_cycles))


def store(world: ExchangeWorld) -> Peer:
    return world.bench.clients.get("dead-letter") or world.bench.client("dead-letter", client_id=0)


def test_a_dead_letter_is_routed_as_any_message_and_settled_when_the_queue_has_it() -> None:
    world = ExchangeWorld()
    queue = world.queue("one", settles=False)
    assert move(world, routing_key="one") == []
    assert len(queue.take_heard()) == 1
    assert store(world).settled == []
    queue.settle()
    world.bench.run()
    assert store(world).take_heard() == [Receipt(7, 1, 1, ("one",))]
    assert len(store(world).settled) == 1


def test_what_no_queue_wants_is_refused_whatever_the_policy() -> None:
    assert refusal(move(ExchangeWorld("lossy"), "lossy")).code == "unroutable"
    assert refusal(move(ExchangeWorld(), routing_key="nobody")).code == "unroutable"


def test_the_alternate_is_a_route_and_an_internal_exchange_is_open_to_the_store() -> None:
    world = ExchangeWorld("careful")
    one, two = world.queue("one"), world.queue("two")
    assert move(world, "careful") == [Receipt(7, 1, 1, ("one", "two"))]
    assert (len(one.take_heard()), len(two.take_heard())) == (1, 1)
    assert refusal(move(ExchangeWorld("inner"), "inner")).code == "unroutable"


def test_a_queue_it_died_in_without_a_reject_since_counts_as_not_there() -> None:
    world = ExchangeWorld("fan")
    one, two = world.queue("one"), world.queue("two")
    assert move(world, "fan", headers=EXPIRED_IN_ONE) == [Receipt(7, 1, 1, ("two",))]
    assert (one.take_heard(), len(two.take_heard())) == ([], 1)
    assert move(world, "fan", headers=REJECTED_IN_ONE, first_seq=2) == [Receipt(7, 2, 1, ("one", "two"))]
    assert move(world, "fan", headers=EXPIRED_IN_ONE, first_seq=3, no_cycles=False) == [
        Receipt(7, 3, 1, ("one", "two"))
    ]


def test_where_only_a_circle_is_left_it_is_refused_and_says_so() -> None:
    refused = refusal(move(ExchangeWorld(), routing_key="one", headers=EXPIRED_IN_ONE))
    assert (refused.code, "circle" in refused.text) == ("unroutable", True)


def test_before_the_topology_is_known_a_dead_letter_waits() -> None:
    world = ExchangeWorld(knows=False)
    world.queue("one")
    assert move(world, routing_key="one") == []
    world.change(TOPOLOGY)
    assert store(world).take_heard() == [Receipt(7, 1, 1, ("one",))]


def test_of_an_exchange_that_has_just_been_deleted_it_is_refused() -> None:
    world = ExchangeWorld("fan")
    world.change(TopologyChange(version=2, drop_exchanges=("fan",)))
    assert refusal(move(world, "fan")).code == "unknown_exchange"


@pytest.mark.parametrize("headers", [{"x-death": 7}, {"x-death": [{"queue": 7}]}, {"x-death": []}])
def test_an_x_death_that_makes_no_sense_stops_nothing(headers: dict[str, Any]) -> None:
    world = ExchangeWorld()
    world.queue("one")
    assert move(world, routing_key="one", headers=headers) == [Receipt(7, 1, 1, ("one",))]


def test_a_move_without_a_batch_or_from_anybody_else_ends_the_session() -> None:
    world = ExchangeWorld()
    no_batch = msgspec.Raw(messages.encode(Reply(1, messages.NIL)))
    world.bench.deliver(store(world), Republish(no_batch))
    assert store(world).endings == ["protocol_violation"]
    raw = msgspec.Raw(messages.encode(batch(b"x", routing_key="one")))
    world.bench.deliver(world.publisher, Republish(raw))
    assert world.publisher.endings == ["protocol_violation"]
