"""The commands as a whole: which exist, how a broker is found, and what becomes of failures."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

import posthouse
from posthouse.transport.errors import BrokerNotRunning, OutcomeUnknown, PosthouseError, UnknownQueue
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

COMMANDS = [
    ("serve",),
    ("stop",),
    ("demo",),
    ("journal", "dump"),
    ("journal", "verify"),
    ("journal", "salvage"),
    ("publish",),
    ("consume",),
    ("get",),
    ("peek",),
    ("purge",),
    ("declare", "exchange"),
    ("declare", "queue"),
    ("delete", "exchange"),
    ("delete", "queue"),
    ("bind",),
    ("unbind",),
    ("bind-exchange",),
    ("unbind-exchange",),
    ("status",),
    ("tree",),
    ("queues",),
    ("exchanges",),
    ("bindings",),
    ("consumers",),
    ("explain",),
]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch, RecordingBroker())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(run: CommandLine, command: tuple[str, ...]) -> None:
    ran = run(*command, "--help")
    assert ran.code == 0
    assert f"Usage: posthouse {' '.join(command)}" in ran.out
    assert all(len(line) <= 80 for line in ran.out.splitlines())
    assert run.connected == []


def test_help_names_every_command(run: CommandLine) -> None:
    out = run("--help").out
    assert all(f" {command[0]} " in out for command in COMMANDS)


def test_the_version_is_printed(run: CommandLine) -> None:
    ran = run("--version")
    assert ran.code == 0
    assert ran.out == f"posthouse {posthouse.__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("queues", "--no-such-option"),
        ("declare", "exchange", "x", "no-such-kind"),
        ("declare", "exchange", "x", "topic", "--unrouted", "alternate"),
        ("declare", "exchange", "x", "topic", "--unrouted", "drop", "--alternate", "y"),
        ("publish", "x"),
        ("publish", "x", "body", "--lines"),
        ("publish", "x", "body", "--count", "0"),
        ("publish", "x", "--lines", "--count", "2"),
        ("publish", "x", "body", "--count", "2", "--dedup-id", "1"),
        ("publish", "x", "--lines", "--message-id", "1"),
        ("publish", "x", "body", "-H", "no header"),
        ("bind", "x", "q", "--match", "all", "-H", "x-match=any"),
        ("purge", "q"),
        ("queues", "--timeout", "soon"),
        ("queues", "--data", "x", "--address", "tcp://127.0.0.1:1"),
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2_and_asks_the_broker_nothing(run: CommandLine, arguments: tuple[str, ...]) -> None:
    ran = run(*arguments)
    assert ran.code == 2
    assert ran.raw == b""
    assert "Usage: posthouse" in ran.err
    assert run.broker.calls == []


def test_without_options_the_client_decides_which_broker_is_meant(run: CommandLine) -> None:
    run.broker.answers["queues"] = []
    assert run("queues").code == 0
    assert run.connected == [{"address": None, "timeout_s": 10.0, "data": None}]
    assert run.broker.is_closed


def test_data_address_and_timeout_reach_the_client(run: CommandLine) -> None:
    run.broker.answers["queues"] = []
    run("queues", "--data", "/some/dir", "--timeout", "500ms")
    run("queues", "--address", "tcp://127.0.0.1:5670")
    assert run.connected == [
        {"address": None, "timeout_s": 0.5, "data": "/some/dir"},
        {"address": "tcp://127.0.0.1:5670", "timeout_s": 10.0, "data": None},
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UnknownQueue("there is no queue 'x'"), 1),
        (OutcomeUnknown("no answer within 10 s"), 1),
        (PosthouseError("something"), 1),
        (BrokerNotRunning("nobody listens"), 3),
    ],
)
def test_a_failure_is_one_line_on_standard_error_and_an_exit_code(
    run: CommandLine, error: PosthouseError, code: int
) -> None:
    run.broker.answers["queues"] = error
    ran = run("queues")
    assert ran.code == code
    assert ran.err == f"error[{error.code}]: {error}\n"
    assert ran.raw == b""
    assert run.broker.is_closed


def test_a_failure_with_several_lines_or_control_characters_stays_one_line(run: CommandLine) -> None:
    run.broker.answers["queues"] = UnknownQueue("one\ntwo\x1b[2J")
    assert run("queues").err == "error[unknown_queue]: one\\ntwo\\x1b[2J\n"


def test_ctrl_c_ends_with_130_and_says_nothing(run: CommandLine) -> None:
    run.broker.answers["queues"] = KeyboardInterrupt()
    ran = run("queues")
    assert (ran.code, ran.raw, ran.err) == (130, b"", "")


def test_ctrl_c_before_a_command_has_begun_is_silent_too(run: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(app: typer.Typer) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(typer.main, "get_command", interrupted)
    ran = run("queues")
    assert (ran.code, ran.raw, ran.err) == (130, b"", "")


def test_a_file_that_cannot_be_read_is_a_failure_and_no_bug(run: CommandLine) -> None:
    run.broker.answers["queues"] = PermissionError(13, "Permission denied", "/x")
    ran = run("queues")
    assert (ran.code, ran.err) == (1, "error[os]: [Errno 13] Permission denied: '/x'\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), OSError(5, "no file named")])
def test_a_bug_says_how_to_report_it_and_shows_no_traceback(run: CommandLine, error: Exception) -> None:
    run.broker.answers["queues"] = error
    ran = run("queues")
    assert ran.code == 70
    assert ran.err.startswith(f"error[bug]: {type(error).__name__}: ")
    assert "report" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("error", [ZeroDivisionError("division by zero"), UnknownQueue("no queue")])
def test_the_traceback_is_there_for_who_asks(
    run: CommandLine, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setenv("POSTHOUSE_DEBUG", "1")
    run.broker.answers["queues"] = error
    assert "Traceback" in run("queues").err


def test_help_waits_for_no_import_of_what_it_does_not_need() -> None:
    names = ("psutil", "structlog", "posthouse.serve", "posthouse.demo", "posthouse.supervisor.supervisor", "asyncio")
    program = (
        "import sys; from posthouse.cli import main; main(['--help']); "
        f"print([name for name in {names} if name in sys.modules], file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stderr == "[]\n"
