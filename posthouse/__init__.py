"""posthouse: a message broker that installs with pip, starts with one command and loses nothing.

    import posthouse

    with posthouse.connect() as broker:
        broker.declare_queue("hello")
        broker.publish("", b"world", routing_key="hello")
        print(broker.get("hello").body)

`client` holds the blocking client, `aio` its asyncio twin, `errors` every error, `serve` the broker, `cli` the command
line.
"""

from posthouse import aio, errors
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
