"""Definitions: everything declared, as one document, taken out and laid down again."""

from __future__ import annotations

from typing import Any, Final, final

import msgspec

from posthouse.definitions import ImportReport
from posthouse.web.operation import Call, Operation


@final
class ImportQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`dry_run`: only say what would be made."""

    dry_run: bool = False


async def export(call: Call) -> Any:
    """Exchanges, queues with their policies, bindings and recurring schedules, as one document.

    What belongs to a connection is left out.
    """
    return await (await call.broker()).definitions.export()


async def load(call: Call) -> Any:
    """Make everything in a document that is not there yet. One that cannot be made whole changes nothing.

    Then the error is `import_refused`, and a dry run says which definitions stand in the way.
    """
    return await (await call.broker()).definitions.load(call.body, dry_run=call.query.dry_run)


OPERATIONS: Final = (
    Operation("export_definitions", "GET", "/definitions", export, dict[str, Any]),
    Operation("import_definitions", "POST", "/definitions", load, ImportReport, query=ImportQuery, body=dict[str, Any]),
)
