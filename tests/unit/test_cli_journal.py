"""The journal tools from the command line, on real files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from posthouse.supervisor import journal_tools
from posthouse.supervisor.disk import RealDisk
from posthouse.supervisor.journal_format import CHUNK_MAGIC
from tests.support.command_line import CommandLine
from tests.support.journal_files import contents_of, files_of, open_journal, three_segments
from tests.support.recording_broker import RecordingBroker

FILES = files_of(three_segments())
FIRST, SECOND, THIRD = sorted(name for name in FILES if name.endswith(".seg"))
WHOLE = contents_of(open_journal(three_segments(), 2))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    return CommandLine(monkeypatch, RecordingBroker())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory with two journals, `good` and `bad`; one bit of `bad` is flipped in a sealed segment."""
    for name in ("good", "bad"):
        directory = tmp_path / "journal" / name
        directory.mkdir(parents=True)
        for file, content in FILES.items():
            (directory / file).write_bytes(content)
    damaged = bytearray(FILES[FIRST])
    damaged[damaged.index(CHUNK_MAGIC, damaged.index(CHUNK_MAGIC) + 1) + 60] ^= 1
    (tmp_path / "journal" / "bad" / FIRST).write_bytes(damaged)
    return tmp_path


def test_a_dump_has_a_line_per_record_in_order(run: CommandLine, data: Path) -> None:
    ran = run("journal", "dump", str(data / "journal" / "good"))
    assert ran.code == 0
    records = [line for line in ran.out.splitlines() if not line.startswith("#")]
    assert [int(line.split()[0]) for line in records] == [position for position, _, _ in WHOLE]
    assert f"## {FIRST}: segment, generation 1, sealed, base 1" in ran.out


def test_a_dump_as_json_has_every_payload_whole(run: CommandLine, data: Path) -> None:
    lines = [json.loads(line) for line in run("journal", "dump", str(data), "--json").out.splitlines()]
    good = [line for line in lines if line["journal"].endswith("good") and line["position"] is not None]
    assert [(line["position"], line["kind"], line["payload"].encode()) for line in good] == WHOLE
    assert any(line["note"] == "behind damage" for line in lines)


def test_a_dump_in_text_says_what_lies_behind_damage(run: CommandLine, data: Path) -> None:
    assert "[behind damage]" in run("journal", "dump", str(data / "journal" / "bad")).out


def test_an_intact_journal_verifies_with_exit_code_0(run: CommandLine, data: Path) -> None:
    ran = run("journal", "verify", str(data / "journal" / "good"))
    assert ran.code == 0
    assert ran.out.startswith(f"{data / 'journal' / 'good'}: intact; durable up to {len(WHOLE)}\n")
    assert all(name in ran.out for name in (FIRST, SECOND, THIRD))


def test_one_damaged_journal_of_a_data_directory_is_exit_code_1_and_says_what_to_do(
    run: CommandLine, data: Path
) -> None:
    ran = run("journal", "verify", str(data))
    assert ran.code == 1
    assert f"{data / 'journal' / 'good'}: intact" in ran.out
    assert f"{data / 'journal' / 'bad'}: DAMAGED" in ran.out
    assert "missing positions: 2" in ran.out
    assert f"posthouse journal salvage {data / 'journal' / 'bad'} --into NEW-DIR" in ran.out
    assert "not intact from byte" in ran.out


def test_verify_names_faults_and_who_has_the_journal_open(
    run: CommandLine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(data / "journal" / "good")
    report = journal_tools.verify(RealDisk(), directory)
    found = replace(report, faults=("two segments claim position 7",), lock_holder=17)
    monkeypatch.setattr(journal_tools, "verify", lambda disk, journal: found)
    out = run("journal", "verify", directory).out
    assert "DAMAGED" in out
    assert "fault: two segments claim position 7" in out
    assert "process 17 has it open" in out


def test_verify_as_json_is_one_list(run: CommandLine, data: Path) -> None:
    ran = run("journal", "verify", str(data), "--json")
    bad, good = json.loads(ran.out)
    assert ran.code == 1
    assert (bad["is_corrupt"], good["is_corrupt"]) == (True, False)
    assert bad["missing"][0][0] == 2


def test_salvage_saves_what_is_intact_and_touches_nothing_else(run: CommandLine, data: Path) -> None:
    bad, into = data / "journal" / "bad", data / "saved"
    before = {file.name: file.read_bytes() for file in bad.iterdir()}
    ran = run("journal", "salvage", str(bad), "--into", str(into))
    assert ran.code == 0
    assert f"into {into}" in ran.out
    assert "lost for good: positions 2" in ran.out
    assert {file.name: file.read_bytes() for file in bad.iterdir()} == before
    assert run("journal", "verify", str(into)).code == 0


def test_salvage_of_an_intact_journal_misses_nothing(run: CommandLine, data: Path) -> None:
    good, into = str(data / "journal" / "good"), str(data / "saved")
    assert run("journal", "salvage", good, "--into", into).out.endswith("nothing is missing\n")
    again = run("journal", "salvage", good, "--into", into)
    assert (again.code, again.err[:27]) == (1, "error[precondition_failed]:")


def test_salvage_as_json(run: CommandLine, data: Path) -> None:
    found = json.loads(
        run("journal", "salvage", str(data / "journal" / "good"), "--into", str(data / "saved"), "--json").out
    )
    assert found == {
        "into": str(data / "saved"),
        "records": len(WHOLE),
        "missing": [],
        "next_position": len(WHOLE) + 1,
    }


def test_salvage_takes_one_journal_and_no_data_directory(run: CommandLine, data: Path) -> None:
    ran = run("journal", "salvage", str(data), "--into", str(data / "saved"))
    assert ran.code == 1
    assert "salvage one of the journals" in ran.err


@pytest.mark.parametrize("command", [("dump",), ("verify",), ("salvage", "--into", "x")])
def test_a_directory_that_is_not_there_is_refused(run: CommandLine, tmp_path: Path, command: tuple[str, ...]) -> None:
    ran = run("journal", command[0], str(tmp_path / "nothing"), *command[1:])
    assert (ran.code, ran.err) == (1, f"error[invalid_argument]: {tmp_path / 'nothing'} is not a directory\n")
