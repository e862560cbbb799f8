"""What the system says of processes and of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from posthouse.supervisor.figures import ProcessFigures
from posthouse.supervisor.machine import read_machine, read_process


def test_a_living_process_has_memory_and_descriptors() -> None:
    figures = read_process(os.getpid())
    assert figures.rss_bytes > 1_000_000
    assert figures.descriptors >= 3
    assert figures.cpu_s > 0


def test_one_that_is_gone_has_zeros() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert read_process(process.pid) == ProcessFigures(0.0, 0, 0)


def test_the_machine_has_memory_and_a_disk(tmp_path: Path) -> None:
    figures = read_machine(str(tmp_path))
    assert figures.cores >= 1
    assert 0 < figures.memory_free_bytes < figures.memory_bytes
    assert 0 < figures.disk_free_bytes <= figures.disk_bytes


def test_a_directory_that_is_gone_has_no_disk_and_spoils_nothing_else(tmp_path: Path) -> None:
    figures = read_machine(str(tmp_path / "gone"))
    assert (figures.disk_bytes, figures.disk_free_bytes) == (0, 0)
    assert figures.memory_bytes > 0
