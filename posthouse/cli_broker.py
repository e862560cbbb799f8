"""The broker as a program: serve, stop and the demo.

Fails with: `BrokerNotRunning` when there is nothing to stop, `Unavailable` when it does not stop in time.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Annotated, Final

import psutil
import typer

from posthouse.cli_connection import Timeout
from posthouse.cli_output import say
from posthouse.transport.errors import BrokerNotRunning, Refused, Unavailable

STOP_TIMEOUT_S: Final = 60.0
"""An actor may take its time to stop in order; the supervisor kills what takes longer than its spec allows."""

_LOOK_AGAIN_S: Final = 0.05

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
            help="Where clients connect over TCP (default tcp://127.0.0.1:5670); port 0 picks a free one, '' means nowhere.",
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
      posthouse serve --data /var/lib/posthouse --listen tcp://0.0.0.0:5670
    """
    from posthouse.config import Config
    from posthouse.serve import serve as run

    settings = Config.load(_text(config), data=_text(data), listen=listen)
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
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep the demo's data directory and say where it is.")
    ] = False,
) -> None:
    """Show it at work: the flights of one January through a broker that gets killed on the way."""
    from posthouse.demo import run

    raise typer.Exit(run(flights=flights, keep=keep))


def stop(data: DataDirectory = None, timeout: Timeout = STOP_TIMEOUT_S) -> None:
    """Stop the broker of a data directory in order, and wait until it is gone.

    Example:  posthouse stop --data /var/lib/posthouse
    """
    from posthouse.config import default_data_directory

    directory = str(data) if data is not None else default_data_directory()
    process = _broker_of(directory)
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        pass  # It went by itself in this moment, which is what was wanted.
    except psutil.AccessDenied:
        raise Refused(f"the broker on {directory} (process {process.pid}) belongs to another user") from None
    _wait_until_gone(process, directory, timeout)
    say(f"stopped the broker on {directory} (process {process.pid})")


def _broker_of(directory: str) -> psutil.Process:
    """The living broker. Who holds the lock is the broker; what a file says of it may be of an earlier life."""
    holder = _lock_holder(directory)
    if not holder:
        raise BrokerNotRunning(f"no broker runs on {directory}")
    try:
        process = psutil.Process(holder)
    except (psutil.NoSuchProcess, ValueError):
        # The system does not tell processes of other containers apart, or it ended since.
        if not _lock_holder(directory):
            raise BrokerNotRunning(f"no broker runs on {directory}") from None
        raise Refused(
            f"the broker on {directory} cannot be seen from here; stop it in its own container"
        ) from None
    return process


def _wait_until_gone(process: psutil.Process, directory: str, timeout_s: float) -> None:
    """Until the lock is free: the process itself may stay listed until its parent has looked after it."""
    deadline = monotonic() + timeout_s
    while _lock_holder(directory) == process.pid:
        left = deadline - monotonic()
        if left <= 0:
            raise Unavailable(
                f"the broker on {directory} (process {process.pid}) was told to stop and still runs after {timeout_s:g} s"
            )
        try:
            process.wait(min(left, _LOOK_AGAIN_S))
        except psutil.TimeoutExpired:
            continue


def _lock_holder(directory: str) -> int:
    from posthouse.supervisor.disk import RealDisk

    return RealDisk().lock_holder(str(Path(directory, "run", "lock")))
