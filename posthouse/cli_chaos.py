"""`posthouse chaos`: a broker of its own, killed again and again under load, and a verdict."""

from __future__ import annotations

import shutil
import signal
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from posthouse.cli_values import parse_duration_s

BROKEN = 1
COULD_NOT_RUN = 2


def chaos(
    seconds: Annotated[
        float, typer.Option(parser=parse_duration_s, metavar="S", help="How long faults strike.", show_default="60s")
    ] = 60.0,
    seed: Annotated[int, typer.Option(help="Which faults, and in which order.")] = 1,
    rate: Annotated[float, typer.Option(min=10, metavar="N", help="Messages per second over all patterns.")] = 1_000.0,
    kills_per_minute: Annotated[float, typer.Option(min=0, metavar="N", help="Faults per minute; 0: none.")] = 60.0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE", show_default=False, help="Write a page with a time line there.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep data, logs and history, and say where.")] = False,
) -> None:
    """Kill a broker of its own again and again under load, and judge whether it kept its promises.

    Publishers and consumers of all patterns run as processes of their own, and whatever they are told is written down.
    Actors, clients, the supervisor or everything at once are killed, or stopped for a while. Then the faults end,
    everything is drained, and the history is judged. Exit code 0: every promise was kept; 1: one was broken.

    \b
    Examples:
      posthouse chaos
      posthouse chaos --seconds 10m --kills-per-minute 120 --report chaos.html
      posthouse chaos --seed 7 --keep
    """
    from rich.console import Console

    from posthouse.testing import chaos as harness
    from posthouse.testing.report import page, tell

    console = Console()
    ended = threading.Event()

    def end(*_: Any) -> None:
        ended.set()

    settings = harness.Settings(seconds=seconds, seed=seed, rate=rate, kills_per_minute=kills_per_minute)
    before = signal.signal(signal.SIGINT, end)
    place = Path(tempfile.mkdtemp(prefix="ph-"))
    try:
        outcome = harness.run(settings, place, lambda text: console.print(text, highlight=False), ended.is_set)
        tell(outcome, console)
        if report is not None:
            report.write_text(page(outcome), encoding="utf-8")
            console.print(f"the page is {report}")
    except AssertionError as error:
        console.print(f"the broker could not be run: {error}", markup=False)
        raise typer.Exit(COULD_NOT_RUN) from error
    finally:
        signal.signal(signal.SIGINT, before)
        if keep:
            console.print(f"everything is in {place}")
        else:
            shutil.rmtree(place, ignore_errors=True)
    raise typer.Exit(0 if outcome.verdict.is_clean else BROKEN)
