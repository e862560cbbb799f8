"""The exit codes by which a child tells its supervisor what to do next, and those of the supervisor itself.

Numbers only. Everything that is not listed here is a crash and is restarted as one.
"""

from __future__ import annotations

from typing import Final

NORMAL: Final = 0
"""The child finished its work."""

CRASHED: Final = 1
"""An exception nobody expected left the child's `start`."""

SHUTDOWN: Final = 10
"""The child stopped in order because it was asked to."""

JOURNAL_CORRUPT: Final = 20
"""Damage that another attempt cannot mend: never retried before an operator says so."""

STORAGE_FAULT: Final = 21
"""The disk failed us: retried twice, since a new file may land on healthy blocks, then treated as corrupt."""

ORPHANED: Final = 69
"""The supervisor was gone before the child had begun."""

TREE_FAILED: Final = 70
"""The supervisor gave up: the restart intensity of the root group was exceeded (EX_SOFTWARE)."""
