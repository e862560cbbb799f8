"""A journal whose files had whatever done to them: opened, verified, dumped and salvaged without a crash or a lie.

Every flipped bit and every truncation has a test of its own; this is for damage with more than one place: ranges that
became zeros or noise, were exchanged, repeated or cut out, in any of the files.
"""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.supervisor.journal_tools import dump, salvage, verify
from posthouse.transport.errors import DiskFault, JournalCorrupt
from tests.support.journal_files import DIRECTORY, contents_of, disk_with, files_of, open_journal, three_segments

FILES = {name: data for name, data in files_of(three_segments()).items() if name != "lock"}
WHOLE = contents_of(open_journal(three_segments(), 2))
SECONDS_MAX = 5.0

names = st.sampled_from(sorted(FILES))
places = st.integers(0, 700)
lengths = st.integers(1, 300)


@st.composite
def damages(draw: st.DrawFn) -> dict[str, bytes]:
    files = dict(FILES)
    for _ in range(draw(st.integers(1, 4))):
        name, start, length = draw(names), draw(places), draw(lengths)
        data = bytearray(files[name])
        start = min(start, len(data))
        kind = draw(st.sampled_from(["zero", "noise", "cut out", "insert", "repeat", "exchange", "truncate"]))
        if kind == "zero":
            data[start : start + length] = bytes(len(data[start : start + length]))
        elif kind == "noise":
            data[start : start + length] = draw(st.binary(max_size=length))
        elif kind == "cut out":
            del data[start : start + length]
        elif kind == "insert":
            data[start:start] = draw(st.binary(max_size=40))
        elif kind == "repeat":
            data[start:start] = data[start : start + length]
        elif kind == "exchange":
            other = files[draw(names)]
            data[start : start + length] = other[start : start + length]
        else:
            del data[start:]
        files[name] = bytes(data)
    return files


@given(damages())
@settings(max_examples=250, deadline=None)
def test_whatever_the_files_hold_is_refused_or_is_what_was_written(files: dict[str, bytes]) -> None:
    began_s = time.process_time()
    disk = disk_with(files)
    try:
        found = contents_of(open_journal(disk, 2))
    except JournalCorrupt:
        after = files_of(disk)
        assert {name: data for name, data in after.items() if name != "lock"} == files, "a refusal changes nothing"
    else:
        # Only the marks of what was durable may be gone as well, so that the end looks like a torn tail.
        assert found == WHOLE[: len(found)]
    assert time.process_time() - began_s < SECONDS_MAX


@given(damages())
@settings(max_examples=250, deadline=None)
def test_the_tools_read_whatever_the_files_hold(files: dict[str, bytes]) -> None:
    began_s = time.process_time()
    disk = disk_with(files)
    known = {payload for _, _, payload in WHOLE}
    try:
        verify(disk, DIRECTORY)
        for _ in dump(disk, DIRECTORY):
            pass
        salvage(disk, DIRECTORY, "/saved")
    except DiskFault:
        return
    assert {payload for _, _, payload in contents_of(open_journal(disk, 9, directory="/saved"))} <= known
    assert time.process_time() - began_s < SECONDS_MAX
