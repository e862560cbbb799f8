"""Definitions on the command line: files in and out, reports, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from posthouse.definitions import Imported, ImportRefused, ImportReport
from tests.support.command_line import CommandLine
from tests.support.recording_broker import RecordingBroker

DOCUMENT: dict[str, Any] = {
    "format": "posthouse-definitions", "version": 1, "exchanges": [], "queues": [{"name": "ewr"}], "bindings": [],
    "schedules": [],
}  # fmt: skip
NEW = Imported(what="queue", name="ewr", state="created")
OLD = Imported(what="queue", name="jfk", state="existing")
BAD = Imported(what="queue", name="lga", state="refused", code="precondition_failed", text="ttl_ms is 5, not 6")


class Definitions:
    """Notes what is loaded, and answers as it is told."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Any, bool]] = []
        self.report: ImportReport | ImportRefused = ImportReport(is_dry_run=False, definitions=[NEW, OLD])

    def export(self) -> dict[str, Any]:
        return DOCUMENT

    def load(self, document: Any, *, dry_run: bool = False) -> ImportReport:
        self.loaded.append((document, dry_run))
        if isinstance(self.report, ImportRefused):
            raise self.report
        return self.report


@pytest.fixture
def desk() -> Definitions:
    return Definitions()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, desk: Definitions) -> CommandLine:
    broker = RecordingBroker()
    monkeypatch.setattr(broker, "definitions", desk, raising=False)
    return CommandLine(monkeypatch, broker)


def test_an_export_goes_to_standard_output_or_into_a_file(run: CommandLine, tmp_path: Path) -> None:
    assert json.loads(run("definitions", "export").out) == DOCUMENT
    file = tmp_path / "broker.json"
    done = run("definitions", "export", str(file))
    assert done.out == f"wrote 0 exchanges, 1 queues, 0 bindings, 0 schedules to {file}\n"
    assert json.loads(file.read_text()) == DOCUMENT


def test_an_import_tells_what_is_new_and_counts_what_was_there(
    run: CommandLine, desk: Definitions, tmp_path: Path
) -> None:
    file = tmp_path / "broker.json"
    file.write_text(json.dumps(DOCUMENT))
    done = run("definitions", "import", str(file))
    assert done.out == (
        "WHAT   NAME  STATE    WHY\n"
        "queue  ewr   created\n"
        "created: 1, there already: 1\n"
    )  # fmt: skip
    assert (done.code, desk.loaded) == (0, [(DOCUMENT, False)])


def test_a_dry_run_from_standard_input_says_what_would_be(run: CommandLine, desk: Definitions) -> None:
    desk.report = ImportReport(is_dry_run=True, definitions=[NEW, BAD])
    done = run("definitions", "import", "-", "--dry-run", stdin=json.dumps(DOCUMENT).encode())
    assert done.out == (
        "WHAT   NAME  STATE    WHY\n"
        "queue  ewr   new\n"
        "queue  lga   refused  ttl_ms is 5, not 6\n"
        "to be created: 1, there already: 0\n"
    )
    assert (done.code, desk.loaded) == (1, [(DOCUMENT, True)])
    assert "1 definitions would be refused" in done.err


def test_a_refused_import_shows_its_report_and_fails(run: CommandLine, desk: Definitions) -> None:
    desk.report = ImportRefused(ImportReport(is_dry_run=False, definitions=[NEW, BAD]))
    done = run("definitions", "import", "-", "--json", stdin=b"{}")
    assert [one["state"] for one in json.loads(done.out)["definitions"]] == ["created", "refused"]
    assert done.code == 1
    assert done.err.startswith("error[import_refused]: 1 definitions are refused, nothing was changed: queue 'lga'")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_refused(run: CommandLine, desk: Definitions, text: bytes) -> None:
    done = run("definitions", "import", "-", stdin=text)
    assert (done.code, desk.loaded) == (1, [])
    assert done.err.startswith("error[invalid_argument]: - is no JSON document")


def test_a_file_that_is_not_there_is_said_in_one_line(run: CommandLine) -> None:
    done = run("definitions", "import", "/nowhere/at/all.json")
    assert (done.code, done.err.count("\n")) == (1, 1)
