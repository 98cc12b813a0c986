"""Beginnings of several suites are kept, as far as the bound goes."""

from pytest_llmbench.models.transformers.batch import Kept
from pytest_llmbench.models.transformers.beginnings import MOST_KEPT, MOST_TOKENS, Beginnings

SQL = (1,) * 30
JOKES = (2,) * 40


def kept(*sequences: tuple[int, ...]) -> Beginnings:
    beginnings = Beginnings()
    for tokens in sequences:
        beginnings.keep(Kept(tokens=tokens))
    return beginnings


def test_suites_that_take_turns() -> None:
    """What was kept for one suite is still there after another one."""
    beginnings = kept(SQL, JOKES)

    assert beginnings.best((*SQL, 5)).tokens == SQL
    assert beginnings.best((*JOKES, 5)).tokens == JOKES
    assert beginnings.shared_length([(*SQL, 5)]) == len(SQL)


def test_the_one_not_used_for_longest_goes() -> None:
    """More than a few are not kept; using one keeps it."""
    beginnings = kept(*((place,) * 20 for place in range(MOST_KEPT)))
    beginnings.use(beginnings.best((0,) * 20), 20)

    beginnings.keep(Kept(tokens=(9,) * 20))

    assert beginnings.best((0,) * 20).tokens == (0,) * 20
    assert beginnings.best((9,) * 20).tokens == (9,) * 20
    assert beginnings.shared_length([(1,) * 21]) == 0


def test_long_ones_leave_no_room() -> None:
    """All together they have a limit of tokens; the last one is kept whatever its length."""
    beginnings = kept(SQL, (3,) * MOST_TOKENS)

    assert beginnings.shared_length([(*SQL, 5)]) == 0
    assert beginnings.shared_length([(3,) * MOST_TOKENS + (5,)]) == MOST_TOKENS


def test_a_longer_one_replaces_its_beginning() -> None:
    """What another one begins with is not kept twice."""
    beginnings = kept(SQL, (*SQL, 5, 6), JOKES, (4,) * 20, (5,) * 20)

    assert beginnings.best((*SQL, 5)).tokens == (*SQL, 5, 6)
