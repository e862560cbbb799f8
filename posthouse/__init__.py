"""posthouse: a message broker that installs with pip, starts with one command and loses nothing.

    import posthouse

    with posthouse.connect() as broker:
        broker.declare_queue("hello")
        broker.publish("", b"world", routing_key="hello")
        print(broker.get("hello").body)

`client` holds the blocking client, `aio` its asyncio twin, `errors` every error, `serve` the broker, `cli` the command
line.
"""

from typing import TYPE_CHECKING

from posthouse import errors
from posthouse.breaker import Breaker
from posthouse.call_server import CallServer
from posthouse.client import Broker, connect
from posthouse.consumer import Consumer
from posthouse.dead_letter_requests import DeadLetter
from posthouse.delayed import Scheduled
from posthouse.errors import PosthouseError
from posthouse.held_requests import HeldMessage
from posthouse.message import Message
from posthouse.publisher import Publisher
from posthouse.receipt import PublishReceipt
from posthouse.recurring import Recurring
from posthouse.retry import Retry
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import QueueInfo

if TYPE_CHECKING:
    from posthouse import aio

__version__ = "0.1.0"

__all__ = [
    "Breaker",
    "Broker",
    "CallServer",
    "Consumer",
    "DeadLetter",
    "Explanation",
    "HeldMessage",
    "Message",
    "PosthouseError",
    "PublishReceipt",
    "Publisher",
    "QueueInfo",
    "Recurring",
    "Retry",
    "Scheduled",
    "aio",
    "connect",
    "errors",
]


def __getattr__(name: str) -> object:
    """`posthouse.aio` when somebody asks for it: asyncio would be a fifth of the start of every command and broker."""
    if name == "aio":
        import importlib

        return importlib.import_module("posthouse.aio")
    raise AttributeError(f"module 'posthouse' has no attribute {name!r}")
