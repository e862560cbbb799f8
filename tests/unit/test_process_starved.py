"""A process of the supervisor's: for how long it could have run and got no processor."""

from __future__ import annotations

import pytest

from posthouse.supervisor import process
from posthouse.supervisor.control import SupervisorEnd
from posthouse.supervisor.process import ChildProcess, waited_for_processor_ns


def test_what_the_system_does_not_say_is_no_waiting() -> None:
    assert waited_for_processor_ns(2**22 + 1) == 0  # No Linux gives a process so high a number.


def test_waiting_counts_from_the_first_question_in_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = iter([5, 8, 20, 26])
    monkeypatch.setattr(process, "waited_for_processor_ns", lambda pid: next(waited))
    child = ChildProcess("a", 1, SupervisorEnd(-1))
    assert [child.starved_ns(turn) for turn in (1, 1, 2, 2)] == [0, 3, 0, 6]
