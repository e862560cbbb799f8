"""What a service manager is told, by a socket that plays one."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.service_manager import ServiceManager
from posthouse.supervisor.effects import Event, EventKind


class Manager:
    """A socket that hears datagrams."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        found: list[str] = []
        while True:
            try:
                found.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return found


@pytest.fixture(params=["file", "abstract"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Manager]]:
    """What NOTIFY_SOCKET says, and who listens there."""
    if request.param == "file":
        path = os.path.relpath(tmp_path / "notify")
        manager = Manager(path)
    else:
        path = f"@posthouse-{os.getpid()}"
        manager = Manager("\0" + path[1:])
    yield path, manager
    manager.socket.close()


def test_it_is_told_when_the_broker_is_ready_and_when_it_stops(place: tuple[str, Manager]) -> None:
    path, manager = place
    service = ServiceManager.of({"NOTIFY_SOCKET": path})
    service.event(Event(EventKind.READY, "registry", 1))
    service.ready()
    assert manager.heard() == [f"READY=1\nMAINPID={os.getpid()}\nSTATUS=1 actors serve"]
    service.event(Event(EventKind.STOPPING, "broker"))
    service.event(Event(EventKind.STOPPING, "broker"))
    service.scanned()
    assert manager.heard() == ["STOPPING=1\nSTATUS=stopping"]


def test_its_status_follows_the_actors_and_is_said_when_it_changes(place: tuple[str, Manager]) -> None:
    path, manager = place
    now = [100.0]
    service = ServiceManager(path, 0.0, lambda: now[0])
    for actor in ("a", "b", "c"):
        service.event(Event(EventKind.READY, actor, 1))
    service.scanned()
    service.event(Event(EventKind.EXITED, "a", 1, signal=9))
    service.scanned()
    assert manager.heard() == ["STATUS=3 actors serve"]
    now[0] += 1.0
    service.scanned()
    service.event(Event(EventKind.QUARANTINED, "a", reason="too often"))
    now[0] += 1.0
    service.scanned()
    now[0] += 1.0
    service.scanned()
    assert manager.heard() == ["STATUS=2 actors serve", "STATUS=2 actors serve; quarantined: a"]
    for actor in ("d", "e", "f", "g"):
        service.event(Event(EventKind.QUARANTINED, actor))
    service.event(Event(EventKind.READY, "d", 2))
    service.event(Event(EventKind.STOPPED, "e"))
    service.event(Event(EventKind.QUARANTINED, "h"))
    now[0] += 1.0
    service.scanned()
    assert manager.heard() == ["STATUS=3 actors serve; quarantined: a, f, g and 1 more"]


def test_the_watchdog_is_fed_at_half_of_its_time_while_the_loop_turns(place: tuple[str, Manager]) -> None:
    path, manager = place
    now = [100.0]
    service = ServiceManager(path, 10.0, lambda: now[0])
    for _ in range(41):
        service.scanned()
        now[0] += 0.25
    assert manager.heard().count("WATCHDOG=1") == 3


@pytest.mark.parametrize(
    ("environment", "is_fed"),
    [
        ({"WATCHDOG_USEC": "500000"}, True),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({}, False),
    ],
)
def test_a_watchdog_for_somebody_else_or_none_is_not_fed(environment: dict[str, str], is_fed: bool) -> None:
    manager = Manager(f"\0posthouse-w-{os.getpid()}")
    try:
        ServiceManager.of({"NOTIFY_SOCKET": f"@posthouse-w-{os.getpid()}", **environment}).scanned()
        assert ("WATCHDOG=1" in manager.heard()) == is_fed
    finally:
        manager.socket.close()


@pytest.mark.parametrize("path", ["", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200])
def test_a_manager_that_is_not_there_is_no_reason_to_stop(path: str) -> None:
    service = ServiceManager.of({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1"})
    service.ready()
    service.scanned()
    service.event(Event(EventKind.STOPPING, "broker"))
