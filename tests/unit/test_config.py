"""The configuration: a file, what is given beside it, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from posthouse.config import DEFAULT_LISTEN, Config, default_data_directory
from posthouse.transport.errors import InvalidArgument


def test_what_is_given_overrides_the_file_and_the_file_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('data = "/from/file"\nlog = "json"\nbody_bytes_max = 2048\n')
    found = Config.load(str(file), data="/given", listen=None, log=None)
    assert (found.data, found.log, found.body_bytes_max, found.listen) == ("/given", "json", 2048, DEFAULT_LISTEN)


def test_without_a_data_directory_the_users_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOUSE_DATA", "/from/environment")
    assert Config.load().data == "/from/environment"
    assert Config.load(data="/given").data == "/given"


def test_the_default_directory_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("POSTHOUSE_DATA", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", "linux")
    assert default_data_directory() == str(tmp_path / ".local" / "share" / "posthouse")
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert default_data_directory() == "/xdg/posthouse"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert default_data_directory() == str(tmp_path / "Library" / "Application Support" / "posthouse")


@pytest.mark.parametrize("text", [b"data = ", b"\xff\xfe", None], ids=["broken", "not UTF-8", "missing"])
def test_a_file_that_cannot_be_read_is_refused_with_its_name(text: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(InvalidArgument, match=r"posthouse\.toml"):
        Config.load(str(file))


def test_an_unknown_setting_and_one_of_the_wrong_type_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    for line in ('colour = "red"', 'body_bytes_max = "big"', "data = 7"):
        file.write_text(line)
        with pytest.raises(InvalidArgument, match="configuration is wrong"):
            Config.load(str(file))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "127.0.0.1:5670"),
        ("listen", "udp://127.0.0.1:5670"),
        ("listen", "tcp://127.0.0.1"),
        ("listen", "tcp://:5670"),
        ("listen", "tcp://127.0.0.1:65536"),
        ("listen", "tcp://0.0.0.0:5670"),
        ("listen", "tcp://broker.example:5670"),
        ("log", "loud"),
        ("body_bytes_max", 1023),
        ("body_bytes_max", 512 * 1024 * 1024 + 1),
        ("segment_bytes_max", 64 * 1024 - 1),
        ("segment_bytes_max", 1024 * 1024 * 1024 + 1),
        ("queue_memory_bytes_max", 1024 * 1024 - 1),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidArgument, match=name):
        Config.load(data="/d", **{name: value})


@pytest.mark.parametrize("listen", ["", "tcp://127.0.0.1:0", "tcp://localhost:5670", "tcp://[::1]:5670"])
def test_the_door_listens_on_this_machine_or_nowhere(listen: str) -> None:
    assert Config.load(data="/d", listen=listen).listen == listen


def test_the_door_listens_to_other_machines_only_when_it_is_allowed_to() -> None:
    assert Config.load(data="/d", listen="tcp://0.0.0.0:5670", allow_remote=True).allow_remote


def test_the_limits_let_the_largest_body_through() -> None:
    small, large = Config(data="/d").limits, Config(data="/d", body_bytes_max=100 * 1024 * 1024).limits
    for limits in (small, large):
        assert limits.frame_bytes_max > limits.body_bytes_max
        assert limits.window_bytes >= limits.body_bytes_max
    assert large.body_bytes_max == 100 * 1024 * 1024
