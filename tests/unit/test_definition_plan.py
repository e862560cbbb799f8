"""What a set of definitions would change in a topology: judged one by one, made together or not at all."""

from __future__ import annotations

from posthouse.actors.definition_plan import plan
from posthouse.actors.topology import Topology
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec
from posthouse.transport.messages_definitions import Definitions

WANTED = Definitions(
    exchanges=(ExchangeSpec(name="flights", kind="topic"), ExchangeSpec(name="all", kind="fanout")),
    queues=(QueueSpec(name="ewr", ttl_ms=5),),
    bindings=(
        BindingSpec(source="flights", destination="ewr", key="*.EWR.#"),
        BindingSpec(source="all", destination="flights", to_exchange=True),
    ),
)


def _states(topology: Topology, wanted: Definitions) -> list[str]:
    return [outcome.state for outcome in plan(topology, wanted, last_serial=7, client=1).outcomes]


def test_everything_new_is_one_change_with_serials_of_its_own() -> None:
    drawn = plan(Topology(), WANTED, last_serial=7, client=1)
    assert [(one.what, one.place, one.state) for one in drawn.outcomes] == [
        ("exchange", 0, "created"),
        ("exchange", 1, "created"),
        ("queue", 0, "created"),
        ("binding", 0, "created"),
        ("binding", 1, "created"),
    ]
    assert drawn.change is not None
    assert drawn.change.version == 1
    assert [spec.serial for spec in drawn.change.put_exchanges] == [8, 9]
    assert [spec.serial for spec in drawn.change.put_queues] == [10]
    assert drawn.change.put_bindings == WANTED.bindings


def test_what_is_there_as_described_stays_and_a_second_time_changes_nothing() -> None:
    topology = Topology()
    topology.apply(plan(topology, WANTED, last_serial=0, client=1).change)  # type: ignore[arg-type]
    drawn = plan(topology, WANTED, last_serial=3, client=1)
    assert drawn.change is None
    assert {outcome.state for outcome in drawn.outcomes} == {"existing"}
    more = Definitions(queues=(*WANTED.queues, QueueSpec(name="jfk")))
    drawn = plan(topology, more, last_serial=3, client=1)
    assert [outcome.state for outcome in drawn.outcomes] == ["existing", "created"]
    assert drawn.change is not None
    assert [spec.name for spec in drawn.change.put_queues] == ["jfk"]


def test_one_refusal_refuses_all_and_names_its_reason() -> None:
    topology = Topology()
    topology.apply(plan(topology, WANTED, last_serial=0, client=1).change)  # type: ignore[arg-type]
    version = topology.version
    wanted = Definitions(queues=(QueueSpec(name="new"), QueueSpec(name="ewr", ttl_ms=6)))
    drawn = plan(topology, wanted, last_serial=3, client=1)
    assert drawn.change is None
    assert [outcome.state for outcome in drawn.outcomes] == ["created", "refused"]
    assert drawn.outcomes[1].code == "precondition_failed"
    assert "ttl_ms is 5, not 6" in drawn.outcomes[1].text
    assert (topology.version, "new" in topology.queues) == (version, False)


def test_a_binding_may_lead_from_and_to_what_the_same_definitions_make_and_nowhere_else() -> None:
    wanted = Definitions(
        exchanges=WANTED.exchanges,
        bindings=(BindingSpec(source="all", destination="ewr"), BindingSpec(source="gone", destination="ewr")),
    )
    drawn = plan(Topology(), wanted, last_serial=0, client=1)
    assert [outcome.code for outcome in drawn.outcomes[2:]] == ["unknown_queue", "unknown_exchange"]


def test_the_same_thing_twice_is_made_once_and_twice_otherwise_is_refused() -> None:
    twice = Definitions(queues=(QueueSpec(name="a"), QueueSpec(name="a")))
    assert _states(Topology(), twice) == ["created", "existing"]
    otherwise = Definitions(queues=(QueueSpec(name="a"), QueueSpec(name="a", priority=True)))
    assert _states(Topology(), otherwise) == ["created", "refused"]


def test_names_of_the_broker_and_nonsense_are_refused_as_in_a_declaration() -> None:
    wanted = Definitions(
        exchanges=(ExchangeSpec(name="posthouse.x", kind="topic"), ExchangeSpec(name="x", kind="round")),
        queues=(QueueSpec(name=""), QueueSpec(name="q", overflow="spill")),
    )
    assert _states(Topology(), wanted) == ["refused"] * 4


def test_the_default_exchange_is_there_already() -> None:
    assert _states(Topology(), Definitions(exchanges=(ExchangeSpec(name="", kind="direct"),))) == ["existing"]
