"""An exchange that holds what no queue wants: receipts, release, order, crashes, and the end of waiting."""

from __future__ import annotations

import pytest

from posthouse.actors.holding import HoldLimits
from posthouse.transport.messages import (
    Durability,
    ExchangeSpec,
    Failed,
    Options,
    QueueSpec,
    Receipt,
    StoreNote,
    TopologyChange,
)
from posthouse.transport.messages_hold import ExpireHeld, HeldInfo, ListHeld, ReleaseHeld
from tests.support.actor_bench import batch, result_of
from tests.support.exchange_bench import ExchangeWorld, receipts
from tests.support.holding_bench import (
    begin_again,
    bind,
    binding,
    bodies,
    burials,
    dead_letters,
    moved,
    refuse,
    status,
)

BOUND = TopologyChange(2, put_bindings=(binding("patient", "one"),))


def test_what_no_queue_wants_is_held_and_the_receipt_comes_after_the_sync() -> None:
    world = ExchangeWorld("patient")
    world.bench.tape.clear()
    heard = world.publish(batch(b"a", b"b", exchange="patient"), batch(b"c", exchange="patient", first_seq=3))
    assert heard == [Receipt(7, 1, 3, (), Durability.SYNC, held=True)]
    assert world.bench.tape.index("fdatasync") < len(world.bench.tape)
    assert len(world.publisher.settled) == 2
    info = status(world)
    assert (info.messages, info.held, info.leaving) == (3, 3, 0)


@pytest.mark.parametrize("level", list(Durability))
def test_the_receipt_names_the_level_that_was_reached(level: Durability) -> None:
    asked = batch(b"a", exchange="patient", options=Options(durability=level))
    assert ExchangeWorld("patient").publish(asked) == [Receipt(7, 1, 1, (), level, held=True)]


def test_an_exchange_that_is_not_durable_holds_in_memory() -> None:
    world = ExchangeWorld("fleeting")
    heard = world.publish(batch(b"a", exchange="fleeting"))
    assert heard == [Receipt(7, 1, 1, (), Durability.MEMORY, held=True)]
    queue = world.queue("one")
    bind(world, 2, binding("fleeting", "one"))
    assert bodies(queue.take_heard()) == [b"a"]
    assert status(world).messages == 0


def test_a_binding_releases_what_it_matches_in_order_to_its_queue_only() -> None:
    world = ExchangeWorld("patient")
    one, two = world.queue("one"), world.queue("two")
    for number, (body, key) in enumerate([(b"a", "x.1"), (b"b", "y"), (b"c", "x.2")], start=1):
        world.publish(batch(body, exchange="patient", routing_key=key, first_seq=number))
    bind(world, 2, binding("patient", "one", "x.*"))
    found = moved(one.take_heard())
    assert [bytes(each.bodies) for each in found] == [b"a", b"c"]
    assert [(each.first_seq, each.stream == found[0].stream) for each in found] == [(1, True), (2, True)]
    assert found[0].stream != 7
    assert two.take_heard() == []
    assert (status(world).messages, status(world).released, status(world).leaving) == (1, 2, 0)
    bind(world, 3, binding("patient", "two", "#"))
    assert bodies(two.take_heard()) == [b"b"]
    assert one.take_heard() == []


def test_released_messages_keep_their_ids() -> None:
    world = ExchangeWorld("patient")
    queue = world.queue("one")
    world.publish(batch(b"a", b"b", exchange="patient", first_seq=41))
    world.change(BOUND)
    (released,) = moved(queue.take_heard())
    assert released.properties is not None
    assert bytes(released.properties) == b"\x92\x92\xa47-41\xc0\x92\xa47-42\xc0"


def test_a_binding_further_on_releases_too() -> None:
    world = ExchangeWorld("cautious")
    queue = world.queue("one")
    assert receipts(world.publish(batch(b"a", exchange="cautious")))[0].held
    bind(world, 2, binding("patient", "one"))
    assert bodies(queue.take_heard()) == [b"a"]


def test_two_bindings_in_one_change_release_to_both() -> None:
    world = ExchangeWorld("patient")
    one, two = world.queue("one"), world.queue("two")
    world.publish(batch(b"a", exchange="patient"))
    bind(world, 2, binding("patient", "one"), binding("patient", "two"))
    assert bodies(one.take_heard()) == bodies(two.take_heard()) == [b"a"]
    assert status(world).leaving == 0


