"""The queue actor: what it delivers and answers."""

from __future__ import annotations

import pytest

from posthouse.actors.desk import PEEK_MESSAGES_MAX
from posthouse.transport.messages import (
    Bind,
    BindingSpec,
    Cancel,
    Consume,
    ConsumerCancelled,
    ConsumerInfo,
    Deliver,
    Get,
    Options,
    Outcome,
    Peek,
    PrepareDelete,
    Purge,
    QueueConsumers,
    QueueSpec,
    QueueUnused,
    Settle,
    StoreNote,
)
from tests.support.actor_bench import Setting, batch, result_of
from tests.support.queue_bench import QueueWorld, deliveries, failed


def test_a_batch_is_synced_before_it_is_settled_or_delivered() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    world.bench.tape.clear()
    world.store(b"a", b"b")
    tape = world.bench.tape
    assert tape.index("pwritev") < tape.index("fdatasync") < tape.index("say Deliver")
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a", b"b"])]
    assert len(world.exchange.settled) == 1


def test_with_late_durability_nothing_is_settled_or_delivered_before_it() -> None:
    world = QueueWorld(setting=Setting(is_late=True))
    late = world.bench.late
    assert late is not None
    consumer = world.consumer()
    world.store(b"a")
    world.bench.advance(500)
    assert (consumer.take_heard(), world.exchange.settled) == ([], [])
    late.catch_up()
    world.bench.advance(500)
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a"])]
    assert len(world.exchange.settled) == 1


def test_a_batch_is_delivered_in_slices_within_the_prefetch() -> None:
    world = QueueWorld()
    consumer = world.consumer(prefetch=2)
    world.store(b"a", b"b", b"c", b"d", b"e")
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a", b"b"])]
    world.bench.deliver(consumer, Settle(1, Outcome.ACK, [1, 1]))
    world.bench.deliver(consumer, Settle(1, Outcome.ACK, [2, 2]))
    world.bench.run()
    info = world.info()
    assert (info.ready, info.unacked, info.acked) == (1, 2, 2)


def test_a_resent_batch_is_stored_once_and_not_remarked_on() -> None:
    world = QueueWorld()
    world.store(b"a", b"b")
    assert world.bench.deliver(world.exchange, batch(b"a", b"b")) == []
    assert world.bench.deliver(world.exchange, batch(b"b", b"c", first_seq=2)) == []
    assert world.drain() == [b"a", b"b", b"c"]


def test_a_dedup_id_seen_before_is_told_as_a_duplicate_across_a_crash_too() -> None:
    world = QueueWorld()
    chosen = Options(dedup_id="order 1")
    world.store(b"a", options=chosen)
    assert world.store(b"a", options=chosen) == [StoreNote(7, 2, 1, "duplicate")]
    world.bench.crash()
    assert world.store(b"a", options=chosen) == [StoreNote(7, 3, 1, "duplicate")]
    assert world.drain() == [b"a"]


def test_a_refused_batch_is_remarked_on_and_settled() -> None:
    world = QueueWorld()
    (note,) = world.store(b"a", b"b", options=Options(dedup_id="both"))
    assert isinstance(note, StoreNote)
    assert (note.first_seq, note.count, note.code) == (1, 2, "invalid_argument")
    assert len(world.exchange.settled) == 1
    assert world.drain() == []


def test_auto_ack_settles_as_it_delivers_and_a_crash_does_not_deliver_again() -> None:
    world = QueueWorld()
    consumer = world.consumer(auto_ack=True)
    world.store(b"a", b"b")
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a", b"b"])]
    world.bench.leave(consumer)
    world.bench.crash()
    assert world.drain() == []
    assert world.info().acked == 2


def test_a_consumer_that_does_not_read_gets_no_more_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    world = QueueWorld()
    slow = world.consumer("slow", 1, prefetch=65_535)
    monkeypatch.setattr(world.bench.cell, "is_congested", lambda link: link.client_name == "slow")
    world.store(b"a")
    assert slow.take_heard() == []
    quick = world.consumer("quick", 2)
    assert deliveries(quick.take_heard()) == [(1, 1, [b"a"])]
    monkeypatch.setattr(world.bench.cell, "is_congested", lambda link: False)
    world.store(b"b", b"c")
    assert len(deliveries(slow.take_heard())) == 1


