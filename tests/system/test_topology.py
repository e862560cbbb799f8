"""What exists and what may become of it, in a running broker and over its restarts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

import pytest

import posthouse
from posthouse.errors import (
    PosthouseError,
    PreconditionFailed,
    ResourceLocked,
    UnknownBinding,
    UnknownExchange,
    UnknownQueue,
    Unroutable,
)
from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually

_numbers: Final = itertools.count(1)


@pytest.fixture
def broker(shared: BrokerProcess) -> Iterator[posthouse.Broker]:
    with shared.connect() as broker:
        yield broker


@pytest.fixture
def name() -> str:
    """A name no other test has."""
    return f"name-{next(_numbers)}"


def bodies_of(broker: posthouse.Broker, queue: str) -> list[bytes]:
    return [message.body for message in broker.peek(queue, 1_000)]


def has_queue(broker: posthouse.Broker, queue: str) -> bool:
    return queue in [info.name for info in broker.queues()]


def test_declaring_binding_and_publishing_again_changes_nothing(broker: posthouse.Broker, name: str) -> None:
    for _ in range(3):
        broker.declare_exchange(name, "topic", unrouted="drop")
        broker.declare_queue(name)
        broker.bind(name, name, "a.#")
        broker.bind(name, name, "a.b")
    assert broker.publish(name, b"once", "a.b").queues == [name]
    assert bodies_of(broker, name) == [b"once"]
    assert len([binding for binding in broker.bindings() if binding.source == name]) == 2


@pytest.mark.parametrize(
    ("again", "difference"),
    [
        (lambda broker, name: broker.declare_exchange(name, "direct"), "kind"),
        (lambda broker, name: broker.declare_exchange(name, "topic", durable=False), "durable"),
        (lambda broker, name: broker.declare_exchange(name, "topic", unrouted="drop"), "unrouted"),
        (lambda broker, name: broker.declare_queue(name, durable=False), "durable"),
        (lambda broker, name: broker.declare_queue(name, auto_delete=True), "auto_delete"),
        (lambda broker, name: broker.declare_queue(name, single_active_consumer=True), "single_active_consumer"),
    ],
)
def test_a_declaration_that_differs_is_refused_and_names_the_difference(
    broker: posthouse.Broker,
    name: str,
    again: Callable[[posthouse.Broker, str], object],
    difference: str,
) -> None:
    broker.declare_exchange(name, "topic")
    broker.declare_queue(name)
    with pytest.raises(PreconditionFailed, match=difference):
        again(broker, name)
    broker.declare_exchange(name, "topic")
    broker.declare_queue(name)


def test_an_exclusive_queue_is_its_clients_alone_and_goes_with_it(
    shared: BrokerProcess, broker: posthouse.Broker, name: str
) -> None:
    owner = shared.connect()
    owner.declare_queue(name, exclusive=True)
    owner.publish("", b"mine", name)
    with pytest.raises(ResourceLocked):
        broker.declare_queue(name)
    with pytest.raises(ResourceLocked):
        broker.consume(name)
    with pytest.raises(ResourceLocked):
        broker.delete_queue(name)
    assert bodies_of(owner, name) == [b"mine"]
    owner.close()
    eventually(lambda: not has_queue(broker, name))
    with pytest.raises(UnknownQueue):
        broker.queue_info(name)


def test_an_auto_delete_queue_goes_with_its_last_consumer(broker: posthouse.Broker, name: str) -> None:
    broker.declare_queue(name, auto_delete=True)
    broker.publish("", b"x", name)
    first, second = broker.consume(name), broker.consume(name)
    first.close()
    assert has_queue(broker, name)
    second.close()
    eventually(lambda: not has_queue(broker, name))


def test_an_auto_delete_exchange_goes_with_its_last_binding(broker: posthouse.Broker, name: str) -> None:
    broker.declare_exchange(name, "direct", auto_delete=True)
    broker.declare_queue(name)
    broker.bind(name, name, "a")
    broker.bind(name, name, "b")
    broker.unbind(name, name, "a")
    assert broker.publish(name, b"x", "b").queues == [name]
    broker.unbind(name, name, "b")
    eventually(lambda: name not in [exchange.name for exchange in broker.exchanges()])
    with pytest.raises(UnknownExchange):
        broker.publish(name, b"x", "b", timeout_s=60.0)


def test_the_broker_gives_a_queue_without_a_name_one_of_its_own(broker: posthouse.Broker) -> None:
    names = {broker.declare_queue().name for _ in range(3)}
    assert len(names) == 3
    for name in names:
        assert broker.publish("", b"x", name).queues == [name]
        assert broker.delete_queue(name) == 1


def test_durable_things_survive_a_kill_of_the_broker_and_transient_ones_do_not(
    process: BrokerProcess,
) -> None:
    broker = process.connect()
    for name, durable in (("kept", True), ("passing", False)):
        broker.declare_exchange(name, "direct", durable=durable)
        broker.declare_queue(name, durable=durable)
    broker.bind("kept", "kept", "key")
    broker.bind("kept", "passing", "key")
    broker.bind("passing", "kept", "key")
    assert broker.publish("kept", b"x", "key").queues == ["kept", "passing"]

    process.restart()

    again = process.connect()
    assert [info.name for info in again.queues()] == ["kept"]
    assert [exchange.name for exchange in again.exchanges()] == ["", "kept", "posthouse.events"]
    assert [(binding.source, binding.destination) for binding in again.bindings()] == [("kept", "kept")]
    assert bodies_of(again, "kept") == [b"x"]
    assert again.publish("kept", b"y", "key").queues == ["kept"]


def test_a_deleted_queue_stays_deleted_over_restarts_and_a_new_one_of_its_name_is_empty(
    process: BrokerProcess,
) -> None:
    broker = process.connect()
    broker.declare_exchange("e", "fanout", unrouted="drop")
    broker.declare_queue("q")
    broker.bind("e", "q")
    broker.publish("e", b"old")
    assert broker.delete_queue("q") == 1
    process.restart()
    again = process.connect()
    assert again.queues() == []
    assert again.bindings() == []
    assert again.publish("e", b"nobody").queues == []
    again.declare_queue("q")
    assert bodies_of(again, "q") == []
    again.publish("", b"new", "q")
    process.restart()
    assert bodies_of(process.connect(), "q") == [b"new"]


def test_a_queue_deleted_and_declared_at_once_again_and_again_is_always_empty(
    broker: posthouse.Broker, name: str
) -> None:
    for number in range(10):
        broker.declare_queue(name)
        assert bodies_of(broker, name) == []
        assert broker.publish("", b"%d" % number, name).queues == [name]
        assert broker.delete_queue(name) == 1


def test_messages_pass_through_exchanges_bound_to_exchanges_once(broker: posthouse.Broker, name: str) -> None:
    first, second, third = (f"{name}-{number}" for number in range(3))
    broker.declare_exchange(first, "topic", unrouted="return")
    broker.declare_exchange(second, "fanout")
    broker.declare_exchange(third, "direct", internal=True)
    broker.declare_queue(name)
    broker.bind_exchange(first, second, "a.*")
    broker.bind_exchange(first, third, "#")
    broker.bind(second, name)
    broker.bind(third, name, "a.b")
    assert broker.publish(first, b"x", "a.b").queues == [name]
    assert bodies_of(broker, name) == [b"x"]
    with pytest.raises(Unroutable):
        broker.publish(first, b"y", "b.c")
    with pytest.raises(PreconditionFailed, match="internal"):
        broker.publish(third, b"z", "a.b")
    broker.unbind_exchange(first, second, "a.*")
    broker.unbind_exchange(first, third, "#")
    with pytest.raises(Unroutable):
        broker.publish(first, b"y", "a.b")


def test_what_no_queue_wants_goes_where_the_exchange_says(broker: posthouse.Broker, name: str) -> None:
    broker.declare_exchange(f"{name}-returns", "direct", unrouted="return")
    broker.declare_exchange(f"{name}-drops", "direct", unrouted="drop")
    broker.declare_exchange(f"{name}-last", "fanout")
    broker.declare_exchange(f"{name}-hands-on", "direct", alternate=f"{name}-last")
    broker.declare_queue(name)
    broker.bind(f"{name}-last", name)
    with pytest.raises(Unroutable, match="posthouse explain"):
        broker.publish(f"{name}-returns", b"x", "key")
    with pytest.raises(Unroutable, match=f"no queue is named '{name}-none'"):
        broker.publish("", b"x", f"{name}-none")
    assert broker.publish(f"{name}-drops", b"x", "key").queues == []
    broker.declare_exchange(f"{name}-holds", "direct")
    assert broker.publish(f"{name}-holds", b"x", "key").held
    assert broker.publish(f"{name}-hands-on", b"caught", "key").queues == [name]
    assert bodies_of(broker, name) == [b"caught"]


def test_a_delete_on_condition_is_refused_until_the_condition_holds(broker: posthouse.Broker, name: str) -> None:
    broker.declare_exchange(name, "direct")
    broker.declare_queue(name)
    broker.bind(name, name, "key")
    broker.publish(name, b"x", "key")
    with pytest.raises(PreconditionFailed):
        broker.delete_queue(name, if_empty=True)
    with broker.consume(name), pytest.raises(PreconditionFailed):
        broker.delete_queue(name, if_unused=True)
    with pytest.raises(PreconditionFailed):
        broker.delete_exchange(name, if_unused=True)
    assert broker.publish(name, b"y", "key").queues == [name], "a refused delete changes nothing"
    broker.purge_queue(name)
    assert broker.delete_queue(name, if_unused=True, if_empty=True) == 0
    broker.delete_exchange(name, if_unused=True)


def test_a_binding_is_in_force_for_everybody_as_soon_as_it_is_confirmed(
    shared: BrokerProcess, broker: posthouse.Broker, name: str
) -> None:
    other = shared.connect(door=True)
    broker.declare_exchange(name, "topic", unrouted="drop")
    broker.declare_queue(name)
    expected = []
    for number in range(50):
        broker.bind(name, name, f"key.{number}")
        assert other.publish(name, b"%d" % number, f"key.{number}").queues == [name]
        expected.append(b"%d" % number)
        broker.unbind(name, name, f"key.{number}")
        assert other.publish(name, b"late", f"key.{number}").queues == []
    assert bodies_of(broker, name) == expected


def test_headers_decide_where_an_exchange_of_their_kind_routes(broker: posthouse.Broker, name: str) -> None:
    broker.declare_exchange(name, "headers", unrouted="return")
    for suffix, how in (("all", "all"), ("any", "any")):
        broker.declare_queue(f"{name}-{suffix}")
        arguments = {"x-match": how, "carrier": "UA", "cancelled": False}
        broker.bind(name, f"{name}-{suffix}", arguments=arguments)
    both = [f"{name}-all", f"{name}-any"]
    assert broker.publish(name, b"x", headers={"carrier": "UA", "cancelled": False}).queues == both
    assert broker.publish(name, b"x", headers={"carrier": "UA"}).queues == both[1:]
    with pytest.raises(Unroutable):
        broker.publish(name, b"x", headers={"carrier": "B6", "cancelled": True})


@pytest.mark.parametrize(
    ("ask", "error"),
    [
        (lambda broker: broker.bind("nowhere", "nothing"), (UnknownExchange, UnknownQueue)),
        (lambda broker: broker.delete_queue("nothing"), UnknownQueue),
        (lambda broker: broker.delete_exchange("nowhere"), UnknownExchange),
        (lambda broker: broker.purge_queue("nothing"), UnknownQueue),
        (lambda broker: broker.queue_info("nothing"), UnknownQueue),
        (lambda broker: broker.get("nothing"), UnknownQueue),
        (lambda broker: broker.peek("nothing"), UnknownQueue),
        (lambda broker: broker.consume("nothing"), UnknownQueue),
        (lambda broker: broker.explain("nowhere"), UnknownExchange),
        (lambda broker: broker.publish("nowhere", b"x"), UnknownExchange),
    ],
)
@pytest.mark.parametrize("door", [False, True])
def test_what_does_not_exist_is_refused_by_name_at_once(
    shared: BrokerProcess,
    ask: Callable[[posthouse.Broker], object],
    error: type[PosthouseError],
    door: bool,
) -> None:
    with shared.connect(door=door, timeout_s=60.0) as broker, pytest.raises(error, match=r"nowhere|nothing"):
        ask(broker)


def test_taking_back_a_binding_that_is_not_there_is_refused(broker: posthouse.Broker, name: str) -> None:
    broker.declare_exchange(name, "direct")
    broker.declare_queue(name)
    broker.bind(name, name, "key")
    with pytest.raises(UnknownBinding):
        broker.unbind(name, name, "other key")
    assert broker.publish(name, b"x", "key").queues == [name]


def test_a_queue_is_not_disturbed_by_the_lives_of_one_whose_name_its_own_begins_with(
    process: BrokerProcess,
) -> None:
    broker = process.connect(timeout_s=60.0)
    through_door = process.connect(door=True, timeout_s=60.0)
    broker.declare_queue("a/b")
    assert through_door.publish("", b"first", "a/b").queues == ["a/b"]
    assert through_door.queue_info("a/b").ready == 1
    broker.declare_queue("a")
    for client in (broker, through_door):
        assert client.publish("", b"x", "a").queues == ["a"]
        assert client.queue_info("a").stored
    process.wait_up("queue:a", process.kill("queue:a"))
    for client in (broker, through_door):
        assert client.publish("", b"x", "a").queues == ["a"]
        assert client.publish("", b"x", "a/b").queues == ["a/b"]
        assert client.queue_info("a/b").ready >= 2


def test_topology_confirmed_before_any_kill_of_the_registry_is_in_force_after_it(
    process: BrokerProcess,
) -> None:
    broker = process.connect()
    broker.declare_exchange("e", "direct")
    for number in range(5):
        broker.declare_queue(f"q{number}")
        broker.bind("e", f"q{number}", "key")
        process.wait_up("registry", process.kill("registry"))
        expected = [f"q{known}" for known in range(number + 1)]
        assert broker.publish("e", b"x", "key").queues == expected
        assert [info.name for info in broker.queues()] == expected
