"""Every planted bug is found, by the promise it is named for; and no broker runs with one."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from posthouse.config import Config
from posthouse.serve import PLANTED, serve
from posthouse.transport.errors import PreconditionFailed
from tests.planted.bugs import BUGS, plant, plant_from_environment
from tests.simulation.plan import plan_of
from tests.simulation.run import simulate

RUNS_MAX = 60
"""Small runs with the features it takes. Without the bug, thousands of them are clean."""


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found_by_the_promise_it_breaks(name: str) -> None:
    bug = BUGS[name]
    fitting = (seed for seed in itertools.count(1) if plan_of(random.Random(seed), is_large=False).has(*bug.features))
    reported: set[str] = set()
    with plant(name):
        for seed in itertools.islice(fitting, RUNS_MAX):
            reported |= {text.partition(":")[0] for text in simulate(seed, is_large=False).broken}
            if bug.promise in reported:
                return
    pytest.fail(f"{bug.promise} was not reported in {RUNS_MAX} runs, but {sorted(reported)}")


def test_a_planted_bug_is_gone_with_its_context() -> None:
    with plant("drop-one-in-many"):
        assert simulate(1, is_large=True).broken
    assert not simulate(1, is_large=True).broken


def test_the_environment_plants_a_bug_here_and_keeps_a_broker_from_starting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PLANTED, "forget-credit")
    with plant_from_environment():
        assert simulate(1, is_large=True).broken
    with pytest.raises(PreconditionFailed, match=PLANTED):
        serve(Config(data=str(tmp_path / "data")))
    assert not (tmp_path / "data").exists()
