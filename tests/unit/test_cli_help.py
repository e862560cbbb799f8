"""The help of every command: it has an example of itself, and the options in its examples exist."""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

import pytest
import typer

from posthouse.cli import app

ROOT: Final = typer.main.get_command(app)


def _commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [found for name, inner in command.commands.items() for found in _commands(inner, (*path, name))]


COMMANDS: Final = _commands(ROOT)


def examples_of(text: str) -> list[list[str]]:
    """The example lines of a help text, as words from `posthouse` to the first pipe."""
    found = []
    for line in re.findall(r"(?:Example(?:, [^:]*)?:\s+|^\s*|\| ssh \w+ |\| )(posthouse .*)$", text, re.MULTILINE):
        words = shlex.split(line, comments=True)
        ends = [at for at, word in enumerate(words) if word in ("|", "||", "&&") or word.startswith((">", "<"))]
        found.append(words[1 : min(ends, default=len(words))])
    return found


def _help(command: Any) -> str:
    return (command.help or "") + (command.epilog or "")


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_command_has_an_example_of_itself_with_options_that_exist(path: tuple[str, ...], command: Any) -> None:
    examples = [words for words in examples_of(_help(command)) if tuple(words[: len(path)]) == path]
    assert examples, f"`posthouse {' '.join(path)} --help` shows no example of it"
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for words in examples:
        used = {word.partition("=")[0] for word in words[len(path) :] if re.match(r"--?[a-zA-Z]", word)}
        assert used <= options, f"{words} uses options that `{' '.join(path)}` does not have"


@pytest.mark.parametrize(("path", "command"), COMMANDS, ids=[" ".join(path) for path, _ in COMMANDS])
def test_every_option_and_argument_says_what_it_is(path: tuple[str, ...], command: Any) -> None:
    silent = [
        parameter.name for parameter in command.params if parameter.param_type_name == "option" and not parameter.help
    ]
    assert not silent, f"{' '.join(path)}: {silent}"


def test_every_listing_takes_json() -> None:
    listings = {
        "queues", "exchanges", "bindings", "consumers", "connections", "status", "tree", "top", "events", "explain",
        "delayed list", "delayed recurring", "delayed info", "dlq list", "dlq causes", "dlq show", "held list", "peek",
        "get", "consume",
    }  # fmt: skip
    takers = {" ".join(path) for path, command in COMMANDS if any("--json" in one.opts for one in command.params)}
    assert listings <= takers
