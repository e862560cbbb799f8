"""Earlier lives by example: found by stream and number, cut where they differ, forgotten when there are too many."""

from __future__ import annotations

from posthouse.actors.past_lives import FORGOTTEN, PastLife, PastLives, continued, forgotten
from posthouse.actors.queue_history import ATTEMPTS_KEPT
from posthouse.transport.messages_dead import TAKEN_BACK, Attempt, Death


def attempts(count: int, how: str = "nack") -> tuple[Attempt, ...]:
    return tuple(Attempt(attempt=n, at_ms=n, consumer="c", how=how) for n in range(1, count + 1))


FIRST = Death(
    reason="expired", queue="a", died_ms=10, attempt=2, first_ms=1, fingerprint="f1", cause="one", history=attempts(2)
)
SECOND = Death(
    reason="rejected", queue="b", died_ms=20, attempt=1, first_ms=15, fingerprint="f2", history=attempts(1, "reject"),
    republish_to="x",
)  # fmt: skip


def test_a_batch_is_cut_where_its_messages_were_different_letters() -> None:
    lives = PastLives()
    lives.remember(9, 1, 100, 3, 7)
    lives.remember(9, 4, 50, 1, 8)
    lives.remember(9, 10, 60, 1, 8)
    assert lives.find(9, 2, 5) == [PastLife(0, 2, 101, 7), PastLife(2, 3, 50, 8), PastLife(3, 5)]
    assert lives.find(9, 8, 3) == [PastLife(0, 2), PastLife(2, 3, 60, 8)]
    assert lives.find(5, 1, 2) == [PastLife(0, 2)]


def test_what_is_known_already_is_not_remembered_twice_and_the_oldest_is_forgotten() -> None:
    lives = PastLives(pieces_max=2)
    for _ in range(3):
        lives.remember(9, 1, 100, 2, 7)
    lives.remember(8, 1, 300, 1, 8)
    assert lives.find(9, 1, 2) == [PastLife(0, 2, 100, 7)]
    lives.remember(8, 2, 400, 1, 9)
    assert lives.find(9, 1, 2) == [PastLife(0, 2)]
    assert lives.find(8, 1, 2) == [PastLife(0, 1, 300, 8), PastLife(1, 2, 400, 9)]


def test_a_second_death_goes_on_where_the_first_one_ended() -> None:
    died = continued(SECOND, FIRST, 77)
    assert (died.attempt, died.first_ms, died.died_ms, died.life, died.earlier) == (3, 1, 20, 2, 77)
    assert [(one.attempt, one.how) for one in died.history] == [(1, "nack"), (2, "nack"), (3, "reject")]
    assert (died.reason, died.fingerprint, died.republish_to) == ("rejected", "f2", "x")


def test_of_many_attempts_the_first_and_the_last_ones_are_kept() -> None:
    long = Death(reason="expired", queue="a", died_ms=1, attempt=16, history=attempts(ATTEMPTS_KEPT))
    died = continued(SECOND, long, 1)
    assert (len(died.history), died.history[0].attempt, died.history[-1].attempt) == (ATTEMPTS_KEPT, 1, 17)


def test_what_is_taken_back_is_as_it_was_with_a_remark() -> None:
    back = continued(Death(reason=TAKEN_BACK, queue="b", died_ms=30, republish_to="x"), FIRST, 77)
    assert (back.reason, back.queue, back.died_ms, back.cause, back.life) == ("expired", "a", 10, "one", 1)
    assert (back.history[-1].how, back.history[-1].at_ms) == (TAKEN_BACK, 30)
    assert (back.earlier, back.republish_to) == (77, None)


def test_where_nothing_is_remembered_that_is_said() -> None:
    died = forgotten(SECOND, 5)
    assert (died.history[0].error, died.history[0].how, died.earlier, died.life) == (FORGOTTEN, "redrive", 5, 2)
    assert died.history[1:] == SECOND.history
