"""Where a broker is."""

from __future__ import annotations

import pytest

from posthouse.address import Address, parse_address
from posthouse.transport.errors import InvalidArgument


@pytest.fixture(autouse=True)
def _no_address_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POSTHOUSE_ADDRESS", raising=False)


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:5670", "tcp://broker.example:1", "tcp://[::1]:65535"])
def test_a_tcp_address_is_a_door(text: str) -> None:
    found = parse_address(text, "/default")
    assert found == Address(door=text)
    assert str(found) == text


def test_an_ipc_address_is_a_directory() -> None:
    found = parse_address("ipc:///var/lib/posthouse", "/default")
    assert found == Address(directory="/var/lib/posthouse")
    assert str(found) == "ipc:///var/lib/posthouse"


def test_without_an_address_the_environment_decides_and_then_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_address(None, "/default") == Address(directory="/default")
    assert parse_address("", "/default") == Address(directory="/default")
    monkeypatch.setenv("POSTHOUSE_ADDRESS", "tcp://127.0.0.1:5670")
    assert parse_address(None, "/default") == Address(door="tcp://127.0.0.1:5670")
    assert parse_address("ipc:///here", "/default") == Address(directory="/here")


@pytest.mark.parametrize(
    "text",
    [
        "localhost:5670",
        "tcp://localhost",
        "tcp://5670",
        "tcp://:5670",
        "tcp://localhost:port",
        "tcp://localhost:²",
        "tcp://localhost:0",
        "tcp://localhost:65536",
        "ipc://",
        "http://localhost:5670",
        "/var/lib/posthouse",
    ],
)
def test_any_other_address_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(InvalidArgument, match="tcp://host:port"):
        parse_address(text, "/default")
