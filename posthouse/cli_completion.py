"""What the shell offers after TAB where the name of a queue or an exchange is wanted: those there are.

Asked of the broker that the command line names so far, with little patience. Nothing here ever fails or prints: in the
middle of a command nobody wants to read why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, get_args

import typer

from posthouse import client
from posthouse.transport.errors import PosthouseError

TIMEOUT_S: Final = 2.0

Complete = Callable[[typer.Context, str], list[str]]


def queue_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The queues whose name begins so."""
    return _names(ctx, incomplete, lambda broker: (queue.name for queue in broker.queues()))


def exchange_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """The exchanges whose name begins so, without the default one, which has none."""
    return _names(ctx, incomplete, lambda broker: (one.name for one in broker.exchanges() if one.name))


BY_METAVAR: Final[dict[str, Complete]] = {
    "QUEUE": queue_names,
    "EXCHANGE": exchange_names,
    "SOURCE": exchange_names,
    "DESTINATION": exchange_names,
}


def complete_names(annotation: Any) -> None:
    """Let a parameter complete names where its metavar says that it is one."""
    for said in get_args(annotation)[1:]:
        metavar = getattr(said, "metavar", None)
        if metavar in BY_METAVAR and said.autocompletion is None:
            said.autocompletion = BY_METAVAR[metavar]


def _names(ctx: typer.Context, incomplete: str, ask: Callable[[client.Broker], Iterable[str]]) -> list[str]:
    data: Path | None = ctx.params.get("data")
    try:
        with client.connect(
            ctx.params.get("address"), timeout_s=TIMEOUT_S, data=None if data is None else str(data)
        ) as broker:
            return sorted(name for name in ask(broker) if name.startswith(incomplete) and name.isprintable())
    except (PosthouseError, OSError):
        return []
