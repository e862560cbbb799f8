"""What the demo declares, and what is left of it in the broker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import posthouse
from posthouse.demo_feeds import EXCHANGES, FEEDS, LATECOMER, REBOOKING, Feed

ATTEMPTS: Final = 3
RETRY: Final = posthouse.Retry(max_attempts=ATTEMPTS, first_delay_s=0.04, factor=2.0, jitter=False)
"""Of the queue whose handler fails: pauses of 40 and 80 ms."""


def declare(broker: posthouse.Broker) -> list[Feed]:
    """Everything but what the late subscriber brings along; returns the feeds declared."""
    for name, kind in EXCHANGES.items():
        # Most flights interest no queue of `notices`: that is no mistake of the publisher.
        broker.declare_exchange(name, kind, unrouted="hold" if name == LATECOMER.exchange else "drop")
    feeds = [feed for feed in FEEDS if feed is not LATECOMER]
    for feed in feeds:
        declare_feed(broker, feed)
    return feeds


def declare_feed(broker: posthouse.Broker, feed: Feed) -> None:
    """One queue and its bindings."""
    # The demo kills consumers as it goes; what they held is to come back however often that happens.
    broker.declare_queue(feed.queue, retry=RETRY if feed is REBOOKING else posthouse.Retry(kind="off"))
    for rule in feed.rules:
        broker.bind(feed.exchange, feed.queue, rule.key, arguments=rule.arguments)


def left(broker: posthouse.Broker, feeds: Iterable[Feed]) -> dict[str, int]:
    """Messages that somebody still has, by who that is. `feeds`: those declared so far."""
    infos = [broker.queue_info(feed.queue) for feed in feeds]
    counts = {f"the queue {info.name}": info.ready + info.unacked + info.waiting + info.leaving for info in infos}
    delayed = broker.delayed.info()
    counts["the delay scheduler"] = delayed.waiting + delayed.firing + delayed.failed
    held = broker.held.status(LATECOMER.exchange)
    counts[f"the exchange {LATECOMER.exchange}"] = held.messages + held.leaving
    store = broker.dead_letters.status()
    counts["the dead letters"] = store.messages + store.leaving
    return {name: count for name, count in counts.items() if count}
