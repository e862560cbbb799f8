"""The broker's health: `status` in one look, `tree` process by process.

`status` also answers by its exit code, for scripts and probes: 0 healthy, 1 not.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from posthouse.cli_connection import AsJson, with_broker
from posthouse.cli_live import watch
from posthouse.cli_output import (
    STATE_STYLES,
    console,
    count,
    duration,
    is_terminal,
    print_json,
    printable,
    say,
    size,
)
from posthouse.cli_values import parse_duration_s
from posthouse.client import Broker

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

UNHEALTHY: Final = 1

_COUNTS: Final = ("actors", "restarts", "exchanges", "queues", "consumers", "ready", "unacked")
_NAME_WIDTH: Final = 13
_LISTS: Final = ("not_up", "quarantined")


@with_broker
def status(broker: Broker, as_json: AsJson = False) -> None:
    """Show whether the broker is well and how much it holds. Exit code 0: healthy, 1: not.

    \b
    Example, as a probe:
      posthouse status --timeout 2s >/dev/null || restart-it
    """
    found = broker.status()
    is_healthy = bool(found.get("healthy", False))
    if as_json:
        print_json(found)
    elif is_terminal():
        _draw_status(found, is_healthy)
    else:
        for name, value in (("health", _health(is_healthy)), *_status_lines(found)):
            say(f"{name:<{_NAME_WIDTH}}{value}")
    if not is_healthy:
        raise typer.Exit(UNHEALTHY)


def _health(is_healthy: bool) -> str:
    return "healthy" if is_healthy else "not healthy"


def _status_lines(found: dict[str, Any]) -> Iterable[tuple[str, str]]:
    shown = {"healthy", "uptime_s", "rss_bytes", "not_up", "quarantined", *_COUNTS}
    for name, value in found.items():
        if name not in shown and value != "":
            yield name.replace("_", " "), printable(str(value))
    if "uptime_s" in found:
        yield "up for", duration(found["uptime_s"])
    for name in _COUNTS:
        if name in found:
            yield name, count(found[name])
    if "rss_bytes" in found:
        yield "memory", size(found["rss_bytes"])
    # Last, since they are long when they matter, and there only then.
    for name in _LISTS:
        if found.get(name):
            yield name.replace("_", " "), ", ".join(printable(str(actor)) for actor in found[name])


def _draw_status(found: dict[str, Any], is_healthy: bool) -> None:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    for name, value in _status_lines(found):
        lines.add_row(name, Text(value, "bold red" if name in ("not up", "quarantined") else ""))
    colour = "green" if is_healthy else "red"
    title = Text(f"posthouse: {_health(is_healthy)}", f"bold {colour}")
    console().print(Panel(lines, title=title, title_align="left", border_style=colour, expand=False))


@with_broker
def tree(
    broker: Broker,
    watched: Annotated[bool, typer.Option("--watch", "-w", help="Draw it again and again, until q or Ctrl-C.")] = False,
    interval: Annotated[
        float, typer.Option("--interval", "-i", metavar="S", parser=parse_duration_s, help="Between two looks.")
    ] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Show the processes of the broker: each actor with its life, memory and last exit, by group.

    
    Examples:
      posthouse tree
      posthouse tree --watch
      posthouse tree --json | jq '.[] | select(.restarts > 0) | .id'
    """
    if watched:
        if as_json or not is_terminal():
            raise typer.BadParameter(
                "it draws on a terminal; leave it out in a pipe or with --json", param_hint="--watch"
            )
        watch(lambda: _tree_to_fit(broker.tree()), interval_s=max(0.1, interval))
        return
    nodes = broker.tree()
    if as_json:
        print_json(nodes)
    elif is_terminal():
        _draw_tree(nodes)
    else:
        for group, members in _by_group(nodes).items():
            say(printable(group))
            for node in members:
                say(f"  {printable(node['id'])}  {node['state']}  {_facts(node)}")


def _draw_tree(nodes: list[dict[str, Any]]) -> None:
    console().print(_tree(nodes))


def _tree_to_fit(nodes: list[dict[str, Any]]) -> RenderableType:
    """For the whole terminal: when it is too low, those that are not up come first and the rest is cut."""
    from rich.console import Group
    from rich.text import Text

    height = shutil.get_terminal_size().lines
    groups = len(_by_group(nodes))
    room = height - groups - 3
    if len(nodes) <= room:
        return _tree(nodes)
    # Those with the most to tell stay, each in its place.
    telling = sorted(nodes, key=lambda node: (node["state"] == "up", -node["restarts"], -node["started_at"]))
    kept = {node["id"] for node in telling[: max(0, room)]}
    more = Text(f"and {count(len(nodes) - len(kept))} more that are up", "dim")
    return Group(_tree([node for node in nodes if node["id"] in kept]), more)


def _tree(nodes: list[dict[str, Any]]) -> RenderableType:
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text("posthouse", "bold"), guide_style="dim")
    for group, members in _by_group(nodes).items():
        restarts = sum(node["restarts"] for node in members)
        title = Text(f"{printable(group)} ", "bold").append(_group_summary(members, restarts), "dim")
        branch = root.add(title)
        width = max(len(printable(node["id"])) for node in members)
        for node in members:
            branch.add(_node_line(node, width))
    return root


def _by_group(nodes: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The nodes by group, groups and nodes in start order."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for node in nodes:
        groups.setdefault(node["group"], []).append(node)
    return groups


def _group_summary(members: list[dict[str, Any]], restarts: int) -> str:
    memory = size(sum(node["rss_bytes"] for node in members))
    actors = "1 actor" if len(members) == 1 else f"{count(len(members))} actors"
    return f"({actors}, {memory}{f', {count(restarts)} restarts' if restarts else ''})"


def _node_line(node: dict[str, Any], width: int) -> Text:
    from rich.text import Text

    style = STATE_STYLES.get(node["state"], "yellow")
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append("● ", style)
    line.append(f"{printable(node['id']):<{min(width, 40)}}  ")
    line.append(f"{node['state']:<11}  ", style)
    return line.append(_facts(node), "dim")


def _facts(node: dict[str, Any]) -> str:
    facts = []
    if node["pid"]:
        facts.append(f"pid {node['pid']}")
    # What went wrong comes early: a narrow terminal cuts the end.
    if node["restarts"]:
        facts.append("1 restart" if node["restarts"] == 1 else f"{count(node['restarts'])} restarts")
    if node["last_exit"]:
        facts.append(f"last exit: {printable(node['last_exit'])}")
    if node["rss_bytes"]:
        facts.append(size(node["rss_bytes"]))
    if node["started_at"] and node["pid"]:
        facts.append(f"up {duration(time.time() - node['started_at'])}")
    facts.append(f"generation {node['generation']}")
    return ", ".join(facts)
