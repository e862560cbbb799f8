"""ZeroMQ sockets: the one file of the broker that imports zmq.

A *served* socket is a ROUTER that is bound, an *outbound* socket is a ROUTER that connects under names we choose;
however many peers there are, an actor polls these two. `send` never blocks: it says whether the frame was taken,
could not be taken now, or has nobody to go to. What ZeroMQ loses after that, the link sends again.

Evidence for each option is in `docs/adr/0005-zeromq-options.md`.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterator
from functools import partial
from typing import Any, Final, final

import zmq
import zmq.backend

from posthouse.transport.limits import Limits

LINGER_MS: Final = 500
HANDSHAKE_MS: Final = 2_000
HEARTBEAT_MS: Final = 300
HEARTBEAT_TIMEOUT_MS: Final = 900
HIGH_WATER_FRAMES: Final = 10_000
COPY_BELOW_BYTES: Final = 64 * 1024
PEERS_MAX: Final = 65_536
"""Addresses of peers that are remembered; beyond that all are forgotten, and learned again from what they send."""

# Plain integers: every operation on pyzmq's enumerations costs a microsecond, several times a frame.
_EVENTS: Final = int(zmq.EVENTS)
_POLLIN: Final = int(zmq.POLLIN)
_RCVMORE: Final = int(zmq.RCVMORE)
_DONTWAIT: Final = int(zmq.DONTWAIT)
_MORE_DONTWAIT: Final = int(zmq.SNDMORE | zmq.DONTWAIT)


class Sent(enum.Enum):
    """What became of a frame."""

    TAKEN = "taken"
    FULL = "full"
    GONE = "gone"


@final
class Sockets:
    """The ZeroMQ context of one process with its served and outbound sockets."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._context = zmq.Context()
        self._poller = zmq.Poller()
        self.outbound = Router(self._make(), self._poller)
        self.served: Router | None = None
        self.endpoint = ""
        self._readable: set[Any] = set()

    def serve(self, endpoint: str) -> str:
        """Bind the served socket; returns the endpoint with a port filled in. Raises OSError with the reason."""
        socket = self._make()
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            socket.close(0)
            raise OSError(error.errno, f"{endpoint}: {error.strerror}") from error
        self.served = Router(socket, self._poller)
        self.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        return self.endpoint

    def watch(self, fd: int) -> None:
        """Let `wait` also end when this file descriptor can be read."""
        self._poller.register(fd, zmq.POLLIN)

    @property
    def descriptors(self) -> list[int]:
        """File descriptors that can be read when something may have come; edge-triggered, as ZeroMQ's are."""
        return [source.fileno() for source, _ in self._poller.sockets]

    def wait(self, timeout_ms: int) -> None:
        """Return when something can be read, or after the time."""
        self._readable = {source for source, _ in self._poller.poll(timeout_ms)}

    def is_readable(self, fd: int) -> bool:
        """What the last `wait` found of a watched file descriptor."""
        return fd in self._readable

    def close(self) -> None:
        """Close everything; what was sent has half a second to leave."""
        self.outbound.close()
        if self.served is not None:
            self.served.close()
        self._context.term()

    def _make(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.LINGER, LINGER_MS)
        socket.setsockopt(zmq.MAXMSGSIZE, self._limits.frame_bytes_max)
        socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
        socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
        socket.setsockopt(zmq.SNDHWM, HIGH_WATER_FRAMES)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_FRAMES)
        socket.setsockopt(zmq.RECONNECT_IVL, 50)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1_000)
        return socket


