"""Every delayed message the scheduler still has, by id: when it is due, and where in the journal its body is.

It costs 32 bytes a message, in arrays of machine numbers: pages of ids in ascending order, so that a look-up is two
binary searches. Ids come in ascending order and are never used again; only replay puts one into the middle. It must
not know what order messages are due in (that is the timetable's business), nor what is in them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Final, NamedTuple, final

PAGE_ENTRIES_MAX: Final = 1_024

GONE: Final = 0
FAILED: Final = -1
FIRING: Final = -2
BURYING: Final = -3
"""What stands in the place of a due time, which is 1 or more, when a message does not wait."""


@final
class Place(NamedTuple):
    """Where a body is: message `at` of the batch in the record at `position`. `exchange` is the ledger's number."""

    position: int
    at: int
    exchange: int


@final
class _Page:
    """Side by side, one element a message. `live` of them are not gone."""

    __slots__ = ("dues", "exchanges", "ids", "indexes", "live", "positions")

    def __init__(self) -> None:
        self.ids = array("q")
        self.dues = array("q")
        self.positions = array("q")
        self.indexes = array("I")
        self.exchanges = array("I")
        self.live = 0

    def columns(self) -> tuple[array[int], ...]:
        return self.ids, self.dues, self.positions, self.indexes, self.exchanges

    def compact(self) -> None:
        """Drop what is gone."""
        kept = [place for place, due in enumerate(self.dues) if due]
        for column in self.columns():
            column[:] = array(column.typecode, map(column.__getitem__, kept))

    def take_over(self, other: _Page) -> None:
        """Append a page with higher ids."""
        for mine, theirs in zip(self.columns(), other.columns(), strict=True):
            mine.extend(theirs)
        self.live += other.live


