"""Definitions, as a program in an event loop sees them: export and load; each is awaited."""

from __future__ import annotations

from typing import Any, final

from posthouse.definitions import ImportReport, exporting, importing
from posthouse.requests import AskAsync
from posthouse.steps import walk_async


@final
class Definitions:
    """Everything declared on one broker, in a document; `broker.definitions`."""

    def __init__(self, ask: AskAsync) -> None:
        self._ask = ask

    async def export(self) -> dict[str, Any]:
        """As of the blocking client."""
        return await walk_async(exporting(), self._ask)

    async def load(self, document: dict[str, Any], *, dry_run: bool = False) -> ImportReport:
        """As of the blocking client."""
        return await walk_async(importing(document, is_dry_run=dry_run), self._ask)
