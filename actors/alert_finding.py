"""A finding: what one rule says of one subject at one moment.

Pure. What no finding is made of is well.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum
from typing import NamedTuple, final

from posthouse.actors.alert_rules import Rule

Key = tuple[str, str]
"""The name of a rule, and a subject."""


@final
class Verdict(Enum):
    """BAD: as the rule says. UNDECIDED: neither so nor over, or not known yet; what is so stays so."""

    BAD = "bad"
    UNDECIDED = "undecided"


@final
class Finding(NamedTuple):
    """`name`: of the queue or exchange, "" for others."""

    rule: Rule
    subject: str
    name: str
    verdict: Verdict
    value: float = 0.0
    text: str = ""

    @property
    def key(self) -> Key:
        return self.rule.name, self.subject


Findings = dict[Key, Finding]
Active = Collection[Key]
"""What is pending or fires. To be undecided is worth a finding for these only."""
