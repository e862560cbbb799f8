"""The supervisor with real processes: kills, hangs, floods, orderly stops."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.support.toy_broker import ToyBroker, wait_until_gone

Start = Callable[..., ToyBroker]


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Sockets need a path of less than 100 bytes, and pytest's own may be longer."""
    with tempfile.TemporaryDirectory(prefix="ph-") as path:
        yield Path(path)


@pytest.fixture
def start(short_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def start_one(scenario: str, *, has_pidfd: bool = True) -> ToyBroker:
            return stack.enter_context(ToyBroker(scenario, short_path / "data", short_path, has_pidfd=has_pidfd))

        yield start_one


def add(broker: ToyBroker, kind: str, child_id: str = "q") -> None:
    broker.ask(do="start", request=1, group="pool", kind=kind, id=child_id)


def describe(broker: ToyBroker) -> dict[str, dict[str, object]]:
    since = len(broker.words)
    broker.ask(do="describe", request=99)
    return {node["id"]: node for node in broker.wait_for("Tree", since)["nodes"]}


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_a_killed_child_comes_back_in_a_higher_generation(start: Start, has_pidfd: bool) -> None:
    broker = start("pool", has_pidfd=has_pidfd)
    broker.ask(do="watch", id="q")
    broker.wait_for("Down", id="q", state="unknown")
    add(broker, "obedient")
    first = broker.up("q")
    broker.wait_for("Up", id="q")
    since = len(broker.words)
    os.kill(first["pid"], signal.SIGKILL)
    second = broker.up("q", since)
    assert second["generation"] > first["generation"]
    assert broker.wait_for("exited", id="q")["signal"] == signal.SIGKILL
    broker.wait_for("Down", since, id="q", state="restarting")
    up = broker.wait_for("Up", since, id="q")
    assert (up["generation"], up["endpoint"]) == (second["generation"], "endpoint of q")


def test_rest_for_one_restarts_those_after_it_in_order(start: Start) -> None:
    broker = start("rest")
    broker.wait_for("all_up")
    assert broker.order_of("ready") == ["a", "b", "c", "d", "e"]
    since = len(broker.words)
    os.kill(broker.up("b")["pid"], signal.SIGKILL)
    broker.up("e", since)
    assert broker.order_of("exited", since) == ["b", "e", "d", "c"]
    assert broker.order_of("ready", since) == ["b", "c", "d", "e"]


def test_one_for_all_restarts_everybody_in_order(start: Start) -> None:
    broker = start("all")
    broker.wait_for("all_up")
    since = len(broker.words)
    os.kill(broker.up("b")["pid"], signal.SIGKILL)
    broker.up("c", since)
    assert broker.order_of("exited", since) == ["b", "c", "a"]
    assert broker.order_of("ready", since) == ["a", "b", "c"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_orderly_stop_goes_from_right_to_left_and_ends_with_0(start: Start, number: int) -> None:
    broker = start("rest")
    broker.wait_for("all_up")
    broker.process.send_signal(number)
    assert broker.read_to_end() == 0
    assert broker.order_of("exited") == ["e", "d", "c", "b", "a"]
    assert all(word["code"] == 10 for word in broker.words if word["word"] == "exited")


def test_a_sigterm_to_the_whole_process_group_still_stops_in_order(start: Start) -> None:
    broker = start("rest")
    broker.wait_for("all_up")
    broker.process.send_signal(signal.SIGSTOP)
    for pid in broker.pids_started():
        os.kill(pid, signal.SIGTERM)
    broker.process.send_signal(signal.SIGTERM)
    broker.process.send_signal(signal.SIGCONT)
    assert broker.read_to_end() == 0
    assert broker.order_of("exited") == ["e", "d", "c", "b", "a"]


def test_a_child_told_to_stop_by_sigterm_stops_in_order_and_is_restarted(start: Start) -> None:
    broker = start("pool")
    add(broker, "obedient")
    pid = broker.up("q")["pid"]
    since = len(broker.words)
    os.kill(pid, signal.SIGTERM)
    broker.up("q", since)
    assert broker.wait_for("exited", since, id="q")["code"] == 10


def test_a_second_signal_kills_all(start: Start) -> None:
    broker = start("pool")
    add(broker, "deaf")
    broker.up("q")
    broker.process.send_signal(signal.SIGTERM)
    broker.wait_for("stopping")
    broker.process.send_signal(signal.SIGTERM)
    assert broker.read_to_end() == 0
    assert broker.wait_for("exited", id="boss")["signal"] == signal.SIGKILL


def test_a_child_that_ignores_stop_is_killed_after_its_time(start: Start) -> None:
    broker = start("pool")
    add(broker, "deaf")
    broker.up("q")
    broker.ask(do="stop", request=5, id="q")
    broker.wait_for("killed", id="q")
    assert broker.wait_for("Done", request=5)["ok"]
    assert broker.wait_for("exited", id="q")["signal"] == signal.SIGKILL
    assert "q" not in describe(broker)


def test_a_failing_fixed_child_ends_the_broker_with_70(start: Start) -> None:
    broker = start("failing")
    assert broker.read_to_end() == 70
    assert broker.order_of("started").count("b") == 4
    assert "this one always fails" in broker.stderr()
    assert broker.wait_for("exited", id="a")["code"] == 10


def test_a_failing_dynamic_child_is_quarantined_and_its_sibling_goes_on(start: Start) -> None:
    broker = start("pool")
    add(broker, "obedient", "good")
    add(broker, "crashes", "bad")
    broker.wait_for("quarantined", id="bad")
    assert broker.order_of("started").count("good") == 1
    assert describe(broker)["bad"]["last_exit"] == "exit code 1"


def test_a_corrupt_journal_is_not_retried_before_an_operator_says_so(start: Start) -> None:
    broker = start("pool")
    add(broker, "corrupt")
    assert broker.wait_for("quarantined", id="q")["delay_ms"] is None
    assert describe(broker)["q"]["state"] == "quarantined"
    since = len(broker.words)
    broker.ask(do="restart", request=4, id="q")
    broker.wait_for("quarantined", since, id="q")
    assert broker.order_of("started").count("q") == 2


def test_a_storage_fault_is_retried_twice(start: Start) -> None:
    broker = start("pool")
    add(broker, "faulty")
    assert broker.wait_for("quarantined", id="q")["delay_ms"] is None
    assert broker.order_of("started").count("q") == 3


def test_a_hung_child_is_dumped_killed_and_replaced(start: Start) -> None:
    broker = start("pool")
    add(broker, "hangs")
    first = broker.up("q")
    assert "operation 7" in broker.wait_for("hung", id="q")["reason"]
    assert broker.wait_for("exited", id="q")["signal"] == signal.SIGABRT
    broker.up("q", broker.words.index(first) + 1)
    assert 'toy_children.py", line' in broker.stderr()
    assert "in hangs" in broker.stderr()


def test_a_stopped_process_that_hangs_is_killed_and_replaced(start: Start) -> None:
    broker = start("pool")
    add(broker, "hangs")
    first = broker.up("q")
    os.kill(first["pid"], signal.SIGSTOP)
    broker.wait_for("killed", id="q")
    assert broker.wait_for("exited", id="q")["signal"] == signal.SIGKILL
    broker.up("q", broker.words.index(first) + 1)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("never_ready", "not ready within"),
        ("floods", "does not read its control channel"),
        ("gibberish", "no control message"),
        ("hangs_up", "closed its control channel"),
    ],
)
def test_a_child_that_breaks_the_rules_is_killed(start: Start, kind: str, reason: str) -> None:
    broker = start("pool")
    add(broker, kind)
    assert reason in broker.wait_for("hung", id="q")["reason"]
    broker.wait_for("restarting", id="q")
    assert describe(broker)["boss"]["restarts"] == 0


