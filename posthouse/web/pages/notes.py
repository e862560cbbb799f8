"""What an action has to say on the next page: shown once, to whoever was sent there.

The text stays here and only its number travels, so that nobody can make a link that puts words into the broker's mouth.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final, NamedTuple, final

NOTES_MAX: Final = 200


@final
class Note(NamedTuple):
    """`tone`: good, warn or bad."""

    text: str
    tone: str = "good"


@final
class Notes:
    """Those that nobody has seen yet; beyond a limit the oldest are forgotten."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, Note] = OrderedDict()

    def leave(self, note: Note) -> str:
        """The number under which it is found, once."""
        number = secrets.token_urlsafe(9)
        self._waiting[number] = note
        while len(self._waiting) > NOTES_MAX:
            self._waiting.popitem(last=False)
        return number

    def take(self, number: str) -> Note | None:
        """The note, for the first who asks."""
        return self._waiting.pop(number, None)
