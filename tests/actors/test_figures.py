"""What actors show on their pages, and that a crash takes nothing back."""

from __future__ import annotations

from posthouse.actors import measures
from posthouse.actors.delay import DelayLimits
from posthouse.actors.measure import Histogram
from posthouse.transport.limits import Limits
from posthouse.transport.messages import (
    Bind,
    BindingSpec,
    Consume,
    DeclareExchange,
    DeclareQueue,
    ExchangeSpec,
    Get,
    Options,
    Outcome,
    Purge,
    QueueSpec,
    QueueStatus,
    Settle,
)
from posthouse.transport.messages_dead import DeadLetterFilter
from posthouse.transport.messages_delay import CancelDelayed
from tests.actors.test_delay_actor import DelayWorld
from tests.support.actor_bench import WALL_MS, ActorBench, Setting, batch
from tests.support.dead_letter_bench import DeadLetterWorld
from tests.support.exchange_bench import ExchangeWorld
from tests.support.queue_bench import SPEC, QueueWorld
from tests.support.registry_bench import RegistryWorld


def counts(bench: ActorBench, histogram: Histogram) -> list[int]:
    """The buckets of a distribution."""
    return bench.meter.read()[histogram.first : histogram.first + len(histogram.bounds) + 1]


def observed(bench: ActorBench, histogram: Histogram) -> int:
    return sum(counts(bench, histogram))


# ---- queues ----


def test_a_queue_shows_what_it_holds_and_since_when() -> None:
    world = QueueWorld()
    bench = world.bench
    bench.advance(5_000)
    world.store(b"a", b"b")
    world.store(b"c")
    assert bench.figure(measures.READY) == 3
    assert bench.meter.get(measures.OLDEST_READY) == WALL_MS
    assert bench.meter.get(measures.OLDEST_UNACKED) == 0
    given_ms = WALL_MS + bench.now_ms
    peer = world.consumer(prefetch=2)
    bench.advance(3_000)
    assert bench.meter.get(measures.UNACKED) == 2
    assert bench.meter.get(measures.OLDEST_UNACKED) == given_ms
    bench.deliver(peer, Settle(1, Outcome.ACK, [1, 2]))
    assert bench.figure(measures.OLDEST_READY) == 0
    assert bench.meter.get(measures.OLDEST_UNACKED) == given_ms + 3_000
    assert (bench.meter.get(measures.CONSUMERS), bench.meter.get(measures.BODY_BYTES)) == (1, 1)
    bench.leave(peer)
    assert bench.figure(measures.OLDEST_UNACKED) == 0
    assert bench.meter.get(measures.READY) == 1


def test_a_delivery_that_was_given_back_and_made_again_is_held_since_the_second_time() -> None:
    world = QueueWorld()
    bench = world.bench
    world.store(b"a")
    peer = world.consumer()
    bench.advance(2_000)
    again_ms = WALL_MS + bench.now_ms
    bench.deliver(peer, Settle(1, Outcome.RELEASE, [1, 1]))
    assert bench.figure(measures.OLDEST_UNACKED) == again_ms
    assert counts(bench, measures.ATTEMPT)[:3] == [1, 1, 0]


def test_the_oldest_of_a_queue_with_priorities_is_that_of_any_priority() -> None:
    world = QueueWorld(QueueSpec(name="q", serial=3, priority=True))
    bench = world.bench
    old = batch(b"old", first_seq=1)
    young = batch(b"young", first_seq=1, stream=8, options=Options(priority=9))
    fields = {name: getattr(young, name) for name in young.__struct_fields__}
    bench.deliver(world.exchange, old, type(young)(**{**fields, "published_ms": WALL_MS + 60_000}))
    assert bench.figure(measures.OLDEST_READY) == WALL_MS


def test_only_first_deliveries_are_timed_and_a_publisher_of_another_century_spoils_no_sum() -> None:
    world = QueueWorld()
    bench = world.bench
    world.store(b"a", b"b")
    ancient = batch(b"c", first_seq=1, stream=9)
    fields = {name: getattr(ancient, name) for name in ancient.__struct_fields__}
    bench.deliver(world.exchange, type(ancient)(**{**fields, "published_ms": -(1 << 62)}))
    bench.deliver(world.exchange, type(ancient)(**{**fields, "stream": 10, "published_ms": 1 << 62}))
    bench.advance(40)
    world.consumer()
    bench.advance(1_000)
    assert observed(bench, measures.DELIVERY) == 4
    assert counts(bench, measures.DELIVERY)[5] == 2
    assert counts(bench, measures.DELIVERY)[-1] == 1
    assert counts(bench, measures.DELIVERY)[0] == 1
    total = bench.meter.get(measures.DELIVERY.first + len(measures.DELIVERY.bounds) + 1)
    assert total == 2 * 40_000 + 30 * 24 * 3_600 * 1_000_000