def test_a_session_that_ends_while_congested_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    world = QueueWorld()
    slow = world.consumer("slow", 1)
    monkeypatch.setattr(world.bench.cell, "is_congested", lambda link: link.client_name == "slow")
    world.store(b"a")
    world.bench.leave(slow)
    assert world.drain() == [b"a"]


def test_what_an_auto_ack_bound_leaves_over_is_delivered_soon_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("posthouse.actors.queue_state.AUTO_ACK_ROUND_MAX", 2)
    monkeypatch.setattr("posthouse.actors.queue_consumers.AUTO_ACK_ROUND_MAX", 2)
    world = QueueWorld()
    consumer = world.consumer(auto_ack=True)
    consumer.settles_at_once = False
    sent = [b"%02d" % number for number in range(40)]
    world.store(*sent)
    assert world.info().ready > 0
    world.bench.advance(50)
    assert [body for _, _, bodies in deliveries(consumer.take_heard()) for body in bodies] == sent


# ---- requests ----


def test_get_delivers_one_message_before_its_answer() -> None:
    world = QueueWorld()
    peer = world.bench.client()
    assert world.ask(peer, Get(1)) is None
    world.store(b"a", b"b")
    heard = world.bench.deliver(peer, Get(2))
    assert deliveries(heard[:1]) == [(1, 1, [b"a"])]
    assert result_of(heard[1]) == 1
    world.bench.deliver(peer, Settle(0, Outcome.ACK, [1, 1]))
    heard = world.bench.deliver(peer, Get(3, auto_ack=True))
    assert deliveries(heard[:1]) == [(2, 1, [b"b"])]
    assert world.info().ready + world.info().unacked == 0


def test_peek_shows_and_changes_nothing() -> None:
    world = QueueWorld()
    world.store(b"a", b"b", b"c")
    consumer = world.consumer(prefetch=1)
    consumer.take_heard()
    before = world.info()
    shown = world.ask(consumer, Peek(3, 2), list[Deliver])
    assert deliveries(shown) == [(1, 1, [b"a"]), (2, 1, [b"b"])]
    assert world.info() == before
    assert world.info().redelivered == 0


@pytest.mark.parametrize("count", [0, -1, PEEK_MESSAGES_MAX + 1])
def test_peek_refuses_a_count_out_of_range(count: int) -> None:
    world = QueueWorld()
    peer = world.bench.client()
    assert failed(world.bench.deliver(peer, Peek(1, count))).code == "invalid_argument"


def test_purge_removes_what_is_ready_for_good_and_keeps_what_is_held() -> None:
    world = QueueWorld()
    world.store(b"held", b"purged", b"purged")
    consumer = world.consumer(prefetch=1)
    asker = world.bench.client("asker", 9)
    assert world.ask(asker, Purge(1)) == 2
    assert world.ask(asker, Purge(2)) == 0
    world.bench.leave(consumer)
    world.bench.crash()
    assert world.drain() == [b"held"]


def test_the_status_and_the_consumers_are_told() -> None:
    world = QueueWorld()
    world.store(b"a", b"b")
    consumer = world.consumer("worker", 1, prefetch=1)
    info = world.info()
    assert (info.name, info.ready, info.unacked, info.consumers, info.bytes) == ("q", 1, 1, 1, 2)
    assert info.journal_bytes > 0
    (told,) = world.ask(consumer, QueueConsumers(2), list[ConsumerInfo])
    assert (told.client, told.prefetch, told.unacked, told.is_active) == ("worker", 1, 1, True)


def test_an_exclusive_consumer_keeps_others_out() -> None:
    world = QueueWorld()
    world.consumer("first", 1, exclusive=True)
    second = world.bench.client("second", 2)
    assert failed(world.bench.deliver(second, Consume(1, 1))).code == "resource_locked"


def test_a_wrong_settlement_is_refused_where_it_asks_and_a_stranger_ends_his_own_session() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    assert failed(world.bench.deliver(consumer, Settle(1, 9, [1, 1], request=4))).code == "invalid_argument"
    world.bench.deliver(consumer, Bind(1, BindingSpec(source="a", destination="b")))
    assert consumer.endings == ["protocol_violation"]
    world.store(b"a")
    assert world.drain() == [b"a"]


