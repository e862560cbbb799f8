"""Declarations: what an exchange or queue may be, and when a second declaration is the same."""

from __future__ import annotations

import msgspec
import pytest

from posthouse.actors.declaration import DEFAULT_EXCHANGE, EVENTS_EXCHANGE
from posthouse.actors.topology import Topology
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, ResourceLocked
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange


def applied(topology: Topology, change: TopologyChange | None) -> TopologyChange:
    assert change is not None
    assert topology.apply(change)
    return change


@pytest.mark.parametrize("kind", ["direct", "topic", "fanout", "headers"])
def test_an_exchange_of_each_kind_can_be_declared_and_declared_again(kind: str) -> None:
    topology = Topology()
    spec = ExchangeSpec(name="x", kind=kind)
    change = applied(topology, topology.declare_exchange(spec))
    assert change == TopologyChange(version=1, put_exchanges=(spec,))
    assert topology.exchanges["x"] == spec
    assert topology.declare_exchange(spec) is None


def test_declaring_does_nothing_before_the_change_is_applied() -> None:
    topology = Topology()
    topology.declare_exchange(ExchangeSpec(name="x", kind="direct"))
    topology.declare_queue(QueueSpec(name="q"))
    assert set(topology.exchanges) == {""}
    assert not topology.queues
    assert topology.version == 0


@pytest.mark.parametrize("kind", ["Topic", "", "x-consistent-hash", "queue"])
def test_an_unknown_kind_is_refused_with_the_kinds_there_are(kind: str) -> None:
    with pytest.raises(InvalidArgument, match="does not exist; there are: direct, topic, fanout, headers"):
        Topology().declare_exchange(ExchangeSpec(name="x", kind=kind))


@pytest.mark.parametrize("policy", ["hold", "dead-letter", "return", "drop"])
def test_every_policy_for_what_no_queue_wants_is_taken(policy: str) -> None:
    assert Topology().declare_exchange(ExchangeSpec(name="x", kind="direct", unrouted=policy)) is not None


@pytest.mark.parametrize("policy", ["hold", "dead-letter"])
def test_an_exchange_that_goes_by_itself_cannot_hold_messages_for_others(policy: str) -> None:
    spec = ExchangeSpec(name="x", kind="direct", unrouted=policy, auto_delete=True)
    with pytest.raises(InvalidArgument, match="auto_delete"):
        Topology().declare_exchange(spec)


@pytest.mark.parametrize("name", ["hold_for_ms", "hold_max_length", "hold_max_bytes"])
def test_bounds_of_what_is_held_are_in_range_and_need_an_exchange_that_holds(name: str) -> None:
    for value in (0, -1, 1 << 62):
        with pytest.raises(InvalidArgument, match="out of range"):
            Topology().declare_exchange(_bounded("hold", name, value))
    with pytest.raises(InvalidArgument, match="it does not"):
        Topology().declare_exchange(_bounded("drop", name, 5))
    assert Topology().declare_exchange(_bounded("hold", name, 5)) is not None


def _bounded(policy: str, name: str, value: int) -> ExchangeSpec:
    return msgspec.structs.replace(ExchangeSpec(name="x", kind="direct", unrouted=policy), **{name: value})


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="'keep' does not exist; there are: hold, dead-letter, alternate"):
        Topology().declare_exchange(ExchangeSpec(name="x", kind="direct", unrouted="keep"))


def test_the_alternate_policy_and_an_alternate_need_each_other() -> None:
    topology = Topology()
    for policy, alternate in (("alternate", None), ("return", "y"), ("drop", "y")):
        with pytest.raises(InvalidArgument, match="need each other"):
            topology.declare_exchange(ExchangeSpec(name="x", kind="direct", unrouted=policy, alternate=alternate))
    for alternate in ("y", "x", ""):
        spec = ExchangeSpec(name="x", kind="direct", unrouted="alternate", alternate=alternate)
        assert topology.declare_exchange(spec) is not None


def test_the_name_of_an_alternate_is_checked() -> None:
    spec = ExchangeSpec(name="x", kind="direct", unrouted="alternate", alternate="a\n")
    with pytest.raises(InvalidArgument, match=r"the alternate exchange name .* control character"):
        Topology().declare_exchange(spec)


@pytest.mark.parametrize("name", ["amq.direct", "amq.", "posthouse.delay"])
def test_reserved_names_are_given_by_the_broker_only(name: str) -> None:
    topology = Topology()
    with pytest.raises(InvalidArgument, match=r"reserved: names that start with 'amq\.' or 'posthouse\.'"):
        topology.declare_exchange(ExchangeSpec(name=name, kind="direct"))
    with pytest.raises(InvalidArgument, match="reserved"):
        topology.declare_queue(QueueSpec(name=name))
    applied(topology, topology.declare_queue(QueueSpec(name=name), named_by_broker=True))
    assert topology.declare_queue(QueueSpec(name=name)) is None


@pytest.mark.parametrize("name", ["amq", "posthouse", "amqp.x", "xamq.y"])
def test_names_that_only_resemble_reserved_ones_are_free(name: str) -> None:
    assert Topology().declare_exchange(ExchangeSpec(name=name, kind="direct")) is not None


