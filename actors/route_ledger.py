"""The route ledger: collects, within bounds, the bindings an explanation names.

Of each kind, matched and unmatched, it keeps the first thousand and both together no more than a few
megabytes, so that the answer fits a frame however large the topology is. It counts all of them.
"""

from __future__ import annotations

from typing import final

from posthouse.transport import messages
from posthouse.transport.explanation import EXPLAINED_BINDINGS_MAX, EXPLAINED_BYTES_MAX, ExplainedBinding
from posthouse.transport.messages import BindingSpec


@final
class RouteLedger:
    """What an explanation will list."""

    def __init__(self) -> None:
        self.matched: list[ExplainedBinding] = []
        self.unmatched: list[ExplainedBinding] = []
        self.matched_count = 0
        self.unmatched_count = 0
        self._bytes = 0

    def add(self, binding: BindingSpec, reason: str, *, is_match: bool) -> None:
        """Count a binding, and list it while there is room."""
        if is_match:
            self.matched_count += 1
        else:
            self.unmatched_count += 1
        listed = self.matched if is_match else self.unmatched
        if len(listed) >= EXPLAINED_BINDINGS_MAX or self._bytes >= EXPLAINED_BYTES_MAX:
            return
        entry = ExplainedBinding(
            source=binding.source,
            destination=binding.destination,
            to_exchange=binding.to_exchange,
            key=binding.key,
            arguments=binding.arguments,
            reason=reason,
        )
        self._bytes += len(messages.encode(entry))
        listed.append(entry)
