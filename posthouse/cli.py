"""The command line: which commands there are, and what becomes of their failures.

Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 no broker, 70 a bug, 130 interrupted. A failure is
one line on standard error, `error[code]: what was wrong`; a traceback is printed only when POSTHOUSE_DEBUG=1
asks for it.
"""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated, Final

import typer

import posthouse
from posthouse import (
    cli_alerts,
    cli_broker,
    cli_call,
    cli_chaos,
    cli_clients,
    cli_consume,
    cli_dead_letters,
    cli_definitions,
    cli_delayed,
    cli_events,
    cli_explain,
    cli_health,
    cli_held,
    cli_journal,
    cli_listing,
    cli_publish,
    cli_recurring,
    cli_redrive,
    cli_top,
    cli_topology,
    cli_why,
)
from posthouse.cli_output import note, printable
from posthouse.transport.errors import BrokerNotRunning, PosthouseError

REFUSED: Final = 1
NO_BROKER: Final = 3
BUG: Final = 70
INTERRUPTED: Final = 130

_BROKER: Final = "The broker"
_MESSAGES: Final = "Messages"
_TOPOLOGY: Final = "Exchanges, queues, bindings"
_LOOK: Final = "What is going on"


def _print_version(is_wanted: bool) -> None:
    if is_wanted:
        print(f"posthouse {posthouse.__version__}")
        raise typer.Exit


