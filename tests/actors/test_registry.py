"""The registry: what it journals, orders and answers, and what its next life makes of the journal."""

from __future__ import annotations

import msgspec
import pytest

from posthouse.actors.registry import OWNER_GRACE_AFTER_RESTART_MS, OWNER_GRACE_MS
from posthouse.supervisor import control_messages as control
from posthouse.transport import messages
from posthouse.transport.messages import (
    ActorDown,
    ActorUp,
    Bind,
    BindingSpec,
    DeclareExchange,
    DeclareQueue,
    DeleteExchange,
    DeleteQueue,
    ExchangeSpec,
    Failed,
    Locate,
    PrepareDelete,
    QueueSpec,
    QueueUnused,
    Reply,
    TopologyChange,
    Unbind,
)
from posthouse.transport.names import DEAD_LETTER, DELAY, MONITOR
from tests.support.actor_bench import batch, result_of
from tests.support.registry_bench import RegistryWorld, raw

FAN = ExchangeSpec(name="fan", kind="fanout")
ONE = QueueSpec(name="one")
BINDING = BindingSpec(source="fan", destination="one")


# ---- declaring ----


def test_a_declared_queue_is_journaled_before_it_is_started_and_answered_when_it_is_up() -> None:
    world = RegistryWorld()
    world.bench.tape.clear()
    assert world.bench.deliver(world.client, DeclareQueue(1, ONE)) == []
    assert world.bench.tape[:2] == ["pwritev", "fdatasync"]
    (order,) = world.bench.take_orders()
    assert isinstance(order, control.StartChild)
    assert (order.group, order.kind, order.id) == ("queues", "queue", "queue:one")
    assert msgspec.msgpack.decode(order.arguments, type=QueueSpec) == QueueSpec(name="one", serial=1)
    world.bench.notice(control.Done(order.request, True))
    assert world.client.take_heard() == []
    world.up("queue:one")
    assert result_of(world.client.hears()) == "one"


def test_a_declared_exchange_is_answered_when_it_is_up() -> None:
    world = RegistryWorld()
    assert world.bench.deliver(world.client, DeclareExchange(1, FAN)) == []
    (order,) = world.bench.take_orders()
    assert isinstance(order, control.StartChild)
    assert (order.kind, order.id) == ("exchange", "exchange:fan")
    assert msgspec.msgpack.decode(order.arguments, type=ExchangeSpec) == msgspec.structs.replace(FAN, serial=1)
    world.up("exchange:fan")
    world.exchange("fan")
    assert result_of(world.client.hears()) is None


def test_a_declaration_again_is_answered_and_starts_nothing_and_another_one_is_refused() -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE, BINDING)
    count = len(world.started)
    world.declare(FAN, ONE, BINDING)
    assert len(world.started) == count
    other = QueueSpec(name="one", auto_delete=True)
    assert world.refused(lambda number: DeclareQueue(number, other)).code == "precondition_failed"


def test_a_queue_without_a_name_gets_one_that_the_same_request_finds_again() -> None:
    world = RegistryWorld()
    nameless = QueueSpec(name="")
    name = world.get(lambda number: DeclareQueue(number, nameless))
    assert name.startswith("posthouse.")
    count = len(world.started)
    assert world.get(lambda number: DeclareQueue(number, nameless)) == name
    assert len(world.started) == count
    (other,) = world.ask(lambda number: DeclareQueue(number, nameless), request=2)
    assert result_of(other) != name


def test_a_child_that_cannot_be_started_is_told_with_the_reason() -> None:
    world = RegistryWorld()
    world.bench.deliver(world.client, DeclareQueue(1, ONE))
    (order,) = world.bench.take_orders()
    assert isinstance(order, control.StartChild)
    world.bench.notice(control.Done(order.request, False, "too many children"))
    refused = world.client.hears()
    assert isinstance(refused, Failed)
    assert refused.code == "actor_down"
    assert "too many children" in refused.text