def test_a_queues_counters_survive_its_death_and_what_only_this_life_knew_too() -> None:
    world = QueueWorld()
    bench = world.bench
    world.store(b"a", b"b", b"c")
    peer = bench.client("getter", 5)
    bench.deliver(peer, Get(1))
    bench.deliver(peer, Settle(0, Outcome.ACK, [1, 1], request=2))
    bench.deliver(peer, Purge(3))
    assert bench.figure(measures.QUEUE_PURGED) == 2
    before = bench.meter.read()
    bench.crash()
    bench.advance(1_000)
    after = bench.meter.read()
    for measure in measures.measures_of("queue"):
        if measure.kind == "counter":
            assert after[measure.word] >= before[measure.word], measure.key
    assert (bench.meter.get(measures.STORED), bench.meter.get(measures.ACKED)) == (3, 1)
    assert bench.meter.get(measures.QUEUE_PURGED) == 2


def test_what_a_queue_without_a_journal_forgets_is_still_counted() -> None:
    world = QueueWorld(QueueSpec(name="q", serial=3, durable=False), setting=Setting(has_journal=False))
    world.store(b"a", b"b")
    assert world.bench.figure(measures.STORED) == 2
    world.bench.crash()
    assert world.bench.figure(measures.STORED) == 2
    world.store(b"c")
    assert world.bench.figure(measures.STORED) == 3


def test_what_a_queue_refuses_is_counted() -> None:
    world = QueueWorld(QueueSpec(name="q", serial=3, max_length=1, overflow="reject-publish"))
    world.store(b"a")
    world.store(b"b")
    assert world.bench.figure(measures.NOT_TAKEN) == 1


# ---- every cell ----


def test_a_cell_shows_its_links_its_frames_and_its_journal() -> None:
    world = QueueWorld()
    bench = world.bench
    for _ in range(3):
        world.store(b"x")
    bench.advance(1_000)
    assert bench.meter.get(measures.MEASURED) == WALL_MS + bench.now_ms
    assert bench.meter.get(measures.LINKS) == 1
    assert bench.meter.get(measures.FRAMES_RECEIVED) > 3
    assert bench.meter.get(measures.FRAMES_SENT) > 3
    assert bench.meter.get(measures.MAILBOX) >= 1
    assert bench.meter.get(measures.JOURNAL_SYNCS) == 3
    assert observed(bench, measures.JOURNAL_SYNC) == 3
    assert bench.meter.get(measures.JOURNAL_BYTES) > 0
    received = bench.meter.get(measures.FRAMES_RECEIVED)
    bench.crash()
    assert bench.figure(measures.FRAMES_RECEIVED) > received
    assert bench.meter.get(measures.JOURNAL_SYNCS) >= 3


def test_refusals_and_violations_are_counted() -> None:
    world = QueueWorld()
    bench = world.bench
    peer = bench.client("c", 5)
    bench.deliver(peer, Consume(1, 1, 0))
    bench.deliver(peer, WatchlessNonsense)
    assert bench.figure(measures.REFUSED) == 1
    assert bench.meter.get(measures.VIOLATIONS) == 1


WatchlessNonsense = DeclareQueue(1, QueueSpec(name="x"))
"""Nothing that a queue understands."""


def test_a_peer_that_gives_no_more_credit_stalls_its_link_once() -> None:
    limits = Limits(window_messages=4, ping_interval_ms=200)
    world = QueueWorld(SPEC, setting=Setting(limits=limits))
    bench = world.bench
    peer = world.consumer(prefetch=100)
    peer.settles_at_once = False
    for _ in range(3):
        world.store(b"1", b"2", b"3")
    assert bench.figure(measures.STALLS) == 1
    assert bench.meter.get(measures.BACKLOG) > 0
    bench.advance(5_000)
    assert bench.meter.get(measures.STALLS) == 1
    peer.settles_at_once = True
    peer.settle()
    bench.run()
    assert bench.figure(measures.BACKLOG) == 0


# ---- exchanges ----


def test_an_exchange_counts_what_came_and_where_it_went() -> None:
    world = ExchangeWorld("fan")
    bench = world.bench
    one, two = world.queue("one", settles=False), world.queue("two")
    world.publish(batch(b"x", b"y", exchange="fan"))
    assert bench.figure(measures.UNCONFIRMED) == 2
    one.settle()
    bench.run()
    assert bench.figure(measures.UNCONFIRMED) == 0
    assert (bench.meter.get(measures.PUBLISHED), bench.meter.get(measures.ROUTED)) == (2, 4)
    assert observed(bench, measures.CONFIRM) == 1
    assert counts(bench, measures.CONFIRM)[12] == 1, "a second"
    assert len(two.take_heard()) == 1


