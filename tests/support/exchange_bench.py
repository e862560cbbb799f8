"""An exchange actor on the bench, with a registry that tells the topology, scripted queues and a publisher."""

from __future__ import annotations

from typing import final

from posthouse.actors.actor import Actor, Context
from posthouse.actors.declaration import may_hold
from posthouse.actors.exchange import ExchangeActor
from posthouse.actors.holding import HoldLimits
from posthouse.transport import messages
from posthouse.transport.limits import Limits
from posthouse.transport.messages import (
    Batch,
    BindingSpec,
    ExchangeSpec,
    QueueSpec,
    Receipt,
    TopologyChange,
)
from tests.support.actor_bench import LIMITS, ActorBench, Peer, Setting

TOPOLOGY = TopologyChange(
    version=1,
    is_snapshot=True,
    put_exchanges=(
        ExchangeSpec(name="fan", kind="fanout"),
        ExchangeSpec(name="inner", kind="fanout", internal=True),
        ExchangeSpec(name="colours", kind="headers"),
        ExchangeSpec(name="lossy", kind="direct", unrouted="drop"),
        ExchangeSpec(name="patient", kind="topic", unrouted="hold", serial=9),
        ExchangeSpec(name="brief", kind="topic", unrouted="hold", hold_for_ms=10_000, hold_max_length=5),
        ExchangeSpec(name="fleeting", kind="topic", durable=False, unrouted="hold"),
        ExchangeSpec(name="mourning", kind="topic", unrouted="dead-letter"),
        ExchangeSpec(name="cautious", kind="direct", unrouted="alternate", alternate="patient"),
        ExchangeSpec(name="careful", kind="direct", unrouted="alternate", alternate="fan"),
    ),
    put_queues=(QueueSpec(name="one"), QueueSpec(name="two"), QueueSpec(name="light", durable=False)),
    put_bindings=(
        BindingSpec(source="fan", destination="one"),
        BindingSpec(source="fan", destination="two"),
        BindingSpec(source="colours", destination="one", arguments={"colour": "red"}),
    ),
)


@final
class ExchangeWorld:
    """One exchange with a registry, queues and a publisher."""

    actor: ExchangeActor

    def __init__(
        self, name: str = "", *, knows: bool = True, limits: Limits = LIMITS, hold: HoldLimits | None = None
    ) -> None:
        known = {spec.name: spec for spec in TOPOLOGY.put_exchanges}
        spec = known.get(name, ExchangeSpec(name=name, kind="direct"))
        has_journal = spec.durable and may_hold(spec)

        def make(context: Context) -> Actor:
            self.actor = ExchangeActor(context, spec, hold)
            return self.actor

        self.bench = ActorBench(f"exchange:{name}", make, Setting(has_journal=has_journal, limits=limits))
        self.registry = self.bench.actor("registry")
        if knows:
            self.change(TOPOLOGY)
        self.publisher = self.bench.client("publisher")

    def queue(self, name: str, *, settles: bool = True) -> Peer:
        peer = self.bench.actor(f"queue:{name}")
        peer.settles_at_once = settles
        return peer

    def change(self, change: TopologyChange) -> None:
        self.bench.deliver(self.registry, change)

    def publish(self, *batches: Batch) -> list[messages.Message]:
        return self.bench.deliver(self.publisher, *batches)


def refusal(heard: list[messages.Message]) -> Receipt:
    """The one receipt that refuses."""
    assert len(heard) == 1
    receipt = heard[0]
    assert isinstance(receipt, Receipt)
    assert receipt.code is not None, receipt
    return receipt


def receipts(heard: list[messages.Message]) -> list[Receipt]:
    """Nothing but receipts."""
    found = [message for message in heard if isinstance(message, Receipt)]
    assert len(found) == len(heard)
    return found