@final
class Router:
    """One ROUTER socket."""

    def __init__(self, socket: zmq.Socket[bytes], poller: zmq.Poller) -> None:
        self._socket = socket
        # The compiled methods: what pyzmq puts around them serves socket types that are not used here.
        self._receive = partial(zmq.backend.Socket.recv, socket)
        self._send = partial(zmq.backend.Socket.send, socket)
        self._poller = poller
        self._connected: dict[bytes, str] = {}
        self._monitor: zmq.Socket[bytes] | None = None
        self._addresses: dict[bytes, str] | None = None
        poller.register(socket, zmq.POLLIN)

    def connect(self, name: bytes, endpoint: str) -> None:
        """Connect to an endpoint and call it `name`. Again for the same name does nothing."""
        if name not in self._connected:
            self._connected[name] = endpoint
            self._socket.setsockopt(zmq.CONNECT_ROUTING_ID, name)
            self._socket.connect(endpoint)

    def connect_life(self, actor: str, name: bytes, endpoint: str) -> None:
        """Connect to one life of an actor and give up its other lives. Again for the same life does nothing.

        A name must not be given up and taken again: ZeroMQ lets go of it only later, and ends the process when it is
        used before that.
        """
        for other in self.names_of(actor):
            if other != name:
                self.disconnect(other)
        self.connect(name, endpoint)

    def disconnect(self, name: bytes) -> None:
        """Give up a connection; what ZeroMQ held for it is gone."""
        endpoint = self._connected.pop(name, None)
        if endpoint is not None:
            try:
                self._socket.disconnect(endpoint)
            except zmq.ZMQError as error:
                if error.errno != errno.ENOENT:
                    raise

    def names_of(self, actor: str) -> list[bytes]:
        """Connections to lives of that actor: its id, a slash, a generation. Its id may hold slashes too."""
        wanted = actor.encode()
        return [name for name in self._connected if name.rpartition(b"/")[0] == wanted]

    def receive(self, frames_max: int) -> Iterator[tuple[bytes, bytes]]:
        """Up to so many frames that are there now, with the name they came from; strange part counts are dropped.

        Copied: a copy of even a megabyte costs less than what a frame without one costs for every small frame.
        """
        # Asking for the events costs a tenth of the exception that an empty socket raises.
        socket, receive = self._socket, self._receive
        while frames_max > 0 and int(socket.getsockopt(_EVENTS)) & _POLLIN:
            frames_max -= 1
            name = receive(_DONTWAIT)
            is_new = self._addresses is not None and name not in self._addresses
            frame = self._receive_first(name) if is_new else receive(_DONTWAIT)
            if not socket.getsockopt(_RCVMORE):
                yield name, frame
                continue
            while socket.getsockopt(_RCVMORE):
                receive(_DONTWAIT)

    def send(self, name: bytes, frame: bytes | memoryview) -> Sent:
        """Send one frame without waiting."""
        try:
            self._send(name, _MORE_DONTWAIT)
            self._send(frame, _DONTWAIT, len(frame) < COPY_BELOW_BYTES)
        except zmq.Again:
            return Sent.FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return Sent.GONE
            raise
        return Sent.TAKEN

    def learn_addresses(self) -> None:
        """From now on `address_of` knows where each peer is. Asked of its first frame only, which comes uncopied."""
        self._addresses = {}

    def address_of(self, name: bytes) -> str:
        """The address of a peer that sent something; "unknown" where ZeroMQ does not say."""
        return (self._addresses or {}).get(name, "unknown")

    def forget_address(self, name: bytes) -> None:
        """The peer is gone."""
        if self._addresses is not None:
            self._addresses.pop(name, None)

    def _receive_first(self, name: bytes) -> bytes:
        assert self._addresses is not None
        if len(self._addresses) >= PEERS_MAX:
            self._addresses.clear()
        frame = self._socket.recv(_DONTWAIT, copy=False)
        try:
            self._addresses[name] = str(frame.get("Peer-Address"))
        except zmq.ZMQError:
            self._addresses[name] = "unknown"
        return frame.bytes

    def watch_disconnects(self) -> None:
        """From now on `disconnected` tells which connections broke."""
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED)
        self._poller.register(self._monitor, zmq.POLLIN)

    def disconnected(self) -> list[bytes]:
        """Names of connections that broke since the last call; ZeroMQ goes on trying to connect them again."""
        broken: set[str] = set()
        while self._monitor is not None and int(self._monitor.getsockopt(_EVENTS)) & _POLLIN:
            # The event, then the endpoint. pyzmq's own reader of these two imports asyncio, in every process.
            _, endpoint = self._monitor.recv_multipart()
            broken.add(endpoint.decode(errors="replace"))
        return [name for name, endpoint in self._connected.items() if endpoint in broken] if broken else []

    def close(self) -> None:
        self._poller.unregister(self._socket)
        if self._monitor is not None:
            self._poller.unregister(self._monitor)
            self._socket.disable_monitor()
            # Left to the garbage collector it keeps the context from ending where warnings are errors.
            self._monitor.close(0)
            self._monitor = None
        self._socket.close(LINGER_MS)
