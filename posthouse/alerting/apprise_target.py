"""Mail, chat and push services, by apprise in a process of its own (`apprise_sender`).

Fails with: a sentence, from which the target hides its address.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Final

from posthouse.alerting import apprise_sender, command
from posthouse.alerting.targets import Target
from posthouse.transport.errors import InvalidArgument

CHECK_S: Final = 60.0
# By its path: as a module it would import the client first.
_SENDER: Final = (sys.executable, "-P", apprise_sender.__file__)


def send(url: str, title: str, body: str, kind: str, timeout_s: float) -> str:
    """Deliver; "" means the service took it. `kind`: firing, resolved or test."""
    return _run({"url": url, "title": title, "body": body, "kind": kind, "is_check": False}, timeout_s)


def check(targets: Iterable[Target]) -> None:
    """Raise InvalidArgument for an address that apprise cannot use. Takes a second where there are any."""
    for target in targets:
        if target.url is not None:
            error = _run({"url": target.url, "is_check": True}, CHECK_S)
            if error.startswith(f"ended with exit code {apprise_sender.NO_SERVICE}"):
                raise InvalidArgument(
                    f"alerts.targets.{target.name}.url is no address that apprise can use; its scheme is "
                    f"{target.where.partition('://')[0]!r}"
                )


def _run(wish: dict[str, object], timeout_s: float) -> str:
    return command.run(_SENDER, json.dumps(wish).encode(), timeout_s)
