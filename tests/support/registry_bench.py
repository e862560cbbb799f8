"""A registry on the bench: clients that ask it, scripted exchanges and queues that it orders to be started.

The supervisor's part is played on request: `obey` answers every order at once, as if all went well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import msgspec

from posthouse.actors.actor import Actor, Context
from posthouse.actors.registry import RegistryActor
from posthouse.supervisor import control_messages as control
from posthouse.transport.messages import (
    Bind,
    BindingSpec,
    DeclareExchange,
    DeclareQueue,
    ExchangeSpec,
    Failed,
    Message,
    PrepareDelete,
    QueueSpec,
    Reply,
    WatchTopology,
)
from tests.support.actor_bench import ActorBench, Peer, result_of


@final
class RegistryWorld:
    """One registry and the house around it."""

    actor: RegistryActor

    def __init__(self, own_exchanges: tuple[ExchangeSpec, ...] = ()) -> None:
        self.boot = "first"
        self.removed: list[QueueSpec | ExchangeSpec] = []
        self.started: list[control.StartChild] = []
        self.stopped: list[str] = []
        self.announced: list[str] = []
        self.nodes: list[control.NodeInfo] = []
        self.generation = 1

        def make(context: Context) -> Actor:
            self.actor = RegistryActor(
                context, boot=self.boot, remove_journal=self.removed.append, own_exchanges=own_exchanges
            )
            return self.actor

        self.bench = ActorBench("registry", make)
        self.obey()
        self.client = self.bench.client("client", 1)

    # ---- the supervisor ----

    def obey(self) -> None:
        """Carry out every order: children are taken on and are up, those to be stopped are gone."""
        while orders := self.bench.take_orders():
            for order in orders:
                self.carry_out(order)

    def carry_out(self, order: control.FromChild) -> None:
        match order:
            case control.StartChild(request, _, kind, child):
                self.started.append(order)
                self.bench.notice(control.Done(request, True))
                if kind == "queue" and child not in self.bench.actors:
                    self.bench.actor(child, self.generation)
                    return
                self.up(child)
                if kind == "exchange":
                    self.exchange(child.partition(":")[2])
            case control.StopChild(request, child):
                self.stopped.append(child)
                self.bench.actors.pop(child, None)
                self.bench.clients.pop(child, None)
                self.bench.notice(control.Done(request, True))
            case control.DescribeTree(request):
                self.bench.notice(control.Tree(request, self.nodes))
            case control.Announce(text):
                self.announced.append(text)

    def up(self, actor_id: str) -> None:
        self.bench.notice(control.Up(actor_id, self.generation, f"memory://{actor_id}"))

    def crash(self, *, boot: str | None = None, power: bool = False) -> None:
        """The registry ends; with another `boot` the whole broker did."""
        self.boot = boot or self.boot
        self.bench.crash(power=power)
        for peer in self.exchanges():
            peer.say(WatchTopology(1))
        self.bench.run()

    # ---- clients ----

    def ask(self, make: Callable[[int], Message], peer: Peer | None = None, request: int = 1) -> list[Message]:
        """One request, with everything ordered carried out; what the client heard."""
        asker = peer or self.client
        asker.say(make(request))
        self.bench.run()
        self.obey()
        self.bench.run()
        return asker.take_heard()

    def get(self, make: Callable[[int], Message], kind: Any = Any, peer: Peer | None = None) -> Any:
        """The decoded answer to one request."""
        heard = self.ask(make, peer)
        assert len(heard) == 1, heard
        return result_of(heard[0], kind)

    def refused(self, make: Callable[[int], Message], peer: Peer | None = None) -> Failed:
        """The refusal of one request."""
        heard = self.ask(make, peer)
        assert len(heard) == 1, heard
        assert isinstance(heard[0], Failed), heard
        return heard[0]

    def declare(self, *specs: Any) -> None:
        """Make exchanges, queues and bindings."""
        for spec in specs:
            self.get(lambda number, spec=spec: declaration(number, spec))  # type: ignore[misc]

    # ---- actors ----

    def exchange(self, name: str) -> Peer:
        """The living exchange of that name, which watches the topology."""
        peer = self.bench.clients.get(f"exchange:{name}")
        if peer is None:
            peer = self.bench.client(f"exchange:{name}", 0)
            peer.say(WatchTopology(1))
            self.bench.run()
        return peer

    def exchanges(self) -> list[Peer]:
        return [peer for name, peer in self.bench.clients.items() if name.startswith("exchange:")]

    def queue(self, name: str) -> Peer:
        """The scripted queue that lives now."""
        return self.bench.actors[f"queue:{name}"]

    def answer_prepare(self, name: str, count: int = 0) -> None:
        """The queue agrees to be deleted."""
        asked = [heard for heard in self.queue(name).take_heard() if isinstance(heard, PrepareDelete)]
        self.queue(name).say(*(Reply(prepare.request, raw(count)) for prepare in asked))
        self.bench.run()
        self.obey()


def raw(value: Any) -> Any:
    """A value as the result of a reply."""
    return msgspec.Raw(msgspec.msgpack.encode(value))


def declaration(number: int, spec: Any) -> Message:
    """The request that makes what the spec describes."""
    if isinstance(spec, QueueSpec):
        return DeclareQueue(number, spec)
    if isinstance(spec, BindingSpec):
        return Bind(number, spec)
    return DeclareExchange(number, spec)
