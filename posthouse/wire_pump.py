"""The client's I/O: one socket, one lock, and a thread that steps in only when the application is away.

All I/O happens in the calling thread, because a busy thread beside an I/O thread costs the interpreter's switch
interval at every wake-up (measured: 5 ms instead of 0.09). When the application leaves something unsent or
unconfirmed and goes off to do other work, the stand-in thread sends it after two milliseconds and keeps the links
alive until the application is back.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, final

from posthouse import broker_file
from posthouse.address import Address
from posthouse.session import DOOR_ROUTE, Session
from posthouse.subscription import nobody
from posthouse.transport.errors import BrokerNotRunning, InvalidArgument, OutcomeUnknown, Unavailable
from posthouse.transport.limits import Limits
from posthouse.transport.session import Origin, State
from posthouse.transport.sockets import Sent, Sockets
from posthouse.transport.wire import ORIGIN_BYTES_MAX

FRAMES_PER_ROUND_MAX: Final = 256
WAIT_MS_MAX: Final = 50
LOOK_FOR_BROKER_MS: Final = 50
STAND_IN_AFTER_S: Final = 0.002


@final
class Pump:
    """Moves frames between a session and its socket. Hold `lock` around everything but `wake_stand_in`.

    Without a stand-in nothing but the caller ever touches the socket, and nobody needs the lock.
    """

    def __init__(self, address: Address, name: str, *, has_stand_in: bool = True) -> None:
        self.address = address
        self.lock = threading.RLock()
        self.session = Session(
            name,
            limits=Limits(),
            source=random.Random(secrets.randbits(64)),
            wall_ms=lambda: time.time_ns() // 1_000_000,
            is_behind_door=bool(address.door),
            origin=_own_origin(),
            left_behind=self.wake_stand_in if has_stand_in else nobody,
        )
        self._sockets = Sockets(self.session.limits)
        self._sockets.outbound.watch_disconnects()
        self._known = (0, "")
        self._next_look_ms = 0
        self._is_closed = False
        self._needs_stand_in = threading.Event()
        self._pause = threading.Event()
        self._last_activity = 0.0
        self._thread: threading.Thread | None = None
        if address.door:
            self._sockets.outbound.connect(DOOR_ROUTE, address.door)

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def check_open(self) -> None:
        """Raises InvalidArgument after `close`."""
        if self._is_closed:
            raise InvalidArgument("this connection is closed")

    @property
    def is_connected(self) -> bool:
        """The registry answers."""
        return self.session.registry.state is State.OPEN

    def look_for_broker(self) -> None:
        """Read where the registry lives. Raises BrokerNotRunning when nobody says that one does."""
        is_lost = self.session.registry.state is State.CLOSED
        if self.address.door:
            if is_lost:
                self.session.registry_at(0, self.address.door, _now_ms())
            return
        found = broker_file.read(self.address.directory)
        # A life that was unreachable for a while is the same as before, and has to be greeted again.
        if found.registry and (is_lost or (found.generation, found.registry) != self._known):
            self._known = (found.generation, found.registry)
            self.session.registry_at(found.generation, found.registry, _now_ms())

    def look_first(self) -> None:
        """Look for the first time. Raises BrokerNotRunning when there is none to be expected.

        One that took its leave, or was never there, is not. One that died without a word may be on its way back, and
        the caller's deadline decides how long to wait for it.
        """
        try:
            self.look_for_broker()
        except BrokerNotRunning:
            if not broker_file.exists(self.address.directory):
                raise

    def turn(self, wait_ms: int) -> None:
        """Send what may leave, wait until something comes or the time is over, take it in."""
        self._send()
        self._sockets.wait(wait_ms)
        self.take_in()
        self._send()

    def take_in(self) -> bool:
        """Receive what is there now; says whether there was anything."""
        now_ms = _now_ms()
        session, outbound = self.session, self._sockets.outbound
        has_come = False
        for name in outbound.disconnected():
            session.disconnected(name)
            has_come = True
        for name, frame in outbound.receive(FRAMES_PER_ROUND_MAX):
            session.frame(name, frame, now_ms)
            has_come = True
        session.tick(now_ms)
        if not self.is_connected and now_ms >= self._next_look_ms:
            self._next_look_ms = now_ms + LOOK_FOR_BROKER_MS
            # It may come back; the caller's deadline decides how long to hope.
            with contextlib.suppress(BrokerNotRunning):
                self.look_for_broker()
        return has_come

    def wait_until(self, is_done: Callable[[], bool], deadline: float) -> bool:
        """Turn until it is done or the deadline (monotonic seconds) has passed; says which. Closed, nothing comes."""
        self._last_activity = time.monotonic()
        while not is_done():
            if self._is_closed:
                return False
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            self.turn(max(1, min(WAIT_MS_MAX, int(left_s * 1000))))
        return True

    def push(self) -> bool:
        """Send what may leave and take in what is there, without waiting.

        True: there may be more. Whoever waits on `descriptors` has to push again before, since reading and sending
        both swallow the sign that something has come. Closed, it does nothing.
        """
        if self._is_closed:
            return False
        self._send()
        has_come = self.take_in()
        return self._send() or has_come

    @property
    def descriptors(self) -> list[int]:
        """File descriptors that can be read when something may have come, for loops that wait by themselves."""
        return self._sockets.descriptors

    def overdue(self, limit_s: float, was_connected: bool) -> Unavailable:
        """The error for a request whose time is over: OutcomeUnknown, unless it cannot have reached anybody."""
        if not was_connected and not self.is_connected:
            return BrokerNotRunning(f"no broker answered at {self.address} within {limit_s} s")
        return OutcomeUnknown(
            f"no answer within {limit_s} s; it may or may not have happened: look before you repeat it"
        )

    @property
    def has_backlog(self) -> bool:
        """Something waits to be sent: its link is not open, or its window is full."""
        return any(link.sender.has_backlog for link in self.session.links.all_opened())

    def wake_stand_in(self) -> None:
        """Something was left behind that must go out even if the application does not come back soon."""
        self._last_activity = time.monotonic()
        if not self._needs_stand_in.is_set():
            self._needs_stand_in.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._stand_in, name="posthouse-stand-in", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Say goodbye on every link and close the socket."""
        with self.lock:
            if self._is_closed:
                return
            self._is_closed = True
            for link in self.session.links.all_opened():
                self.session.links.close(link)
            self._send()
        self._pause.set()
        self._needs_stand_in.set()
        if self._thread is not None:
            self._thread.join()
        self._sockets.close()

    def _send(self) -> bool:
        outbound = self._sockets.outbound
        session = self.session
        frames = session.flush(_now_ms())
        if session.to_connect:
            for name in session.to_disconnect:
                outbound.disconnect(name)
            session.to_disconnect.clear()
            for name, endpoint in session.to_connect:
                outbound.connect(name, endpoint)
            session.to_connect.clear()
        for route, frame in frames:
            assert isinstance(route, bytes)
            if outbound.send(route, frame) is Sent.GONE:
                session.disconnected(route)
        return bool(frames)

    def _stand_in(self) -> None:
        while True:
            self._needs_stand_in.wait()
            self._pause.wait(STAND_IN_AFTER_S)
            if time.monotonic() - self._last_activity < STAND_IN_AFTER_S and not self.is_closed:
                continue
            with self.lock:
                if self.is_closed:
                    return
                for stream in self.session.streams():
                    stream.close_batch()
                self.push()
                # Cleared before it is looked: what is settled without the lock meanwhile sets it again or is seen.
                self._needs_stand_in.clear()
                if not self.session.is_settled:
                    self._needs_stand_in.set()


def connected(address: Address, name: str, timeout_s: float) -> Pump:
    """A pump whose broker answers. Raises BrokerNotRunning; at once where none is to be expected."""
    pump = Pump(address, name)
    try:
        with pump.lock:
            pump.look_first()
            if not pump.wait_until(lambda: pump.is_connected, time.monotonic() + timeout_s):
                pump.look_for_broker()
                raise BrokerNotRunning(f"no broker answered at {address} within {timeout_s} s")
    except BaseException:
        pump.close()
        raise
    return pump


def _own_origin() -> Origin:
    """What the broker's administrator may want to know of this process: it is shown by `posthouse connections`."""
    directory, program = os.path.split(sys.argv[0] if sys.argv else "")
    if program == "__main__.py":  # `python -m shop`
        program = os.path.basename(directory)
    if program in ("", "-c", "-m"):
        program = "python"
    return Origin(_cut(program), _cut(socket.gethostname()), os.getpid())


def _cut(text: str) -> str:
    return text.encode(errors="replace")[:ORIGIN_BYTES_MAX].decode(errors="ignore")


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