def test_a_bad_name_is_refused() -> None:
    topology = Topology()
    with pytest.raises(InvalidArgument, match="must not be empty"):
        topology.declare_queue(QueueSpec(name=""))
    with pytest.raises(InvalidArgument, match="control character"):
        topology.declare_exchange(ExchangeSpec(name="\n", kind="direct"))


def test_the_default_exchange_is_there_and_can_only_be_declared_as_it_is() -> None:
    topology = Topology()
    assert topology.exchanges[""] == DEFAULT_EXCHANGE
    assert topology.declare_exchange(ExchangeSpec(name="", kind="direct")) is None
    for spec in (
        ExchangeSpec(name="", kind="fanout"),
        ExchangeSpec(name="", kind="direct", durable=False),
        ExchangeSpec(name="", kind="direct", unrouted="drop"),
    ):
        with pytest.raises(InvalidArgument, match="the default exchange is always direct and durable"):
            topology.declare_exchange(spec)


def test_a_second_declaration_that_differs_is_refused_with_every_difference() -> None:
    topology = Topology()
    applied(topology, topology.declare_exchange(ExchangeSpec(name="x", kind="direct")))
    with pytest.raises(PreconditionFailed) as refusal:
        topology.declare_exchange(ExchangeSpec(name="x", kind="topic", durable=False, unrouted="drop"))
    assert str(refusal.value) == (
        "exchange 'x' exists with other properties: kind is 'direct', not 'topic'; "
        "durable is True, not False; unrouted is 'return', not 'drop'"
    )


def test_a_queue_is_compared_without_its_serial() -> None:
    topology = Topology()
    spec = QueueSpec(name="q", serial=1)
    applied(topology, topology.declare_queue(spec))
    assert topology.declare_queue(msgspec.structs.replace(spec, serial=2, owner=7)) is None
    with pytest.raises(PreconditionFailed, match=r"queue 'q' .* auto_delete is False, not True"):
        topology.declare_queue(QueueSpec(name="q", auto_delete=True))
    with pytest.raises(PreconditionFailed, match="single_active_consumer is False, not True"):
        topology.declare_queue(QueueSpec(name="q", single_active_consumer=True))


def test_an_exclusive_queue_is_locked_to_its_owner() -> None:
    topology = Topology()
    spec = QueueSpec(name="q", durable=False, exclusive=True, owner=1)
    applied(topology, topology.declare_queue(spec))
    assert topology.declare_queue(spec) is None
    with pytest.raises(ResourceLocked, match="queue 'q' is exclusive to another client"):
        topology.declare_queue(msgspec.structs.replace(spec, owner=2))
    with pytest.raises(PreconditionFailed, match="exclusive is True, not False"):
        topology.declare_queue(msgspec.structs.replace(spec, exclusive=False))


@pytest.mark.parametrize(
    ("policies", "text"),
    [
        ({"dead_letter": "off", "dead_letter_exchange": "x"}, "choose one of the two"),
        ({"dead_letter_routing_key": "k"}, "give both"),
        ({"dead_letter_exchange": "x\n"}, "control character"),
        ({"dead_letter_exchange": "x", "dead_letter_routing_key": "k" * 256}, "limit"),
    ],
)
def test_what_a_queue_says_of_a_dead_letter_exchange_must_make_sense(policies: dict[str, str], text: str) -> None:
    topology = Topology()
    with pytest.raises(InvalidArgument, match=text):
        topology.declare_queue(QueueSpec(name="q", **policies))  # type: ignore[arg-type]
    assert not topology.queues


def test_a_dead_letter_exchange_need_not_exist_and_may_be_the_default_one() -> None:
    topology = Topology()
    for name in ("", "not-yet"):
        spec = QueueSpec(name=f"q-{name}", dead_letter_exchange=name, dead_letter_routing_key="")
        applied(topology, topology.declare_queue(spec))
    with pytest.raises(PreconditionFailed, match="dead_letter_exchange is 'not-yet', not None"):
        topology.declare_queue(QueueSpec(name="q-not-yet", dead_letter_routing_key=None))


def test_an_exchange_of_the_brokers_own_is_led_to_by_nobody_and_stays() -> None:
    topology = Topology()
    topology.apply(TopologyChange(version=1, put_exchanges=(EVENTS_EXCHANGE, ExchangeSpec(name="e", kind="fanout"))))
    own = EVENTS_EXCHANGE.name
    into = BindingSpec(source="e", destination=own, to_exchange=True)
    for refused in (
        lambda: topology.delete_exchange(own),
        lambda: topology.bind(into),
        lambda: topology.declare_exchange(ExchangeSpec(name="f", kind="fanout", unrouted="alternate", alternate=own)),
        lambda: topology.declare_queue(QueueSpec(name="q", dead_letter_exchange=own)),
        lambda: topology.declare_exchange(ExchangeSpec(name="posthouse.other", kind="topic")),
    ):
        with pytest.raises(InvalidArgument):
            refused()  # type: ignore[no-untyped-call]
    assert topology.declare_exchange(EVENTS_EXCHANGE) is None
    topology.apply(TopologyChange(version=2, put_queues=(QueueSpec(name="q"),)))
    assert topology.bind(BindingSpec(source=own, destination="q", key="exited.#")) is not None
