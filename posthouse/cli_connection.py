"""How a command reaches its broker: the options all commands share, and the client as the commands see it.

`with_broker` gives a command these options and an open client. Where both an option and the environment say which
broker is meant, the option wins.
"""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec, Protocol, Self

import typer

from posthouse.cli_values import parse_duration_s
from posthouse.message import Message
from posthouse.transport.explanation import Explanation
from posthouse.transport.messages import BindingSpec, ConsumerInfo, ExchangeSpec, QueueInfo

DEFAULT_TIMEOUT_S: Final = 10.0
_PANEL: Final = "Which broker"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The data directory of a broker on this machine. [env: POSTHOUSE_DATA]",
        rich_help_panel=_PANEL,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="tcp://HOST:PORT or ipc://DIR. [env: POSTHOUSE_ADDRESS]",
        rich_help_panel=_PANEL,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        "--timeout",
        metavar="S",
        parser=parse_duration_s,
        help="How long to wait for the broker: seconds, or with a unit as in 500ms, 2m.",
        rich_help_panel=_PANEL,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


class Receipt(Protocol):
    """The fate of a published message."""

    @property
    def queues(self) -> tuple[str, ...]: ...
    @property
    def durability(self) -> str: ...
    @property
    def duplicate(self) -> bool: ...


class Publisher(Protocol):
    """A pipelined publisher."""

    def send(self, body: bytes, routing_key: str = "", **options: Any) -> object: ...
    def flush(self, timeout_s: float | None = None) -> None: ...


class Messages(Protocol):
    """An open consumer."""

    def get(self, timeout_s: float | None = None) -> Message | None: ...


class Broker(Protocol):
    """What the command line asks of a client."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: Any) -> None: ...

    def declare_exchange(self, name: str, kind: str, **options: Any) -> object: ...
    def declare_queue(self, name: str, **options: Any) -> QueueInfo: ...
    def delete_exchange(self, name: str, *, if_unused: bool = False) -> object: ...
    def delete_queue(self, name: str, *, if_unused: bool = False, if_empty: bool = False) -> int | None: ...
    def purge_queue(self, name: str) -> int: ...

    def bind(
        self, exchange: str, queue: str, key: str = "", /, *, arguments: dict[str, Any] | None = None
    ) -> object: ...
    def unbind(
        self, exchange: str, queue: str, key: str = "", /, *, arguments: dict[str, Any] | None = None
    ) -> object: ...
    def bind_exchange(
        self, source: str, target: str, key: str = "", /, *, arguments: dict[str, Any] | None = None
    ) -> object: ...
    def unbind_exchange(
        self, source: str, target: str, key: str = "", /, *, arguments: dict[str, Any] | None = None
    ) -> object: ...

    def queues(self) -> list[QueueInfo]: ...
    def exchanges(self) -> list[ExchangeSpec]: ...
    def bindings(self) -> list[BindingSpec]: ...
    def consumers(self) -> list[ConsumerInfo]: ...
    def tree(self) -> list[dict[str, Any]]: ...
    def status(self) -> dict[str, Any]: ...
    def explain(
        self, exchange: str, routing_key: str = "", headers: dict[str, Any] | None = None
    ) -> Explanation: ...

    def publish(self, exchange: str, body: bytes, **options: Any) -> Receipt: ...
    def publisher(self, exchange: str) -> AbstractContextManager[Publisher]: ...
    def consume(self, queue: str, *, prefetch: int = 256) -> AbstractContextManager[Messages]: ...
    def get(self, queue: str) -> Message | None: ...
    def peek(self, queue: str, count: int = 10) -> list[Message]: ...


P = ParamSpec("P")


def with_broker(command: Callable[Concatenate[Broker, P], None]) -> Callable[..., None]:
    """The command with `--data`, `--address` and `--timeout`; it is called with a client, which is closed after it."""

    @functools.wraps(command)
    def run(*, data: Path | None, address: str | None, timeout: float, **arguments: Any) -> None:
        with connect(data, address, timeout) as broker:
            command(broker, **arguments)  # type: ignore[call-arg]  # typer fills in what the signature below says

    # typer reads the signature; the names in it are looked up here, where the command's module is still known.
    own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own, *_connection_parameters())
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _connection_parameters() -> Iterator[inspect.Parameter]:
    kind = inspect.Parameter.KEYWORD_ONLY
    yield inspect.Parameter("data", kind, default=None, annotation=Data)
    yield inspect.Parameter("address", kind, default=None, annotation=Address)
    yield inspect.Parameter("timeout", kind, default=DEFAULT_TIMEOUT_S, annotation=Timeout)


def connect(data: Path | None, address: str | None, timeout_s: float) -> Broker:
    """A client of the broker that the options or the environment name, else of this user's on this machine."""
    if data is not None and address is not None:
        raise typer.BadParameter(
            "--data and --address exclude each other; give one of them", param_hint="--address"
        )
    if data is None and address is None:
        address = os.environ.get("POSTHOUSE_ADDRESS") or None
        found = os.environ.get("POSTHOUSE_DATA")
        data = Path(found) if found and address is None else None
    import posthouse  # late, so that what needs no broker does not wait for the client's imports

    return posthouse.connect(address, timeout_s=timeout_s, data=None if data is None else str(data))
