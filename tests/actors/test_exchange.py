"""The exchange: what it forwards, and when it answers."""

from __future__ import annotations

import pytest

from posthouse.transport import messages
from posthouse.transport.batch import pack_due
from posthouse.transport.messages import (
    Batch,
    BindingSpec,
    Durability,
    ExchangeSpec,
    Options,
    Receipt,
    StoreNote,
    TopologyChange,
    WatchTopology,
)
from posthouse.transport.messages_delay import Scheduled
from tests.support.actor_bench import batch
from tests.support.exchange_bench import TOPOLOGY, ExchangeWorld, receipts, refusal


def test_it_asks_the_registry_for_the_topology_when_the_link_opens() -> None:
    world = ExchangeWorld(knows=False)
    assert world.registry.hears() == WatchTopology(1)


def test_a_batch_goes_to_its_queue_as_it_came_and_the_publisher_hears_when_the_queue_has_it() -> None:
    world = ExchangeWorld()
    queue = world.queue("one", settles=False)
    sent = batch(b"x", b"yy", routing_key="one")
    assert world.publish(sent) == []
    assert [messages.encode(heard) for heard in queue.take_heard()] == [messages.encode(sent)]
    assert world.publisher.settled == []
    queue.settle()
    world.bench.run()
    assert world.publisher.take_heard() == [Receipt(7, 1, 2, ("one",), Durability.SYNC)]
    assert world.publisher.settled == [sent]


def test_it_holds_a_frame_until_every_queue_on_the_route_has_settled() -> None:
    world = ExchangeWorld("fan")
    one, two = world.queue("one", settles=False), world.queue("two", settles=False)
    world.publish(batch(b"x", exchange="fan"))
    one.settle()
    world.bench.advance(1_000)
    assert (world.publisher.take_heard(), world.publisher.settled) == ([], [])
    two.settle()
    world.bench.run()
    assert world.publisher.hears() == Receipt(7, 1, 1, ("one", "two"))
    assert len(world.publisher.settled) == 1


def test_neighbours_that_reached_the_same_queues_share_a_receipt() -> None:
    world = ExchangeWorld()
    world.queue("one")
    heard = world.publish(*(batch(b"x", b"y", routing_key="one", first_seq=1 + 2 * i) for i in range(3)))
    assert heard == [Receipt(7, 1, 6, ("one",))]


def test_a_shared_receipt_tells_the_lowest_durability_of_its_batches() -> None:
    world = ExchangeWorld()
    world.queue("one")
    heard = world.publish(
        batch(b"x", routing_key="one"),
        batch(b"y", routing_key="one", first_seq=2, options=Options(durability=Durability.OS)),
    )
    assert heard == [Receipt(7, 1, 2, ("one",), Durability.OS)]


def test_receipts_never_merge_across_queues_streams_or_gaps() -> None:
    world = ExchangeWorld()
    world.queue("one")
    world.queue("two")
    heard = world.publish(
        batch(b"a", routing_key="one", first_seq=1),
        batch(b"b", routing_key="two", first_seq=2),
        batch(b"c", routing_key="two", first_seq=4),
        batch(b"d", routing_key="two", first_seq=5, stream=8),
    )
    assert {(receipt.stream, receipt.first_seq, receipt.count, receipt.queues) for receipt in receipts(heard)} == {
        (7, 1, 1, ("one",)),
        (7, 2, 1, ("two",)),
        (7, 4, 1, ("two",)),
        (8, 5, 1, ("two",)),
    }


def test_a_queue_that_is_not_durable_lowers_the_level_of_the_receipt() -> None:
    world = ExchangeWorld()
    world.queue("light")
    assert world.publish(batch(b"x", routing_key="light")) == [Receipt(7, 1, 1, ("light",), Durability.MEMORY)]
    asked = batch(b"x", routing_key="light", first_seq=2, options=Options(durability=Durability.MEMORY))
    assert world.publish(asked) == [Receipt(7, 2, 1, ("light",), Durability.MEMORY)]


def test_a_duplicate_is_told_and_a_refusal_of_one_queue_is_a_refusal() -> None:
    world = ExchangeWorld("fan")
    one, two = world.queue("one", settles=False), world.queue("two", settles=False)
    world.publish(*(batch(b"x", exchange="fan", first_seq=number) for number in (1, 2, 3)))
    one.say(StoreNote(7, 1, 1, "duplicate"), StoreNote(7, 3, 1, "duplicate"))
    two.say(StoreNote(7, 3, 1, "disk_space_low", "make room"))
    one.settle()
    two.settle()
    world.bench.run()
    assert receipts(world.publisher.take_heard()) == [
        Receipt(7, 1, 1, ("one", "two"), duplicate=True),
        Receipt(7, 2, 1, ("one", "two")),
        Receipt(7, 3, 1, ("one", "two"), duplicate=True, code="disk_space_low", text="make room"),
    ]
    assert len(world.publisher.settled) == 3


