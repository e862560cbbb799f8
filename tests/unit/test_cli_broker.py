"""Serve, demo and stop: what they hand on, and that stop signals nobody but the holder of the lock."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import psutil
import pytest

import posthouse.demo
import posthouse.serve
from posthouse import cli_stop
from posthouse.config import Config
from posthouse.transport.errors import DataDirectoryInUse
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch, RecordingBroker())


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[Config]:
    """The settings that `serve` would have run with; it says that it is ready and returns 7."""
    found: list[Config] = []

    def serve(config: Config, *, out: Callable[[str], None] = print) -> int:
        found.append(config)
        out("ready")
        return 7

    monkeypatch.setattr(posthouse.serve, "serve", serve)
    return found


def test_serve_runs_with_what_was_given_and_ends_with_the_broker_s_exit_code(
    run: CommandLine, served: list[Config]
) -> None:
    ran = run("serve", "--data", "/some/dir", "--listen", "tcp://127.0.0.1:0")
    assert (ran.code, ran.out) == (7, "ready\n")
    assert served == [Config(data="/some/dir", listen="tcp://127.0.0.1:0")]


def test_options_of_serve_win_over_its_file(run: CommandLine, served: list[Config], tmp_path: Path) -> None:
    file = tmp_path / "broker.toml"
    file.write_text('data = "/from/file"\nlisten = ""\nlog = "json"\n')
    run("serve", "--config", str(file), "--data", "/given")
    assert served == [Config(data="/given", listen="", log="json")]


def test_a_wrong_setting_is_refused_before_anything_starts(run: CommandLine, served: list[Config]) -> None:
    ran = run("serve", "--listen", "5670")
    assert ran.code == 1
    assert ran.err.startswith("error[invalid_argument]: ")
    assert served == []


def test_a_second_broker_is_refused_in_one_line(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(config: Config, **options: Any) -> int:
        raise DataDirectoryInUse("it is in use by the broker with pid 17")

    monkeypatch.setattr(posthouse.serve, "serve", serve)
    ran = run("serve", "--data", "/x")
    assert (ran.code, ran.err) == (1, "error[data_directory_in_use]: it is in use by the broker with pid 17\n")


def test_the_demo_is_run_as_asked(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def demo(**options: Any) -> int:
        asked.append(options)
        return 1

    monkeypatch.setattr(posthouse.demo, "run", demo)
    assert run("demo", "--flights", "100", "--seconds", "2s", "--keep").code == 1
    run("demo")
    assert asked == [
        {"flights": 100, "seconds": 2.0, "keep": True},
        {"flights": None, "seconds": 0.0, "keep": False},
    ]


@final
class FakeProcess:
    """A process that ends, and so frees the lock, after so many looks at it."""

    def __init__(self, looks: int, refusal: Exception | None = None) -> None:
        self.pid = 4711
        self.looks = looks
        self.terminated = 0
        self._refusal = refusal

    def terminate(self) -> None:
        self.terminated += 1
        if self._refusal is not None:
            raise self._refusal

    def wait(self, timeout: float) -> None:
        self.looks -= 1
        if self.looks > 0:
            raise psutil.TimeoutExpired(timeout)


def with_broker(monkeypatch: pytest.MonkeyPatch, process: FakeProcess) -> FakeProcess:
    monkeypatch.setattr(cli_stop, "_lock_holder", lambda directory: process.pid if process.looks > 0 else 0)
    monkeypatch.setattr(psutil, "Process", lambda pid: process)
    return process


def test_stop_waits_until_the_lock_is_free(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    process = with_broker(monkeypatch, FakeProcess(looks=3))
    ran = run("stop", "--data", "/x")
    assert (ran.code, ran.out) == (0, "stopped the broker on /x (process 4711)\n")
    assert (process.terminated, process.looks) == (1, 0)


def test_stop_gives_up_at_its_deadline(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with_broker(monkeypatch, FakeProcess(looks=1_000_000))
    ran = run("stop", "--data", "/x", "--timeout", "0")
    assert ran.code == 1
    assert ran.err.startswith("error[unavailable]: the broker on /x (process 4711) was told to stop")


def test_stop_of_a_broker_that_ends_in_the_same_moment_is_done(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_broker(monkeypatch, FakeProcess(looks=1, refusal=psutil.NoSuchProcess(4711)))
    assert run("stop", "--data", "/x").code == 0


def test_stop_of_another_user_s_broker_is_refused(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    with_broker(monkeypatch, FakeProcess(looks=1, refusal=psutil.AccessDenied(4711)))
    ran = run("stop", "--data", "/x")
    assert ran.code == 1
    assert "belongs to another user" in ran.err


@pytest.mark.parametrize(("holders", "code"), [([4711, 0], 3), ([4711, 4711], 1)])
def test_a_holder_that_cannot_be_seen_is_either_gone_or_in_another_container(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch, holders: list[int], code: int
) -> None:
    def no_process(pid: int) -> psutil.Process:
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(cli_stop, "_lock_holder", lambda directory: holders.pop(0))
    monkeypatch.setattr(psutil, "Process", no_process)
    assert run("stop", "--data", "/x").code == code


def test_stop_without_a_broker_is_exit_code_3_whatever_its_files_say(run: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").write_text("1\n")
    (tmp_path / "run" / "broker.json").write_text('{"pid": 1}')
    ran = run("stop", "--data", str(tmp_path))
    assert (ran.code, ran.err) == (3, f"error[broker_not_running]: no broker runs on {tmp_path}\n")


def test_stop_finds_the_directory_as_serve_does(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POSTHOUSE_DATA", str(tmp_path))
    assert str(tmp_path) in run("stop").err
