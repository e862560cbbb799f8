"""Figures of processes and machines, as values.

Pure. `machine` asks the system for them.
"""

from __future__ import annotations

from typing import NamedTuple, final


@final
class ProcessFigures(NamedTuple):
    """One process. `cpu_s`: processor seconds since its start."""

    cpu_s: float = 0.0
    rss_bytes: int = 0
    descriptors: int = 0


@final
class MachineFigures(NamedTuple):
    """The machine, and the disk of one directory. `load` is that of the last minute."""

    cores: int
    load: float
    memory_bytes: int
    memory_free_bytes: int
    disk_bytes: int
    disk_free_bytes: int
