"""What a program may ask about alerts, checked and ready to be sent.

Pure; both clients ask through these functions, and add only how they wait.
"""

from __future__ import annotations

from typing import Final

from posthouse.arguments import check_seconds
from posthouse.requests import Request
from posthouse.transport.errors import InvalidArgument
from posthouse.transport.messages_alerts import (
    AlertList,
    AlertTested,
    EndSilence,
    ListAlerts,
    SendTestAlert,
    Silence,
    SilenceAlerts,
)
from posthouse.transport.names import MONITOR

COMMENT_BYTES_MAX: Final = 1_000
PATTERN_BYTES_MAX: Final = 512
SILENCE_S_MAX: Final = 10 * 365 * 86_400


def alerts() -> Request[AlertList]:
    return Request(MONITOR, ListAlerts, AlertList)


def silence(rule: str, subject: str, for_s: float, comment: str) -> Request[Silence]:
    for_ms = round(check_seconds("for_s", for_s) * 1000)
    if not 1 <= for_ms <= SILENCE_S_MAX * 1000:
        raise InvalidArgument(f"for_s is {for_s}; a silence lasts a millisecond to ten years")
    for what, text, bytes_max in (
        ("rule", rule, PATTERN_BYTES_MAX),
        ("subject", subject, PATTERN_BYTES_MAX),
        ("comment", comment, COMMENT_BYTES_MAX),
    ):
        check_text(what, text, bytes_max)
    return Request(MONITOR, lambda number: SilenceAlerts(number, rule, subject, for_ms, comment), Silence)


def unsilence(number: int) -> Request[bool]:
    return Request(MONITOR, lambda request: EndSilence(request, number), bool)


def test(target: str | None, wait_s: float) -> Request[list[AlertTested]]:
    wait_ms = round(check_seconds("wait_s", wait_s) * 1000)
    if target is not None:
        check_text("target", target, PATTERN_BYTES_MAX)
    return Request(MONITOR, lambda number: SendTestAlert(number, target or "", wait_ms), list[AlertTested])


def check_text(what: str, text: str, bytes_max: int) -> None:
    """Raise InvalidArgument for what is no text, or a longer one than anybody means."""
    if not isinstance(text, str):
        raise InvalidArgument(f"{what} is a text, not {type(text).__name__}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"{what} is no valid Unicode: {error}") from error
    if size > bytes_max or (what != "comment" and not text):
        raise InvalidArgument(f"{what} has 1 to {bytes_max} bytes of UTF-8, not {size}")
