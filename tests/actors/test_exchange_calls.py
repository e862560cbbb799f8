"""The exchange and calls: when nobody listens, and how replies find their callers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from posthouse.transport import messages
from posthouse.transport.errors import ActorDown, InvalidArgument, NoResponders, OutcomeUnknown
from posthouse.transport.messages import Batch, Durability, Failed, Options, Receipt, Reply, StoreNote
from posthouse.transport.messages_calls import ReceiveReplies, ReplyCounts, ReplyStatus, reply_key
from tests.support.actor_bench import WALL_MS, Peer, batch, result_of
from tests.support.exchange_bench import TOPOLOGY, ExchangeWorld, refusal

CALL = Options(durability=Durability.MEMORY, reply_to=reply_key(5), deadline_ms=WALL_MS + 5_000)
NOBODY = StoreNote(7, 1, 1, NoResponders.code, "queue 'one' has no consumer that could answer")


# ---- nobody listens ----


@pytest.mark.parametrize(("exchange", "key"), [("", "nowhere"), ("lossy", "nowhere")])
def test_a_call_that_reaches_no_queue_is_refused_whatever_the_policy(exchange: str, key: str) -> None:
    world = ExchangeWorld(exchange)
    receipt = refusal(world.publish(batch(b"x", exchange=exchange, routing_key=key, options=CALL)))
    assert receipt.code == NoResponders.code
    assert repr(key) in receipt.text


def test_an_alternate_exchange_may_have_somebody_who_listens() -> None:
    world = ExchangeWorld("careful")
    world.queue("one")
    world.queue("two")
    [receipt] = world.publish(batch(b"x", exchange="careful", routing_key="?", options=CALL))
    assert receipt == Receipt(7, 1, 1, ("one", "two"), Durability.MEMORY)


def test_a_call_that_its_only_queue_refuses_is_refused() -> None:
    world = ExchangeWorld()
    one = world.queue("one", settles=False)
    assert world.publish(batch(b"x", routing_key="one", options=CALL)) == []
    one.say(NOBODY)
    one.settle()
    world.bench.run()
    receipt = refusal(world.publisher.take_heard())
    assert (receipt.code, receipt.text, receipt.queues) == (NoResponders.code, NOBODY.text, ("one",))
    assert len(world.publisher.settled) == 1


def fan_out(*notes: tuple[str, StoreNote]) -> Receipt:
    """A call to two queues, of which some have something to say; the receipt."""
    world = ExchangeWorld("fan")
    queues = {"one": world.queue("one", settles=False), "two": world.queue("two", settles=False)}
    world.publish(batch(b"x", exchange="fan", options=CALL))
    for name, note in notes:
        queues[name].say(note)
    for queue in queues.values():
        queue.settle()
    world.bench.run()
    receipt = world.publisher.hears()
    assert isinstance(receipt, Receipt)
    return receipt


def test_a_call_goes_on_where_one_of_its_queues_takes_it() -> None:
    receipt = fan_out(("one", NOBODY))
    assert (receipt.code, receipt.queues) == (None, ("two",))


def test_a_call_that_every_queue_refuses_has_no_responders() -> None:
    receipt = fan_out(("one", NOBODY), ("two", NOBODY))
    assert receipt.code == NoResponders.code


def test_a_queue_that_says_it_twice_counts_once() -> None:
    receipt = fan_out(("one", NOBODY), ("one", NOBODY))
    assert (receipt.code, receipt.queues) == (None, ("two",))


def test_another_refusal_weighs_more_than_nobody() -> None:
    receipt = fan_out(("one", NOBODY), ("two", StoreNote(7, 1, 1, "disk_space_low", "make room")))
    assert (receipt.code, receipt.queues) == ("disk_space_low", ("two",))


def test_a_duplicate_beside_nobody_is_still_told() -> None:
    receipt = fan_out(("one", NOBODY), ("two", StoreNote(7, 1, 1, "duplicate")))
    assert (receipt.code, receipt.queues, receipt.duplicate) == (None, ("two",), True)


def test_a_refusal_by_one_life_of_a_queue_says_nothing_of_the_next_which_was_sent_it_again() -> None:
    world = ExchangeWorld()
    first = world.queue("one", settles=False)
    world.publish(batch(b"x", routing_key="one", options=CALL))
    first.say(NOBODY)
    world.bench.run()
    world.bench.down("queue:one", "restarting", "it died before it settled")
    second = world.bench.actor("queue:one", generation=2)
    assert [type(heard) for heard in second.take_heard()] == [Batch]
    assert refusal(world.publisher.take_heard()).code == OutcomeUnknown.code
    second.settles_at_once = False
    world.publish(batch(b"y", routing_key="one", first_seq=2, options=CALL))
    second.say(StoreNote(7, 2, 1, NoResponders.code, "nobody"))
    second.settle()
    world.bench.run()
    assert refusal(world.publisher.take_heard()).code == NoResponders.code, "this one was sent to one life only"


def test_a_call_to_a_quarantined_queue_is_refused_at_once() -> None:
    world = ExchangeWorld()
    world.queue("one")
    world.publish(batch(b"x", routing_key="one"))
    world.bench.down("queue:one", "quarantined", "damage")
    assert refusal(world.publish(batch(b"x", routing_key="one", first_seq=2, options=CALL))).code == ActorDown.code


# ---- replies ----


def properties(*pairs: tuple[str | None, str | None]) -> memoryview:
    return memoryview(messages.encode(pairs))


def reply(client_id: int, *bodies: bytes, first_seq: int = 1, **fields: Any) -> Batch:
    made = batch(*bodies, routing_key=reply_key(client_id), first_seq=first_seq, options=Options(durability=0))
    fields.setdefault("properties", properties(*[(None, "c1")] * len(bodies)))
    return msgspec.structs.replace(made, **fields)


def caller(world: ExchangeWorld, client_id: int = 5, name: str = "caller") -> Peer:
    """A client that takes replies."""
    peer = world.bench.client(name, client_id)
    assert world.bench.deliver(peer, ReceiveReplies(1)) == [Reply(1, messages.NIL)]
    return peer


def counts(world: ExchangeWorld) -> ReplyCounts:
    found: ReplyCounts = result_of(world.bench.deliver(world.publisher, ReplyStatus(9))[-1], ReplyCounts)
    return found


def test_a_reply_goes_to_its_caller_as_it_came_and_whoever_sent_it_is_done() -> None:
    world = ExchangeWorld()
    peer, other = caller(world), caller(world, 6, "other")
    sent = reply(5, b"42")
    assert world.publish(sent) == [Receipt(7, 1, 1, (), Durability.MEMORY)]
    assert [messages.encode(heard) for heard in peer.take_heard()] == [messages.encode(sent)]
    assert other.take_heard() == []
    assert counts(world) == ReplyCounts(callers=2, passed=1, dropped=0)


@pytest.mark.parametrize("has_left", [False, True])
def test_a_reply_to_nobody_is_dropped_and_counted_and_no_error(has_left: bool) -> None:
    world = ExchangeWorld()
    if has_left:
        world.bench.leave(caller(world))
    assert world.publish(reply(5, b"1", b"2")) == [Receipt(7, 1, 2, (), Durability.MEMORY)]
    assert len(world.publisher.settled) == 1
    assert counts(world) == ReplyCounts(callers=0, passed=0, dropped=2)


def test_the_newest_session_of_a_caller_gets_its_replies_and_the_end_of_an_older_one_changes_nothing() -> None:
    world = ExchangeWorld()
    old, new = caller(world, 5, "old"), caller(world, 5, "new")
    world.publish(reply(5, b"1"))
    world.bench.leave(old)
    world.publish(reply(5, b"2", first_seq=2))
    assert [bytes(heard.bodies) for heard in new.take_heard() if isinstance(heard, Batch)] == [b"1", b"2"]


def test_a_caller_that_does_not_read_costs_a_bounded_amount_of_memory() -> None:
    world = ExchangeWorld()
    peer = caller(world)
    peer.settles_at_once = False
    body = b"x" * 1_000_000
    for seq in range(1, 41):
        world.publish(reply(5, body, first_seq=seq))
    found = counts(world)
    assert found.dropped > 0
    assert found.passed + found.dropped == 40


def test_a_reply_that_cannot_be_read_is_refused() -> None:
    world = ExchangeWorld()
    peer = caller(world)
    broken = reply(5, b"1", headers=msgspec.Raw(b"\x93\x01\x02\x03"))
    assert refusal(world.publish(broken)).code == InvalidArgument.code
    assert refusal(world.publish(reply(5, b"1", first_seq=2, properties=properties()))).code == InvalidArgument.code
    assert peer.take_heard() == []


def test_only_the_default_exchange_passes_replies() -> None:
    world = ExchangeWorld("fan")
    peer = world.bench.client("caller", 5)
    world.bench.deliver(peer, ReceiveReplies(1))
    assert peer.endings == ["protocol_violation"]
    world.queue("one")
    world.queue("two")
    sent = msgspec.structs.replace(reply(5, b"1"), exchange="fan")
    assert world.publish(sent) == [Receipt(7, 1, 1, ("one", "two"), Durability.MEMORY)]


def test_whoever_has_no_number_of_its_own_takes_no_replies() -> None:
    world = ExchangeWorld()
    [answer] = world.bench.deliver(world.bench.client("nobody", client_id=0), ReceiveReplies(1))
    assert isinstance(answer, Failed)
    assert answer.code == "precondition_failed"


def test_a_reply_that_comes_before_the_topology_is_known_waits_for_it() -> None:
    world = ExchangeWorld(knows=False)
    assert world.publish(reply(5, b"1")) == []
    world.change(TOPOLOGY)
    assert world.publisher.take_heard() == [Receipt(7, 1, 1, (), Durability.MEMORY)]