def test_a_binding_is_answered_when_every_living_exchange_has_applied_it() -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE)
    default, fan = world.exchange(""), world.exchange("fan")
    default.take_heard()
    fan.take_heard()
    fan.settles_at_once = False
    assert world.ask(lambda number: Bind(number, BINDING)) == []
    change = fan.hears()
    assert isinstance(change, TopologyChange)
    assert change.put_bindings == (BINDING,)
    assert default.take_heard() == [change]
    world.bench.advance(1_000)
    assert world.client.take_heard() == []
    fan.settle()
    world.bench.run()
    assert result_of(world.client.hears()) is None


def test_an_exchange_that_is_restarting_is_not_waited_for_and_begins_with_a_snapshot() -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE)
    fan = world.exchange("fan")
    fan.settles_at_once = False
    assert world.ask(lambda number: Bind(number, BINDING)) == []
    world.bench.leave(fan)
    world.bench.notice(control.Down("exchange:fan", 1, "restarting", "it died"))
    assert result_of(world.client.hears()) is None
    snapshot = world.exchange("fan").hears()
    assert isinstance(snapshot, TopologyChange)
    assert snapshot.is_snapshot
    assert snapshot.put_bindings == (BINDING,)


def test_an_exchange_with_two_links_is_gone_when_the_last_of_them_is() -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE)
    fan = world.exchange("fan")
    again = world.bench.client("another link", 0)
    world.bench.deliver(again, messages.WatchTopology(2))
    assert again.link is not None
    for link in world.bench.cell.links.served:
        if link.client_name == "another link":
            world.actor._exchanges[link] = "exchange:fan"
    world.bench.leave(fan)
    assert world.ask(lambda number: Bind(number, BINDING)) != []


def test_unbinding_and_deleting_an_exchange_are_told_to_the_exchanges_and_stop_the_actor() -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE, BINDING)
    watcher = world.exchange("")
    watcher.take_heard()
    world.exchange("fan")
    assert world.get(lambda number: Unbind(number, BINDING)) is None
    (change,) = watcher.take_heard()
    assert isinstance(change, TopologyChange)
    assert change.drop_bindings == (BINDING,)
    assert world.bench.deliver(world.client, DeleteExchange(1, "fan")) != []
    world.obey()
    assert world.stopped == ["exchange:fan"]
    for again in (Unbind(2, BINDING), DeleteExchange(2, "fan"), DeleteQueue(2, "no")):
        assert world.refused(lambda _, again=again: again).code.startswith("unknown_")  # type: ignore[misc]


def test_what_no_registry_understands_ends_only_that_session() -> None:
    world = RegistryWorld()
    forgeries: list[messages.Message] = [batch(b"x"), Reply(1, raw(0)), Failed(1, "x", "y")]
    for number, forged in enumerate(forgeries):
        bad = world.bench.client(f"bad {number}", 9)
        world.bench.deliver(bad, forged)
        assert bad.endings == ["protocol_violation"], forged
    world.declare(ONE)


# ---- directory ----


def test_locate_tells_where_an_actor_lives_and_every_change_after() -> None:
    world = RegistryWorld()
    (answer,) = world.bench.deliver(world.client, Locate(1, "queue:one"))
    assert answer == ActorDown("queue:one", 0, "unknown", "")
    world.bench.deliver(world.client, DeclareQueue(2, ONE))
    assert world.client.take_heard() == []
    world.obey()
    heard = world.client.take_heard()
    assert heard[0] == ActorUp("queue:one", 1, "memory://queue:one")
    world.bench.down("queue:one", "restarting", "it died")
    assert world.client.hears() == ActorDown("queue:one", 1, "restarting", "it died")
    world.bench.actor("queue:one", 2)
    assert world.client.hears() == ActorUp("queue:one", 2, "memory://queue:one")
    world.bench.deliver(world.client, DeleteQueue(3, "one"))
    world.answer_prepare("one")
    assert ActorDown("queue:one", 0, "unknown", "deleted") in world.client.take_heard()


