"""The headers match: decides by a message's headers which bindings of a headers exchange take it.

A binding names headers and the values they must have; `x-match` says whether all of them or any one is
enough. What counts as equal is decided here and nowhere else: booleans and strings only equal their own kind,
numbers are compared by value, a binding value of None only asks that the header exists. RabbitMQ's reading
(rabbit_exchange_type_headers.erl), checked against a live one by tests/golden/routing_vectors.json. It knows
nothing of routing keys.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Final, final

from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages import BindingSpec
from posthouse.transport.names import shown

MATCH_MODES: Final = ("all", "any", "all-with-x", "any-with-x")
"""The values of `x-match`; the first is the default. Without `-with-x`, names in `x-` do not count."""

_MATCH: Final = "x-match"

_PRESENT: Final = object()
"""In an index slot: the header exists, whatever its value."""

_Slot = tuple[str, object, object]


def mode_of(arguments: dict[str, Any] | None) -> str:
    """The `x-match` of a binding. Raises InvalidArgument when it is none of MATCH_MODES."""
    mode = MATCH_MODES[0] if arguments is None else arguments.get(_MATCH, MATCH_MODES[0])
    if type(mode) is not str or mode not in MATCH_MODES:
        raise InvalidArgument(f"x-match is {shown(mode)}; allowed are {', '.join(map(repr, MATCH_MODES))}")
    return mode


def is_equal(wanted: object, value: object) -> bool:
    """Are two header values the same, deeply? `True` and `"1"` are not 1, `b"x"` is not `"x"`; 1.0 is 1."""
    if isinstance(wanted, bool) or isinstance(value, bool):
        return wanted is value
    if isinstance(wanted, int | float):
        return isinstance(value, int | float) and wanted == value
    if isinstance(wanted, list):
        return (
            isinstance(value, list)
            and len(wanted) == len(value)
            and all(is_equal(*pair) for pair in zip(wanted, value, strict=True))
        )
    if isinstance(wanted, dict):
        return (
            isinstance(value, dict)
            and wanted.keys() == value.keys()
            and all(is_equal(inner, value[name]) for name, inner in wanted.items())
        )
    return type(wanted) is type(value) and wanted == value


@final
class HeadersMatch:
    """The arguments of one binding, ready to be held against headers."""

    __slots__ = ("is_any", "wanted")

    def __init__(self, arguments: dict[str, Any] | None) -> None:
        mode = mode_of(arguments)
        with_x = mode.endswith("-with-x")
        self.is_any = mode.startswith("any")
        self.wanted: dict[str, Any] = {
            name: value
            for name, value in (arguments or {}).items()
            if name != _MATCH and (with_x or not name.startswith("x-"))
        }

    def matches(self, headers: dict[str, Any]) -> bool:
        """Do these headers match? With nothing wanted `all` always does and `any` never does."""
        for name, wanted in self.wanted.items():
            if (name in headers and (wanted is None or is_equal(wanted, headers[name]))) is self.is_any:
                return self.is_any
        return not self.is_any

    def reason(self, headers: dict[str, Any], is_match: bool) -> str:
        """Why these headers matched, or did not: the first header that decided it."""
        if not self.wanted:
            mode = "any" if self.is_any else "all"
            return f"the binding wants no header: x-match {mode} takes {'everything' if is_match else 'nothing'}"
        if is_match and not self.is_any:
            return f"every header the binding wants is as wanted: {', '.join(self.wanted)}"
        if self.is_any and not is_match:
            return f"no header is as the binding wants: {', '.join(self.wanted)}"
        name = next(name for name in self.wanted if self._is_as_wanted(name, headers) is is_match)
        wanted = self.wanted[name]
        have = f"header {name} is {shown(headers[name])}" if name in headers else f"header {name} is missing"
        if is_match:
            return f"{have}, which is one that the binding wants"
        return f"{have}, the binding wants {'any value' if wanted is None else shown(wanted)}"

    def _is_as_wanted(self, name: str, headers: dict[str, Any]) -> bool:
        wanted = self.wanted[name]
        return name in headers and (wanted is None or is_equal(wanted, headers[name]))


@final
class _Entry:
    __slots__ = ("binding", "match", "slots")

    def __init__(self, binding: BindingSpec, match: HeadersMatch, slots: tuple[_Slot, ...]) -> None:
        self.binding = binding
        self.match = match
        self.slots = slots


@final
class HeadersTable:
    """The bindings of one headers exchange, indexed by what they want.

    RabbitMQ holds every binding against every message. Here a binding waits in the slots `(header, value)`
    that could make it match: `all` in one of them, the emptiest, `any` in each. A message looks only into its
    own slots.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, _Entry] = {}
        self._slots: dict[_Slot, dict[Hashable, _Entry]] = {}
        self._always: dict[Hashable, BindingSpec] = {}

    @staticmethod
    def check(binding: BindingSpec) -> None:
        """Refuse an unknown `x-match`."""
        mode_of(binding.arguments)

    def add(self, identity: Hashable, binding: BindingSpec) -> None:
        """Put in a binding. The same identity again changes nothing."""
        if identity in self._entries:
            return
        match = HeadersMatch(binding.arguments)
        slots = tuple(_slot_of(name, wanted) for name, wanted in match.wanted.items())
        if not match.is_any and slots:
            slots = (min(slots, key=lambda slot: len(self._slots.get(slot, ()))),)
        entry = self._entries[identity] = _Entry(binding, match, slots)
        for slot in slots:
            self._slots.setdefault(slot, {})[identity] = entry
        if not match.is_any and not slots:
            self._always[identity] = binding

    def remove(self, identity: Hashable, binding: BindingSpec) -> None:
        """Take out a binding. One that is not there changes nothing."""
        entry = self._entries.pop(identity, None)
        if entry is None:
            return
        self._always.pop(identity, None)
        for slot in entry.slots:
            waiting = self._slots[slot]
            del waiting[identity]
            if not waiting:
                del self._slots[slot]

    def match(self, routing_key: str, headers: dict[str, Any] | None) -> list[BindingSpec]:
        """The bindings that match, each once, in no particular order. No headers are like empty ones."""
        found = dict(self._always)
        if headers:
            for slot in _slots_of(headers):
                for identity, entry in self._slots.get(slot, {}).items():
                    if identity not in found and entry.match.matches(headers):
                        found[identity] = entry.binding
        return list(found.values())

    @staticmethod
    def reason(binding: BindingSpec, routing_key: str, headers: dict[str, Any] | None, is_match: bool) -> str:
        """Why the binding matched, or did not."""
        return HeadersMatch(binding.arguments).reason(headers or {}, is_match)


def _slot_of(name: str, wanted: object) -> _Slot:
    """Where a wanted value waits. What has no hash to go with `is_equal` waits for the header as such."""
    if isinstance(wanted, bool):
        return (name, bool, wanted)
    if isinstance(wanted, int | float):
        return (name, int, wanted)
    if isinstance(wanted, str | bytes):
        return (name, type(wanted), wanted)
    return (name, _PRESENT, None)


def _slots_of(headers: dict[str, Any]) -> Iterator[_Slot]:
    for name, value in headers.items():
        present = (name, _PRESENT, None)
        slot = _slot_of(name, value)
        yield present
        if slot != present:
            yield slot
