"""The binding table: the bindings of one exchange, ready to be matched; one class per kind of exchange.

`KINDS` is the one place that says which kinds exist. A table is told of bindings one by one, so that the ten
thousandth costs what the first did, and answers which of them a message takes. It never follows a binding.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final, Protocol, final

import msgspec

from posthouse.actors.headers_match import HeadersTable
from posthouse.actors.topic_trie import TopicTrie
from posthouse.transport.messages import BindingSpec
from posthouse.transport.names import shown

BindingId = tuple[str, str, bool, str, bytes]

_encode_in_order = msgspec.msgpack.Encoder(order="deterministic").encode


def identity_of(binding: BindingSpec) -> BindingId:
    """What makes two bindings one: ends, key, and arguments in any order, where none are the same as {}."""
    arguments = _encode_in_order(binding.arguments) if binding.arguments else b""
    return (binding.source, binding.destination, binding.to_exchange, binding.key, arguments)


class BindingTable(Protocol):
    """What every kind of exchange can do with its bindings."""

    def add(self, identity: Hashable, binding: BindingSpec) -> None:
        """Put in a binding. The same identity again changes nothing."""

    def remove(self, identity: Hashable, binding: BindingSpec) -> None:
        """Take out a binding. One that is not there changes nothing."""

    def match(self, routing_key: str, headers: dict[str, Any] | None) -> list[BindingSpec]:
        """The bindings that match, each once, in no particular order."""

    @staticmethod
    def reason(binding: BindingSpec, routing_key: str, headers: dict[str, Any] | None, is_match: bool) -> str:
        """Why the binding matched, or did not, for people."""


@final
class DirectTable:
    """Bindings that want exactly their key."""

    def __init__(self) -> None:
        self._by_key: dict[str, dict[Hashable, BindingSpec]] = {}

    @staticmethod
    def check(binding: BindingSpec) -> None:
        """Every key will do."""

    def add(self, identity: Hashable, binding: BindingSpec) -> None:
        """Put in a binding. The same identity again changes nothing."""
        self._by_key.setdefault(binding.key, {})[identity] = binding

    def remove(self, identity: Hashable, binding: BindingSpec) -> None:
        """Take out a binding. One that is not there changes nothing."""
        bindings = self._by_key.get(binding.key, {})
        if bindings.pop(identity, None) is not None and not bindings:
            del self._by_key[binding.key]

    def match(self, routing_key: str, headers: dict[str, Any] | None) -> list[BindingSpec]:
        """The bindings that match, each once, in no particular order."""
        return list(self._by_key.get(routing_key, {}).values())

    @staticmethod
    def reason(binding: BindingSpec, routing_key: str, headers: dict[str, Any] | None, is_match: bool) -> str:
        """Why the binding matched, or did not."""
        if is_match:
            return f"direct key {shown(routing_key)} is the binding's key"
        return f"direct key {shown(routing_key)} is not {shown(binding.key)}"


@final
class FanoutTable:
    """Bindings that take everything."""

    def __init__(self) -> None:
        self._bindings: dict[Hashable, BindingSpec] = {}

    @staticmethod
    def check(binding: BindingSpec) -> None:
        """Every key will do; none is looked at."""

    def add(self, identity: Hashable, binding: BindingSpec) -> None:
        """Put in a binding. The same identity again changes nothing."""
        self._bindings[identity] = binding

    def remove(self, identity: Hashable, binding: BindingSpec) -> None:
        """Take out a binding. One that is not there changes nothing."""
        self._bindings.pop(identity, None)

    def match(self, routing_key: str, headers: dict[str, Any] | None) -> list[BindingSpec]:
        """All bindings."""
        return list(self._bindings.values())

    @staticmethod
    def reason(binding: BindingSpec, routing_key: str, headers: dict[str, Any] | None, is_match: bool) -> str:
        """Why the binding matched."""
        return "a fanout exchange passes everything to every binding"


@final
class DefaultTable:
    """The bindings nobody makes: the default exchange reaches every queue by its name."""

    def __init__(self, queues: Mapping[str, object]) -> None:
        self._queues = queues

    def add(self, identity: Hashable, binding: BindingSpec) -> None:
        """Never called: the topology refuses to bind the default exchange."""
        raise AssertionError("a binding was made on the default exchange")

    def remove(self, identity: Hashable, binding: BindingSpec) -> None:
        """Never called: the topology refuses to unbind the default exchange."""
        raise AssertionError("a binding was removed from the default exchange")

    def match(self, routing_key: str, headers: dict[str, Any] | None) -> list[BindingSpec]:
        """The one binding to the queue of that name, if it exists."""
        if routing_key not in self._queues:
            return []
        return [BindingSpec(source="", destination=routing_key, key=routing_key)]

    @staticmethod
    def reason(binding: BindingSpec, routing_key: str, headers: dict[str, Any] | None, is_match: bool) -> str:
        """Why the queue is reached."""
        return f"the default exchange passes key {shown(routing_key)} to the queue of that name"


KINDS: Final[dict[str, type[DirectTable | TopicTrie | FanoutTable | HeadersTable]]] = {
    "direct": DirectTable,
    "topic": TopicTrie,
    "fanout": FanoutTable,
    "headers": HeadersTable,
}
"""Every kind of exchange. Each has a static `check(binding)` besides: it refuses what means nothing to that
kind.
"""