app = typer.Typer(
    name="posthouse",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _posthouse(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """A message broker that survives: exchanges and queues, journaled before they are confirmed.

    \b
    posthouse serve                                   start a broker
    posthouse declare queue work                      make a queue
    posthouse publish '' hello --key work             send a message to it
    posthouse consume work --count 1                  take it
    """


declare = typer.Typer(no_args_is_help=True)
declare.command("exchange")(cli_topology.declare_exchange)
declare.command("queue")(cli_topology.declare_queue)

delete = typer.Typer(no_args_is_help=True)
delete.command("exchange")(cli_topology.delete_exchange)
delete.command("queue")(cli_topology.delete_queue)

journal = typer.Typer(no_args_is_help=True)
journal.command("dump")(cli_journal.dump)
journal.command("verify")(cli_journal.verify)
journal.command("salvage")(cli_journal.salvage)

delayed = typer.Typer(no_args_is_help=True)
delayed.command("list")(cli_delayed.list_)
delayed.command("info")(cli_delayed.info)
delayed.command("cancel")(cli_delayed.cancel)
delayed.command("reschedule")(cli_delayed.reschedule)
delayed.command("fire")(cli_delayed.fire)
delayed.command("repeat")(cli_recurring.repeat)
delayed.command("recurring")(cli_recurring.recurring)
delayed.command("stop")(cli_recurring.stop)
delayed.command("pause")(cli_recurring.pause)
delayed.command("resume")(cli_recurring.resume)

dlq = typer.Typer(no_args_is_help=True)
dlq.command("list")(cli_dead_letters.list_letters)
dlq.command("causes")(cli_dead_letters.list_causes)
dlq.command("show")(cli_dead_letters.show)
dlq.command("redrive")(cli_redrive.redrive)
dlq.command("undo")(cli_redrive.undo)
dlq.command("purge")(cli_dead_letters.purge)

held = typer.Typer(no_args_is_help=True)
held.command("list")(cli_held.list_held)
held.command("release")(cli_held.release)
held.command("expire")(cli_held.expire)
held.command("status")(cli_held.status)

definitions = typer.Typer(no_args_is_help=True)
definitions.command("export")(cli_definitions.export)
definitions.command("import")(cli_definitions.load)

alerts = typer.Typer(no_args_is_help=True)
alerts.command("list")(cli_alerts.list_alerts)
alerts.command("rules")(cli_alerts.rules)
alerts.command("silence")(cli_alerts.silence)
alerts.command("unsilence")(cli_alerts.unsilence)
alerts.command("test")(cli_alerts.send_test)

app.command("serve", rich_help_panel=_BROKER)(cli_broker.serve)
app.command("stop", rich_help_panel=_BROKER)(cli_broker.stop)
app.command("chaos", rich_help_panel=_BROKER)(cli_chaos.chaos)
app.command("demo", rich_help_panel=_BROKER)(cli_broker.demo)
app.add_typer(
    journal,
    name="journal",
    rich_help_panel=_BROKER,
    help="Look into journals on disk: dump, verify, salvage.",
)

app.command("publish", rich_help_panel=_MESSAGES)(cli_publish.publish)
app.command("call", rich_help_panel=_MESSAGES)(cli_call.call)
app.command("consume", rich_help_panel=_MESSAGES)(cli_consume.consume)
app.command("get", rich_help_panel=_MESSAGES)(cli_consume.get)
app.command("peek", rich_help_panel=_MESSAGES)(cli_consume.peek)
app.command("purge", rich_help_panel=_MESSAGES)(cli_topology.purge)
app.command("pause", rich_help_panel=_MESSAGES)(cli_topology.pause)
app.command("resume", rich_help_panel=_MESSAGES)(cli_topology.resume)
app.add_typer(
    delayed,
    name="delayed",
    rich_help_panel=_MESSAGES,
    help="Messages that wait: list, cancel, reschedule, fire. Schedules that recur: repeat, recurring, stop, pause.",
)

app.add_typer(held, name="held", rich_help_panel=_MESSAGES, help="What exchanges hold for queues to come.")
app.add_typer(
    dlq,
    name="dlq",
    rich_help_panel=_MESSAGES,
    help="What could not be handled: list, causes, show, redrive, undo, purge.",
)

app.add_typer(declare, name="declare", rich_help_panel=_TOPOLOGY, help="Make an exchange or a queue.")
app.add_typer(delete, name="delete", rich_help_panel=_TOPOLOGY, help="Delete an exchange or a queue.")
app.command("bind", rich_help_panel=_TOPOLOGY)(cli_topology.bind)
app.command("unbind", rich_help_panel=_TOPOLOGY)(cli_topology.unbind)
app.command("bind-exchange", rich_help_panel=_TOPOLOGY)(cli_topology.bind_exchange)
app.command("unbind-exchange", rich_help_panel=_TOPOLOGY)(cli_topology.unbind_exchange)

app.add_typer(
    definitions,
    name="definitions",
    rich_help_panel=_TOPOLOGY,
    help="Everything declared, as a JSON document: export, import.",
)

app.command("status", rich_help_panel=_LOOK)(cli_health.status)
app.command("tree", rich_help_panel=_LOOK)(cli_health.tree)
app.add_typer(
    alerts,
    name="alerts",
    rich_help_panel=_LOOK,
    help="What is wrong and who is told: list, rules, silence, unsilence, test.",
)
app.command("queues", rich_help_panel=_LOOK)(cli_listing.queues)
app.command("exchanges", rich_help_panel=_LOOK)(cli_listing.exchanges)
app.command("bindings", rich_help_panel=_LOOK)(cli_listing.bindings)
app.command("consumers", rich_help_panel=_LOOK)(cli_clients.consumers)
app.command("connections", rich_help_panel=_LOOK)(cli_clients.connections)
app.command("top", rich_help_panel=_LOOK)(cli_top.top)
app.command("events", rich_help_panel=_LOOK)(cli_events.events)
app.command("explain", rich_help_panel=_LOOK)(cli_explain.explain)
app.command("why", rich_help_panel=_LOOK)(cli_why.why)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. `arguments` are those of the process unless given."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        typer.main.get_command(app)(args=arguments, prog_name="posthouse")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except PosthouseError as error:
        return _failed(error, f"error[{error.code}]: {printable(str(error))}")
    except OSError as error:
        if error.filename is None:
            return _bug(error)
        return _failed(error, f"error[os]: {printable(str(error))}")
    except Exception as error:
        return _bug(error)
    raise AssertionError("a command ends with SystemExit")


def _failed(error: Exception, text: str) -> int:
    _trace_if_wanted(error)
    note(text)
    return NO_BROKER if isinstance(error, BrokerNotRunning) else REFUSED


def _bug(error: Exception) -> int:
    _trace_if_wanted(error)
    note(f"error[bug]: {type(error).__name__}: {printable(str(error))}")
    note("This is a bug in posthouse. Please report it with the command, the version (posthouse --version)")
    note("and what the command prints with POSTHOUSE_DEBUG=1 set.")
    return BUG


def _trace_if_wanted(error: Exception) -> None:
    if os.environ.get("POSTHOUSE_DEBUG") == "1":
        traceback.print_exception(error)
