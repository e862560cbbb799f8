"""Child specs: what is refused before anything is started."""

from __future__ import annotations

import pytest

from posthouse.supervisor.child_spec import (
    ChildSpec,
    GroupSpec,
    Life,
    RestartIntensity,
    Strategy,
    check_child,
    check_tree,
)
from posthouse.transport.errors import InvalidArgument

FEW = RestartIntensity(3, 5.0)


def start(life: Life) -> int:
    return 0


def child(child_id: str = "a", shutdown_ms: int = 1, busy_limit_ms: int = 1, ready_limit_ms: int = 1) -> ChildSpec:
    return ChildSpec(
        child_id,
        "kind",
        start,
        shutdown_ms=shutdown_ms,
        busy_limit_ms=busy_limit_ms,
        ready_limit_ms=ready_limit_ms,
    )


def group(*members: ChildSpec | GroupSpec, name: str = "root", **fields: object) -> GroupSpec:
    return GroupSpec(name, Strategy.ONE_FOR_ONE, FEW, members, **fields)  # type: ignore[arg-type]


def make_child(kind: str, child_id: str, arguments: bytes) -> ChildSpec:
    return child(child_id)


def test_a_sound_tree_passes() -> None:
    check_tree(group(child("a"), group(child("b"), name="inner"), group(name="pool", make_child=make_child)))


def test_the_period_is_known_in_milliseconds() -> None:
    assert RestartIntensity(1, 2.5).period_ms == 2500


@pytest.mark.parametrize(
    "spec",
    [
        child(""),
        child("x" * 513),
        child(shutdown_ms=-1),
        child(busy_limit_ms=0),
        child(ready_limit_ms=0),
    ],
)
def test_a_child_with_a_value_out_of_range_is_refused(spec: ChildSpec) -> None:
    with pytest.raises(InvalidArgument):
        check_child(spec)


@pytest.mark.parametrize(
    ("root", "complaint"),
    [
        (group(child("a"), child("a")), "two nodes"),
        (group(child("root")), "two nodes"),
        (GroupSpec("g", Strategy.ONE_FOR_ONE, RestartIntensity(-1, 5.0)), "intensity"),
        (GroupSpec("g", Strategy.ONE_FOR_ONE, RestartIntensity(1, 0.0)), "intensity"),
        (group(child("a"), make_child=make_child), "fixed children"),
        (GroupSpec("g", Strategy.ONE_FOR_ALL, FEW, quarantines=True), "one_for_one"),
        (GroupSpec("g", Strategy.REST_FOR_ONE, FEW, make_child=make_child), "one_for_one"),
        (group(group(name="inner"), quarantines=True), "holds children only"),
        (group(group(child(""), name="inner")), "1 to 512 bytes"),
    ],
)
def test_a_tree_that_cannot_be_meant_is_refused(root: GroupSpec, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        check_tree(root)
