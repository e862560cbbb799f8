"""What changed in the topology, and who consumes, as events: declared, deleted, bound, unbound, consumers.

Pure. The registry tells changes, and the whole after each of its lives; what differs from what was known is news. How
many consumers a queue has is read from its page once a second, so those that come and go faster are not seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, final

from posthouse.actors.binding_table import BindingId, identity_of
from posthouse.transport.messages import BindingSpec, TopologyChange
from posthouse.transport.messages_monitor import ActorReading
from posthouse.transport.names import actor_of_exchange, actor_of_queue


class News(NamedTuple):
    """What will become an event."""

    kind: str
    actor: str
    text: str
    severity: str
    fields: dict[str, Any]


@final
class TopologyNews:
    """The topology as it was last told."""

    def __init__(self) -> None:
        self._serials: dict[str, int] | None = None
        self._bindings: dict[BindingId, BindingSpec] = {}

    def told(self, change: TopologyChange) -> list[News]:
        """What is new. The first snapshot is where the telling begins, and no news."""
        if not change.is_snapshot:
            return self._changed(change)
        serials = {actor_of_exchange(spec.name): spec.serial for spec in change.put_exchanges}
        serials |= {actor_of_queue(spec.name): spec.serial for spec in change.put_queues}
        bindings = {identity_of(binding): binding for binding in change.put_bindings}
        known, known_bindings = self._serials, self._bindings
        self._serials, self._bindings = serials, bindings
        if known is None:
            return []
        made = [actor for actor, serial in serials.items() if known.get(actor) != serial]
        gone = [actor for actor, serial in known.items() if serials.get(actor) != serial]
        return [
            *(_bound("unbound", binding) for identity, binding in known_bindings.items() if identity not in bindings),
            *(_declared("deleted", actor) for actor in gone),
            *(_declared("declared", actor) for actor in made),
            *(_bound("bound", binding) for identity, binding in bindings.items() if identity not in known_bindings),
        ]

    def _changed(self, change: TopologyChange) -> list[News]:
        known = self._serials = {} if self._serials is None else self._serials
        news: list[News] = []
        for binding in change.drop_bindings:
            self._bindings.pop(identity_of(binding), None)
            news.append(_bound("unbound", binding))
        gone = [actor_of_queue(name) for name in change.drop_queues]
        gone += [actor_of_exchange(name) for name in change.drop_exchanges]
        for actor in gone:
            known.pop(actor, None)
            news.append(_declared("deleted", actor))
        made = {actor_of_exchange(spec.name): spec.serial for spec in change.put_exchanges}
        made |= {actor_of_queue(spec.name): spec.serial for spec in change.put_queues}
        known |= made
        news += [_declared("declared", actor) for actor in made]
        for binding in change.put_bindings:
            self._bindings[identity_of(binding)] = binding
            news.append(_bound("bound", binding))
        return news


def _declared(kind: str, actor: str) -> News:
    return News(kind, actor, f"{actor} was {kind}", "info", {})


def _bound(kind: str, binding: BindingSpec) -> News:
    """The actor of a binding is its source: what changes is where that sends."""
    source = actor_of_exchange(binding.source)
    to = actor_of_exchange(binding.destination) if binding.to_exchange else actor_of_queue(binding.destination)
    fields: dict[str, Any] = {"to": to, "key": binding.key}
    if binding.arguments:
        # As text: the values of headers may be what JSON has no word for.
        fields["arguments"] = {name: str(value) for name, value in binding.arguments.items()}
    with_key = f" with key {binding.key!r}" if binding.key else ""
    return News(
        kind, source, f"{source} was {kind} {'to' if kind == 'bound' else 'from'} {to}{with_key}", "info", fields
    )


@final
class ConsumerNews:
    """How many consumers each queue had when its page was last read."""

    def __init__(self) -> None:
        self._counts: dict[str, int] | None = None

    def read(self, actors: Iterable[ActorReading]) -> list[News]:
        """Which counts have changed. A queue that lost its last one while messages wait is a warning."""
        known = self._counts
        counts: dict[str, int] = {}
        news: list[News] = []
        for actor in actors:
            # While a queue is rebuilt its page says nothing; its consumers come back with it.
            if actor.kind != "queue" or actor.state != "up" or "consumers" not in actor.values:
                if known is not None and actor.id in known:
                    counts[actor.id] = known[actor.id]
                continue
            now = counts[actor.id] = int(actor.values["consumers"])
            before = 0 if known is None else known.get(actor.id, 0)
            if known is not None and now != before:
                news.append(_consumers(actor, before, now))
        self._counts = counts
        return news


def _consumers(queue: ActorReading, before: int, now: int) -> News:
    ready = int(queue.values.get("ready", 0))
    text = f"{queue.id} has {now or 'no'} consumer{'s' * (now != 1)}, not {before}"
    is_left_alone = not now and ready > 0
    if is_left_alone:
        text += f", and {ready} messages wait"
    severity = "warning" if is_left_alone else "info"
    return News("consumers", queue.id, text, severity, {"before": before, "consumers": now, "ready": ready})
