"""The topology: which exchanges, queues and bindings exist, and what may become of them.

An operation checks a request against what exists and answers with the change it would make, or None when all
is as asked already; it never makes the change itself. The owner journals it first and then calls `apply`;
whoever watches applies the same changes in the same order and holds the same topology. A refused operation
(any `Refused`) has changed nothing. A change is complete: it names every binding and exchange that goes with
what is dropped.

Binding costs the same however many bindings there are. Nothing here routes a message or knows who consumes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import final

from posthouse.actors.binding_table import KINDS, BindingId, identity_of
from posthouse.actors.declaration import (
    DEFAULT_EXCHANGE,
    check_exchange,
    check_queue,
    refuse_default,
    refuse_locked,
    refuse_other_properties,
    refuse_own,
    refuse_reserved,
)
from posthouse.transport.errors import PreconditionFailed, UnknownBinding, UnknownExchange, UnknownQueue
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from posthouse.transport.names import check_headers, check_name, check_routing_key, shown

_Destination = tuple[bool, str]
"""The far end of a binding: is it an exchange, and its name."""


@final
class Topology:
    """What exists. `version` and `last_change` are those of the change applied last."""

    def __init__(self) -> None:
        self._clear(0)

    def _clear(self, version: int) -> None:
        self.version = version
        self.last_change: TopologyChange | None = None
        self._exchanges: dict[str, ExchangeSpec] = {DEFAULT_EXCHANGE.name: DEFAULT_EXCHANGE}
        self._queues: dict[str, QueueSpec] = {}
        self._by_source: dict[str, dict[BindingId, BindingSpec]] = {}
        self._by_destination: dict[_Destination, dict[BindingId, BindingSpec]] = {}
        self.exchanges: Mapping[str, ExchangeSpec] = MappingProxyType(self._exchanges)
        self.queues: Mapping[str, QueueSpec] = MappingProxyType(self._queues)

    # ---- looking ----

    def bindings(self) -> Iterator[BindingSpec]:
        """Every binding, grouped by source."""
        for bindings in self._by_source.values():
            yield from bindings.values()

    def bindings_from(self, exchange: str) -> Mapping[BindingId, BindingSpec]:
        """The bindings whose source is this exchange, by identity, in the order in which they were made."""
        return MappingProxyType(self._by_source.get(exchange, {}))

    def bindings_to(self, name: str, *, to_exchange: bool = False) -> Mapping[BindingId, BindingSpec]:
        """The bindings that lead to this queue, or to this exchange."""
        return MappingProxyType(self._by_destination.get((to_exchange, name), {}))

    def snapshot(self) -> TopologyChange:
        """Everything as one change, to be applied to nothing."""
        return TopologyChange(
            version=self.version,
            is_snapshot=True,
            put_exchanges=tuple(spec for name, spec in self._exchanges.items() if name),
            put_queues=tuple(self._queues.values()),
            put_bindings=tuple(self.bindings()),
        )

    # ---- declaring ----

    def declare_exchange(self, spec: ExchangeSpec) -> TopologyChange | None:
        """The exchange as described: made, or found to be so.

        Raises InvalidArgument for what no exchange can be, PreconditionFailed when it exists with other
        properties.
        """
        check_exchange(spec)
        existing = self._exchanges.get(spec.name)
        if existing is not None:
            refuse_other_properties("exchange", existing, spec)
            return None
        refuse_reserved("exchange", spec.name)
        return TopologyChange(version=self.version + 1, put_exchanges=(spec,))

    def declare_queue(self, spec: QueueSpec, *, named_by_broker: bool = False) -> TopologyChange | None:
        """The queue as described: made, or found to be so. `serial` is not compared.

        Raises InvalidArgument for a name no queue can have, ResourceLocked when the queue is exclusive to
        another client, PreconditionFailed when it exists with other properties.
        """
        check_name("queue", spec.name)
        check_queue(spec)
        existing = self._queues.get(spec.name)
        if existing is not None:
            refuse_locked(existing, spec.owner)
            refuse_other_properties("queue", existing, spec)
            return None
        if not named_by_broker:
            refuse_reserved("queue", spec.name)
        return TopologyChange(version=self.version + 1, put_queues=(spec,))

    # ---- deleting ----

    def delete_exchange(self, name: str, if_unused: bool = False) -> TopologyChange:
        """The exchange gone, with its bindings in both directions. One that had it as alternate stays as it
        is.

        Raises UnknownExchange, InvalidArgument for the default exchange, and PreconditionFailed when it has
        bindings as a source and `if_unused` was asked.
        """
        self._known_exchange(name)
        refuse_default(name, "cannot be deleted")
        refuse_own(name, "cannot be deleted")
        used = len(self.bindings_from(name))
        if if_unused and used:
            raise PreconditionFailed(f"exchange {shown(name)} is in use: {used} bindings lead from it")
        return self._dropped(exchanges=(name,))

    def delete_queue(self, name: str, *, client: int | None = None) -> TopologyChange:
        """The queue gone, with its bindings. `client` is who asks; None is the broker itself.

        Raises UnknownQueue, and ResourceLocked when the queue is exclusive to another client.
        """
        refuse_locked(self._known_queue(name), client)
        return self._dropped(queues=(name,))

    # ---- binding ----

    def bind(self, binding: BindingSpec, *, client: int | None = None) -> TopologyChange | None:
        """The binding made, or found to be there.

        Key and arguments are part of its identity even where the kind of exchange does not look at them.
        Raises UnknownExchange, UnknownQueue, ResourceLocked, and InvalidArgument for the default exchange or
        for a key or arguments that the kind of exchange refuses.
        """
        source = self._check_ends(binding, client)
        KINDS[source.kind].check(binding)
        if identity_of(binding) in self.bindings_from(binding.source):
            return None
        return TopologyChange(version=self.version + 1, put_bindings=(binding,))

    def unbind(self, binding: BindingSpec, *, client: int | None = None) -> TopologyChange:
        """The binding gone, and its source too if that is auto-delete and this was its last.

        Raises UnknownBinding besides what `bind` raises.
        """
        self._check_ends(binding, client)
        existing = self.bindings_from(binding.source).get(identity_of(binding))
        if existing is None:
            kind = "exchange" if binding.to_exchange else "queue"
            raise UnknownBinding(
                f"no binding leads from exchange {shown(binding.source)} to {kind} "
                f"{shown(binding.destination)} with key {shown(binding.key)} and arguments "
                f"{shown(binding.arguments or {})}"
            )
        return self._dropped(bindings=(existing,))

    # ---- changing ----

    def apply(self, change: TopologyChange) -> bool:
        """Make the change. False when it is not newer than what is here, which happens to one that crosses a
        snapshot.

        A gap in the versions means that a change was lost on the way: that is our own fault and an assertion.
        """
        if change.is_snapshot:
            self._clear(change.version)
        elif change.version <= self.version:
            return False
        elif change.version != self.version + 1:
            raise AssertionError(f"topology change {change.version} came after {self.version}")
        self.version = change.version
        self.last_change = change
        for binding in change.drop_bindings:
            self._remove(binding)
        for name in change.drop_queues:
            del self._queues[name]
        for name in change.drop_exchanges:
            del self._exchanges[name]
        self._exchanges.update((spec.name, spec) for spec in change.put_exchanges)
        self._queues.update((spec.name, spec) for spec in change.put_queues)
        for binding in change.put_bindings:
            self._put(binding)
        return True

    def drop_transient(self) -> TopologyChange | None:
        """Drop what does not outlive the broker, with its bindings; returns the change made, None if there
        was nothing.

        Unlike the other operations it takes effect at once: the journal's mark of a new boot stands for it,
        so that replay does the same at the same place.
        """
        queues = tuple(name for name, queue in self._queues.items() if not queue.durable or queue.exclusive)
        exchanges = tuple(name for name, exchange in self._exchanges.items() if not exchange.durable)
        if not exchanges and not queues:
            return None
        change = self._dropped(exchanges, queues)
        self.apply(change)
        return change

    def _put(self, binding: BindingSpec) -> None:
        identity = identity_of(binding)
        self._by_source.setdefault(binding.source, {})[identity] = binding
        self._by_destination.setdefault((binding.to_exchange, binding.destination), {})[identity] = binding

    def _remove(self, binding: BindingSpec) -> None:
        identity = identity_of(binding)
        destination = (binding.to_exchange, binding.destination)
        del self._by_source[binding.source][identity]
        if not self._by_source[binding.source]:
            del self._by_source[binding.source]
        del self._by_destination[destination][identity]
        if not self._by_destination[destination]:
            del self._by_destination[destination]

    def _dropped(
        self,
        exchanges: tuple[str, ...] = (),
        queues: tuple[str, ...] = (),
        bindings: tuple[BindingSpec, ...] = (),
    ) -> TopologyChange:
        """The change that drops these and all that must go with them.

        Every dropped binding may be the last of an auto-delete exchange, which then goes too, and with it the
        bindings that lead to it, and so on. One that never had a binding as a source stays.
        """
        gone: dict[BindingId, BindingSpec] = {}
        left: dict[str, int] = {}
        doomed = dict.fromkeys(exchanges)

        def drop(lost: Iterable[tuple[BindingId, BindingSpec]]) -> None:
            for identity, binding in lost:
                if identity in gone:
                    continue
                gone[identity] = binding
                source = binding.source
                left[source] = left.get(source, len(self._by_source[source])) - 1
                if not left[source] and self._exchanges[source].auto_delete:
                    doomed[source] = None
                    work.append(source)

        work = list(exchanges)
        drop((identity_of(binding), binding) for binding in bindings)
        for name in queues:
            drop(self.bindings_to(name).items())
        while work:
            name = work.pop()
            drop(self.bindings_from(name).items())
            drop(self.bindings_to(name, to_exchange=True).items())
        return TopologyChange(
            version=self.version + 1,
            drop_exchanges=tuple(doomed),
            drop_queues=queues,
            drop_bindings=tuple(gone.values()),
        )

    # ---- checking ----

    def _check_ends(self, binding: BindingSpec, client: int | None) -> ExchangeSpec:
        source = self._known_exchange(binding.source)
        refuse_default(binding.source, "has its bindings by itself: every queue by its name")
        if binding.to_exchange:
            self._known_exchange(binding.destination)
            refuse_default(binding.destination, "cannot be bound to")
            refuse_own(binding.destination, "takes messages of nobody else")
        else:
            refuse_locked(self._known_queue(binding.destination), client)
        check_routing_key(binding.key)
        check_headers(binding.arguments)
        return source

    def _known_exchange(self, name: str) -> ExchangeSpec:
        spec = self._exchanges.get(name)
        if spec is None:
            raise UnknownExchange(f"no exchange is named {shown(name)}; declare it first")
        return spec

    def _known_queue(self, name: str) -> QueueSpec:
        spec = self._queues.get(name)
        if spec is None:
            raise UnknownQueue(f"no queue is named {shown(name)}; declare it first")
        return spec
