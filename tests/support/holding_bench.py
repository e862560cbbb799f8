"""An exchange that holds messages on the bench, with scripted queues and a scripted store of dead letters."""

from __future__ import annotations

from posthouse.transport import messages
from posthouse.transport.messages import Batch, BindingSpec, Message, StoreNote, TopologyChange
from posthouse.transport.messages_dead import Bury, Restore
from posthouse.transport.messages_hold import HoldInfo, HoldStatus
from posthouse.transport.names import DEAD_LETTER
from tests.support.actor_bench import Peer, result_of
from tests.support.exchange_bench import TOPOLOGY, ExchangeWorld


def binding(source: str, queue: str, key: str = "#") -> BindingSpec:
    return BindingSpec(source=source, destination=queue, key=key)


def bind(world: ExchangeWorld, version: int, *bindings: BindingSpec) -> None:
    """The topology changes by these bindings."""
    world.change(TopologyChange(version, put_bindings=bindings))


def dead_letters(world: ExchangeWorld, *, settles: bool = True) -> Peer:
    """The store, scripted."""
    peer = world.bench.actor(DEAD_LETTER)
    peer.settles_at_once = settles
    return peer


def begin_again(world: ExchangeWorld, *changes: TopologyChange, power: bool = False) -> None:
    """The exchange dies; its next life is told the topology."""
    world.bench.crash(power=power)
    for change in (TOPOLOGY, *changes):
        world.change(change)


def moved(heard: list[Message]) -> list[Batch]:
    """The batches of restores."""
    found = [messages.decode(message.batch) for message in heard if isinstance(message, Restore)]
    return [batch for batch in found if isinstance(batch, Batch)]


def bodies(heard: list[Message]) -> list[bytes]:
    """Bodies of all batches, restored or direct, a list for each batch joined."""
    found: list[bytes] = []
    for message in heard:
        inner = messages.decode(message.batch) if isinstance(message, Restore | Bury) else message
        if isinstance(inner, Batch):
            found.append(bytes(inner.bodies))
    return found


def burials(heard: list[Message]) -> list[Bury]:
    return [message for message in heard if isinstance(message, Bury)]


def refuse(peer: Peer, first_seq: int, count: int, stream: int, code: str = "queue_full") -> None:
    """The peer cannot take a piece."""
    peer.say(StoreNote(stream, first_seq, count, code, "no room"))


def status(world: ExchangeWorld) -> HoldInfo:
    """What the exchange says it holds."""
    (answer,) = world.bench.deliver(world.publisher, HoldStatus(99))
    info = result_of(answer, HoldInfo)
    assert isinstance(info, HoldInfo)
    return info
