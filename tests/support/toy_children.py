"""A small broker of toy children, run as a program of its own so that tests can kill it: see `main`.

python -m tests.support.toy_children SCENARIO DATA_DIRECTORY

It prints each supervisor event and each word of the boss as one JSON line. The boss is a child that carries
out the JSON commands it reads from its standard input and prints what it receives. The others misbehave by
order: their kind says how. It does not simulate a journal, a socket or work.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

import msgspec

from posthouse.supervisor import control_messages as messages
from posthouse.supervisor import exit_codes
from posthouse.supervisor.child_spec import ChildSpec, GroupSpec, Life, Restart, RestartIntensity, Strategy
from posthouse.supervisor.data_directory import DataDirectory, socket_path
from posthouse.supervisor.effects import Event
from posthouse.supervisor.supervisor import Callbacks, Supervisor, SupervisorSettings

REQUESTS: dict[str, Any] = {
    "watch": messages.Watch,
    "start": messages.StartChild,
    "stop": messages.StopChild,
    "restart": messages.RestartChild,
    "describe": messages.DescribeTree,
    "announce": messages.Announce,
}


def say(word: str, **fields: object) -> None:
    """One line, whole, whoever else writes to the same pipe."""
    os.write(1, (json.dumps({"word": word, **fields}) + "\n").encode())


def wait_for(*descriptors: int) -> list[int]:
    """The descriptors that have something to read."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll()]


def obedient(life: Life) -> int:
    """Serves until it is asked to stop."""
    life.control.send(messages.Ready(f"endpoint of {life.id}"))
    while True:
        life.beacon.idle()
        wait_for(life.control.fileno())
        life.beacon.busy()
        for message in life.control.receive():
            if isinstance(message, messages.Stop):
                return exit_codes.SHUTDOWN


def boss(life: Life) -> int:
    """Carries out commands from standard input, prints what it hears."""
    life.control.send(messages.Ready())
    pending = b""
    while True:
        if 0 in wait_for(life.control.fileno(), 0):
            pending += os.read(0, 65536)
            *lines, pending = pending.split(b"\n")
            for line in lines:
                command = json.loads(line)
                life.control.send(REQUESTS[command.pop("do")](**_with_bytes(command)))
        for message in life.control.receive():
            say(type(message).__name__, **msgspec.to_builtins(message))
            if isinstance(message, messages.Stop):
                return exit_codes.SHUTDOWN


def _with_bytes(command: dict[str, Any]) -> dict[str, Any]:
    if "arguments" in command:
        command["arguments"] = command["arguments"].encode()
    return command


def crashes(life: Life) -> int:
    """Fails before it is ready."""
    raise RuntimeError("this one always fails")


def corrupt(life: Life) -> int:
    """Finds its journal damaged."""
    return exit_codes.JOURNAL_CORRUPT


def faulty(life: Life) -> int:
    """Has a disk that fails."""
    return exit_codes.STORAGE_FAULT


def never_ready(life: Life) -> int:
    """Starts for ever."""
    while True:
        signal.pause()


def hangs(life: Life) -> int:
    """Serves, then never returns from one piece of work."""
    life.control.send(messages.Ready())
    life.beacon.busy(7)
    while True:
        pass


def deaf(life: Life) -> int:
    """Serves, and neither reads its channel nor heeds a stop."""
    life.control.send(messages.Ready())
    while True:
        signal.pause()


def floods(life: Life) -> int:
    """Asks without end and never reads an answer."""
    life.control.send(messages.Ready())
    while True:
        life.control.send(messages.DescribeTree(1))


def chatters(life: Life) -> int:
    """Sends without end what needs no answer."""
    life.control.send(messages.Ready())
    while not life.control.receive():
        for _ in range(100):
            life.control.send(messages.Unwatch("nobody"))
    return exit_codes.SHUTDOWN


def gibberish(life: Life) -> int:
    """Sends what is no message."""
    os.write(life.control.fileno(), b"\x00\x00\x00\x01\xc1")
    return deaf(life)


def hangs_up(life: Life) -> int:
    """Closes its channel and lives on."""
    life.control.send(messages.Ready())
    os.close(life.control.fileno())
    while True:
        signal.pause()


def binds(life: Life) -> int:
    """Leaves a socket file behind when it is killed."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(socket_path(life.run_directory, life.id, life.generation))
    return obedient(life)


def opens_nothing(life: Life) -> int:
    """Announces which descriptors it has inherited, by what they are."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}").split(":")[0])
    life.control.send(messages.Announce(json.dumps(sorted(found))))
    return obedient(life)


def finishes(life: Life) -> int:
    """Does its work and ends."""
    life.control.send(messages.Ready())
    return exit_codes.NORMAL


KINDS = {
    start.__name__: start
    for start in (
        obedient,
        boss,
        crashes,
        corrupt,
        faulty,
        never_ready,
        hangs,
        deaf,
        floods,
        chatters,
        gibberish,
        hangs_up,
        binds,
        opens_nothing,
        finishes,
    )
}
FEW = RestartIntensity(3, 5.0)


def child(kind: str, child_id: str = "", restart: Restart = Restart.PERMANENT) -> ChildSpec:
    """A toy with a short limit where it is the one that will exceed it, and with a long one elsewhere."""
    return ChildSpec(
        child_id or kind,
        kind,
        KINDS[kind],
        restart,
        shutdown_ms=500 if kind == "deaf" else 15_000,
        busy_limit_ms=600 if kind == "hangs" else 15_000,
        ready_limit_ms=1_000 if kind == "never_ready" else 15_000,
    )


def make_child(kind: str, child_id: str, arguments: bytes) -> ChildSpec:
    """A dynamic toy."""
    return child(kind, child_id)


def pool(quarantines: bool = True) -> GroupSpec:
    """A dynamic group."""
    return GroupSpec("pool", Strategy.ONE_FOR_ONE, FEW, make_child=make_child, quarantines=quarantines)


def group(strategy: Strategy, *members: ChildSpec | GroupSpec, name: str = "root") -> GroupSpec:
    """A fixed group."""
    return GroupSpec(name, strategy, FEW, members)


SCENARIOS = {
    "pool": group(Strategy.REST_FOR_ONE, child("boss"), pool()),
    "rest": group(
        Strategy.REST_FOR_ONE,
        *(child("obedient", name) for name in "abc"),
        group(Strategy.ONE_FOR_ONE, child("obedient", "d"), child("obedient", "e"), name="edge"),
    ),
    "all": group(Strategy.ONE_FOR_ALL, *(child("obedient", name) for name in "abc")),
    "failing": group(Strategy.ONE_FOR_ONE, child("obedient", "a"), child("crashes", "b")),
}


def main(scenario: str, path: str, has_pidfd: str = "1") -> int:
    """Run one scenario; the supervisor's exit code."""

    def on_event(event: Event) -> None:
        fields = {name: getattr(event, name) for name in event.__slots__ if name != "kind"}
        say(event.kind, **fields)

    callbacks = Callbacks(
        on_up=lambda child_id, generation, endpoint: say("on_up", id=child_id, generation=generation),
        on_announce=lambda child_id, text: say("announced", id=child_id, text=text),
        on_event=on_event,
    )
    settings = SupervisorSettings(scan_interval_ms=50, has_pidfd=has_pidfd == "1")
    with DataDirectory.open(path) as directory:
        return Supervisor(SCENARIOS[scenario], directory, callbacks, settings).run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
