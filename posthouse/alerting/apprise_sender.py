"""The process that delivers one notice with apprise; it imports nothing of posthouse.

It reads one JSON document, `{"url", "title", "body", "kind", "is_check"}`, from standard input, so that no address is
shown in a list of processes, and ends with 0 when the service took the notice. apprise takes half a second of processor
time and forty megabytes, and runs the code of a hundred services; none of that happens in a process of the broker.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Final, final

NO_SERVICE: Final = 64
"""The exit code for an address that apprise cannot use."""


@final
class _LastWords(logging.Handler):
    """Keeps the last thing that apprise warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def main() -> int:
    """Deliver, or only check the address; returns the exit code, the reason goes to standard error."""
    import apprise

    wish = json.load(sys.stdin)
    words = _LastWords()
    logger = logging.getLogger("apprise")
    logger.addHandler(words)
    logger.propagate = False
    service = apprise.Apprise(asset=apprise.AppriseAsset(storage_mode=apprise.PersistentStoreMode.MEMORY))
    if not service.add(wish["url"]):
        print("apprise knows no service of this address, or its form is wrong", file=sys.stderr)
        return NO_SERVICE
    if wish["is_check"]:
        return 0
    kind = {"firing": apprise.NotifyType.FAILURE, "resolved": apprise.NotifyType.SUCCESS}
    if service.notify(
        title=wish["title"],
        body=wish["body"],
        notify_type=kind.get(wish["kind"], apprise.NotifyType.INFO),
        body_format=apprise.NotifyFormat.TEXT,
        interpret_escapes=False,
    ):
        return 0
    print(words.text or "the service did not take it", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