def test_what_is_routed_later_does_not_overtake_what_was_held() -> None:
    world = ExchangeWorld("patient")
    queue = world.queue("one", settles=False)
    large = [batch(b"%d" % number + b"x" * 900_000, exchange="patient", first_seq=number) for number in range(1, 6)]
    for each in large:
        world.publish(each)
    world.change(BOUND)
    world.publish(batch(b"later", exchange="patient", first_seq=6))
    assert b"later" not in bodies(queue.take_heard())
    heard: list[bytes] = []
    while queue.unsettled:
        queue.settle()
        world.bench.run()
        heard += bodies(queue.take_heard())
    assert heard[-1] == b"later"
    assert receipts(world.publisher.take_heard())[-1].queues == ("one",)


def test_what_was_held_is_recognised_when_its_publisher_sends_it_again_though_a_queue_wants_it_now() -> None:
    world = ExchangeWorld("patient")
    sent = batch(b"a", exchange="patient")
    world.publish(sent)
    begin_again(world, BOUND)
    queue = world.queue("one")
    assert bodies(queue.take_heard()) == [b"a"]
    again = world.bench.client("publisher again")
    assert world.bench.deliver(again, sent) == [Receipt(7, 1, 1, (), Durability.SYNC, held=True)]
    assert queue.take_heard() == []


@pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
def test_what_is_held_survives(power: bool) -> None:
    world = ExchangeWorld("patient")
    world.publish(batch(b"a", b"b", exchange="patient"), batch(b"c", exchange="patient", first_seq=3))
    begin_again(world, power=power)
    assert status(world).messages == 3
    queue = world.queue("one")
    world.change(BOUND)
    assert bodies(queue.take_heard()) == [b"ab", b"c"]


def test_a_crash_between_intent_and_answer_sends_it_again_under_its_old_numbers() -> None:
    world = ExchangeWorld("patient")
    queue = world.queue("one", settles=False)
    world.publish(batch(b"a", exchange="patient"))
    world.change(BOUND)
    (first,) = moved(queue.take_heard())
    begin_again(world, BOUND)
    (second,) = moved(queue.take_heard())
    assert (first.stream, first.first_seq, bytes(first.bodies)) == (second.stream, second.first_seq, b"a")
    queue.settle()
    world.bench.run()
    assert (status(world).leaving, status(world).released) == (0, 1)
    begin_again(world, BOUND)
    assert queue.take_heard() == []


def test_what_a_queue_refuses_is_offered_again_in_order() -> None:
    world = ExchangeWorld("patient")
    queue = world.queue("one", settles=False)
    world.publish(batch(b"a", exchange="patient"), batch(b"b", exchange="patient", first_seq=2))
    world.change(BOUND)
    for each in moved(queue.take_heard()):
        refuse(queue, each.first_seq, each.count, each.stream)
    queue.settle()
    world.bench.run()
    assert queue.take_heard() == []
    assert status(world).leaving == 2
    world.bench.advance(1_100)
    assert bodies(queue.take_heard()) == [b"a", b"b"]
    queue.settle()
    world.bench.run()
    assert status(world).leaving == 0


def test_what_a_queue_refuses_beyond_its_time_becomes_a_dead_letter() -> None:
    world = ExchangeWorld("brief")
    queue, store = world.queue("one", settles=False), dead_letters(world)
    world.publish(batch(b"a", exchange="brief"))
    bind(world, 2, binding("brief", "one"))
    for _ in range(14):
        for each in moved(queue.take_heard()):
            refuse(queue, each.first_seq, each.count, each.stream)
        queue.settle()
        world.bench.advance(1_000)
    (buried,) = burials(store.take_heard())
    assert buried.death.reason == "no_subscriber"
    assert (status(world).messages, status(world).leaving) == (0, 0)


def test_a_duplicate_in_its_queue_has_landed() -> None:
    world = ExchangeWorld("patient")
    queue = world.queue("one", settles=False)
    world.publish(batch(b"a", exchange="patient", options=Options(dedup_id="x")))
    world.change(BOUND)
    (released,) = moved(queue.take_heard())
    assert released.options is not None
    assert released.options.dedup_id == "x"
    queue.say(StoreNote(released.stream, 1, 1, "duplicate"))
    queue.settle()
    world.bench.run()
    assert status(world).leaving == 0


def test_what_had_not_reached_a_queue_that_is_deleted_waits_again() -> None:
    world = ExchangeWorld("patient")
    world.queue("one", settles=False)
    world.publish(batch(b"a", b"b", exchange="patient"))
    world.change(BOUND)
    assert status(world).leaving == 2
    gone = TopologyChange(3, drop_queues=("one",), drop_bindings=BOUND.put_bindings)
    world.change(gone)
    assert (status(world).messages, status(world).leaving, status(world).released) == (2, 0, 0)
    begin_again(world, BOUND, gone)
    assert status(world).messages == 2
    two = world.queue("two")
    bind(world, 4, binding("patient", "two"))
    assert bodies(two.take_heard()) == [b"ab"]


