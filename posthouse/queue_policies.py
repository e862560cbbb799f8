"""The policies of queues, and the bounds of what exchanges hold: keyword arguments as they travel, checked."""

from __future__ import annotations

from typing import Any, Final

from posthouse.arguments import check_count, check_seconds
from posthouse.breaker import Breaker
from posthouse.retry import Retry
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.names import check_name, check_routing_key

OVERFLOWS: Final = ("drop-head", "reject-publish", "dead-letter")
DEAD_LETTER_POLICIES: Final = ("store", "off")
LENGTH_MAX: Final = 1 << 40
HOLD_BOUNDS: Final = {
    "hold_for_s": ("hold_for_ms", 0),
    "hold_max_length": ("hold_max_length", 100_000_000),
    "hold_max_bytes": ("hold_max_bytes", 1 << 40),
}


def queue_policies(given: dict[str, Any]) -> dict[str, Any]:
    """Fields of a `QueueSpec`. Raises InvalidArgument."""
    policies = dict(given)
    fields: dict[str, Any] = {}
    retry = policies.pop("retry", None)
    if retry is not None:
        if not isinstance(retry, Retry):
            raise InvalidArgument(f"retry is {retry!r}; it is a posthouse.Retry, as in Retry(max_attempts=5)")
        fields["retry"] = retry.spec()
    priority = policies.pop("priority", False)
    if not isinstance(priority, bool):
        raise InvalidArgument(f"priority is {priority!r}; it is True or False: has the queue priorities?")
    fields["priority"] = priority
    breaker = policies.pop("breaker", None)
    if breaker is not None:
        if not isinstance(breaker, Breaker):
            raise InvalidArgument(f"breaker is {breaker!r}; it is a posthouse.Breaker, as in Breaker(window=20)")
        fields["breaker"] = breaker.spec()
    for name, field in (("ttl_s", "ttl_ms"), ("ack_timeout_s", "ack_timeout_ms"), ("expires_s", "expires_ms")):
        value = policies.pop(name, None)
        if value is not None:
            fields[field] = check_lifetime_ms(name, value)
    for name in ("max_length", "max_bytes"):
        value = policies.pop(name, None)
        if value is not None:
            fields[name] = check_count(name, value, 1, LENGTH_MAX)
    for name, choices in (("overflow", OVERFLOWS), ("dead_letter", DEAD_LETTER_POLICIES)):
        value = policies.pop(name, choices[0])
        if value not in choices:
            raise InvalidArgument(f"{name} is {value!r}; it is one of {', '.join(choices)}")
        fields[name] = value
    fields |= _dead_letter_exchange(policies)
    for name in policies:
        raise InvalidArgument(f"declare_queue has no argument {name!r}")
    return fields


def _dead_letter_exchange(policies: dict[str, Any]) -> dict[str, Any]:
    exchange = policies.pop("dead_letter_exchange", None)
    key = policies.pop("dead_letter_routing_key", None)
    fields: dict[str, Any] = {}
    if exchange is not None:
        fields["dead_letter_exchange"] = check_name("exchange", exchange, may_be_empty=True)
    elif key is not None:
        raise InvalidArgument("dead_letter_routing_key is of a dead_letter_exchange; give both")
    if key is not None:
        fields["dead_letter_routing_key"] = check_routing_key(key)
    return fields


def unrouted_unless_said(alternate: str | None, *, auto_delete: bool) -> str:
    """What an exchange does with what no queue wants. What holds messages for queues to come must not go by itself."""
    return "alternate" if alternate is not None else "return" if auto_delete else "hold"


def hold_bounds(given: dict[str, Any]) -> dict[str, int]:
    """Fields of an `ExchangeSpec`; what is None is left to the broker's configuration. Raises InvalidArgument."""
    fields: dict[str, int] = {}
    for name, value in given.items():
        if name not in HOLD_BOUNDS:
            raise InvalidArgument(f"declare_exchange has no argument {name!r}")
        if value is not None:
            field, highest = HOLD_BOUNDS[name]
            fields[field] = check_lifetime_ms(name, value) if not highest else check_count(name, value, 1, highest)
    return fields


def check_lifetime_ms(name: str, value: object) -> int:
    """Seconds, at least a millisecond and at most ten years, in milliseconds. Raises InvalidArgument."""
    milliseconds = round(check_seconds(name, value) * 1_000)
    if not 1 <= milliseconds <= 10 * 366 * 24 * 3_600 * 1_000:
        raise InvalidArgument(f"{name} is {value!r}; it is at least 0.001 seconds and at most ten years")
    return milliseconds
