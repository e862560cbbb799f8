"""The router: for one exchange, which queues a message goes to.

It walks from its exchange along the bindings that match, through other exchanges too, each exchange at most
once, so that circles end and every queue is named once however many paths lead to it. An exchange none of
whose bindings matched hands the message to its alternate. RabbitMQ's rules (rabbit_exchange.erl: route1,
process_alternate).

It reads a topology that somebody else changes and must be told with `refresh` after each change. Routes are
remembered until then, within bounds. It sends nothing, and does not know whether a queue lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, final

import msgspec

from posthouse.actors.binding_table import KINDS, BindingId, BindingTable, DefaultTable, identity_of
from posthouse.actors.declaration import DEFAULT_EXCHANGE
from posthouse.actors.route_ledger import RouteLedger
from posthouse.actors.topology import Topology
from posthouse.transport.errors import UnknownExchange
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import BindingSpec, ExchangeSpec, TopologyChange
from posthouse.transport.names import check_headers, check_routing_key, decode_headers, shown

REMEMBERED_ROUTES_MAX: Final = 10_000
REMEMBERED_QUEUES_MAX: Final = 1_000_000
"""Routes are forgotten, all at once, when they are so many or name so many queues (8 MB of pointers)."""

REMEMBERED_HEADERS_BYTES_MAX: Final = 1_024
"""Larger headers are matched each time: 10,000 remembered ones of 64 KiB would be 640 MB."""


@final
class Route(msgspec.Struct, frozen=True):
    """Where a message goes: the queues, sorted. With none, `fallback` is the policy for it; else it is "none", or
    "alternate" where only an alternate of the exchange knew them.
    """

    queues: tuple[str, ...]
    fallback: str = "none"


@final
class _Stop:
    """One exchange on the way, compiled when first passed. `onward` are its bindings to exchanges."""

    __slots__ = ("onward", "spec", "table")

    def __init__(self, topology: Topology, spec: ExchangeSpec) -> None:
        self.spec = spec
        self.onward: dict[BindingId, str] = {}
        self.table: BindingTable
        if spec.name == DEFAULT_EXCHANGE.name:
            self.table = DefaultTable(topology.queues)
        else:
            self.table = KINDS[spec.kind]()
        for identity, binding in topology.bindings_from(spec.name).items():
            self.add(identity, binding)

    def add(self, identity: BindingId, binding: BindingSpec) -> None:
        self.table.add(identity, binding)
        if binding.to_exchange:
            self.onward[identity] = binding.destination

    def remove(self, identity: BindingId, binding: BindingSpec) -> None:
        self.table.remove(identity, binding)
        self.onward.pop(identity, None)


_Visit = Callable[[ExchangeSpec, list[BindingSpec], bool], None]
"""Told of each exchange on the way: what matched there, and whether its alternate is asked next."""


@final
class Router:
    """Routes for one exchange of a topology."""

    def __init__(self, topology: Topology, exchange: str) -> None:
        self._topology = topology
        self._exchange = exchange
        self._version = topology.version
        self._stops: dict[str, _Stop] = {}
        self._by_key: dict[str, Route] = {}
        self._by_key_and_headers: dict[tuple[str, bytes], Route] = {}
        self._remembered_queues = 0
        self._reads_headers: bool | None = None

    def refresh(self) -> bool:
        """The topology has changed; returns whether any route may differ.

        Called after every change it costs what changed; after several at once, or a snapshot, all is compiled
        anew. A change elsewhere in the topology leaves the remembered routes alone.
        """
        known, change = self._version, self._topology.last_change
        if change is None or (change.version == known and not change.is_snapshot):
            return False
        self._version = change.version
        if change.is_snapshot or change.version != known + 1:
            self._stops.clear()
        elif not self._follow(change):
            return False
        self._forget()
        return True

    def route(self, routing_key: str, headers: dict[str, Any] | None = None) -> Route:
        """The route of a message. Raises UnknownExchange when the exchange itself is gone."""
        route = self._by_key.get(routing_key)
        if route is not None:
            return route
        route = self._resolve(routing_key, headers)
        if not self._needs_headers():
            self._remember(self._by_key, routing_key, route)
        return route

    def route_raw(self, routing_key: str, headers: msgspec.Raw) -> Route:
        """The route of a message whose headers are still encoded; decoded only if some binding may ask.

        Raises InvalidArgument for headers that are none, UnknownExchange when the exchange itself is gone.
        """
        route = self._by_key.get(routing_key)
        if route is not None:
            return route
        if not self._needs_headers():
            return self.route(routing_key)
        key = (routing_key, bytes(headers))
        route = self._by_key_and_headers.get(key)
        if route is None:
            route = self._resolve(routing_key, decode_headers(headers))
            if len(key[1]) <= REMEMBERED_HEADERS_BYTES_MAX:
                self._remember(self._by_key_and_headers, key, route)
        return route

    def explain(self, routing_key: str, headers: dict[str, Any] | None = None) -> Explanation:
        """What would happen to a message, and why, binding by binding."""
        check_routing_key(routing_key)
        check_headers(headers)
        ledger = RouteLedger()
        notes: list[str] = []

        def visit(spec: ExchangeSpec, matched: list[BindingSpec], goes_on: bool) -> None:
            reason = self._stops[spec.name].table.reason
            identities = set(map(identity_of, matched))
            for binding in matched:
                ledger.add(binding, reason(binding, routing_key, headers, True), is_match=True)
            for identity, binding in self._topology.bindings_from(spec.name).items():
                if identity not in identities:
                    ledger.add(binding, reason(binding, routing_key, headers, False), is_match=False)
            if not matched:
                notes.append(self._note(spec, routing_key, goes_on))

        route = self._resolve(routing_key, headers, visit)
        return Explanation(
            exchange=self._exchange,
            routing_key=routing_key,
            queues=list(route.queues),
            matched=ledger.matched,
            unmatched=ledger.unmatched,
            matched_count=ledger.matched_count,
            unmatched_count=ledger.unmatched_count,
            unrouted=None if route.queues else route.fallback,
            notes=notes,
        )

    # ---- walking ----

    def _resolve(self, routing_key: str, headers: dict[str, Any] | None, visit: _Visit | None = None) -> Route:
        """Walk from the exchange along what matches.

        What ends unrouted falls to the policy of the exchange it was published to or, where that says
        `alternate`, to the policy of the last alternate that was asked in turn. Where that leads nowhere, it
        is returned.
        """
        exchanges = self._topology.exchanges
        if self._exchange not in exchanges:
            raise UnknownExchange(f"no exchange is named {shown(self._exchange)}; it was deleted")
        last = self._exchange
        queues: set[str] = set()
        seen = {last}
        work = [last]
        while work:
            name = work.pop()
            stop = self._stop(name)
            matched = stop.table.match(routing_key, headers)
            for binding in matched:
                if not binding.to_exchange:
                    queues.add(binding.destination)
                elif binding.destination not in seen:
                    seen.add(binding.destination)
                    work.append(binding.destination)
            alternate = None if matched else stop.spec.alternate
            if alternate is None or alternate not in exchanges or alternate in seen:
                alternate = None
            else:
                seen.add(alternate)
                work.append(alternate)
                if name == last:
                    last = alternate
            if visit is not None:
                visit(stop.spec, matched, alternate is not None)
        if queues:
            return Route(tuple(sorted(queues)), "none" if last == self._exchange else "alternate")
        policy = exchanges[last].unrouted
        return Route((), "return" if policy == "alternate" else policy)

    def _stop(self, name: str) -> _Stop:
        stop = self._stops.get(name)
        if stop is None:
            stop = self._stops[name] = _Stop(self._topology, self._topology.exchanges[name])
        return stop

    def _note(self, spec: ExchangeSpec, routing_key: str, goes_on: bool) -> str:
        """What happens where no binding of an exchange matched."""
        if spec.name == DEFAULT_EXCHANGE.name:
            return f"no queue is named {shown(routing_key)}, and the default exchange knows no other key"
        nothing = f"no binding of exchange {shown(spec.name)} matches"
        if spec.alternate is None:
            return nothing
        alternate = f"its alternate {shown(spec.alternate)}"
        if goes_on:
            return f"{nothing}, so {alternate} is asked"
        is_there = spec.alternate in self._topology.exchanges
        return f"{nothing}, and {alternate} {'was asked already' if is_there else 'does not exist'}"

    # ---- following the topology ----

    def _follow(self, change: TopologyChange) -> bool:
        """Take over one change; False if no route can differ."""
        concerns = bool(change.put_exchanges or change.drop_exchanges)
        if change.put_queues or change.drop_queues:
            concerns = concerns or DEFAULT_EXCHANGE.name in self._stops
        for binding in change.drop_bindings:
            stop = self._stops.get(binding.source)
            if stop is not None:
                stop.remove(identity_of(binding), binding)
                concerns = True
        for name in (*change.drop_exchanges, *(spec.name for spec in change.put_exchanges)):
            self._stops.pop(name, None)
        for binding in change.put_bindings:
            stop = self._stops.get(binding.source)
            if stop is not None:
                stop.add(identity_of(binding), binding)
                concerns = True
        return concerns

    def _needs_headers(self) -> bool:
        """Can a message reach an exchange that looks at headers? If not, its key alone decides the route."""
        if self._reads_headers is None:
            self._reads_headers = any(self._topology.exchanges[name].kind == "headers" for name in self._reachable())
        return self._reads_headers

    def _reachable(self) -> set[str]:
        exchanges = self._topology.exchanges
        seen = {self._exchange} & exchanges.keys()
        work = list(seen)
        while work:
            stop = self._stop(work.pop())
            onward = set(stop.onward.values())
            alternate = stop.spec.alternate
            if alternate is not None and alternate in exchanges:
                onward.add(alternate)
            work.extend(onward - seen)
            seen |= onward
        return seen

    # ---- remembering ----

    def _remember(self, memory: dict[Any, Route], key: object, route: Route) -> None:
        self._remembered_queues += len(route.queues)
        if len(memory) >= REMEMBERED_ROUTES_MAX or self._remembered_queues > REMEMBERED_QUEUES_MAX:
            self._by_key.clear()
            self._by_key_and_headers.clear()
            self._remembered_queues = len(route.queues)
        memory[key] = route

    def _forget(self) -> None:
        self._by_key.clear()
        self._by_key_and_headers.clear()
        self._remembered_queues = 0
        self._reads_headers = None
