"""The declaration: what an exchange or queue may be declared as, and when a second one asks for the same.

Every check refuses with the error its name promises and otherwise returns nothing. It looks at one
declaration, and at the one that exists; it does not know what else exists.
"""

from __future__ import annotations

from typing import Final

from posthouse.actors.binding_table import KINDS
from posthouse.actors.breaker import check_breaker
from posthouse.actors.retry import DELAY_MS_MAX, check_retry
from posthouse.transport.errors import InvalidArgument, PreconditionFailed, ResourceLocked
from posthouse.transport.messages import ExchangeSpec, QueueSpec
from posthouse.transport.names import EVENTS, check_name, check_routing_key, shown

DEFAULT_EXCHANGE: Final = ExchangeSpec(name="", kind="direct")
"""Always there; every queue is bound to it by its own name."""

EVENTS_EXCHANGE: Final = ExchangeSpec(name=EVENTS, kind="topic", internal=True, unrouted="drop")
"""The broker's own: it declares it, and alone publishes to it."""

RESERVED_PREFIXES: Final = ("amq.", "posthouse.")
"""Names that only the broker gives."""

UNROUTED_POLICIES: Final = ("hold", "dead-letter", "alternate", "return", "drop")
"""What an exchange may do with what no queue wants."""

HOLD_FOR_MS_MAX: Final = 10 * 366 * 24 * 60 * 60 * 1000
HOLD_LENGTH_MAX: Final = 100_000_000
HOLD_BYTES_MAX: Final = 1 << 40

DEAD_LETTER_POLICIES: Final = ("store", "off")
"""Where messages go that cannot be handled: the dead-letter store, or nowhere."""

OVERFLOWS: Final = ("drop-head", "reject-publish", "dead-letter")
"""What a queue does with what is too much; the first is the default."""

_NOT_COMPARED: Final = frozenset(("name", "owner", "serial"))
"""Names are how the two were found; `serial` is the broker's, and who owns a queue is checked apart."""


def check_exchange(spec: ExchangeSpec) -> None:
    """Refuse what no exchange can be. The default exchange may be declared as what it is."""
    check_name("exchange", spec.name, may_be_empty=True)
    if spec == DEFAULT_EXCHANGE:
        return
    refuse_default(spec.name, f"is always {DEFAULT_EXCHANGE.kind} and durable and cannot be declared otherwise")
    if spec.kind not in KINDS:
        raise InvalidArgument(f"the exchange kind {shown(spec.kind)} does not exist; there are: {', '.join(KINDS)}")
    if spec.unrouted not in UNROUTED_POLICIES:
        served = ", ".join(UNROUTED_POLICIES)
        raise InvalidArgument(f"the unrouted policy {shown(spec.unrouted)} does not exist; there are: {served}")
    if spec.alternate is not None:
        check_name("alternate exchange", spec.alternate, may_be_empty=True)
        refuse_own(spec.alternate, "is nobody's alternate")
    if (spec.unrouted == "alternate") != (spec.alternate is not None):
        raise InvalidArgument(
            f"exchange {shown(spec.name)} has the unrouted policy {spec.unrouted!r} and the alternate "
            f"{shown(spec.alternate)}; the policy 'alternate' and the name of an alternate need each other"
        )
    _check_hold(spec)


def may_hold(spec: ExchangeSpec) -> bool:
    """Can it come to hold messages, by its own policy or by that of an alternate?"""
    return spec.unrouted in ("hold", "dead-letter", "alternate") and not spec.auto_delete


def _check_hold(spec: ExchangeSpec) -> None:
    if spec.auto_delete and spec.unrouted in ("hold", "dead-letter"):
        raise InvalidArgument(
            f"exchange {shown(spec.name)} goes by itself with its last binding (auto_delete), and what it held for "
            f"others would go too; choose another unrouted policy than {spec.unrouted!r}, or no auto_delete"
        )
    bounds = (
        ("hold_for_s", spec.hold_for_ms, HOLD_FOR_MS_MAX, "a millisecond to ten years"),
        ("hold_max_length", spec.hold_max_length, HOLD_LENGTH_MAX, f"1 to {HOLD_LENGTH_MAX} messages"),
        ("hold_max_bytes", spec.hold_max_bytes, HOLD_BYTES_MAX, "a byte to a TiB"),
    )
    for name, value, highest, allowed in bounds:
        if value is None:
            continue
        if not may_hold(spec):
            raise InvalidArgument(
                f"{name} bounds what an exchange holds, and with unrouted={spec.unrouted!r} it does not"
            )
        if not 1 <= value <= highest:
            raise InvalidArgument(f"{name} of exchange {shown(spec.name)} is out of range; it is {allowed}")


