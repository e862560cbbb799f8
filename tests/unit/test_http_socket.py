"""The socket for HTTP: where it is bound, and what happens when somebody is there already."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from posthouse import config
from posthouse.config import Config, HttpAddress
from posthouse.http_socket import open_as_configured
from posthouse.transport.errors import AddressInUse, InvalidArgument


@pytest.fixture
def taken() -> Iterator[str]:
    """An address of loopback where somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("http", ["127.0.0.1:0", "localhost:0", "http://127.0.0.1:0", "http://127.0.0.1:0/"])
def test_a_free_port_of_loopback_is_bound_and_its_url_told(http: str) -> None:
    listener, url = open_as_configured(Config(data="/d", http=http), pytest.fail)
    assert listener is not None
    with listener:
        assert int(url.rpartition(":")[2]) == listener.getsockname()[1]
        with socket.create_connection(listener.getsockname(), timeout=5):
            pass


@pytest.mark.parametrize("http", ["", "off"])
def test_nothing_is_bound_where_nothing_is_wanted(http: str) -> None:
    assert open_as_configured(Config(data="/d", http=http), pytest.fail) == (None, "")


def test_an_address_that_was_asked_for_and_is_taken_is_an_error(taken: str) -> None:
    with pytest.raises(AddressInUse, match=f"http://{taken}: Address already in use"):
        open_as_configured(Config(data="/d", http=taken), pytest.fail)


def test_the_default_gives_way_with_a_warning(taken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_HTTP", taken)
    warnings: list[str] = []
    assert open_as_configured(Config(data="/d"), warnings.append) == (None, "")
    assert len(warnings) == 1
    assert taken in warnings[0]


def test_an_address_of_another_machine_cannot_be_bound() -> None:
    with pytest.raises(AddressInUse):
        open_as_configured(Config(data="/d", http="192.0.2.1:0", allow_remote=True), pytest.fail)


@pytest.mark.parametrize(
    "http", ["15670", "127.0.0.1", ":15670", "127.0.0.1:65536", "127.0.0.1:x", "::1:15670", "tcp://127.0.0.1:1", "on"]
)
def test_what_is_no_address_is_refused(http: str) -> None:
    with pytest.raises(InvalidArgument, match=r"127\.0\.0\.1:15670"):
        Config.load(data="/d", http=http)


@pytest.mark.parametrize("http", ["0.0.0.0:15670", "[::]:15670", "broker.example:15670", "10.0.0.1:0"])
def test_other_machines_reach_it_only_when_that_is_allowed(http: str) -> None:
    with pytest.raises(InvalidArgument, match="authenticates nobody"):
        Config.load(data="/d", http=http)
    assert Config.load(data="/d", http=http, allow_remote=True).http_address is not None


def test_an_address_is_written_as_it_stands_in_a_url() -> None:
    assert str(HttpAddress("::1", 80)) == "[::1]:80"
    assert Config(data="/d", http="[::1]:80").http_address == HttpAddress("::1", 80)
    assert Config(data="/d").http_address == HttpAddress("127.0.0.1", 15_670)