@final
class Ledger:
    """The messages by id. Counts are for reading: `live`, of which `failed` and `firing`; the rest waits.

    What is on its way to the dead letters counts as failed.
    """

    __slots__ = ("_exchange_names", "_exchange_numbers", "_firsts", "_pages", "failed", "firing", "live")

    def __init__(self) -> None:
        self._pages: list[_Page] = []
        self._firsts: list[int] = []
        self._exchange_names: list[str] = []
        self._exchange_numbers: dict[str, int] = {}
        self.live = 0
        self.failed = 0
        self.firing = 0

    @property
    def waiting(self) -> int:
        return self.live - self.failed - self.firing

    def exchange_number(self, name: str) -> int:
        """The number that stands for an exchange here; there are as many as names were ever used in this life."""
        number = self._exchange_numbers.get(name)
        if number is None:
            number = self._exchange_numbers[name] = len(self._exchange_names)
            self._exchange_names.append(name)
        return number

    def exchange_name(self, number: int) -> str:
        return self._exchange_names[number]

    def known_exchange(self, name: str) -> int:
        """Its number, or -1 when no message was ever for it."""
        return self._exchange_numbers.get(name, -1)

    # ---- in ----

    def extend(self, first_id: int, dues: Sequence[int], position: int, exchange: int) -> None:
        """Take in the messages of a new record. Their ids are above all others."""
        count, start = len(dues), 0
        self.live += count
        while start < count:
            page = self._pages[-1] if self._pages else None
            if page is None or len(page.ids) >= PAGE_ENTRIES_MAX:
                page = _Page()
                self._pages.append(page)
                self._firsts.append(first_id + start)
            stop = min(count, start + PAGE_ENTRIES_MAX - len(page.ids))
            page.ids.extend(range(first_id + start, first_id + stop))
            page.dues.extend(dues[start:stop])
            page.positions.extend(repeat(position, stop - start))
            page.indexes.extend(range(start, stop))
            page.exchanges.extend(repeat(exchange, stop - start))
            page.live += stop - start
            start = stop

    def put(self, message_id: int, due: int, place: Place) -> None:
        """What the journal says of one message it copied forward: new here, or in another place than before."""
        page, at = self._find(message_id)
        if page is not None and at < len(page.ids) and page.ids[at] == message_id:
            self._count(page.dues[at], -1)
            if not page.dues[at]:
                page.live += 1
            page.dues[at] = due
            page.positions[at], page.indexes[at], page.exchanges[at] = place
        else:
            if page is None:
                page = _Page()
                self._pages.insert(0, page)
                self._firsts.insert(0, message_id)
                at = 0
            for column, value in zip(page.columns(), (message_id, due, *place), strict=True):
                column.insert(at, value)
            page.live += 1
            if len(page.ids) > 2 * PAGE_ENTRIES_MAX:
                self._split(page)
        self._count(due, 1)

    # ---- looking ----

    def due(self, message_id: int) -> int:
        """When it is due; or GONE, FAILED, FIRING, BURYING."""
        page, at = self._find(message_id)
        if page is None or at == len(page.ids) or page.ids[at] != message_id:
            return GONE
        return page.dues[at]

    def place(self, message_id: int) -> Place:
        """Where its body is. Only for a message that is not gone."""
        page, at = self._find(message_id)
        assert page is not None
        assert page.ids[at] == message_id
        return Place(page.positions[at], page.indexes[at], page.exchanges[at])

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """`(id, due, exchange)` of all that is not gone, lowest id first."""
        for page in self._pages:
            for message_id, due, exchange in zip(page.ids, page.dues, page.exchanges, strict=True):
                if due:
                    yield message_id, due, exchange

    def lowest_position(self) -> int | None:
        """The lowest journal position that a body is still needed from."""
        lowest: int | None = None
        for page in self._pages:
            here = min(position for position, due in zip(page.positions, page.dues, strict=True) if due)
            lowest = here if lowest is None else min(lowest, here)
        return lowest

    def below(self, position: int) -> Iterator[int]:
        """Ids of what waits or has failed and whose body is below a journal position."""
        for page in self._pages:
            if min(page.positions) < position:
                for message_id, due, at in zip(page.ids, page.dues, page.positions, strict=True):
                    if at < position and due not in (GONE, FIRING):
                        yield message_id

    # ---- changing ----

    def set(self, message_id: int, due: int) -> int:
        """Another due time, or GONE, FAILED, FIRING, BURYING; returns what it was. Nothing happens to what is gone."""
        page, at = self._find(message_id)
        if page is None or at == len(page.ids) or page.ids[at] != message_id or not page.dues[at]:
            return GONE
        before = page.dues[at]
        page.dues[at] = due
        self._count(before, -1)
        self._count(due, 1)
        if due == GONE:
            page.live -= 1
            if 2 * page.live <= len(page.ids):
                self._tidy(page)
        return before

    def _count(self, due: int, change: int) -> None:
        if due != GONE:
            self.live += change
        if due in (FAILED, BURYING):
            self.failed += change
        elif due == FIRING:
            self.firing += change

    def _split(self, page: _Page) -> None:
        other = _Page()
        for mine, theirs in zip(page.columns(), other.columns(), strict=True):
            theirs.extend(mine[PAGE_ENTRIES_MAX:])
            del mine[PAGE_ENTRIES_MAX:]
        other.live = sum(1 for due in other.dues if due)
        page.live -= other.live
        number = bisect_right(self._firsts, page.ids[0])
        self._pages.insert(number, other)
        self._firsts.insert(number, other.ids[0])
        for half in (page, other):
            if not half.live:
                self._tidy(half)

    def _find(self, message_id: int) -> tuple[_Page | None, int]:
        number = bisect_right(self._firsts, message_id) - 1
        if number < 0:
            return None, 0
        page = self._pages[number]
        return page, bisect_left(page.ids, message_id)

    def _tidy(self, page: _Page) -> None:
        """Half of a page is gone: close the gaps, and join it with the next where both fit into one."""
        number = self._pages.index(page, max(0, bisect_right(self._firsts, page.ids[0]) - 1))
        if not page.live:
            del self._pages[number], self._firsts[number]
            return
        page.compact()
        for left in (number, number - 1):
            if 0 <= left < len(self._pages) - 1:
                mine, theirs = self._pages[left], self._pages[left + 1]
                if len(mine.ids) + len(theirs.ids) <= PAGE_ENTRIES_MAX:
                    mine.take_over(theirs)
                    del self._pages[left + 1], self._firsts[left + 1]
