"""A broker comes and goes: ready line, orderly stop, kill -9 of the supervisor, second brokers, leftovers."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import threading
from concurrent import futures
from pathlib import Path

import psutil
import pytest

import posthouse
from posthouse.errors import BrokerNotRunning, PosthouseError, PublishError, Refused, Unavailable
from posthouse.testing.broker import BrokerProcess, run_command
from posthouse.testing.waiting import eventually
from tests.system.conftest import StartBroker


def sockets_in(directory: Path) -> list[str]:
    return [entry.name for entry in directory.rglob("*") if stat.S_ISSOCK(entry.lstat().st_mode)]


def zombies_of(pid: int) -> list[int]:
    children = psutil.Process(pid).children()
    return [child.pid for child in children if child.status() == psutil.STATUS_ZOMBIE]


def test_the_ready_line_names_addresses_that_take_work_at_once(process: BrokerProcess) -> None:
    assert process.tcp.startswith("tcp://127.0.0.1:")
    assert not process.tcp.endswith(":0")
    for door in (False, True):
        broker = process.connect(door=door)
        broker.declare_queue("q")
        assert broker.publish("", b"x", "q").queues == ["q"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_everything_in_order(process: BrokerProcess, number: signal.Signals) -> None:
    broker = process.connect()
    broker.declare_exchange("e", "fanout")
    broker.declare_queue("q")
    broker.bind("e", "q")
    children = process.children
    # The registry, two stores, the queue, three exchanges (the default one, that of events and ours), monitor and door.
    assert len(children) == 9
    assert sockets_in(process.data)

    assert process.stop(number) == 0

    assert not [pid for pid in children if psutil.pid_exists(pid)]
    assert sockets_in(process.data) == []
    assert not (process.data / "run" / "broker.json").exists()
    assert "Traceback" not in process.log
    with pytest.raises(BrokerNotRunning):
        posthouse.connect(process.ipc, timeout_s=1.0)


def test_a_stop_on_a_data_directory_with_a_long_path_leaves_no_socket_elsewhere(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = short_path / "tmp"
    elsewhere.mkdir(mode=0o700)
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    with BrokerProcess(short_path, data="d" * 90) as process:
        process.connect().declare_queue("q")
        assert sockets_in(elsewhere)
        assert process.stop() == 0
    assert list(elsewhere.iterdir()) == []


def test_a_second_broker_on_the_same_directory_is_refused_and_disturbs_nothing(
    process: BrokerProcess,
) -> None:
    broker = process.connect()
    broker.declare_queue("q")

    second = run_command("serve", "--data", str(process.data), "--listen", "tcp://127.0.0.1:0")

    assert second.returncode == 1
    assert second.stdout == ""
    assert "error[data_directory_in_use]" in second.stderr
    assert str(process.pid) in second.stderr
    assert broker.publish("", b"x", "q").queues == ["q"]
    assert process.connect().get("q") is not None


def test_a_stop_under_load_loses_nothing_that_was_confirmed(process: BrokerProcess) -> None:
    process.connect().declare_queue("q")
    confirmed = 0
    is_flowing = threading.Event()

    def publish() -> None:
        nonlocal confirmed
        out = process.connect(timeout_s=2.0).publisher("", window=500)
        with contextlib.suppress(PublishError, Unavailable):  # what the end of the broker looks like from here
            while True:
                for number in range(confirmed, confirmed + 100):
                    out.send(b"%d" % number, "q")
                out.flush()
                confirmed += 100
                if confirmed >= 1_000:
                    is_flowing.set()

    thread = threading.Thread(target=publish)
    thread.start()
    assert is_flowing.wait(90)
    assert process.stop() == 0
    thread.join()
    assert "Traceback" not in process.log

    process.start()
    with process.connect().consume("q", auto_ack=True, prefetch=5_000) as messages:
        got: list[int] = []
        while len(got) < confirmed:
            batch = messages.batch(5_000, timeout_s=60.0)
            assert batch, f"{confirmed} were confirmed, {len(got)} are there"
            got += [int(message.body) for message in batch]
    assert got[:confirmed] == list(range(confirmed))


def test_kill_nine_of_the_supervisor_leaves_no_orphan_and_a_restart_works_at_once(
    process: BrokerProcess,
) -> None:
    broker = process.connect()
    broker.declare_queue("q")
    broker.publish("", b"kept", "q")
    for _ in range(3):
        process.kill_all()
        process.start()
        message = process.connect().peek("q")[0]
        assert message.body == b"kept"
    assert broker.publish("", b"the old client goes on", "q").queues == ["q"]


def test_orphans_end_although_they_were_stopped_when_the_supervisor_died(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("q")
    broker.publish("", b"kept", "q")
    stopped = process.pid_of("queue:q")
    os.kill(stopped, signal.SIGSTOP)
    assert stopped in process.kill_all()
    process.start()
    assert [message.body for message in process.connect().peek("q")] == [b"kept"]


def test_actors_that_are_killed_leave_no_zombie_and_no_socket(process: BrokerProcess) -> None:
    broker = process.connect()
    broker.declare_queue("q")
    before = len(sockets_in(process.data))
    for actor in ("queue:q", "exchange:", "registry", "door"):
        process.wait_up(actor, process.kill(actor))
    assert zombies_of(process.pid) == []
    assert len(sockets_in(process.data)) == before
    assert broker.publish("", b"x", "q").queues == ["q"]


def test_leftovers_of_a_dead_broker_are_no_obstacle(start_broker: StartBroker) -> None:
    process = start_broker()
    process.connect().declare_queue("q")
    process.kill_all()
    run = process.data / "run"
    assert sockets_in(run)
    (run / "lock").write_text("1\n")
    (run / "broker.json").write_text("{ half a fi")
    (run / "broker.json.tmp").write_text("left by a crash")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(run / "nobody-99.sock"))
    stale.close()

    process.start()

    assert process.connect().publish("", b"x", "q").queues == ["q"]
    assert "nobody-99.sock" not in sockets_in(run)


def test_posthouse_stop_stops_the_broker_of_a_directory(process: BrokerProcess) -> None:
    done = run_command("stop", "--data", str(process.data))
    assert done.returncode == 0, done.stderr
    assert process.wait() == 0
    again = run_command("stop", "--data", str(process.data))
    assert again.returncode == 3
    assert "broker_not_running" in again.stderr


def test_a_client_is_told_within_its_deadline_that_the_broker_is_gone(process: BrokerProcess) -> None:
    broker = process.connect(timeout_s=1.0)
    broker.declare_queue("q")
    process.kill_all()
    with pytest.raises(Unavailable):
        broker.publish("", b"x", "q")
    with pytest.raises(Unavailable):
        broker.queue_info("q")
    assert not isinstance(_error_of(process.ipc), Refused)


def _error_of(address: str) -> PosthouseError | None:
    try:
        posthouse.connect(address, timeout_s=0.5).close()
    except PosthouseError as error:
        return error
    return None


def test_a_queue_that_dies_while_the_broker_stops_does_not_keep_it(process: BrokerProcess) -> None:
    broker = process.connect()
    for number in range(5):
        broker.declare_queue(f"q{number}")
    pids = [process.pid_of(f"queue:q{number}") for number in range(5)]
    os.kill(process.pid, signal.SIGTERM)
    for pid in pids:
        if psutil.pid_exists(pid):
            os.kill(pid, signal.SIGKILL)
    assert process.wait() == 0
    eventually(lambda: not [pid for pid in pids if psutil.pid_exists(pid)])


def test_a_program_that_starts_while_the_broker_is_coming_back_waits_for_it(process: BrokerProcess) -> None:
    process.kill_all()
    with pytest.raises(BrokerNotRunning, match="is gone"):
        posthouse.connect(process.ipc, timeout_s=0.2)
    with futures.ThreadPoolExecutor(1) as pool:
        early = pool.submit(posthouse.connect, process.ipc, timeout_s=30.0)
        process.start()
        with early.result(30.0) as broker:
            assert broker.status()["healthy"]


def test_a_program_that_starts_after_the_broker_was_stopped_is_told_at_once(process: BrokerProcess) -> None:
    process.stop()
    with pytest.raises(BrokerNotRunning, match="no broker runs"):
        posthouse.connect(process.ipc, timeout_s=600.0)