def test_neighbours_are_not_merged_over_one_that_a_queue_remarked_on() -> None:
    world = ExchangeWorld()
    queue = world.queue("one", settles=False)
    world.publish(*(batch(b"x", routing_key="one", first_seq=number) for number in (1, 2, 3, 4)))
    queue.say(StoreNote(7, 3, 1, "disk_space_low", "make room"))
    queue.settle()
    world.bench.run()
    told = [(receipt.first_seq, receipt.count, receipt.code) for receipt in receipts(world.publisher.take_heard())]
    assert told == [(1, 2, None), (3, 1, "disk_space_low"), (4, 1, None)]


def test_the_same_batch_on_two_sessions_is_refused_on_both() -> None:
    world = ExchangeWorld()
    queue = world.queue("one", settles=False)
    again = world.bench.client("publisher again")
    sent = batch(b"x", routing_key="one")
    world.publish(sent)
    world.bench.deliver(again, sent)
    queue.say(*(StoreNote(7, 1, 1, "disk_space_low", "make room") for _ in queue.unsettled))
    queue.settle()
    world.bench.run()
    for peer in (world.publisher, again):
        assert refusal(peer.take_heard()).code == "disk_space_low"


def test_the_same_batch_on_two_sessions_is_confirmed_on_both_when_the_queue_has_it() -> None:
    world = ExchangeWorld()
    queue = world.queue("one", settles=False)
    world.publish(batch(b"x", routing_key="one"))
    again = world.bench.client("publisher again")
    again.say(batch(b"x", routing_key="one"), batch(b"y", routing_key="one", first_seq=2))
    world.bench.run()
    queue.settle()
    world.bench.run()
    assert receipts(world.publisher.take_heard()) == [Receipt(7, 1, 1, ("one",))]
    assert sum(receipt.count for receipt in receipts(again.take_heard())) == 2
    assert (len(world.publisher.settled), len(again.settled)) == (1, 2)


def test_batches_that_come_before_the_topology_wait_for_it_in_order() -> None:
    world = ExchangeWorld(knows=False)
    world.publish(batch(b"a", routing_key="one"))
    world.publish(batch(b"b", routing_key="one", first_seq=2))
    world.bench.advance(1_000)
    assert world.publisher.settled == []
    queue = world.queue("one")
    world.change(TOPOLOGY)
    bodies = [bytes(heard.bodies) for heard in queue.take_heard() if isinstance(heard, Batch)]
    assert bodies == [b"a", b"b"]
    assert sum(receipt.count for receipt in receipts(world.publisher.take_heard())) == 2
    world.bench.advance(1_000)
    assert len(world.publisher.settled) == 2


def test_a_topology_without_this_exchange_is_waited_over() -> None:
    world = ExchangeWorld("late", knows=False)
    world.change(TOPOLOGY)
    assert world.publish(batch(b"x", exchange="late")) == []
    world.queue("one")
    world.change(
        TopologyChange(
            2,
            put_exchanges=(ExchangeSpec(name="late", kind="fanout"),),
            put_bindings=(BindingSpec(source="late", destination="one"),),
        )
    )
    assert receipts(world.publisher.take_heard()) == [Receipt(7, 1, 1, ("one",))]


def test_a_new_binding_routes_the_next_batch_and_a_snapshot_replaces_everything() -> None:
    world = ExchangeWorld("lossy")
    world.queue("one")
    assert world.publish(batch(b"x", exchange="lossy", routing_key="k")) == [Receipt(7, 1, 1, ())]
    world.change(TopologyChange(2, put_bindings=(BindingSpec(source="lossy", destination="one", key="k"),)))
    assert world.publish(batch(b"x", exchange="lossy", routing_key="k", first_seq=2)) == [Receipt(7, 2, 1, ("one",))]
    world.change(TOPOLOGY)
    assert world.publish(batch(b"x", exchange="lossy", routing_key="k", first_seq=3)) == [Receipt(7, 3, 1, ())]


