"""The broker as a program: serve, stop and the demo.

What these commands need is imported when they run: most invocations of `posthouse` are for another command.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from posthouse.cli_connection import Timeout
from posthouse.cli_output import say
from posthouse.cli_values import parse_duration_s

STOP_TIMEOUT_S: Final = 60.0
"""An actor may take its time to stop in order; the supervisor kills what takes longer than its spec says."""

DataDirectory = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        show_default=False,
        help="The data directory. Default: $POSTHOUSE_DATA, else this user's data directory.",
    ),
]


def serve(
    data: DataDirectory = None,
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            show_default=False,
            help="Where clients connect over TCP (default tcp://127.0.0.1:5670). Port 0 picks a free one; "
            "'' means nowhere.",
        ),
    ] = None,
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            show_default=False,
            help="Where the web page and the HTTP API are (default 127.0.0.1:15670, nowhere if that is taken). "
            "Port 0 picks a free one; 'off' means nowhere.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Settings as TOML; options here win over it."),
    ] = None,
) -> None:
    """Run a broker until Ctrl-C or SIGTERM. Prints one line when it is ready to take work.

    \b
    Examples:
      posthouse serve
      posthouse serve --data /var/lib/posthouse --listen tcp://127.0.0.1:5671 --http 127.0.0.1:15671
    """
    from posthouse.config import Config
    from posthouse.serve import serve as run

    settings = Config.load(_text(config), data=_text(data), listen=listen, http=http)
    raise typer.Exit(run(settings, out=_say_now))


def _say_now(text: str) -> None:
    # Whoever started the broker through a pipe waits for this line.
    print(text, flush=True)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def demo(
    flights: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", show_default=False, help="Only the first N flights (default all)."),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            metavar="S",
            parser=parse_duration_s,
            show_default=False,
            help="Publish them over that time (default: as fast as it goes).",
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the demo's data directory and say where it is.")] = False,
) -> None:
    """Show it at work: the flights of one January through a broker that gets killed on the way.

    \b
    Examples:
      posthouse demo
      posthouse demo --flights 2000 --seconds 30s --keep
    """
    from posthouse.demo import run

    raise typer.Exit(run(flights=flights, seconds=seconds or 0.0, keep=keep))


def stop(data: DataDirectory = None, timeout: Timeout = STOP_TIMEOUT_S) -> None:
    """Stop the broker of a data directory in order, and wait until it is gone.

    Example:  posthouse stop --data /var/lib/posthouse
    """
    from posthouse.cli_stop import stop_broker
    from posthouse.config import default_data_directory

    directory = str(data) if data is not None else default_data_directory()
    pid = stop_broker(directory, timeout)
    say(f"stopped the broker on {directory} (process {pid})")