def test_who_left_is_told_nothing_more_and_leaves_nothing_behind() -> None:
    world = RegistryWorld()
    other = world.bench.client("other", 2)
    world.bench.deliver(other, Locate(1, "queue:one"), Locate(2, "queue:two"))
    world.bench.deliver(world.client, Locate(1, "queue:one"))
    world.bench.leave(other)
    assert list(world.actor.directory.watchers) == ["queue:one"]


def test_news_of_actors_nobody_declared_changes_nothing() -> None:
    world = RegistryWorld()
    world.bench.deliver(world.client, Locate(1, "queue:ghost"))
    world.client.take_heard()
    world.up("queue:ghost")
    world.bench.notice(control.Down("exchange:", 0, "unknown", ""), control.Stop("it is late"))
    assert world.client.take_heard() == []


# ---- lives ----


@pytest.mark.parametrize("power", [False, True], ids=["process", "power"])
def test_the_next_life_knows_what_was_confirmed_and_starts_it_again(power: bool) -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE, BINDING)
    before = world.actor.topology.snapshot()
    world.crash(power=power)
    assert world.actor.topology.snapshot() == before
    world.started.clear()
    world.obey()
    assert [order.id for order in world.started] == ["exchange:", "exchange:fan", "queue:one"]
    world.declare(QueueSpec(name="two"))
    assert world.actor.topology.queues["two"].serial == 3


def test_a_declaration_that_was_journaled_and_not_ordered_is_ordered_by_the_next_life() -> None:
    world = RegistryWorld()
    world.bench.deliver(world.client, DeclareQueue(1, ONE))
    world.crash()
    world.started.clear()
    world.obey()
    assert "queue:one" in [order.id for order in world.started]


def test_a_stranger_that_a_crash_left_running_is_stopped() -> None:
    world = RegistryWorld()
    world.declare(ONE)
    world.nodes = [
        control.NodeInfo("queue:one", "queue", "queues", "up"),
        control.NodeInfo("queue:ghost", "queue", "queues", "up"),
        control.NodeInfo("exchange:ghost", "exchange", "exchanges", "up"),
        control.NodeInfo("door", "door", "edge", "up"),
    ]
    world.crash()
    world.obey()
    assert world.stopped == ["queue:ghost", "exchange:ghost"]


def test_transient_things_outlive_the_registry_and_not_the_broker() -> None:
    world = RegistryWorld()
    light = QueueSpec(name="light", durable=False)
    passing = ExchangeSpec(name="passing", kind="fanout", durable=False)
    world.declare(FAN, ONE, BINDING, light, passing, BindingSpec(source="passing", destination="one"))
    world.crash()
    world.obey()
    assert set(world.actor.topology.queues) == {"one", "light"}
    for _ in range(2):
        world.crash(boot="second")
        world.obey()
        assert set(world.actor.topology.queues) == {"one"}
        assert set(world.actor.topology.exchanges) == {"", "fan"}
    world.declare(light)
    world.crash()
    assert set(world.actor.topology.queues) == {"one", "light"}
    world.crash(boot="third")
    assert set(world.actor.topology.queues) == {"one"}


def test_it_announces_once_that_every_actor_is_up_or_in_quarantine() -> None:
    world = RegistryWorld()
    world.declare(ONE)
    world.announced.clear()
    world.bench.actors.clear()
    world.crash()
    orders = [order for order in world.bench.take_orders() if isinstance(order, control.StartChild)]
    world.up("exchange:")
    world.up(DELAY)
    world.up(DEAD_LETTER)
    world.up(MONITOR)
    assert world.bench.take_orders() == []
    (queue,) = [order for order in orders if order.id == "queue:one"]
    world.bench.notice(control.Down("queue:one", 1, "quarantined", "its journal is corrupt"))
    assert world.bench.take_orders() == [control.Announce("ready")]
    world.up(queue.id)
    assert world.bench.take_orders() == []


