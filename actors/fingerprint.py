"""The fingerprint: twelve hexadecimal digits that equal causes of failure share.

Two failures have the same fingerprint when the same kind of error came up at the same place in the code: numbers,
addresses, quoted values, line numbers and the directories of files are taken out before the rest is hashed. Where there
is no traceback the normalised message stands for the place. Pure; it never fails, whatever a client sent.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

DIGITS: Final = 12

_frame = re.compile(r'^\s*File "(?:[^"]*[/\\])?([^"/\\]+)", line \d+(?:, in (.+))?\s*$', re.MULTILINE)
_quoted = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`")
_identifier = re.compile(r"\b(?=[0-9a-f-]*\d)[0-9a-f]{8,}(?:-[0-9a-f]+)*\b", re.IGNORECASE)
_number = re.compile(r"0x[0-9a-f]+|\d+(?:[.,:]\d+)*", re.IGNORECASE)
_space = re.compile(r"\s+")


def fingerprint(kind: str, message: str = "", traceback: str = "") -> str:
    """Of an error type (or a reason), its message and its traceback as Python prints it."""
    place = frames_of(traceback) or normalised(message)
    return hashlib.blake2b(f"{kind}\n{place}".encode(errors="replace"), digest_size=DIGITS // 2).hexdigest()


def frames_of(traceback: str) -> str:
    """File and function of each frame, a line each; "" when there are none."""
    return "\n".join(f"{file}:{function}" for file, function in _frame.findall(traceback))


def normalised(message: str) -> str:
    """The message without what differs between two failures of one cause."""
    text = _quoted.sub("?", message)
    text = _number.sub("#", _identifier.sub("#", text))
    return _space.sub(" ", text).strip()
