"""The client processes of a chaos run: what a signal does to one that has hardly begun."""

from __future__ import annotations

import signal
from pathlib import Path

from posthouse.testing.programs import Program
from posthouse.testing.shifts import Orders


def test_a_client_that_is_asked_to_end_before_it_has_begun_ends_in_order(tmp_path: Path) -> None:
    orders = Orders(name="early", address=f"ipc://{tmp_path}/nobody", history=str(tmp_path / "early.history"))
    program = Program("server", orders, tmp_path)
    program.send(signal.SIGUSR1)
    program.send(signal.SIGTERM)
    assert program.end() == 0, program.log.read_text()


def test_the_run_itself_can_still_be_ended(tmp_path: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    program = Program("consumer", Orders(name="one", address="ipc:///nowhere", history=str(tmp_path / "h")), tmp_path)
    program.kill()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
