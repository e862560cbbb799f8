"""Request-reply: a server, a caller, and what happens when the server raises or nobody is there."""

import posthouse
from posthouse.errors import CallFailed, NoResponders


def add(message: posthouse.Message) -> bytes:
    return str(sum(map(int, message.body.split()))).encode()


with posthouse.connect() as broker:
    broker.declare_queue("sum-queue", auto_delete=True)
    with broker.serve_calls("sum-queue", add):
        print(broker.call("", b"1 2 3", routing_key="sum-queue", timeout_s=5.0).body)
        try:
            broker.call("", b"one two", routing_key="sum-queue", timeout_s=5.0)
        except CallFailed as error:
            print("the server said:", error)
    try:
        broker.call("", b"1 2 3", routing_key="sum-queue", timeout_s=5.0)
    except NoResponders as error:
        print("nobody is there:", error)
