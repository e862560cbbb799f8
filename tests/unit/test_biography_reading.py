"""Biographies from the files of a data directory: whole, damaged, in use, and none at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.actors import held_records, queue_records
from posthouse.actors.queue_records import Kind
from posthouse.actors.registry_records import KIND_CHANGE, journal_id
from posthouse.actors.topology import Topology
from posthouse.biography.reading import biography_of
from posthouse.supervisor.data_directory import journal_name
from posthouse.supervisor.disk import RealDisk
from posthouse.supervisor.journal import Journal, JournalSettings
from posthouse.transport import messages
from posthouse.transport.errors import InvalidArgument, UnknownMessage
from posthouse.transport.messages import BindingSpec, ExchangeSpec, QueueSpec, TopologyChange
from tests.support.biography_samples import START_MS, sample_message

SETTINGS = JournalSettings(segment_bytes_first=512, segment_bytes_max=1024, reserve_bytes=0)
QUEUE = QueueSpec(name="ewr", serial=2)


def open_journal(data: Path, name: str) -> Journal:
    directory = data / "journal" / journal_name(name)
    return Journal.open(RealDisk(), str(directory), generation=1, settings=SETTINGS, now_ms=lambda: START_MS + 5)


def make_topology(data: Path) -> None:
    journal, topology = open_journal(data, "registry"), Topology()

    def commit(change: TopologyChange | None) -> None:
        assert change is not None
        topology.apply(change)
        journal.append(KIND_CHANGE, messages.encode(change))
        journal.commit()

    commit(topology.declare_exchange(ExchangeSpec(name="flights", kind="fanout", serial=1)))
    commit(topology.declare_queue(QUEUE))
    commit(topology.bind(BindingSpec(source="flights", destination="ewr")))
    journal.close()


def fill(journal: Journal, batches: int = 4) -> None:
    """A batch of three in each segment, all acked in the last."""
    for number in range(batches):
        raw = sample_message(3, first_seq=1 + 3 * number)
        journal.append(Kind.STORE, *queue_records.encode_store(1 + 3 * number, raw))
        journal.rotate([])
    journal.append(Kind.SETTLED, queue_records.encode_ranges([(1, 3 * batches)]))
    journal.commit()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "journal").mkdir()
    make_topology(tmp_path)
    return tmp_path


def what(data: Path, message_id: str) -> list[str]:
    return [event.what for event in biography_of(str(data), message_id).events]


def segments(data: Path) -> list[Path]:
    return sorted((data / "journal" / journal_name(journal_id(QUEUE))).glob("*.seg"))


def test_a_settled_message_is_told_while_its_segments_exist_and_not_longer(data: Path) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    fill(journal)
    assert what(data, "a1-5") == ["published", "routed", "stored", "acked"]
    journal.trim(journal.next_position)
    with pytest.raises(UnknownMessage, match="as long as their segments exist"):
        biography_of(str(data), "a1-5")
    journal.close()


def test_reading_takes_no_lock_and_leaves_every_file_as_it_is(data: Path) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    fill(journal)
    before = {path: path.read_bytes() for path in (data / "journal").rglob("*") if path.is_file()}
    biography_of(str(data), "a1-5")
    assert {path: path.read_bytes() for path in (data / "journal").rglob("*") if path.is_file()} == before
    journal.append(Kind.PURGED, queue_records.encode_ranges([(1, 1)]))
    journal.commit()
    journal.close()


def test_a_damaged_segment_is_named_and_the_rest_is_told(data: Path) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    fill(journal)
    journal.close()
    broken = bytearray(segments(data)[1].read_bytes())
    broken[150] ^= 1
    segments(data)[1].write_bytes(broken)
    found = biography_of(str(data), "a1-2")
    assert [event.what for event in found.events] == ["published", "routed", "stored", "acked"]
    assert "0000000002.seg is damaged at byte 64" in found.notes[0]
    with pytest.raises(UnknownMessage, match=r"Not everything could be read: .*0000000002\.seg is damaged"):
        biography_of(str(data), "a1-5")


def test_a_record_that_makes_no_sense_is_named_and_the_rest_is_told(data: Path) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    journal.append(Kind.STORE, *queue_records.encode_store(1, sample_message(3)))
    journal.append(Kind.GIVEN, b"\xc1")
    journal.append(Kind.SETTLED, queue_records.encode_ranges([(1, 3)]))
    journal.commit()
    journal.close()
    found = biography_of(str(data), "a1-2")
    assert found.events[-1].what == "acked"
    assert "position 2: a record of the queue's journal cannot be read" in found.notes[0]


def test_without_the_registrys_journal_the_queue_is_named_after_its_directory(data: Path) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    fill(journal)
    journal.close()
    for path in (data / "journal" / journal_name("registry")).glob("*.seg"):
        path.write_bytes(b"nothing of a journal")
    found = biography_of(str(data), "a1-2")
    assert [(event.actor, event.what) for event in found.events][-1] == ("queue:ewr", "acked")
    assert any("the header of 0000000001.seg is unreadable" in note for note in found.notes)
    assert any("nothing is known of bindings" in note for note in found.notes)


def test_a_queue_that_matched_and_has_no_trace_of_it_is_named(data: Path) -> None:
    journal = open_journal(data, "exchange:flights:1")
    journal.append(held_records.Kind.HELD, *held_records.encode_held(1, START_MS + 5, 0, sample_message(1)))
    journal.commit()
    journal.close()
    notes = biography_of(str(data), "a1-1").notes
    assert any("queue 'ewr' matched, and no journal of it has the message" in note for note in notes)


@pytest.mark.parametrize("message_id", ["", "x" * 5_000])
def test_what_is_no_id_is_refused(data: Path, message_id: str) -> None:
    with pytest.raises(InvalidArgument):
        biography_of(str(data), message_id)


def test_what_is_no_data_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="no data directory"):
        biography_of(str(tmp_path / "nowhere"), "a1-1")


@pytest.mark.parametrize(("part", "named"), [("a1-1", ["'a1-10'", "'a1-11'", "'a1-12'"]), ("a1-", ["and more"])])
def test_part_of_an_id_is_answered_with_ids_that_begin_so(data: Path, part: str, named: list[str]) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    for number in range(2, 6):
        raw = sample_message(3, first_seq=1 + 3 * number)
        journal.append(Kind.STORE, *queue_records.encode_store(1 + 3 * number, raw))
    journal.commit()
    journal.close()
    with pytest.raises(UnknownMessage) as refused:
        biography_of(str(data), part)
    assert all(one in str(refused.value) for one in named)


@pytest.mark.parametrize("message_id", ["a", "a1", "\x1b[31m", "ü" * 300, "a1-99999999999999999999"])
def test_an_unknown_id_of_any_form_is_unknown(data: Path, message_id: str) -> None:
    journal = open_journal(data, journal_id(QUEUE))
    fill(journal)
    journal.close()
    with pytest.raises(UnknownMessage) as refused:
        biography_of(str(data), message_id)
    assert "\x1b" not in str(refused.value)