def test_the_fates_of_what_no_queue_wanted() -> None:
    for name, fate in (("lossy", "drop"), ("patient", "held"), ("mourning", "dead-letter"), ("", "return")):
        world = ExchangeWorld(name)
        world.publish(batch(b"x", b"y", exchange=name, routing_key="nowhere"))
        assert world.bench.figure(measures.UNROUTED[fate]) == 2, fate
        assert sum(world.bench.meter.get(word) for word in measures.UNROUTED.values()) == 2
        assert world.bench.meter.get(measures.NOT_PUBLISHED) == (2 if fate == "return" else 0)
    careful = ExchangeWorld("careful")
    careful.queue("one")
    careful.queue("two")
    careful.publish(batch(b"x", exchange="careful"))
    assert careful.bench.figure(measures.UNROUTED["alternate"]) == 1
    assert careful.bench.meter.get(measures.ROUTED) == 2


def test_what_is_held_shows_how_much_and_since_when_and_survives_a_crash() -> None:
    world = ExchangeWorld("patient")
    bench = world.bench
    held_ms = WALL_MS + bench.now_ms
    world.publish(batch(b"x", b"y", exchange="patient"))
    bench.advance(2_000)
    for _ in range(2):
        assert bench.figure(measures.HELD) == 2
        assert bench.meter.get(measures.OLDEST_HELD) == held_ms
        assert bench.meter.get(measures.UNROUTED["held"]) == 2
        bench.crash()


# ---- the delay scheduler ----


def test_the_scheduler_counts_what_waits_what_left_and_how_late() -> None:
    world = DelayWorld()
    bench = world.bench
    world.delay(2_000, 60_000, 61_000)
    assert bench.figure(measures.SCHEDULED) == 3
    due_ms = bench.meter.get(measures.NEXT_DUE)
    assert WALL_MS < due_ms <= WALL_MS + 3_000
    bench.advance(3_000)
    assert bench.meter.get(measures.FIRED) == 1
    assert observed(bench, measures.LATENESS) == 1
    assert sum(counts(bench, measures.LATENESS)[:3]) == 1, "within five milliseconds"
    bench.deliver(world.client, CancelDelayed(1, 2))
    assert bench.figure(measures.CANCELLED) == 1
    bench.crash()
    assert bench.figure(measures.TAKEN) == 3
    assert bench.meter.get(measures.FIRED) == 1
    assert bench.meter.get(measures.SCHEDULED) == 1


def test_what_is_due_and_may_not_leave_yet_is_overdue() -> None:
    world = DelayWorld(DelayLimits(disk_free_bytes_min=0, fire_per_s_max=1))
    world.delay(1_000, 1_000, 1_000, 1_000, 60_000)
    world.bench.advance(2_000)
    overdue = world.bench.figure(measures.OVERDUE)
    assert 1 <= overdue <= 3
    assert overdue + world.bench.meter.get(measures.FIRED) <= 4


# ---- dead letters ----


def test_the_store_counts_by_reason_and_what_left_it() -> None:
    world = DeadLetterWorld()
    bench = world.bench
    world.bury(b"a", b"b", reason="rejected")
    world.bury(b"c", reason="expired")
    world.bury(b"d", reason="a reason from the future")
    assert bench.figure(measures.LETTERS) == 4
    assert bench.meter.get(measures.BURIED["rejected"]) == 2
    assert bench.meter.get(measures.BURIED["expired"]) == 1
    assert bench.meter.get(measures.BURIED["other"]) == 1
    world.purge(DeadLetterFilter(reason="expired"))
    assert bench.figure(measures.PURGED) == 1
    bench.crash()
    assert bench.figure(measures.PURGED) == 1
    assert bench.meter.get(measures.BURIED["rejected"]) == 2
    assert bench.meter.get(measures.LETTERS) == 3


# ---- the registry ----


def test_the_registry_counts_what_is_declared_and_who_is_there() -> None:
    world = RegistryWorld()
    world.ask(lambda request: DeclareExchange(request, ExchangeSpec(name="x", kind="topic")))
    world.ask(lambda request: DeclareQueue(request, QueueSpec(name="q")))
    world.ask(lambda request: Bind(request, BindingSpec(source="x", destination="q", key="#")))
    world.bench.client("second", 2)
    bench = world.bench
    assert bench.figure(measures.EXCHANGES) >= 1
    assert (bench.meter.get(measures.QUEUES), bench.meter.get(measures.BINDINGS)) == (1, 1)
    assert bench.meter.get(measures.CLIENTS) == 2


def test_a_page_costs_no_question_and_no_answer() -> None:
    world = QueueWorld()
    peer = world.consumer()
    world.bench.advance(3_000)
    assert peer.take_heard() == []
    world.ask(peer, QueueStatus(1))
