"""The broker at a glance."""

from __future__ import annotations

import time
from typing import Any

from posthouse import broker_file
from posthouse.address import Address
from posthouse.transport.descriptions import ExchangeInfo
from posthouse.transport.messages import QueueInfo


def make_status(
    address: Address, tree: list[dict[str, Any]], queues: list[QueueInfo], exchanges: list[ExchangeInfo]
) -> dict[str, Any]:
    """Counts over all queues and actors; `healthy` is True when every actor is up."""
    not_up = [node["id"] for node in tree if node["state"] != "up"]
    status: dict[str, Any] = {
        "healthy": not not_up,
        "address": str(address),
        "actors": len(tree),
        "not_up": not_up,
        "quarantined": [node["id"] for node in tree if node["state"] == "quarantined"],
        "restarts": sum(node["restarts"] for node in tree),
        "rss_bytes": sum(node["rss_bytes"] for node in tree),
        "exchanges": len(exchanges),
        "queues": len(queues),
        "ready": sum(queue.ready for queue in queues),
        "unacked": sum(queue.unacked for queue in queues),
        "held": sum(exchange.held for exchange in exchanges),
        "consumers": sum(queue.consumers for queue in queues),
    }
    if address.directory:
        found = broker_file.read(address.directory)
        status |= {
            "version": found.version,
            "pid": found.pid,
            "data": found.data,
            "listen": found.listen,
            "http": found.http,
            "uptime_s": round(time.time() - found.started_at, 1),
        }
    return status