def test_a_full_segment_becomes_a_checkpoint_and_the_topology_survives_it() -> None:
    world = RegistryWorld()
    world.declare(FAN, ONE)
    for number in range(150):
        bound = BindingSpec(source="fan", destination="one", key=f"key {number}")
        world.declare(bound)
        if number > 2:
            world.get(lambda request, bound=bound: Unbind(request, bound))  # type: ignore[misc]
    stats = world.bench.cell.journal.stats()
    assert stats.first_position > 1
    assert stats.segments == 1
    before = world.actor.topology.snapshot()
    world.crash()
    assert world.actor.topology.snapshot() == before
    assert len(before.put_bindings) == 3
    world.obey()
    world.crash(boot="second")
    assert world.actor.topology.snapshot() == before


# ---- exclusive queues ----


def test_an_exclusive_queue_goes_when_its_client_has_been_away_for_the_grace() -> None:
    world = RegistryWorld()
    owner = world.bench.client("owner", 7)
    mine = QueueSpec(name="mine", exclusive=True)
    assert world.get(lambda number: DeclareQueue(number, mine), peer=owner) == "mine"
    assert world.actor.topology.queues["mine"].owner == 7
    assert world.refused(lambda number: DeleteQueue(number, "mine")).code == "resource_locked"
    assert world.refused(lambda number: DeclareQueue(number, mine)).code == "resource_locked"
    world.bench.leave(owner)
    world.bench.advance(OWNER_GRACE_MS - 100)
    owner = world.bench.client("owner", 7)
    world.bench.advance(OWNER_GRACE_MS)
    assert "mine" in world.actor.topology.queues
    world.bench.leave(owner)
    world.bench.advance(OWNER_GRACE_MS + 100)
    assert world.queue("mine").hears() == PrepareDelete(1)
    world.queue("mine").say(Reply(1, raw(0)))
    world.bench.run()
    world.obey()
    assert "mine" not in world.actor.topology.queues
    assert "queue:mine" in world.stopped


def test_after_a_crash_of_the_registry_owners_get_a_longer_grace() -> None:
    world = RegistryWorld()
    owner = world.bench.client("owner", 7)
    world.get(lambda number: DeclareQueue(number, QueueSpec(name="mine", exclusive=True)), peer=owner)
    del world.bench.clients["owner"]
    world.crash()
    world.obey()
    world.bench.advance(OWNER_GRACE_AFTER_RESTART_MS - 100)
    assert "mine" in world.actor.topology.queues
    world.bench.advance(200)
    world.answer_prepare("mine")
    assert "mine" not in world.actor.topology.queues


def test_a_client_without_exclusive_queues_leaves_without_a_trace() -> None:
    world = RegistryWorld()
    world.declare(ONE)
    world.bench.leave(world.bench.client("other", 5))
    world.bench.advance(OWNER_GRACE_MS + 100)
    assert set(world.actor.topology.queues) == {"one"}


def test_an_auto_delete_queue_goes_when_it_says_that_it_is_unused() -> None:
    world = RegistryWorld()
    world.declare(QueueSpec(name="auto", auto_delete=True), ONE)
    queue = world.bench.client("queue:auto", 0)
    world.bench.deliver(queue, QueueUnused("auto", 99), QueueUnused("gone", 1), QueueUnused("one", 2))
    assert world.queue("auto").take_heard() + world.queue("one").take_heard() == []
    world.bench.deliver(queue, QueueUnused("auto", 1))
    (asked,) = world.queue("auto").take_heard()
    assert isinstance(asked, PrepareDelete)
    assert asked.if_unused
    world.queue("auto").say(Failed(asked.request, "precondition_failed", "a consumer came back"))
    world.bench.run()
    assert "auto" in world.actor.topology.queues
