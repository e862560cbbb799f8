"""CSRF tokens: what a page of ours knows and a page of somebody else's cannot.

A browser gets a cookie with a random number. The token is a keyed hash of that number; it is written into our pages
only, and other origins can neither read those nor compute it. Ports of one host share cookies, so a cookie alone would
prove nothing: another program on this machine could have set it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Final

COOKIE: Final = "posthouse"
HEADER: Final = "x-csrf-token"
FIELD: Final = "csrf_token"

_NUMBER: Final = re.compile(r"[0-9a-f]{32}")


def new_number() -> str:
    """For the cookie of a browser that has none."""
    return secrets.token_hex(16)


def is_number(text: str) -> bool:
    """Could it be one of ours? Anything else is replaced."""
    return _NUMBER.fullmatch(text) is not None


def token_of(number: str, secret: bytes) -> str:
    """What the pages of the browser with that cookie carry."""
    return hmac.new(secret, number.encode(), hashlib.sha256).hexdigest()


def is_token(token: str, number: str, secret: bytes) -> bool:
    """Takes the same time for every wrong one."""
    return is_number(number) and hmac.compare_digest(token.encode(), token_of(number, secret).encode())
