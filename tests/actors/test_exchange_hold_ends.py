"""How waiting in an exchange ends: time, room, refusals, policies, and what is refused at once."""

from __future__ import annotations

from posthouse.actors.holding import HoldLimits
from posthouse.transport.messages import (
    Durability,
    Failed,
    Options,
    Receipt,
    TopologyChange,
)
from posthouse.transport.messages_hold import ExpireHeld
from tests.support.actor_bench import WALL_MS, batch
from tests.support.exchange_bench import ExchangeWorld, receipts, refusal
from tests.support.holding_bench import (
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


def test_beyond_the_length_the_oldest_become_dead_letters_message_by_message() -> None:
    world = ExchangeWorld("brief")
    store = dead_letters(world)
    world.publish(
        batch(b"a", b"b", b"c", exchange="brief"), batch(b"d", b"e", b"f", b"g", exchange="brief", first_seq=4)
    )
    found = burials(store.take_heard())
    assert bodies(list(found)) == [b"ab"]
    death = found[0].death
    assert (death.reason, death.queue, death.attempt, death.first_ms) == ("no_subscriber", "", 0, WALL_MS)
    assert (status(world).messages, status(world).dead) == (5, 2)


def test_beyond_the_bytes_too() -> None:
    world = ExchangeWorld("patient", hold=HoldLimits(bytes_max=3_000))
    store = dead_letters(world)
    for number in range(1, 6):
        world.publish(batch(b"x" * 1_000, exchange="patient", first_seq=number))
    assert len(burials(store.take_heard())) == 3
    assert status(world).bytes <= 3_000


def test_when_the_time_is_over_they_become_dead_letters_and_a_time_to_live_is_heeded() -> None:
    world = ExchangeWorld("brief")
    store = dead_letters(world)
    world.publish(
        batch(b"a", exchange="brief"), batch(b"b", exchange="brief", first_seq=2, options=Options(ttl_ms=4_000))
    )
    world.bench.advance(3_900)
    assert store.take_heard() == []
    world.bench.advance(200)
    (expired,) = burials(store.take_heard())
    assert expired.death.reason == "expired"
    world.bench.advance(6_000)
    (unclaimed,) = burials(store.take_heard())
    assert unclaimed.death.reason == "no_subscriber"


def test_a_time_to_live_goes_on_while_a_message_is_held() -> None:
    world = ExchangeWorld("patient")
    queue = world.queue("one")
    world.publish(batch(b"a", exchange="patient", options=Options(ttl_ms=9_000)))
    world.bench.advance(4_000)
    world.change(BOUND)
    (released,) = moved(queue.take_heard())
    assert released.options is not None
    assert released.options.ttl_ms == 5_000


def test_while_the_dead_letters_take_nothing_all_stays_held_and_beyond_the_limit_is_refused() -> None:
    world = ExchangeWorld("brief")
    store = dead_letters(world, settles=False)
    world.publish(batch(b"a", b"b", b"c", b"d", b"e", exchange="brief"))
    world.publish(batch(b"f", exchange="brief", first_seq=6))
    (bury,) = burials(store.take_heard())
    refuse(store, bury.first_seq, bury.count, bury.stream)
    store.settle()
    world.bench.run()
    refused = refusal(world.publish(batch(b"g", exchange="brief", first_seq=7)))
    assert refused.code == "hold_full"
    assert (status(world).messages, status(world).leaving, status(world).is_full) == (5, 1, True)
    (failed,) = world.bench.deliver(world.publisher, ExpireHeld(5))
    assert isinstance(failed, Failed)
    assert failed.code == "hold_full"
    queue = world.queue("one")
    bind(world, 2, binding("brief", "one"))
    assert bodies(queue.take_heard()) == [b"bcde", b"f"]
    world.bench.advance(1_100)
    assert len(burials(store.take_heard())) == 1
    store.settle()
    world.bench.run()
    assert status(world).leaving == 0


def test_the_policy_dead_letter_moves_at_once() -> None:
    world = ExchangeWorld("mourning")
    store = dead_letters(world)
    assert world.publish(batch(b"a", exchange="mourning")) == [Receipt(7, 1, 1, (), Durability.SYNC)]
    assert [bury.death.reason for bury in burials(store.take_heard())] == ["no_subscriber"]
    assert status(world).messages == 0


def test_a_low_disk_is_refused_and_nothing_is_held() -> None:
    world = ExchangeWorld("patient", hold=HoldLimits(disk_free_bytes_min=1 << 60))
    assert refusal(world.publish(batch(b"a", exchange="patient"))).code == "disk_space_low"
    light = batch(b"a", exchange="patient", first_seq=2, options=Options(durability=Durability.MEMORY))
    assert receipts(world.publish(light))[0].held
    assert status(world).messages == 1


def test_messages_that_share_a_dedup_id_are_refused() -> None:
    world = ExchangeWorld("patient")
    shared = batch(b"a", b"b", exchange="patient", options=Options(dedup_id="x"))
    assert refusal(world.publish(shared)).code == "invalid_argument"
