"""The command line as its users run it: real processes, a real broker, real pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import final

import pytest

from posthouse.testing.broker import BrokerProcess
from posthouse.testing.waiting import eventually
from tests.support.source_tree import ROOT

PROGRAM = "import sys; from posthouse.cli import main; sys.exit(main(sys.argv[1:]))"

PATIENCE_S = 90.0


@final
class Shell:
    """Runs `posthouse` with POSTHOUSE_DATA set to the broker's data directory."""

    def __init__(self, data: Path) -> None:
        self._environment = {**os.environ, "POSTHOUSE_DATA": str(data), "PYTHONPATH": str(ROOT)}
        self._environment.pop("POSTHOUSE_ADDRESS", None)

    def start(self, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", PROGRAM, *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdin=stdin, stdout=pipe, stderr=pipe)

    def run(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        with self.start(*arguments, stdin=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(stdin, timeout=PATIENCE_S)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def __call__(self, *arguments: str, stdin: bytes = b"") -> str:
        """The output of a command that must succeed."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.returncode == 0, (arguments, ran)
        return ran.stdout.decode()

    def queue(self, name: str) -> dict[str, int]:
        found: dict[str, int] = next(queue for queue in json.loads(self("queues", "--json")) if queue["name"] == name)
        return found


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    with BrokerProcess(tmp_path_factory.mktemp("cli")) as running:
        yield running


@pytest.fixture
def shell(broker: BrokerProcess) -> Shell:
    return Shell(broker.data)


def test_a_topology_is_made_used_explained_and_taken_down(shell: Shell) -> None:
    shell("declare", "exchange", "flights", "topic")
    shell("declare", "queue", "newark")
    shell("bind", "flights", "newark", "*.EWR.#")
    assert shell("publish", "flights", "hello é", "--key", "UA.EWR.IAH") == "published to newark (sync)\n"
    assert "reaches newark" in shell("explain", "flights", "--key", "UA.EWR.IAH")
    assert json.loads(shell("bindings", "--json"))[-1]["key"] == "*.EWR.#"
    assert shell("publish", "flights", "early", "--key", "UA.JFK") == "held for a queue to come (sync)\n"
    assert shell.run("delete", "exchange", "flights").returncode == 1
    assert shell("held", "expire", "flights") == "1 of exchange flights are dead letters now\n"
    assert shell.run("publish", "", "lost", "--key", "nowhere").returncode == 1
    assert json.loads(shell("peek", "newark", "--json"))[0]["body"] == "hello é"
    assert shell.run("delete", "queue", "newark", "--if-empty").returncode == 1
    assert shell("unbind", "flights", "newark", "*.EWR.#") == "unbound flights → newark\n"
    assert shell("purge", "newark", "--yes") == "removed 1 message from newark\n"
    shell("delete", "queue", "newark", "--if-empty")
    shell("delete", "exchange", "flights")
    assert shell.run("peek", "newark").returncode == 1


def test_headers_keep_their_types_on_the_way(shell: Shell) -> None:
    shell("declare", "exchange", "by-headers", "headers", "--unrouted", "drop")
    shell("declare", "queue", "seven")
    shell("bind", "by-headers", "seven", "-H", "hour:=7")
    assert "no queue wanted it" in shell("publish", "by-headers", "text", "-H", "hour=7")
    assert "seven" in shell("publish", "by-headers", "number", "-H", "hour:=7")
    assert json.loads(shell("peek", "seven", "--json"))[0]["headers"] == {"hour": 7}


def test_lines_go_in_and_come_out_in_order_and_byte_by_byte(shell: Shell) -> None:
    lines = b"".join(b"%d \xff\x00\n" % number for number in range(3000))
    shell("declare", "queue", "lines")
    assert shell("publish", "", "--lines", "--key", "lines", stdin=lines) == "published 3,000 messages\n"
    assert shell.run("consume", "lines", "--count", "3000").stdout == lines
    assert (shell.queue("lines")["ready"], shell.queue("lines")["unacked"]) == (0, 0)


def test_a_count_takes_no_more_than_it_says_and_marks_nothing_as_redelivered(shell: Shell) -> None:
    shell("declare", "queue", "counted")
    shell("publish", "", "body", "--key", "counted", "--count", "1000")
    shell("consume", "counted", "--count", "300")
    state = shell.queue("counted")
    assert (state["ready"], state["delivered"], state["acked"]) == (700, 300, 300)
    assert json.loads(shell("peek", "counted", "--json", "--count", "1"))[0]["attempt"] == 1


def test_get_takes_one_and_no_ack_gives_it_back(shell: Shell) -> None:
    shell("declare", "queue", "single")
    shell("publish", "", "one", "--key", "single")
    assert shell("get", "single", "--no-ack") == "one\n"
    assert shell("get", "single") == "one\n"
    assert shell("get", "single", "--json") == "null\n"
    assert shell.queue("single")["acked"] == 1


def test_no_ack_leaves_every_message_in_the_queue(shell: Shell) -> None:
    shell("declare", "queue", "looked-at")
    shell("publish", "", "--lines", "--key", "looked-at", stdin=b"one\ntwo\n")
    assert shell("consume", "looked-at", "--no-ack", "--count", "2") == "one\ntwo\n"
    assert shell.queue("looked-at")["ready"] == 2


def test_a_pipe_that_closes_early_loses_nothing_and_is_no_drama(shell: Shell) -> None:
    shell("declare", "queue", "piped")
    shell("publish", "", "x" * 1000, "--key", "piped", "--count", "1000")
    with shell.start("consume", "piped") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"x" * 1000 + b"\n"
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr.read() == b""
    state = shell.queue("piped")
    assert state["ready"] + state["acked"] == 1000


def test_ctrl_c_ends_a_consumer_silently_with_130_and_what_it_printed_is_acked(shell: Shell) -> None:
    shell("declare", "queue", "followed")
    shell("publish", "", "one", "--key", "followed")
    with shell.start("consume", "followed") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"one\n"
        assert [consumer["queue"] for consumer in json.loads(shell("consumers", "--json"))] == ["followed"]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr.read() == b""
    eventually(lambda: shell.queue("followed")["acked"] == 1, PATIENCE_S, "the ack")


def test_status_and_tree_show_the_living_broker(shell: Shell, broker: BrokerProcess) -> None:
    status = json.loads(shell("status", "--json"))
    assert (status["healthy"], status["pid"]) == (True, broker.pid)
    assert {node["id"] for node in json.loads(shell("tree", "--json"))} >= {"registry", "door", "exchange:"}


def test_the_door_is_an_address_like_any_other(shell: Shell, broker: BrokerProcess) -> None:
    assert "flights" not in shell("queues", "--address", broker.tcp)


def test_stop_returns_when_the_broker_is_gone_and_the_journals_are_whole(tmp_path: Path) -> None:
    with BrokerProcess(tmp_path) as broker:
        shell = Shell(broker.data)
        shell("declare", "queue", "kept")
        shell("publish", "", "kept", "--key", "kept")
        assert f"(process {broker.pid})" in shell("stop")
        assert broker.wait() == 0
    assert shell.run("stop").returncode == 3
    assert shell.run("queues", "--timeout", "1").returncode == 3
    assert shell("journal", "verify", str(broker.data)).count(": intact;") == 4


def test_a_second_broker_on_the_same_directory_is_refused_in_one_line(shell: Shell, broker: BrokerProcess) -> None:
    ran = shell.run("serve", "--listen", "")
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert ran.stderr.count(b"\n") == 1
    assert f"pid {broker.pid}" in ran.stderr.decode()
