"""The retry policy: how long, how often, and what is no policy."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.actors.retry import OFF, check_delay_ms, check_retry, delay_ms, is_exhausted
from posthouse.transport.descriptions import RetrySpec
from posthouse.transport.errors import InvalidArgument

STEADY = RetrySpec(jitter=False)


def test_the_default_doubles_from_a_second_to_ten_minutes() -> None:
    delays = [delay_ms(STEADY, attempt, 0.0) for attempt in range(1, 12)]
    assert delays == [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 600_000]


def test_linear_grows_by_the_first_delay_and_fixed_stays() -> None:
    linear = RetrySpec(kind="linear", first_delay_ms=100, max_delay_ms=250, jitter=False)
    assert [delay_ms(linear, attempt, 0.0) for attempt in (1, 2, 3)] == [100, 200, 250]
    fixed = RetrySpec(kind="fixed", first_delay_ms=100, jitter=False)
    assert [delay_ms(fixed, attempt, 0.0) for attempt in (1, 9)] == [100, 100]
    assert delay_ms(OFF, 7, 0.5) == 0


def test_full_jitter_is_anywhere_between_nothing_and_the_delay() -> None:
    assert [delay_ms(RetrySpec(), 2, chance) for chance in (0.0, 0.5, 0.999)] == [0, 1_000, 1_998]


def test_the_last_attempt_allowed_is_the_last_and_off_has_none() -> None:
    assert [is_exhausted(RetrySpec(max_attempts=2), attempt) for attempt in (1, 2, 3)] == [False, True, True]
    assert not is_exhausted(OFF, 1_000_000)


@settings(deadline=None, max_examples=200)
@given(
    st.sampled_from(["exponential", "linear", "fixed"]),
    st.integers(0, 10**9),
    st.floats(1.0, 1_000.0),
    st.integers(0, 10**11),
    st.integers(1, 10**6),
    st.floats(0.0, 0.999),
)
def test_a_policy_that_was_let_through_never_exceeds_its_bounds(
    kind: str, first: int, factor: float, more: int, attempt: int, chance: float
) -> None:
    policy = RetrySpec(kind=kind, first_delay_ms=first, factor=factor, max_delay_ms=first + more)
    check_retry(policy)
    assert 0 <= delay_ms(policy, attempt, chance) <= first + more


@pytest.mark.parametrize(
    "policy",
    [
        RetrySpec(kind="sometimes"),
        RetrySpec(max_attempts=0),
        RetrySpec(max_attempts=-1),
        RetrySpec(max_attempts=10**9),
        RetrySpec(factor=0.5),
        RetrySpec(factor=math.nan),
        RetrySpec(factor=math.inf),
        RetrySpec(first_delay_ms=-1),
        RetrySpec(first_delay_ms=2_000, max_delay_ms=1_000),
        RetrySpec(max_delay_ms=1 << 60),
    ],
)
def test_a_policy_that_contradicts_itself_is_refused(policy: RetrySpec) -> None:
    with pytest.raises(InvalidArgument):
        check_retry(policy)


@pytest.mark.parametrize("wish_ms", [-1, 1 << 62])
def test_a_wish_for_the_past_or_for_ages_hence_is_refused(wish_ms: int) -> None:
    with pytest.raises(InvalidArgument, match="ten years"):
        check_delay_ms("retry_after", wish_ms)