def test_what_is_on_its_way_to_a_queue_that_is_deleted_counts_for_the_others_only() -> None:
    world = ExchangeWorld("fan")
    one, two = world.queue("one"), world.queue("two", settles=False)
    world.publish(batch(b"x", exchange="fan"))
    assert isinstance(one.hears(), Batch)
    dropped = BindingSpec(source="fan", destination="two")
    world.change(TopologyChange(2, drop_queues=("two",), drop_bindings=(dropped,)))
    assert receipts(world.publisher.take_heard()) == [Receipt(7, 1, 1, ("one",))]
    assert two.endings == ["goodbye"]


def test_an_exchange_that_was_deleted_refuses_until_it_is_stopped() -> None:
    world = ExchangeWorld("lossy")
    world.change(TopologyChange(2, drop_exchanges=("lossy",)))
    assert refusal(world.publish(batch(b"x", exchange="lossy"))).code == "unknown_exchange"


def test_a_batch_that_comes_in_one_round_with_the_end_of_its_queue_is_answered() -> None:
    world = ExchangeWorld("fan")
    world.queue("one")
    world.queue("two")
    world.publish(batch(b"x", exchange="fan"))
    world.publisher.take_heard()
    world.publisher.say(batch(b"y", exchange="fan", first_seq=2))
    dropped = BindingSpec(source="fan", destination="two")
    world.registry.say(TopologyChange(2, drop_queues=("two",), drop_bindings=(dropped,)))
    world.bench.run()
    assert receipts(world.publisher.take_heard()) == [Receipt(7, 2, 1, ("one",))]


def test_a_queue_that_restarts_gets_again_what_it_had_not_settled() -> None:
    world = ExchangeWorld()
    first = world.queue("one", settles=False)
    world.publish(batch(b"x", routing_key="one"))
    assert isinstance(first.hears(), Batch)
    world.bench.down("queue:one", "restarting", "it died")
    assert world.publish(batch(b"y", routing_key="one", first_seq=2)) == []
    second = world.bench.actor("queue:one", generation=2)
    bodies = [bytes(heard.bodies) for heard in second.take_heard() if isinstance(heard, Batch)]
    assert bodies == [b"x", b"y"]
    assert receipts(world.publisher.take_heard()) == [Receipt(7, 1, 2, ("one",))]


def test_a_quarantined_queue_is_refused_with_its_reason_until_it_lives_again() -> None:
    world = ExchangeWorld()
    world.queue("one")
    world.publish(batch(b"x", routing_key="one"))
    world.publisher.take_heard()
    world.bench.down("queue:one", "quarantined", "its journal is corrupt")
    refused = refusal(world.publish(batch(b"y", routing_key="one", first_seq=2)))
    assert refused.code == "actor_down"
    assert "its journal is corrupt" in refused.text
    world.queue("two")
    assert world.publish(batch(b"y", routing_key="two", first_seq=3)) == [Receipt(7, 3, 1, ("two",))]
    world.bench.actor("queue:one", generation=2)
    assert world.publish(batch(b"z", routing_key="one", first_seq=4)) == [Receipt(7, 4, 1, ("one",))]


def test_what_is_on_its_way_when_a_queue_is_quarantined_is_answered_and_not_sent_to_its_next_life() -> None:
    world = ExchangeWorld("fan")
    one, two = world.queue("one", settles=False), world.queue("two")
    world.publish(batch(b"x", exchange="fan"))
    assert one.unsettled
    assert two.take_heard()
    world.bench.down("queue:one", "restarting", "it died")
    world.bench.down("queue:one", "quarantined", "it crashed too often")
    assert refusal(world.publisher.take_heard()).code == "actor_down"
    again = world.bench.actor("queue:one", generation=2)
    world.bench.run()
    assert again.take_heard() == []


@pytest.mark.parametrize("level", [Durability.OS, Durability.SYNC])
def test_an_unrouted_batch_is_returned_with_what_to_do_about_it(level: Durability) -> None:
    options = Options(durability=level)
    refused = refusal(ExchangeWorld().publish(batch(b"x", routing_key="nowhere", options=options)))
    assert (refused.code, "no queue is named 'nowhere'" in refused.text) == ("unroutable", True)
    text = refusal(ExchangeWorld("colours").publish(batch(b"x", exchange="colours", routing_key="a *"))).text
    assert "`posthouse explain colours --key 'a *'` shows why" in text


def test_an_unrouted_batch_is_dropped_and_counted_or_goes_to_the_alternate() -> None:
    world = ExchangeWorld("lossy")
    assert world.publish(batch(b"x", b"y", exchange="lossy")) == [Receipt(7, 1, 2, ())]
    assert world.actor.dropped == 2
    careful = ExchangeWorld("careful")
    careful.queue("one")
    careful.queue("two")
    assert careful.publish(batch(b"x", exchange="careful")) == [Receipt(7, 1, 1, ("one", "two"))]


