"""Delayed messages that their exchange refuses for good: moved to the dead letters, each once, whatever crashes."""

from __future__ import annotations

import pytest

from posthouse.actors.delay import DelayLimits
from posthouse.transport import messages
from posthouse.transport.batch import lengths_of
from posthouse.transport.errors import QueueFull, UnknownDelayed, Unroutable
from posthouse.transport.messages import Batch, Receipt, StoreNote
from posthouse.transport.messages_dead import Bury
from posthouse.transport.messages_delay import (
    CancelDelayed,
    DelayedInfo,
    FireDelayed,
    ListDelayed,
    RescheduleDelayed,
)
from tests.actors.test_delay_actor import DelayWorld, published
from tests.support.actor_bench import WALL_MS, Peer
from tests.support.queue_bench import failed


def refused(*after_ms: int, world: DelayWorld | None = None) -> tuple[DelayWorld, Peer]:
    """A scheduler whose exchange has refused these messages for good, and the store, which answers when told."""
    world = world or DelayWorld()
    store = world.bench.actor("dead-letter")
    store.settles_at_once = False
    refuse(world, *after_ms)
    return world, store


def refuse(world: DelayWorld, *after_ms: int, key: str | None = None) -> None:
    """Publish messages that their exchange refuses for good."""
    world.exchange.settles_at_once = False
    world.delay(*after_ms, key=key)
    world.bench.advance(max(after_ms))
    for sent in world.exchange.take_heard():
        assert isinstance(sent, Batch)
        no = Receipt(sent.stream, sent.first_seq, sent.count, code=Unroutable.code, text="no queue")
        world.exchange.say(no)
    world.exchange.settle()
    world.bench.run()
    world.exchange.settles_at_once = True


def bodies_of(bury: Bury) -> list[bytes]:
    """The bodies of the batch in a move."""
    batch = messages.decode(bury.batch)
    assert isinstance(batch, Batch)
    text, found = bytes(batch.bodies), []
    for length in lengths_of(batch):
        found.append(text[:length])
        text = text[length:]
    return found


def test_what_its_exchange_refuses_for_good_becomes_dead_letters() -> None:
    world, store = refused(5, 5)
    bury = store.hears()
    assert isinstance(bury, Bury)
    assert (bury.first_seq, bury.count, bodies_of(bury)) == (1, 2, [b"1", b"2"])
    death = bury.death
    assert (death.reason, death.queue, death.cause) == ("delivery_failed", "", "unroutable: no queue")
    assert death.died_ms >= WALL_MS + 5
    (attempt,) = death.history
    assert (attempt.how, attempt.error_type, attempt.error) == ("refused", "unroutable", "no queue")
    batch = messages.decode(bury.batch)
    assert isinstance(batch, Batch)
    assert (batch.exchange, batch.options, batch.due) == ("fan", None, None)
    tape = world.bench.tape
    assert max(at for at, what in enumerate(tape) if what == "fdatasync") < tape.index("say Bury")
    assert world.listed() == [(1, "failed"), (2, "failed")]
    store.settle()
    world.bench.run()
    assert world.listed() == []
    assert (world.info().failed, world.info().dead_lettered, world.info().fired) == (0, 2, 0)


@pytest.mark.parametrize("power", [False, True])
def test_after_a_crash_it_is_offered_again_under_its_old_numbers_until_the_store_has_it(power: bool) -> None:
    world, store = refused(5, 5)
    (first,) = store.take_heard()
    world.bench.crash(power=power)
    store = world.bench.actor("dead-letter", 2)
    (again,) = store.take_heard()
    assert isinstance(first, Bury)
    assert isinstance(again, Bury)
    assert (again.stream, again.first_seq, bodies_of(again)) == (first.stream, first.first_seq, bodies_of(first))
    assert again.death == first.death
    world.bench.run()
    assert world.listed() == []
    world.bench.advance(100)
    world.bench.crash()
    assert world.bench.actor("dead-letter", 3).take_heard() == []
    assert (world.listed(), world.info().dead_lettered) == ([], 2)