def test_a_queue_of_the_same_name_is_another_queue() -> None:
    world = ExchangeWorld("patient")
    world.queue("one", settles=False)
    world.publish(batch(b"a", exchange="patient"))
    world.change(BOUND)
    world.bench.crash()
    world.change(
        TopologyChange(
            7,
            is_snapshot=True,
            put_exchanges=(ExchangeSpec(name="patient", kind="topic", unrouted="hold", serial=9),),
            put_queues=(QueueSpec(name="one", serial=5),),
        )
    )
    assert (status(world).messages, status(world).leaving) == (1, 0)


def test_listing_release_to_a_queue_and_expiry_by_hand() -> None:
    world = ExchangeWorld("patient")
    queue, store = world.queue("two"), dead_letters(world)
    world.publish(batch(b"a", b"bb", exchange="patient", routing_key="k"), batch(b"c", exchange="patient", first_seq=3))
    (answer,) = world.bench.deliver(world.publisher, ListHeld(5, 2, 1))
    found = result_of(answer, list[HeldInfo])
    assert [(info.number, info.routing_key, info.message_id, info.size) for info in found] == [
        (2, "k", "7-2", 2),
        (3, "q", "7-3", 1),
    ]
    (answer,) = world.bench.deliver(world.publisher, ReleaseHeld(6))
    assert result_of(answer) == 0
    (answer,) = world.bench.deliver(world.publisher, ReleaseHeld(7, "two"))
    assert result_of(answer) == 3
    assert bodies(queue.take_heard()) == [b"abb", b"c"]
    world.publish(batch(b"d", exchange="patient", first_seq=4))
    (answer,) = world.bench.deliver(world.publisher, ExpireHeld(8))
    assert result_of(answer) == 1
    assert bodies(store.take_heard()) == [b"d"]
    assert (status(world).messages, status(world).leaving) == (0, 0)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (ListHeld(1, 0), "invalid_argument"),
        (ListHeld(1, 1_001), "invalid_argument"),
        (ReleaseHeld(1, "nowhere"), "unknown_queue"),
    ],
)
def test_a_wrong_request_is_refused_and_changes_nothing(request_: ListHeld | ReleaseHeld, code: str) -> None:
    world = ExchangeWorld("patient")
    world.publish(batch(b"a", exchange="patient"))
    (failed,) = world.bench.deliver(world.publisher, request_)
    assert isinstance(failed, Failed)
    assert failed.code == code
    assert status(world).messages == 1


@pytest.mark.parametrize("asked", [ListHeld(1), ReleaseHeld(1), ExpireHeld(1)])
def test_an_exchange_that_holds_nothing_by_policy_says_so(asked: ListHeld | ReleaseHeld | ExpireHeld) -> None:
    world = ExchangeWorld("lossy")
    (failed,) = world.bench.deliver(world.publisher, asked)
    assert isinstance(failed, Failed)
    assert failed.code == "precondition_failed"


def test_bodies_beyond_the_memory_are_read_back_and_old_segments_go(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExchangeWorld("patient", hold=HoldLimits(memory_bytes_max=2_000, compact_bytes_min=0))
    holding = world.actor._holding
    assert holding is not None
    queue = world.queue("one")
    sent = [b"%04d" % number + b"x" * 400 for number in range(1, 200)]
    for number, body in enumerate(sent, start=1):
        key = "keep" if number % 50 == 0 else "go"
        world.publish(batch(body, exchange="patient", routing_key=key, first_seq=number))
    assert holding.state.bytes_in_memory < 200 * 512 + 3_000
    bind(world, 2, binding("patient", "one", "go"))
    assert bodies(queue.take_heard()) == [body for number, body in enumerate(sent, start=1) if number % 50]
    for number in range(200, 400):
        world.publish(batch(b"y" * 400, exchange="patient", routing_key="go", first_seq=number))
    before = status(world)
    assert before.messages == 3
    change = TopologyChange(2, put_bindings=(binding("patient", "one", "go"),))
    begin_again(world, change)
    assert (status(world).messages, status(world).held) == (3, before.held)
    two = world.queue("two")
    bind(world, 3, binding("patient", "two", "keep"))
    assert bodies(two.take_heard()) == [body for number, body in enumerate(sent, start=1) if number % 50 == 0]