def test_headers_decide_where_the_exchange_asks_them() -> None:
    world = ExchangeWorld("colours")
    world.queue("one")
    red = batch(b"x", exchange="colours", headers={"colour": "red"})
    assert world.publish(red) == [Receipt(7, 1, 1, ("one",))]
    blue = batch(b"x", exchange="colours", first_seq=2, headers={"colour": "blue"})
    assert refusal(world.publish(blue)).code == "unroutable"


def test_an_internal_exchange_takes_nothing_from_a_publisher() -> None:
    assert refusal(ExchangeWorld("inner").publish(batch(b"x", exchange="inner"))).code == "precondition_failed"


def test_a_publisher_that_left_gets_no_receipt_and_its_batch_goes_on() -> None:
    world = ExchangeWorld()
    queue = world.queue("one", settles=False)
    world.publish(batch(b"x", routing_key="one"))
    world.bench.leave(world.publisher)
    assert isinstance(queue.hears(), Batch)
    queue.settle()
    world.bench.run()
    other = world.bench.client("other")
    world.bench.deliver(other, batch(b"y", routing_key="one", stream=9))
    queue.settle()
    world.bench.run()
    assert receipts(other.take_heard()) == [Receipt(9, 1, 1, ("one",))]


def test_an_exchange_has_no_timer() -> None:
    with pytest.raises(AssertionError, match="no timer"):
        ExchangeWorld().actor.wake("alarm")


def delayed(*bodies: bytes, first_seq: int = 1) -> Batch:
    """A batch for the exchange `fan`, due one after the other."""
    plain = batch(*bodies, exchange="fan", first_seq=first_seq, options=Options(deliver_at_ms=0))
    due = pack_due([2_000_000_000_000 + index for index in range(len(bodies))])
    return Batch(**{**{name: getattr(plain, name) for name in plain.__struct_fields__}, "due": due})


def test_a_delayed_batch_goes_to_the_scheduler_as_it_came_and_the_receipt_names_its_id() -> None:
    world = ExchangeWorld("fan")
    scheduler = world.bench.actor("delay")
    one = world.queue("one")
    scheduler.settles_at_once = False
    sent = delayed(b"x", b"y")
    assert world.publish(sent) == []
    assert [messages.encode(heard) for heard in scheduler.take_heard()] == [messages.encode(sent)]
    scheduler.say(Scheduled(7, 1, 2, 41))
    scheduler.settle()
    world.bench.run()
    assert world.publisher.hears() == Receipt(7, 1, 2, (), Durability.SYNC, scheduled_id=41)
    assert one.take_heard() == []


def test_what_the_scheduler_refuses_is_refused() -> None:
    world = ExchangeWorld("fan")
    scheduler = world.bench.actor("delay")
    scheduler.settles_at_once = False
    world.publish(delayed(b"x"))
    scheduler.say(StoreNote(7, 1, 1, "disk_space_low", "full"))
    scheduler.settle()
    world.bench.run()
    assert refusal(world.publisher.take_heard()).code == "disk_space_low"


def test_a_delay_that_contradicts_itself_or_an_internal_exchange_is_refused_at_once() -> None:
    world = ExchangeWorld("fan")
    wrong = batch(b"x", exchange="fan", options=Options(deliver_at_ms=0))
    assert refusal(world.publish(wrong)).code == "invalid_argument"
    inner = ExchangeWorld("inner")
    hidden = batch(b"x", exchange="inner", options=Options(deliver_at_ms=2_000_000_000_000))
    assert refusal(inner.publish(hidden)).code == "precondition_failed"


def test_with_the_scheduler_quarantined_delayed_batches_are_refused_and_others_are_not() -> None:
    world = ExchangeWorld("fan")
    one, two = world.queue("one"), world.queue("two")
    scheduler = world.bench.actor("delay")
    scheduler.settles_at_once = False
    world.publish(delayed(b"x"))
    world.bench.down("delay", "quarantined", "its journal is damaged")
    assert refusal(world.publisher.take_heard()).code == "actor_down"
    assert refusal(world.publish(delayed(b"y", first_seq=2))).code == "actor_down"
    world.publish(batch(b"z", exchange="fan", first_seq=3))
    assert len(one.take_heard()) == len(two.take_heard()) == 1
    assert receipts(world.publisher.take_heard() or [Receipt(7, 3, 1)])
    world.bench.actor("delay", 2)
    assert receipts(world.publish(delayed(b"w", first_seq=4)))[0].code is None
