"""A body as it may be shown to people: JSON in its shape, text, or bytes in hexadecimal; cut, and its true size said.

Pure. Nothing in a body is ever obeyed: it leaves here as text without control characters, and templates escape it.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple, final

from posthouse.web.pages.words import count, size, visible

SHOWN_BYTES_MAX: Final = 4 * 1024
"""Of each body in a list."""
WHOLE_BYTES_MAX: Final = 64 * 1024
"""Of the body of one message looked at by itself."""
HEX_BYTES_MAX: Final = 1024
_HEX_COLUMNS: Final = 16


@final
class Body(NamedTuple):
    """`kind`: json, text, binary or empty. `note` says how much there is, and how much of it is shown."""

    kind: str
    text: str
    note: str
    is_cut: bool


def shown_body(body: bytes, bytes_max: int = SHOWN_BYTES_MAX, *, whole: int | None = None) -> Body:
    """The body for people. `whole`: its size, where `body` is only its beginning."""
    size_whole = len(body) if whole is None else whole
    if not size_whole:
        return Body("empty", "", "an empty body", False)
    head = body[:bytes_max]
    text = _text(head, is_cut=len(head) < size_whole)
    if text is None:
        head = head[:HEX_BYTES_MAX]
        return Body("binary", _hex(head), _note("binary", size_whole, len(head)), len(head) < size_whole)
    pretty = _json(text) if len(head) == size_whole else None
    kind = "text" if pretty is None else "json"
    lines = (text if pretty is None else pretty).split("\n")
    shown = "\n".join(visible(line.replace("\t", "    ").removesuffix("\r")) for line in lines)
    return Body(kind, shown, _note("JSON" if kind == "json" else "text", size_whole, len(head)), len(head) < size_whole)


def _note(kind: str, whole: int, shown: int) -> str:
    if shown < whole:
        return f"{kind}, {size(whole)} ({count(whole)} bytes); the first {size(shown)} are shown"
    return f"{kind}, {size(whole)}" if whole >= 1024 else f"{kind}, {count(whole)} bytes"


def _text(head: bytes, *, is_cut: bool) -> str | None:
    """The head as text; None when it is not UTF-8, or when nobody could read it."""
    for cut in range(4 if is_cut else 1):
        try:
            text = head[: len(head) - cut].decode()
        except UnicodeDecodeError:
            continue
        odd = sum(not letter.isprintable() and not letter.isspace() for letter in text)
        return text if odd * 4 <= len(text) else None
    return None


def _json(text: str) -> str | None:
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except (ValueError, RecursionError):
        return None


def _hex(head: bytes) -> str:
    lines = []
    for start in range(0, len(head), _HEX_COLUMNS):
        row = head[start : start + _HEX_COLUMNS]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in row)
        lines.append(f"{start:06x}  {row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  {letters}")
    return "\n".join(lines)
