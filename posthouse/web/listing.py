"""Parts of listings: what the caller asked for, and how long the whole is."""

from __future__ import annotations

import functools
from typing import Any, Final

import msgspec

from posthouse.transport.errors import InvalidArgument

LIST_MAX: Final = 1_000
OFFSET_MAX: Final = 1 << 53


class Window(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Which part of a listing: `limit` of them after the first `offset`."""

    limit: int = 100
    offset: int = 0


@functools.cache
def listing_of(kind: Any) -> Any:
    """The type of a part: `items`, and `total` of the whole listing."""
    name = f"{kind.__name__}Listing"
    return msgspec.defstruct(name, [("items", list[kind]), ("total", int)], kw_only=True)


def part_of(found: list[Any], window: Window) -> dict[str, Any]:
    """The part that was asked for. Raises InvalidArgument."""
    check_limit(window.limit)
    if not 0 <= window.offset <= OFFSET_MAX:
        raise InvalidArgument(f"offset is {window.offset}; it is 0 to {OFFSET_MAX}")
    return {"items": found[window.offset : window.offset + window.limit], "total": len(found)}


def check_limit(limit: int, highest: int = LIST_MAX) -> None:
    """Raises InvalidArgument."""
    if not 1 <= limit <= highest:
        raise InvalidArgument(f"limit is {limit}; it is 1 to {highest}")


def is_named(name: str, part: str | None) -> bool:
    """Is the name one of those that were asked for? Those that contain the text, whatever its case."""
    return part is None or part.casefold() in name.casefold()