def check_queue(spec: QueueSpec) -> None:
    """Refuse policies that no queue can have, or that contradict each other. The name is checked elsewhere."""
    check_retry(spec.retry)
    if spec.breaker is not None:
        check_breaker(spec.breaker)
    if spec.dead_letter not in DEAD_LETTER_POLICIES:
        raise InvalidArgument(
            f"the dead-letter policy {shown(spec.dead_letter)} does not exist; there are: "
            f"{', '.join(DEAD_LETTER_POLICIES)}"
        )
    if spec.overflow not in OVERFLOWS:
        raise InvalidArgument(
            f"the overflow policy {shown(spec.overflow)} does not exist; there are: {', '.join(OVERFLOWS)}"
        )
    for name in ("ack_timeout_ms", "ttl_ms", "expires_ms", "max_length", "max_bytes"):
        value = getattr(spec, name)
        if value is not None and not 1 <= value <= DELAY_MS_MAX:
            raise InvalidArgument(f"{name} of queue {shown(spec.name)} is {value}; it is 1 to {DELAY_MS_MAX}, or None")
    if spec.overflow != OVERFLOWS[0] and spec.max_length is None and spec.max_bytes is None:
        raise InvalidArgument(
            f"queue {shown(spec.name)} has the overflow policy {spec.overflow!r} and no limit; "
            "give max_length or max_bytes"
        )
    if spec.overflow == "dead-letter" and spec.dead_letter == "off":
        raise InvalidArgument(
            f"queue {shown(spec.name)} sends what is too much to the dead letters, and has dead letters off"
        )
    _check_dead_letter_exchange(spec)


def _check_dead_letter_exchange(spec: QueueSpec) -> None:
    """The exchange need not exist: it may come later, and until then the store has what dies."""
    if spec.dead_letter_exchange is None:
        if spec.dead_letter_routing_key is not None:
            raise InvalidArgument(
                f"queue {shown(spec.name)} has a dead_letter_routing_key and no dead_letter_exchange; give both"
            )
        return
    check_name("dead-letter exchange", spec.dead_letter_exchange, may_be_empty=True)
    refuse_own(spec.dead_letter_exchange, "takes no dead letters")
    if spec.dead_letter_routing_key is not None:
        check_routing_key(spec.dead_letter_routing_key)
    if spec.dead_letter == "off":
        raise InvalidArgument(
            f"queue {shown(spec.name)} has a dead_letter_exchange and dead letters off; choose one of the two"
        )


def refuse_other_properties(what: str, existing: ExchangeSpec | QueueSpec, asked: ExchangeSpec | QueueSpec) -> None:
    """Refuse a second declaration that differs, naming every property that does, with both values."""
    differences = [
        f"{field} is {shown(getattr(existing, field))}, not {shown(getattr(asked, field))}"
        for field in existing.__struct_fields__
        if field not in _NOT_COMPARED and getattr(existing, field) != getattr(asked, field)
    ]
    if differences:
        raise PreconditionFailed(
            f"{what} {shown(existing.name)} exists with other properties: {'; '.join(differences)}"
        )


def refuse_reserved(what: str, name: str) -> None:
    """Refuse to make something under a name that only the broker gives."""
    if name.startswith(RESERVED_PREFIXES):
        raise InvalidArgument(
            f"the {what} name {shown(name)} is reserved: names that start with "
            f"{' or '.join(map(repr, RESERVED_PREFIXES))} are given by the broker only"
        )


def refuse_own(name: str | None, why: str) -> None:
    """Refuse if this is an exchange of the broker's own, in which only its own messages are to appear."""
    if name is not None and name.startswith(RESERVED_PREFIXES):
        raise InvalidArgument(f"exchange {shown(name)} is the broker's own and {why}")


def refuse_default(name: str, why: str) -> None:
    """Refuse if this is the default exchange."""
    if name == DEFAULT_EXCHANGE.name:
        raise InvalidArgument(f"the default exchange {why}")


def refuse_locked(queue: QueueSpec, client: int | None) -> None:
    """Refuse a client that does not own this exclusive queue; None is the broker itself."""
    if queue.exclusive and client is not None and client != queue.owner:
        raise ResourceLocked(f"queue {shown(queue.name)} is exclusive to another client")
