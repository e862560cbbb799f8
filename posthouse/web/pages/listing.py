"""A long list on a page: searched, sorted, cut into pages, with links that keep the rest as it is. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, final

from posthouse.web.pages.fields import Fields
from posthouse.web.pages.visit import url

PAGE_ROWS: Final = 50
PAGES_MAX: Final = 1_000_000

Item = TypeVar("Item")


@final
class Listing(Generic[Item]):
    """One page of a list. `sorts` are the keys by which it can be sorted; the first is the default.

    Names and texts rise, numbers fall when they are chosen; chosen again they turn round.
    """

    def __init__(
        self,
        path: str,
        query: Fields,
        items: Sequence[Item],
        sorts: Mapping[str, Callable[[Item], Any]],
        *,
        rising: frozenset[str] = frozenset({"name"}),
        kept: Mapping[str, str] | None = None,
        rows: int = PAGE_ROWS,
    ) -> None:
        self._path = path
        self._kept = dict(kept or {})
        self._rising = rising
        self.sort = query.choice("sort", tuple(sorts))
        self.is_descending = (self.sort not in rising) ^ (query.choice("order", ("", "turned")) == "turned")
        self._is_turned = self.is_descending == (self.sort in rising)
        self.matching = len(items)
        self.pages = max(1, -(-len(items) // rows))
        self.page = min(query.whole("page", 1, 1, PAGES_MAX), self.pages)
        self.first = min(len(items), (self.page - 1) * rows + 1)
        self.last = min(len(items), self.page * rows)
        # Ties stand by the first key in its own direction, so that rows keep their places while numbers change.
        ordered = sorted(items, key=next(iter(sorts.values())))
        ordered.sort(key=sorts[self.sort], reverse=self.is_descending)
        self.rows = ordered[max(0, self.first - 1) : self.last]

    def sorted_by(self, key: str) -> str:
        """The link of a column's title."""
        turned = "turned" if key == self.sort and not self._is_turned else ""
        return url(self._path, **self._kept, sort=key, order=turned)

    def at_page(self, page: int) -> str:
        """The link to another page of the same list."""
        order = "turned" if self._is_turned else ""
        return url(self._path, **self._kept, sort=self.sort, order=order, page=page if page > 1 else None)
