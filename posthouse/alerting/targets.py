"""One target of notices: an apprise address, a webhook or a command, and how it may be shown.

An address holds passwords and tokens: whatever is shown of it, in listings, logs or errors, comes from `where` and
`without_secrets`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal, final
from urllib.parse import unquote, urlsplit

import msgspec

from posthouse.actors.alert_outbox import TargetFacts
from posthouse.actors.alert_rules import SEVERITIES, Severity
from posthouse.transport.errors import InvalidArgument

TARGETS_MAX: Final = 20
HIDDEN: Final = "***"
_SECRET_CHARACTERS_MIN: Final = 4

_target_name = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_scheme = re.compile(r"([a-z][a-z0-9+.-]*)://.", re.IGNORECASE)
_header_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_header_value = re.compile(r"[\t\x20-\x7e]*")

Kind = Literal["apprise", "webhook", "command"]


@final
class Target(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of `url`, `webhook` and `command` is given. `timeout_s` bounds one try."""

    name: str = ""
    url: str | None = None
    webhook: str | None = None
    command: list[str] | None = None
    headers: dict[str, str] = {}
    timeout_s: Annotated[float, msgspec.Meta(ge=0.1, le=300)] = 10.0
    at_least: Severity = "info"

    @property
    def kind(self) -> Kind:
        return "apprise" if self.url is not None else "webhook" if self.webhook is not None else "command"

    @property
    def where(self) -> str:
        """The address without anything that may be secret."""
        if self.command is not None:
            return f"{self.command[0]} {HIDDEN}" if len(self.command) > 1 else self.command[0]
        if self.webhook is not None:
            parts = urlsplit(self.webhook)
            # The path and the query of a webhook are its password more often than not.
            rest = HIDDEN if parts.path.strip("/") or parts.query else ""
            return f"{parts.scheme}://{_host(parts.netloc)}/{rest}"
        return f"{(self.url or '').partition('://')[0]}://{HIDDEN}"

    @property
    def facts(self) -> TargetFacts:
        """What the monitor knows of it."""
        return TargetFacts(self.name, self.kind, self.where, SEVERITIES[SEVERITIES.index(self.at_least) :])

    def without_secrets(self, text: str) -> str:
        """A text that somebody else wrote, with every part of the address hidden that is not in `where`."""
        for secret in sorted(self._secrets(), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text

    def _secrets(self) -> set[str]:
        found = {value for value in self.headers.values()}
        found |= set((self.command or [])[1:])
        for address in filter(None, (self.url, self.webhook)):
            rest = address.partition("://")[2]
            found |= {address, rest, *re.split(r"[/:@?&=#,]", rest)}
        found |= {unquote(secret) for secret in found}
        shown = self.where
        return {secret for secret in found if len(secret) >= _SECRET_CHARACTERS_MIN and secret not in shown}


def read_targets(tables: Any) -> dict[str, Target]:
    """The targets of a file. Raises InvalidArgument that names the target and the field, never its value."""
    if not isinstance(tables, dict):
        raise InvalidArgument("alerts.targets is a table of targets")
    if len(tables) > TARGETS_MAX:
        raise InvalidArgument(f"alerts.targets has {len(tables)} targets; there may be {TARGETS_MAX}")
    return {name: _read_target(name, table) for name, table in tables.items()}


def _read_target(name: str, table: Any) -> Target:
    where = f"alerts.targets.{name}"
    if not isinstance(table, dict):
        raise InvalidArgument(f"{where} is a table of settings, not {type(table).__name__}")
    if not _target_name.fullmatch(name):
        raise InvalidArgument(f"{where}: a target's name has 1 to 64 letters, digits, dots, dashes and underscores")
    if "name" in table:
        raise InvalidArgument(f"{where}.name: a target is named by its table")
    try:
        target = msgspec.convert({**table, "name": name}, Target)
    except msgspec.ValidationError as error:
        text = str(error).replace("`$.", "`").replace("Object contains unknown field", "there is no field")
        raise InvalidArgument(f"{where} is wrong: {text}") from error
    _check(where, target)
    return target


def _check(where: str, target: Target) -> None:
    if sum(way is not None for way in (target.url, target.webhook, target.command)) != 1:
        raise InvalidArgument(f"{where} has one of url (for apprise), webhook and command")
    if target.webhook is not None:
        _check_webhook(where, target.webhook)
    elif target.headers:
        raise InvalidArgument(f"{where}.headers: only a webhook has headers")
    if target.url is not None and not _scheme.match(target.url):
        raise InvalidArgument(f"{where}.url has the form service://..., as apprise documents it")
    if target.command is not None and not (target.command and target.command[0]):
        raise InvalidArgument(f"{where}.command is a program and its arguments, one text each")
    if target.command is not None and any("\0" in argument for argument in target.command):
        raise InvalidArgument(f"{where}.command has an argument with a NUL character")
    for name, value in target.headers.items():
        if not _header_name.fullmatch(name) or not _header_value.fullmatch(value):
            raise InvalidArgument(f"{where}.headers: {name!r} is no header, or its value has characters none may have")


def _check_webhook(where: str, address: str) -> None:
    try:
        parts = urlsplit(address)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_good = False
    if not is_good or not address.isascii() or any(character <= " " for character in address):
        raise InvalidArgument(f"{where}.webhook has the form https://host/path, in ASCII without spaces")


def _host(netloc: str) -> str:
    return netloc.rpartition("@")[2]
