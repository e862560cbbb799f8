"""Bodies of messages as JSON: base64 always, text where they are UTF-8, cut to a limit with the true size told."""

from __future__ import annotations

import base64
import binascii
from typing import Final, final

import msgspec

from posthouse.transport.errors import InvalidArgument

BODY_BYTES_DEFAULT: Final = 4 * 1024
BODY_BYTES_MAX: Final = 1024 * 1024


@final
class BodyShown(msgspec.Struct, frozen=True, kw_only=True):
    """`base64` and `text` are of the first bytes where `is_cut`; `size` is the whole body's. `text` is null where the
    bytes are no UTF-8.
    """

    size: int
    base64: str
    text: str | None
    is_cut: bool


def show_body(body: bytes, bytes_max: int, size: int | None = None) -> BodyShown:
    """`size`: of the whole body, where `body` is its beginning only."""
    whole = len(body) if size is None else size
    shown = body[:bytes_max]
    is_cut = len(shown) < whole
    return BodyShown(
        size=whole, base64=base64.b64encode(shown).decode(), text=_text(shown, is_cut=is_cut), is_cut=is_cut
    )


def check_body_bytes(bytes_max: int) -> int:
    """How much of each body is wanted. Raises InvalidArgument."""
    if not 0 <= bytes_max <= BODY_BYTES_MAX:
        raise InvalidArgument(f"body_bytes is {bytes_max}; it is 0 to {BODY_BYTES_MAX}")
    return bytes_max


def body_of(text: str | None, encoded: str | None) -> bytes:
    """What a caller sends as `body` (text) or `body_base64`. Raises InvalidArgument."""
    if text is not None and encoded is not None:
        raise InvalidArgument("body and body_base64 exclude each other; give one")
    if encoded is None:
        try:
            return (text or "").encode()
        except UnicodeEncodeError as error:
            raise InvalidArgument(f"the body is no valid Unicode: {error}; send it as body_base64") from error
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgument(f"body_base64 is no base64: {error}") from error


def _text(body: bytes, *, is_cut: bool) -> str | None:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        # The cut may have gone through the middle of a character, which makes the rest no less a text.
        if is_cut and error.start >= len(body) - 3 and error.reason == "unexpected end of data":
            return body[: error.start].decode()
        return None
