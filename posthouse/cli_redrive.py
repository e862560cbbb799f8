"""Dead letters sent back: redrive with its progress, and the undoing of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_dead_letters import (
    Fingerprint,
    Headers,
    Ids,
    NewerThan,
    OlderThan,
    Queue,
    Why,
    letters_text,
    print_causes,
    wanted_by,
)
from posthouse.cli_output import console, is_terminal, note, print_json, print_json_line, printable, say
from posthouse.client import Broker
from posthouse.transport.messages_dead import RedriveInfo

NOT_ALL: Final = 1
Redrive = Callable[..., RedriveInfo]


@with_broker
def redrive(
    broker: Broker,
    queue: Queue = None,
    reason: Why = None,
    fingerprint: Fingerprint = None,
    older_than: OlderThan = None,
    newer_than: NewerThan = None,
    header: Headers = None,
    id: Ids = None,
    to: Annotated[str | None, typer.Option(metavar="QUEUE", help="To this queue, not to where they died.")] = None,
    to_exchange: Annotated[
        str | None, typer.Option(metavar="EXCHANGE", help="Through this exchange, under their routing keys.")
    ] = None,
    rate: Annotated[float | None, typer.Option(metavar="N", help="So many a second at most.")] = None,
    canary: Annotated[
        int | None, typer.Option(metavar="N", help="Send so many first, and stop when they die again.")
    ] = None,
    failure_share: Annotated[
        float, typer.Option(metavar="SHARE", help="So many of the canaries may fail: 0 to below 1.")
    ] = 0.0,
    allow_circle: Annotated[
        bool, typer.Option("--allow-circle", help="Also to a queue whose own dead letters come back to it.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many it would be, and of what.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters back to their queues. They are moved: exactly once, whatever crashes.

    With --json each line says how far it is, the last one how it ended.

    \b
    Examples:
      posthouse dlq redrive --fingerprint 8d8be5ad2bca --dry-run
      posthouse dlq redrive --queue newark --canary 10 --rate 500
    """
    asked: dict[str, Any] = {
        **wanted_by(queue, reason, fingerprint, older_than, newer_than, header, id),
        "to": to,
        "to_exchange": to_exchange,
        "rate": rate,
        "canary": canary,
        "failure_share": failure_share,
        "dry_run": dry_run,
        "allow_circle": allow_circle,
    }
    run = _told_when_left(broker.dead_letters.redrive)
    if as_json:
        info = run(**asked, on_progress=_print_when_new())
        print_json_line(info)
    elif is_terminal() and not dry_run:
        info = _with_bar(run, asked)
    else:
        info = run(**asked, on_progress=_say_nothing)
    if not as_json:
        _report(info)
    if info.text:
        note(f"{info.state}: {printable(info.text)}")
    if info.state == "stopped" or info.returned:
        raise typer.Exit(NOT_ALL)


@with_broker
def undo(
    broker: Broker,
    id: Annotated[int, typer.Argument(metavar="REDRIVE", help="Its number, as it was printed.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Stop a redrive and bring back what nobody was given yet.

    Example:  posthouse dlq undo 3
    """
    info = broker.dead_letters.redrive_undo(id)
    if as_json:
        print_json(info)
    else:
        say(f"taking back {info.taken_back:,} of {letters_text(info.moved)} that redrive {info.id} moved")


def _report(info: RedriveInfo) -> None:
    if info.state == "dry_run":
        say(f"{letters_text(info.matched)} would be redriven")
        if info.causes:
            print_causes(info.causes)
    else:
        say(f"redrove {info.moved:,} of {letters_text(info.matched)}; redrive {info.id}")


def _told_when_left(redrive_: Redrive) -> Redrive:
    """The same; whoever leaves it with Ctrl-C hears that it goes on, since the broker does the work."""

    def run(*, on_progress: Callable[[RedriveInfo], None], **asked: Any) -> RedriveInfo:
        begun: list[int] = []

        def told(info: RedriveInfo) -> None:
            begun[:] = [info.id]
            on_progress(info)

        try:
            return redrive_(**asked, on_progress=told)
        except KeyboardInterrupt:
            for number in begun:
                note(f"redrive {number} goes on in the broker; posthouse dlq undo {number} stops it and brings back")
                note("what nobody was given yet")
            raise

    return run


def _say_nothing(info: RedriveInfo) -> None:
    """Its end is all that is wanted."""


def _print_when_new() -> Callable[[RedriveInfo], None]:
    """One line for each change of the counts."""
    last: list[tuple[Any, ...]] = []

    def told(info: RedriveInfo) -> None:
        counts = (info.state, info.moved, info.returned, info.failed)
        if last != [counts]:
            last[:] = [counts]
            print_json_line(info)

    return told


def _with_bar(redrive_: Redrive, asked: dict[str, Any]) -> RedriveInfo:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console(), transient=True) as progress:
        task = progress.add_task("redrive", total=None, rate="")

        def told(info: RedriveInfo) -> None:
            rate = f"{info.rate:,.0f}/s" + (f", {info.failed} failed" if info.failed else "")
            progress.update(task, description=info.state, total=info.matched, completed=info.moved, rate=rate)

        return redrive_(**asked, on_progress=told)