def test_a_power_cut_before_the_intent_was_synced_publishes_again_under_the_old_numbers() -> None:
    world = DelayWorld()
    world.exchange.settles_at_once = False
    world.delay(5)
    world.bench.advance(5)
    (before,) = world.exchange.take_heard()
    world.bench.crash(power=True)
    world.exchange = world.bench.actor("exchange:fan", 2)
    (after,) = world.exchange.take_heard()
    assert isinstance(before, Batch)
    assert isinstance(after, Batch)
    assert (after.stream, after.first_seq) == (before.stream, before.first_seq)


def test_a_full_store_leaves_them_here_and_they_are_offered_again_in_order() -> None:
    world, store = refused(5)
    refuse(world, 5)
    first, second = store.take_heard()
    assert isinstance(first, Bury)
    assert isinstance(second, Bury)
    for bury in (first, second):
        store.say(StoreNote(bury.stream, bury.first_seq, bury.count, QueueFull.code, "full"))
    store.settle()
    world.bench.run()
    assert store.take_heard() == []
    assert world.listed() == [(1, "failed"), (2, "failed")]
    for request in (CancelDelayed(1, 1), FireDelayed(1, 1), RescheduleDelayed(1, WALL_MS + 90_000, 1)):
        no = failed(world.bench.deliver(world.client, request))
        assert (no.code, "on its way to the dead letters" in no.text) == (UnknownDelayed.code, True)
    store.settles_at_once = True
    world.bench.advance(1_001)
    again = store.take_heard()
    assert [one.first_seq for one in again if isinstance(one, Bury)] == [1, 2]
    assert (world.listed(), world.info().dead_lettered) == ([], 2)


def test_what_the_store_had_already_is_done_with() -> None:
    world, store = refused(5)
    (bury,) = store.take_heard()
    assert isinstance(bury, Bury)
    store.say(StoreNote(bury.stream, bury.first_seq, bury.count, "duplicate", ""))
    store.settle()
    world.bench.run()
    assert world.listed() == []


def test_messages_for_an_exchange_that_was_deleted_become_dead_letters_when_they_are_due() -> None:
    world = DelayWorld()
    store = world.bench.actor("dead-letter")
    store.settles_at_once = False
    world.exchange.settles_at_once = False
    world.delay(5, 1_000)
    world.bench.advance(5)
    world.learn(drop_exchanges=("fan",))
    world.bench.advance(1_000)
    heard = store.take_heard()
    assert [bodies_of(one) for one in heard if isinstance(one, Bury)] == [[b"1"], [b"2"]]
    found: list[DelayedInfo] = world.ask(ListDelayed(1), list[DelayedInfo])
    assert {one.code for one in found} == {"unknown_exchange"}


def test_a_new_message_of_the_same_key_does_not_take_the_place_of_one_that_is_being_buried() -> None:
    world = DelayWorld()
    store = world.bench.actor("dead-letter")
    store.settles_at_once = False
    refuse(world, 5, key="k")
    (bury,) = store.take_heard()
    world.delay(60_000, key="k")
    assert world.listed() == [(2, "waiting"), (1, "failed")]
    world.bench.crash()
    store = world.bench.actor("dead-letter", 2)
    (again,) = store.take_heard()
    assert isinstance(bury, Bury)
    assert isinstance(again, Bury)
    assert bodies_of(again) == bodies_of(bury) == [b"1"]
    world.bench.run()
    assert world.listed() == [(2, "waiting")]


def test_intents_outlive_the_segments_they_were_written_in() -> None:
    world, store = refused(5, world=DelayWorld(DelayLimits(disk_free_bytes_min=0, compact_bytes_min=8_192)))
    (bury,) = store.take_heard()
    assert isinstance(bury, Bury)
    before = world.info().journal_bytes
    for _ in range(400):
        world.delay(*[1] * 100)
        world.bench.advance(2)
    world.bench.advance(60_000)
    published(world.exchange)
    assert world.info().journal_bytes < before + 400_000
    world.bench.crash(power=True)
    store = world.bench.actor("dead-letter", 2)
    (again,) = store.take_heard()
    assert isinstance(again, Bury)
    assert (again.stream, again.first_seq, bodies_of(again)) == (bury.stream, 1, [b"1"])
    world.bench.run()
    assert world.listed() == []