def test_a_child_that_chatters_keeps_nobody_else_waiting(start: Start) -> None:
    broker = start("pool")
    add(broker, "chatters", "loud")
    broker.up("loud")
    add(broker, "obedient", "quiet")
    broker.up("quiet")
    rss_before = psutil.Process(broker.process.pid).memory_info().rss
    for _ in range(20):
        describe(broker)
    assert psutil.Process(broker.process.pid).memory_info().rss < rss_before + 4 * 1024 * 1024
    assert describe(broker)["loud"]["restarts"] == 0


def test_a_hundred_dynamic_children_start_and_stop(start: Start) -> None:
    broker = start("pool")
    for number in range(100):
        add(broker, "obedient", f"q{number}")
    for number in range(100):
        broker.up(f"q{number}")
    assert broker.order_of("hung") == []
    assert broker.order_of("exited") == []
    nodes = describe(broker)
    assert len({node["pid"] for node in nodes.values()}) == 101
    assert all(node["rss_bytes"] for node in nodes.values())
    broker.process.send_signal(signal.SIGTERM)
    assert broker.read_to_end() == 0
    assert broker.order_of("exited")[-1] == "boss"
    wait_until_gone(broker.pids_started())


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_nothing_survives_a_killed_supervisor_and_a_new_one_starts(start: Start, has_pidfd: bool) -> None:
    broker = start("pool", has_pidfd=has_pidfd)
    for number in range(10):
        add(broker, "binds", f"q{number}")
    generations = [broker.up(f"q{number}")["generation"] for number in range(10)]
    broker.process.kill()
    broker.process.wait()
    wait_until_gone(broker.pids_started())
    successor = start("pool", has_pidfd=has_pidfd)
    assert successor.up("boss")["generation"] > max(generations)
    add(successor, "binds", "q0")
    successor.up("q0")