# ---- the end ----


def test_preparing_a_deletion_cancels_every_consumer_and_refuses_all_work() -> None:
    world = QueueWorld()
    world.store(b"a", b"b")
    peers = [world.bench.client(name, number) for number, name in enumerate(("one", "two", "no consumer"), 1)]
    for peer in peers[:2]:
        assert world.bench.deliver(peer, Consume(1, 4, 1))
    world.bench.deliver(peers[0], Consume(2, 5, 1))
    registry = world.bench.client("registry", 0)
    for peer in peers:
        peer.take_heard()
    assert world.ask(registry, PrepareDelete(7)) == 2
    assert [m.consumer for m in peers[0].take_heard() if isinstance(m, ConsumerCancelled)] == [4, 5]
    (cancelled,) = peers[1].take_heard()
    assert isinstance(cancelled, ConsumerCancelled)
    assert (cancelled.consumer, cancelled.code) == (4, "unknown_queue")
    assert peers[2].take_heard() == []
    (note,) = world.store(b"late")
    assert isinstance(note, StoreNote)
    assert note.code == "unknown_queue"
    assert failed(world.bench.deliver(peers[2], Consume(1, 1))).code == "unknown_queue"


def test_a_queue_takes_work_again_when_the_registry_died_before_it_deleted_it() -> None:
    world = QueueWorld()
    consumer = world.consumer()
    registry = world.bench.client("registry", 0)
    assert world.ask(registry, PrepareDelete(1)) == 0
    world.bench.leave(registry)
    (note,) = world.store(b"between")
    assert isinstance(note, StoreNote)
    world.bench.client("registry", 0)
    assert world.store(b"after") == []
    assert world.info().ready == 1
    assert world.info().consumers == 0
    assert deliveries(consumer.take_heard()) == []


def test_only_the_registry_may_prepare_a_deletion() -> None:
    world = QueueWorld()
    stranger = world.bench.client("somebody", 5)
    world.bench.deliver(stranger, PrepareDelete(1))
    assert stranger.endings
    assert world.store(b"still taken") == []


def test_two_programs_of_one_name_are_both_told_that_their_consumer_is_cancelled() -> None:
    world = QueueWorld()
    for number in (1, 2):
        peer = world.consumer(f"{number}", number)
        assert peer.link is not None
    for link in world.bench.cell.links.served:
        link.client_name = "the same"
    registry = world.bench.client("registry", 0)
    assert world.ask(registry, PrepareDelete(1)) == 0
    told = [world.bench.clients[name].take_heard() for name in ("1", "2")]
    assert [len(heard) for heard in told] == [1, 1]


@pytest.mark.parametrize(("if_unused", "if_empty"), [(True, False), (False, True)])
def test_a_deletion_that_must_not_be_is_refused_and_the_queue_goes_on(if_unused: bool, if_empty: bool) -> None:
    world = QueueWorld()
    world.store(b"a")
    consumer = world.consumer()
    registry = world.bench.client("registry", 0)
    refused = failed(world.bench.deliver(registry, PrepareDelete(1, if_unused, if_empty)))
    assert refused.code == "precondition_failed"
    world.store(b"b")
    assert [bodies for _, _, bodies in deliveries(consumer.take_heard())] == [[b"a"], [b"b"]]


def test_an_auto_delete_queue_tells_the_registry_when_its_last_consumer_left() -> None:
    world = QueueWorld(QueueSpec(name="q", auto_delete=True, serial=3))
    registry = world.bench.actor("registry")
    world.store(b"a")
    assert registry.take_heard() == []
    first, second = world.consumer("first", 1), world.consumer("second", 2)
    world.bench.leave(first)
    assert registry.take_heard() == []
    world.bench.leave(second)
    assert registry.take_heard() == [QueueUnused("q", 3)]
    world.store(b"b")
    assert registry.take_heard() == []
    assert world.ask(world.consumer("third", 3), Cancel(2, 1)) is None
    assert registry.take_heard() == [QueueUnused("q", 3)]
