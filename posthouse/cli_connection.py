"""How a command reaches its broker: the options that all commands share.

`with_broker` gives a command these options and an open client. Without them the client decides which broker
is meant: by POSTHOUSE_ADDRESS, then POSTHOUSE_DATA, then this user's data directory.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec

import typer

from posthouse import client
from posthouse.cli_completion import complete_names
from posthouse.cli_values import parse_duration_s
from posthouse.client import Broker

DEFAULT_TIMEOUT_S: Final = 10.0
_PANEL: Final = "Which broker"

Data = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="The data directory of a broker on this machine (env: POSTHOUSE_DATA).",
        rich_help_panel=_PANEL,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="tcp://HOST:PORT or ipc://DIR (env: POSTHOUSE_ADDRESS).",
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


P = ParamSpec("P")


def with_broker(command: Callable[Concatenate[Broker, P], None]) -> Callable[..., None]:
    """The command with the options above. It is called with a client, which is closed after it."""

    @functools.wraps(command)
    def run(*, data: Path | None, address: str | None, timeout: float, **arguments: Any) -> None:
        with connect(data, address, timeout) as broker:
            command(broker, **arguments)  # type: ignore[call-arg]  # typer fills in what the signature says

    # typer reads a signature; the names in it are looked up here, where the command's module is known.
    own = inspect.signature(command, eval_str=True)
    shared = inspect.signature(connect, eval_str=True)
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*list(own.parameters.values())[1:], *shared.parameters.values())
    ]
    for parameter in parameters:
        complete_names(parameter.annotation)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # as inspect documents it
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def connect(data: Data = None, address: Address = None, timeout: Timeout = DEFAULT_TIMEOUT_S) -> Broker:
    """A client of the broker that the options name, else of the one the client finds by itself."""
    if data is not None and address is not None:
        raise typer.BadParameter("--data and --address exclude each other; give one", param_hint="--address")
    return client.connect(address, timeout_s=timeout, data=None if data is None else str(data))