def test_a_killed_child_leaves_no_socket_file(start: Start, short_path: Path) -> None:
    broker = start("pool")
    add(broker, "binds")
    first = broker.up("q")
    before = set((short_path / "data" / "run").glob("*.sock"))
    os.kill(first["pid"], signal.SIGKILL)
    broker.up("q", broker.words.index(first) + 1)
    after = set((short_path / "data" / "run").glob("*.sock"))
    assert len(before) == len(after) == 1
    assert before != after


def test_a_second_broker_is_refused_and_told_who_has_the_directory(start: Start) -> None:
    broker = start("rest")
    broker.wait_for("all_up")
    rival = start("rest")
    assert rival.read_to_end() != 0
    assert f"in use by the broker with pid {broker.process.pid}" in rival.stderr()


def test_a_child_inherits_its_own_channel_and_no_other_descriptor_of_the_supervisor(start: Start) -> None:
    broker = start("pool")
    for number in range(5):
        add(broker, "obedient", f"q{number}")
        broker.up(f"q{number}")
    add(broker, "opens_nothing", "last")
    found = json.loads(broker.wait_for("announced", id="last")["text"])
    assert found.count("socket") == 1
    # Its standard input and output are the only pipes, its standard error is a file.
    assert found.count("pipe") == 2
    assert "anon_inode" not in "".join(found)


def test_a_temporary_directory_is_used_when_the_path_is_too_long_for_a_socket(short_path: Path) -> None:
    deep = short_path / ("d" * 80) / "data"
    deep.parent.mkdir()
    with ToyBroker("pool", deep, short_path) as broker:
        add(broker, "binds")
        broker.up("q")
        run = Path((deep / "run" / "sockets").read_text())
        (found,) = run.glob("*.sock")
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(ConnectionRefusedError):
            probe.connect(str(found))
        broker.process.send_signal(signal.SIGTERM)
        assert broker.read_to_end() == 0
        assert not run.exists()
