"""All links of one actor looked at: their figures.

Changes nothing but the count of stalls, which is taken. Costs are per link, so whoever asks does so once in a while and
not in every round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from posthouse.transport.links import Links
from posthouse.transport.session import Link, State


class LinkFigures(NamedTuple):
    """`backlog_bytes` wait for credit or an acknowledgement; `stalls` are those since the last look."""

    links: int = 0
    backlog_bytes: int = 0
    stalls: int = 0


def figures_of(links: Links) -> LinkFigures:
    """The figures of this moment. Only sessions that stand count as links; the others' backlog counts all the same."""
    open_links = backlog_bytes = stalls = 0
    for link in _all(links):
        sender = link.sender
        open_links += link.state is State.OPEN
        backlog_bytes += sender.backlog_bytes + sender.bytes_in_flight
        stalls += sender.take_stalls()
    return LinkFigures(open_links, backlog_bytes, stalls)


def _all(links: Links) -> Iterator[Link]:
    yield from links.all_opened()
    yield from links.served
