"""Status and tree: health in one look and by exit code, processes by group."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from posthouse.transport.errors import BrokerNotRunning
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

STATUS: dict[str, Any] = {
    "healthy": True,
    "address": "ipc:///data",
    "actors": 4,
    "not_up": [],
    "quarantined": [],
    "restarts": 2,
    "rss_bytes": 50 << 20,
    "exchanges": 3,
    "queues": 2,
    "ready": 1_234_567,
    "unacked": 0,
    "consumers": 1,
    "version": "0.1.0",
    "listen": "",
    "pid": 17,
    "uptime_s": 3_725.0,
}


def node(actor: str, group: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": actor,
        "kind": "queue",
        "group": group,
        "state": "up",
        "generation": 1024,
        "pid": 17,
        "restarts": 0,
        "last_exit": "",
        "started_at": 1000.0,
        "ready_ms": 3,
        "rss_bytes": 20 << 20,
        "endpoint": "ipc://x",
    } | changes


TREE = [
    node("registry", "broker"),
    node("queue:ewr", "queues", restarts=1, last_exit="signal 9", generation=1027),
    node("exchange:flights", "exchanges"),
    node("queue:bad", "queues", state="quarantined", pid=0, rss_bytes=0, restarts=5, last_exit="exit 20"),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    broker = RecordingBroker()
    broker.answers |= {"status": STATUS, "tree": TREE}
    monkeypatch.setattr(time, "time", lambda: 1042.0)
    return CommandLine(monkeypatch, broker)


def test_a_healthy_broker_is_exit_code_0(run: CommandLine) -> None:
    ran = run("status")
    assert ran.code == 0
    assert ran.out == (
        "health       healthy\n"
        "address      ipc:///data\n"
        "version      0.1.0\n"
        "pid          17\n"
        "up for       1 h 2 min\n"
        "actors       4\n"
        "restarts     2\n"
        "exchanges    3\n"
        "queues       2\n"
        "consumers    1\n"
        "ready        1,234,567\n"
        "unacked      0\n"
        "memory       50 MiB\n"
    )


SICK = STATUS | {"healthy": False, "not_up": ["queue:a", "queue:b"], "quarantined": ["queue:b"]}


def test_an_unhealthy_broker_is_exit_code_1_and_names_the_actors(run: CommandLine) -> None:
    run.broker.answers["status"] = SICK
    ran = run("status")
    assert ran.code == 1
    assert ran.out.startswith("health       not healthy\n")
    assert ran.out.endswith("not up       queue:a, queue:b\nquarantined  queue:b\n")
    assert ran.err == ""


def test_status_as_json_is_what_the_client_says_with_the_same_exit_code(run: CommandLine) -> None:
    run.broker.answers["status"] = SICK
    ran = run("status", "--json")
    assert ran.code == 1
    assert json.loads(ran.out) == SICK


def test_no_broker_is_exit_code_3_so_that_probes_tell_it_from_unhealthy(run: CommandLine) -> None:
    run.broker.answers["status"] = BrokerNotRunning("nobody listens")
    assert run("status").code == 3


@pytest.mark.parametrize("status", [STATUS, SICK | {"not_up": [f"queue:{number}" for number in range(100)]}])
def test_a_terminal_gets_a_panel_of_its_width(run: CommandLine, monkeypatch: pytest.MonkeyPatch, status: Any) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    run.broker.answers["status"] = status
    out = run("status", is_terminal=True).out
    assert "healthy" in out.splitlines()[0]
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_status_of_an_older_broker_may_lack_what_is_shown(run: CommandLine) -> None:
    run.broker.answers["status"] = {"healthy": True}
    assert run("status").out == "health       healthy\n"


def test_the_tree_in_a_pipe_is_grouped_in_start_order(run: CommandLine) -> None:
    assert run("tree").out == (
        "broker\n"
        "  registry  up  pid 17, 20 MiB, up 42 s, generation 1024\n"
        "queues\n"
        "  queue:ewr  up  pid 17, 1 restart, last exit: signal 9, 20 MiB, up 42 s, generation 1027\n"
        "  queue:bad  quarantined  5 restarts, last exit: exit 20, generation 1024\n"
        "exchanges\n"
        "  exchange:flights  up  pid 17, 20 MiB, up 42 s, generation 1024\n"
    )


def test_the_tree_on_a_terminal_is_drawn_with_states_in_colour(run: CommandLine) -> None:
    out = run("tree", is_terminal=True).out
    assert "├── " in out
    assert "(2 actors, 20 MiB, 6 restarts)" in out
    assert "\x1b[1;31mquarantined" in out


def test_long_names_do_not_break_the_tree(run: CommandLine) -> None:
    run.broker.answers["tree"] = [node("queue:" + "x" * 300, "queues"), node("queue:a", "queues")]
    assert len(run("tree", is_terminal=True).out.splitlines()) == 4


def test_the_tree_as_json_is_a_list_of_all_fields(run: CommandLine) -> None:
    assert json.loads(run("tree", "--json").out) == TREE
