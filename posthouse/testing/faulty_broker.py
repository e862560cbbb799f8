"""A broker with failpoints: `posthouse.serve` with faults on its seams.

What has struck is written down as an empty file in the data directory's `struck` folder before it strikes, so that
the next life knows, and so that a test can ask whether a fault really happened.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, final

from posthouse.actors.cell import Cell
from posthouse.config import Config
from posthouse.serve import Seams, serve
from posthouse.supervisor.child_spec import Life
from posthouse.supervisor.effects import Event, EventKind
from posthouse.supervisor.journal import Journal
from posthouse.testing.failpoints import STRUCK, Action, Failpoint, Point
from posthouse.testing.faulty_disk import FaultyDisk

SUPERVISOR: Final = "supervisor"

_EVENTS: Final = {
    EventKind.STARTED: Point.CHILD_STARTED,
    EventKind.READY: Point.CHILD_READY,
    EventKind.EXITED: Point.CHILD_EXITED,
    EventKind.STOPPING: Point.STOPPING,
}
_ERRORS: Final = {Action.EIO: errno.EIO, Action.ENOSPC: errno.ENOSPC}


def serve_with(failpoints: Sequence[Failpoint], config: Config, out: Callable[[str], None] = print) -> int:
    """Run a broker in which they strike; returns the exit code."""
    folder = Path(config.data) / STRUCK
    folder.mkdir(parents=True, exist_ok=True)
    supervisor = Strikes(failpoints, SUPERVISOR, folder)

    def event(event: Event) -> None:
        point = _EVENTS.get(event.kind)
        if point is not None:
            supervisor.reach(point, about=event.id)

    lives: dict[str, Strikes] = {}

    def strikes_of(life: Life) -> Strikes:
        # In the child, once per life; a fork of a child of the same name never inherits another's counts.
        key = f"{life.id}/{life.generation}"
        return lives.setdefault(key, Strikes(failpoints, life.id, folder))

    def disk(life: Life) -> FaultyDisk:
        return FaultyDisk(strikes_of(life).reach)

    def cell(life: Life, cell: Cell, journal: Journal | None) -> None:
        _listen(strikes_of(life), cell, journal)

    return serve(config, out=out, seams=Seams(disk, cell, event))


def _nothing() -> None:
    pass


@final
class Strikes:
    """The failpoints of one life."""

    def __init__(self, failpoints: Sequence[Failpoint], actor_id: str, folder: Path) -> None:
        self._actor_id = actor_id
        self._folder = folder
        is_supervisor = actor_id == SUPERVISOR
        self._armed = [
            (number, failpoint, failpoint.kind_in(actor_id))
            for number, failpoint in enumerate(failpoints)
            if is_supervisor or fnmatchcase(actor_id, failpoint.actor)
        ]
        self._hits: Counter[int] = Counter()
        self.records: set[int] = set()
        """Kinds of the records in the commit that is being made."""

    def reach(self, point: Point, first: Callable[[], None] = _nothing, /, *, about: str | None = None) -> None:
        """The process is at that point. Raises OSError or RuntimeError, or never returns, if something strikes.

        `first` is done before it strikes. `about`: the child an event of the supervisor is about.
        """
        for number, failpoint, kind in self._armed:
            if failpoint.point is not point or (about is not None and not fnmatchcase(about, failpoint.actor)):
                continue
            if failpoint.record and kind not in self.records:
                continue
            if not self._may_strike(number, failpoint):
                continue
            self._hits[number] += 1
            if self._hits[number] == failpoint.hit:
                first()
                (self._folder / f"{number}-{self._lives(number)}").touch()
                _strike(failpoint)

    def _may_strike(self, number: int, failpoint: Failpoint) -> bool:
        is_its_turn = failpoint.after is None or self._lives(failpoint.after) > 0
        return is_its_turn and self._lives(number) < failpoint.lives

    def _lives(self, number: int) -> int:
        """In how many lives it has struck."""
        return sum(1 for path in self._folder.glob(f"{number}-*"))


def _strike(failpoint: Failpoint, pause: Callable[[float], None] = time.sleep) -> None:
    if failpoint.action is Action.KILL:
        os.kill(os.getpid(), signal.SIGKILL)
    elif failpoint.action is Action.STOP:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif failpoint.action is Action.DELAY:
        pause(failpoint.delay_ms / 1000)
    elif failpoint.action is Action.RAISE:
        raise RuntimeError(f"the failpoint {failpoint.point}")
    else:
        number = _ERRORS[failpoint.action]
        raise OSError(number, os.strerror(number), str(failpoint.point))


def _listen(strikes: Strikes, cell: Cell, journal: Journal | None) -> None:
    """Let the cell's calls pass by the failpoints. Nothing of this exists in a broker without."""
    start, finish = cell.start, cell.finish_round

    def start_and_say(wall_ms: int, monotonic_ms: int) -> None:
        strikes.reach(Point.OPENED)
        start(wall_ms, monotonic_ms)
        strikes.reach(Point.REPLAYED)

    def finish_and_say() -> Any:
        strikes.reach(Point.RECEIVED)
        frames = finish()
        strikes.reach(Point.COMMITTED)
        return _frames(strikes, frames)

    _replace(cell, "start", start_and_say)
    _replace(cell, "finish_round", finish_and_say)
    if journal is not None:
        append, rotate = journal.append, journal.rotate

        def append_and_note(kind: int, *parts: Any) -> int:
            strikes.records.add(kind)
            return append(kind, *parts)

        def rotate_and_note(head: Any, replaces_all: bool = False) -> None:
            strikes.records.update(kind for kind, _ in head)
            rotate(head, replaces_all)

        _replace(journal, "append", append_and_note)
        _replace(journal, "rotate", rotate_and_note)


def _frames(strikes: Strikes, frames: list[Any]) -> Any:
    """The loop sends them one by one."""
    if frames:
        yield frames[0]
        strikes.reach(Point.SENT_ONE)
        yield from frames[1:]
        strikes.reach(Point.SENT_ALL)
    strikes.records.clear()


def _replace(owner: Any, name: str, method: Any) -> None:
    setattr(owner, name, method)
