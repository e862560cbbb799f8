"""A hostile peer at the door: bytes that no posthouse would send, over plain TCP and over ZeroMQ.

It promises only that what it sends leaves this process. It judges nothing.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator
from typing import Final, final

import zmq

from posthouse.transport import wire
from posthouse.transport.wire import Header, Hello, Kind, Reset

GREETING: Final = bytes([0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1]) + b"NULL".ljust(20, b"\0") + bytes(32)
"""ZMTP 3.1, mechanism NULL, as in its specification."""

READY: Final = (
    b"\x04\x19\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"[:1]
    + bytes([len(b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER")])
    + b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
)
"""The command that ends the handshake."""


def raw_attacks(source: random.Random) -> Iterator[tuple[str, bytes]]:
    """What a stranger may send over TCP, each under a name for the report of a failure."""
    yield "nothing at all", b""
    yield "random bytes", source.randbytes(4_096)
    yield "another protocol", b"GET / HTTP/1.1\r\nHost: posthouse\r\n\r\n"
    yield "half a greeting", GREETING[:11]
    yield "a greeting and silence", GREETING
    yield "a greeting and noise", GREETING + source.randbytes(2_000)
    yield "a huge frame that is never sent", GREETING + READY + b"\x02" + (2**60).to_bytes(8, "big")
    yield "a frame over the limit", GREETING + READY + b"\x02" + (21 << 20).to_bytes(8, "big") + b"x" * 100_000
    yield "a command of 2**63 bytes", GREETING + b"\x06" + (2**63).to_bytes(8, "big")
    yield "endless small frames", GREETING + READY + b"\x01\x01x" * 20_000 + b"\x00\x01x"


@contextlib.contextmanager
def raw_connection(address: str, data: bytes) -> Iterator[socket.socket]:
    """A TCP connection over which these bytes were sent, as far as the other side took them."""
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60.0) as connection:
        with contextlib.suppress(ConnectionError, TimeoutError):
            connection.sendall(data)
        yield connection


def good_hello(session: int, target: str = "registry") -> bytes:
    """The first frame of an honest client."""
    return wire.pack_header(Header(Kind.HELLO, 0, session, 0, 0, 0, 0, 0)) + wire.pack_body(Hello(target, 7, "hostile"))


def mutations(source: random.Random, count: int) -> Iterator[list[bytes]]:
    """Messages near to right ones: frames with flipped, missing or surplus bytes, wrong kinds, bodies, part counts."""
    for number in range(count):
        session = source.getrandbits(62) | 1
        kind = source.choice([*Kind, 0, 99])
        body = source.choice([b"", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x93\x01\x02", source.randbytes(50)])
        header = Header(kind, source.choice([0, 1, 2**32 - 1]), session, *_numbers(source), 1, number % 4)
        frame = bytearray(good_hello(session) if number % 3 == 0 else wire.pack_header(header) + body)
        for _ in range(source.randrange(4)):
            frame[source.randrange(len(frame))] ^= 1 << source.randrange(8)
        if number % 7 == 0:
            del frame[source.randrange(len(frame)) :]
        if number % 5 == 0:
            yield [good_hello(session), bytes(frame)]
        elif number % 11 == 0:
            yield [bytes(frame)] * source.randrange(2, 5)
        else:
            yield [bytes(frame)]


def _numbers(source: random.Random) -> tuple[int, int, int]:
    return tuple(source.choice([0, 1, 2**32, 2**64 - 1]) for _ in range(3))  # type: ignore[return-value]


@final
class Dealer:
    """A ZeroMQ peer that speaks frames of its own choice."""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 2_000)
        self._socket.setsockopt(zmq.SNDTIMEO, 5_000)
        self._socket.connect(address)

    def send(self, *parts: bytes) -> None:
        self._socket.send_multipart(parts)

    def reset_within(self, timeout_s: float) -> Reset | None:
        """The first RESET that comes, decoded; None when none came in time."""
        while self._socket.poll(int(timeout_s * 1_000)):
            frame = self._socket.recv_multipart()[-1]
            # The kind stands at the same place in every version of the protocol.
            if frame[3] == Kind.RESET:
                return wire.unpack_reset(frame)
        return None

    def close(self) -> None:
        self._socket.close()
        self._context.term()
