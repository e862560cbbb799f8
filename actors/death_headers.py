"""The headers of a message that a dead-letter exchange gets: `x-death` and its companions, as RabbitMQ writes them.

`x-death` is a list of maps, the latest death first, one for each pair of queue and reason; when a message dies there
again, the count is raised and the map comes to the front. From it follows whether a message goes in circles, and
whether it has come too far. Pure; whatever a publisher put there itself and makes no sense counts as no death.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, final

DEATHS: Final = "x-death"
HOPS_MAX: Final = 16
"""With so many entries in `x-death` a message is republished no more."""

ROUNDS_MAX: Final = 1_000
"""Nor when it has died so often in all: a handler that rejects in a circle adds no entry, only to the count of one."""

REASON_WORDS: Final = {"attempts_exhausted": "delivery_limit", "max_length": "maxlen"}
"""What RabbitMQ calls a reason, where the word is another."""

REJECTED: Final = "rejected"


@final
class LatestDeath(NamedTuple):
    """One death, in our words. `ttl_ms` is the message's own time to live, which ends with it."""

    queue: str
    reason: str
    exchange: str
    routing_key: str
    died_ms: int
    ttl_ms: int | None = None


def deaths_of(headers: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The deaths that headers tell of, latest first; [] when they tell of none."""
    found = (headers or {}).get(DEATHS)
    if not isinstance(found, list):
        return []
    return [one for one in found if isinstance(one, dict) and isinstance(one.get("queue"), str)]


def with_death(headers: dict[str, Any] | None, latest: LatestDeath) -> dict[str, Any]:
    """The headers after one more death."""
    reason = REASON_WORDS.get(latest.reason, latest.reason)
    deaths = deaths_of(headers)
    known = next((one for one in deaths if (one["queue"], one.get("reason")) == (latest.queue, reason)), None)
    if known is None:
        entry: dict[str, Any] = {
            "queue": latest.queue,
            "reason": reason,
            "count": 1,
            "time": latest.died_ms // 1_000,
            "exchange": latest.exchange,
            "routing-keys": [latest.routing_key],
        }
        if latest.ttl_ms is not None:
            entry["original-expiration"] = str(latest.ttl_ms)
    else:
        count = known.get("count")
        entry = known | {"count": count + 1 if isinstance(count, int) and 0 < count < 1 << 62 else 1}
    told = dict(headers or {})
    told[DEATHS] = [entry, *(one for one in deaths if one is not known)]
    place = {"queue": latest.queue, "reason": reason, "exchange": latest.exchange}
    if "x-first-death-reason" not in told:
        told |= {f"x-first-death-{name}": value for name, value in place.items()}
    return told | {f"x-last-death-{name}": value for name, value in place.items()}


def has_come_too_far(headers: dict[str, Any] | None) -> bool:
    """Has a message with these headers died in so many places, or so often, that it is republished no more?"""
    deaths = deaths_of(headers)
    counts = [one.get("count") for one in deaths]
    rounds = sum(count for count in counts if isinstance(count, int) and 0 < count < 1 << 62)
    return len(deaths) >= HOPS_MAX or rounds >= ROUNDS_MAX


def is_cycle(queue: str, deaths: list[dict[str, Any]]) -> bool:
    """Would a message with these deaths go in a circle if it came to this queue?

    So it would if it died there before and nobody rejected it since: then no consumer has a part in it, and it would
    come round for ever.
    """
    for one in deaths:
        if one.get("reason") == REJECTED:
            return False
        if one["queue"] == queue:
            return True
    return False
