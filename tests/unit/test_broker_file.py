"""The file by which clients on this machine find a broker."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from posthouse import broker_file
from posthouse.broker_file import BrokerFile
from posthouse.transport.errors import BrokerNotRunning


def write(directory: Path, pid: int) -> BrokerFile:
    told = BrokerFile(
        pid=pid, registry="ipc:///r", generation=2, listen="", version="0.1", data=str(directory), started_at=1.0
    )
    (directory / "run").mkdir(exist_ok=True)
    (directory / "run" / broker_file.NAME).write_bytes(msgspec.json.encode(told))
    return told


def test_it_is_found_from_the_data_directory_and_from_the_run_directory(tmp_path: Path) -> None:
    told = write(tmp_path, os.getpid())
    assert broker_file.read(str(tmp_path)) == told
    assert broker_file.read(str(tmp_path / "run")) == told


def test_without_the_file_no_broker_runs_and_the_error_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(BrokerNotRunning, match=f"posthouse serve --data {tmp_path}"):
        broker_file.read(str(tmp_path))


def test_a_broker_whose_process_is_gone_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, 4_000_000)

    def gone(pid: int, signal: int) -> None:
        assert (pid, signal) == (4_000_000, 0)
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", gone)
    with pytest.raises(BrokerNotRunning, match="process 4000000"):
        broker_file.read(str(tmp_path))


def test_a_broker_of_another_user_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = write(tmp_path, 1)

    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", forbidden)
    assert broker_file.read(str(tmp_path)) == told


@pytest.mark.parametrize("text", [b"", b"{}", b"not json", b'{"pid": "one"}', b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: bytes) -> None:
    write(tmp_path, 1)
    (tmp_path / "run" / broker_file.NAME).write_bytes(text)
    with pytest.raises(BrokerNotRunning, match="cannot be read"):
        broker_file.read(str(tmp_path))


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "run" / broker_file.NAME).mkdir(parents=True)
    with pytest.raises(BrokerNotRunning, match="cannot be read"):
        broker_file.read(str(tmp_path))
