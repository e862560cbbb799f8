"""The data directory: whose it is, what is cleaned, where sockets go."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.supervisor import data_directory as module
from posthouse.supervisor.data_directory import DataDirectory, find_run_directory, socket_path
from posthouse.transport.errors import DataDirectoryInUse, DiskFault, InvalidArgument


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Sockets need a path of less than 100 bytes, and pytest's own may be longer."""
    with tempfile.TemporaryDirectory(prefix="ph-") as path:
        yield Path(path)


def bind(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def test_a_new_directory_is_made_for_us_alone(short_path: Path) -> None:
    with DataDirectory.open(str(short_path / "some" / "data")) as directory:
        for name in ("", "journal", "run"):
            assert (short_path / "some" / "data" / name).stat().st_mode & 0o777 == 0o700
        assert (short_path / "some" / "data" / "run" / "lock").read_text() == f"{os.getpid()}\n"
        assert find_run_directory(directory.path) == directory.run_directory


def test_generations_go_on_when_it_is_opened_again(short_path: Path) -> None:
    with DataDirectory.open(str(short_path)) as directory:
        first = directory.generations.take()
    with DataDirectory.open(str(short_path)) as directory:
        assert directory.generations.take() > first


def test_a_directory_held_by_a_living_process_is_refused_with_its_pid(short_path: Path) -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            with DataDirectory.open(str(short_path)):
                os.write(writer, b"held")
                signal.pause()
        finally:
            os._exit(1)
    try:
        assert os.read(reader, 4) == b"held"
        with pytest.raises(DataDirectoryInUse, match=f"pid {pid}$"):
            DataDirectory.open(str(short_path))
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reader)
        os.close(writer)
    DataDirectory.open(str(short_path)).close()


def test_a_lock_that_cannot_be_asked_for_is_an_error_of_its_own(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, flags: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "lockf", fail)
    with pytest.raises(OSError, match="no locks"):
        DataDirectory.open(str(short_path))


def test_a_file_in_its_place_is_refused(short_path: Path) -> None:
    (short_path / "file").write_text("")
    with pytest.raises(DataDirectoryInUse, match="not a directory"):
        DataDirectory.open(str(short_path / "file"))
    with pytest.raises(DataDirectoryInUse, match="not a directory"):
        DataDirectory.open(str(short_path / "file" / "below"))


def test_a_directory_of_another_user_is_refused(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(DataDirectoryInUse, match="belongs to user"):
        DataDirectory.open(str(short_path))


def test_a_directory_that_others_can_write_to_is_refused(short_path: Path) -> None:
    short_path.chmod(0o770)
    with pytest.raises(DataDirectoryInUse, match="other users"):
        DataDirectory.open(str(short_path))


def test_a_link_to_a_directory_of_ours_is_followed(short_path: Path) -> None:
    (short_path / "real").mkdir(mode=0o700)
    (short_path / "link").symlink_to(short_path / "real")
    with DataDirectory.open(str(short_path / "link")):
        assert (short_path / "real" / "journal").is_dir()


def test_socket_files_of_dead_lives_go_and_nothing_else(short_path: Path) -> None:
    with DataDirectory.open(str(short_path)) as directory:
        bind(directory.socket_path("q", 3))
        (short_path / "run" / "notes.sock").write_text("not a socket")
    bind(socket_path(str(short_path / "run"), "q", 4))
    with DataDirectory.open(str(short_path)) as directory:
        assert {entry.name for entry in (short_path / "run").iterdir()} == {"lock", "sockets", "notes.sock"}
        bind(directory.socket_path("q", 5))
        directory.remove_socket("q", 5)
        directory.remove_socket("q", 5)
        assert not os.path.exists(directory.socket_path("q", 5))


def test_no_two_lives_share_a_socket_path() -> None:
    paths = {socket_path("/run", name, generation) for name in ("a", "b") for generation in (1, 2)}
    assert len(paths) == 4


def test_journals_have_readable_names_that_are_safe_and_different(short_path: Path) -> None:
    with DataDirectory.open(str(short_path)) as directory:
        names = [directory.journal_directory(name) for name in ("orders", "../etc", "a/b", "a_b", "ö" * 300)]
    assert len(set(names)) == 5
    assert all(os.path.dirname(name) == str(short_path / "journal") for name in names)
    assert os.path.basename(names[0]).startswith("orders-")


def test_generations_are_not_guessed_when_there_are_journals(short_path: Path) -> None:
    with DataDirectory.open(str(short_path)) as directory:
        os.mkdir(directory.journal_directory("q"))
    with pytest.raises(DiskFault):
        DataDirectory.open(str(short_path))
    (short_path / "generations").write_text("posthouse generations below 50\n")
    with DataDirectory.open(str(short_path)) as directory:
        assert directory.generations.take() == 50


def test_a_long_path_gets_its_sockets_in_a_private_temporary_directory(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))
    deep = short_path / ("d" * 90)
    with DataDirectory.open(str(deep)) as directory:
        run = Path(directory.run_directory)
        assert run.parent == short_path
        assert run.stat().st_mode & 0o777 == 0o700
        assert len(directory.socket_path("q", 10**18)) <= module.SOCKET_PATH_BYTES_MAX
        assert find_run_directory(str(deep)) == str(run)
        bind(directory.socket_path("q", 1))
    assert not run.exists()


def test_a_link_planted_in_place_of_the_temporary_directory_is_refused(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(short_path))
    deep = short_path / ("d" * 90)
    with DataDirectory.open(str(deep)) as directory:
        run = Path(directory.run_directory)
    run.symlink_to(short_path)
    with pytest.raises(DataDirectoryInUse, match="is a link"):
        DataDirectory.open(str(deep))


def test_two_paths_that_are_too_long_are_refused(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "t" * 90)
    with pytest.raises(InvalidArgument, match="shorter"):
        DataDirectory.open(str(short_path / ("d" * 90)))
