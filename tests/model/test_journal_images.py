"""Every image that a power cut may legally leave of a logged run of a journal, and what is opened from it.

The other crash tests choose some images at random. Here each decision of the simulated disk is taken every way, at each
call of a short life: which names are there, whether each file that was not synced is long or short, each of its pages
old or new; and of one such file after the other, several lengths and every place of a page at which it may be torn.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar, final

import pytest

from tests.support.journal_files import files_of
from tests.support.journal_world import JournalWorld
from tests.support.sim_disk import PowerCut

T = TypeVar("T")

CUTS = (0, 8, 40, 60, 64, 68, 100, 120, 124, 160, 200, 240, 300, 400, 1_048, 4_096)
"""Places in a page: inside and between the headers, chunks and footers of this life, and the slots of its sidecar."""


@final
class EveryChoice(random.Random):
    """Answers the same questions differently each time, until every sequence of answers was given.

    `torn`: the number of the file that is looked at closely.
    """

    def __init__(self, torn: int) -> None:
        super().__init__(0)
        self.files = 0
        self._torn = torn
        self._path: list[tuple[int, int]] = []
        self._asked = 0

    def _decide(self, count: int) -> int:
        if self._asked == len(self._path):
            self._path.append((0, count))
        answer, known = self._path[self._asked]
        assert known == count, "the run must ask the same questions"
        self._asked += 1
        return answer

    def choice(self, seq: Sequence[T]) -> T:  # type: ignore[override]
        return seq[-1]  # Asked among others whose answers the last one takes as well.

    def random(self) -> float:
        return (0.0, 0.9)[self._decide(2)]

    def randint(self, a: int, b: int) -> int:
        self.files += 1
        places = sorted({a, (a + b) // 2, b} if self.files - 1 == self._torn else {a, b})
        return places[self._decide(len(places))]

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        if start <= 3:
            return self._decide(start)
        cuts = CUTS if self.files - 1 == self._torn else (0, start - 1)
        return cuts[self._decide(len(cuts))]

    def go_on(self) -> bool:
        """To the next sequence of answers; False when there is none."""
        self._asked = self.files = 0
        while self._path:
            answer, count = self._path.pop()
            if answer + 1 < count:
                self._path.append((answer + 1, count))
                return True
        return False


def live(world: JournalWorld) -> None:
    """Synced and unsynced commits, a rotation, a checkpoint, and an end without a goodbye."""
    world.append(1, b"first")
    world.commit(True)
    world.append(2, b"second" * 10)
    world.commit(False)
    world.append(3, b"third")
    world.commit(True)
    world.rotate([(7, b"head")], False)
    world.append(4, b"fourth" * 8)
    world.commit(True)
    world.rotate([(8, b"state")], True)
    world.append(5, b"fifth")
    world.commit(False)


def images_at(call: int) -> int | None:
    """Recover from every image that a cut during that call leaves; how many, or None when the life was over before."""
    seen: set[int] = set()
    torn = 0
    choice = EveryChoice(torn)
    while True:
        world = JournalWorld(seed=1)
        world.disk.cut_power_at(call)
        try:
            live(world)
        except PowerCut:
            world.die(True, choice)
        else:
            return None
        image = hash(frozenset(files_of(world.disk).items()))
        if image not in seen:
            seen.add(image)
            world.recover()
            world.check()
            # What was opened from it once is opened from it again, and nothing is torn any more.
            world.die(True, random.Random(call))
            world.recover()
            assert world.journal.recovery.torn_bytes == 0
        files = choice.files
        if not choice.go_on():
            torn += 1
            if torn >= files:
                return len(seen)
            choice = EveryChoice(torn)


CALLS = 39
"""Changing calls in this life, from the creation of its journal on."""


@pytest.mark.parametrize("call", range(1, CALLS + 1))
def test_from_every_legal_image_what_was_promised_is_opened(call: int) -> None:
    count = images_at(call)
    assert count is not None
    assert count >= IMAGES_MIN.get(call, 4)


IMAGES_MIN = {5: 100, 13: 100, 14: 150, 17: 150}
"""So many at least where a rotation and a checkpoint are cut: fewer, and the choices are not taken any more."""


def test_the_life_has_no_more_calls() -> None:
    assert images_at(CALLS + 1) is None
