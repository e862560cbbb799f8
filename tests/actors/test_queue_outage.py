"""A queue actor with a breaker: what it delivers, and whom it tells."""

from __future__ import annotations

from posthouse.supervisor import control_messages as control
from posthouse.transport.descriptions import BreakerSpec, RetrySpec
from posthouse.transport.messages import Outcome, QueueSpec, Settle
from tests.support.queue_bench import QueueWorld, deliveries

SPEC = QueueSpec(
    name="q",
    retry=RetrySpec(kind="fixed", max_attempts=2, first_delay_ms=0),
    breaker=BreakerSpec(window=2, failure_share=1.0, probe_after_ms=500),
)


def _alarms(world: QueueWorld) -> list[control.FromChild]:
    return [order for order in world.bench.take_orders() if isinstance(order, control.Alarm)]


def test_an_outage_pauses_the_queue_raises_an_alarm_and_ends_with_the_ack_of_a_probe() -> None:
    world = QueueWorld(SPEC)
    consumer = world.consumer(prefetch=2)
    world.store(b"a", b"b", b"c")
    assert deliveries(consumer.take_heard()) == [(1, 1, [b"a", b"b"])]
    assert deliveries(world.bench.deliver(consumer, Settle(1, Outcome.NACK, [1, 2]))) == []
    info = world.info()
    assert (info.breaker, info.breaker_opened, info.ready, info.leaving) == ("open", 1, 3, 0)
    assert _alarms(world) == [control.Alarm("breaker_opened", {"queue": "q", "opened": 1, "ready": 3}, key="breaker")]
    world.bench.advance(450)
    assert consumer.take_heard() == []
    world.bench.advance(100)
    assert deliveries(consumer.take_heard()) == [(3, 1, [b"c"])]
    assert world.info().breaker == "probing"
    heard = deliveries(world.bench.deliver(consumer, Settle(1, Outcome.ACK, [3, 3])))
    assert heard == [(1, 2, [b"a", b"b"])]
    fields: dict[str, str | int] = {"queue": "q", "opened": 1, "ready": 0}
    assert _alarms(world) == [control.Alarm("breaker_closed", fields, is_over=True, key="breaker")]


def test_a_crash_forgets_the_outage_and_keeps_what_it_excused() -> None:
    world = QueueWorld(SPEC)
    consumer = world.consumer(prefetch=2)
    world.store(b"a", b"b")
    world.bench.deliver(consumer, Settle(1, Outcome.NACK, [1, 2]))
    assert world.info().breaker == "open"
    world.bench.crash()
    info = world.info()
    assert (info.breaker, info.breaker_opened, info.ready) == ("closed", 0, 2)
    consumer = world.consumer("next", 2, prefetch=2)
    assert deliveries(consumer.take_heard()) == [(1, 2, [b"a", b"b"])]
    heard = world.bench.deliver(consumer, Settle(1, Outcome.NACK, [1, 1]))
    assert deliveries(heard) == [(1, 3, [b"a"])], "its second attempt was its first that counted"
    world.bench.deliver(consumer, Settle(1, Outcome.NACK, [1, 1]))
    assert world.info().leaving == 1
