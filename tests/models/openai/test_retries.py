"""How many requests are in flight, and when a failed one is sent again."""

import asyncio
import threading
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmbench.models.openai.retries import SHUT_AFTER, Allowance, Dispatch, Load, Tried
from pytest_llmbench.values import Answer


def after(most, *loads):
    allowance = Allowance(most)
    for load in loads:
        allowance.note(load)
    return int(allowance)


REFUSED, SERVED, UNKNOWN = Load.REFUSED, Load.SERVED, Load.UNKNOWN


@pytest.mark.parametrize(
    ("loads", "allowed"),
    [
        ([], 16),
        ([REFUSED] * 16, 8),
        ([REFUSED] * 24, 4),
        ([REFUSED] * 1000, 1),
        ([SERVED] * 100, 16),
        ([UNKNOWN] * 100, 16),
        ([*[REFUSED] * 16, *[SERVED] * 9], 9),
        ([*[REFUSED] * 16, *[SERVED] * 200], 16),
        ([REFUSED, *[SERVED] * 19] * 50, 16),
        ([REFUSED, SERVED] * 200, 2),
    ],
)
def test_allowance(loads, allowed):
    """A round of refusals halves the allowance, a round of answers adds a slot, 5 % of stray refusals cost nothing."""
    assert after(16, *loads) == allowed


def test_allowance_of_many():
    """A large allowance comes back in sixteen good rounds, as a small one does."""
    assert after(64, *[REFUSED] * 64) == 32
    assert after(64, *[REFUSED] * 64, *[SERVED] * 40) > 35


@given(st.integers(1, 200), st.lists(st.sampled_from(Load)))
def test_bounds(most, loads):
    """Whatever happens, the allowance lies between 1 and what was configured."""
    assert 1 <= after(most, *loads) <= most


def draw(prompt, attempt):
    return int.from_bytes(sha256(f"{prompt}:{attempt}".encode()).digest()[:4]) / 2**32


def dispatched(attempt, n_jobs, most):
    async def run():
        dispatch = Dispatch(attempt, n_jobs, most)
        await dispatch.run()
        return dispatch

    return asyncio.run(run())


def test_shut_server():
    """A server that refuses everything for a while is asked seldom, by one job after another, and none uses up its attempts."""
    asked = []

    async def attempt(job, number, allowed):
        asked.append(job)
        is_shut = asyncio.get_running_loop().time() < opens_at[0]
        return Tried(load=REFUSED, again_in_s=0.02) if is_shut else Tried(load=SERVED)

    async def run():
        opens_at.append(asyncio.get_running_loop().time() + 0.2)
        dispatch = Dispatch(attempt, 100, 16)
        await dispatch.run()
        return dispatch.attempts

    opens_at = []
    attempts = asyncio.run(run())

    n_refused = len(asked) - 100
    assert n_refused <= 16 + 8 + 4 + 2 + SHUT_AFTER + 10  # the allowance falls to 1, then one is sent each 20 ms
    assert max(attempts) <= 3


def test_refusals_without_end():
    """A server that never answers ends nothing but the attempts of each job."""

    async def attempt(job, number, allowed):
        return Tried(load=REFUSED, again_in_s=None if number == 3 else 0.0)

    dispatch = dispatched(attempt, 20, 4)

    assert dispatch.attempts == [3] * 20


@pytest.mark.parametrize("n_jobs", [1, 100])
def test_stopped_while_all_wait(n_jobs):
    """A dispatch that is stopped while nothing is in flight ends at once, be the server shut or a job's pause long."""

    async def attempt(job, number, allowed):
        return Tried(load=REFUSED, again_in_s=60)

    async def run():
        dispatch = Dispatch(attempt, n_jobs, 1)
        asyncio.get_running_loop().call_later(0.02, dispatch.stop)
        await asyncio.wait_for(dispatch.run(), 5)
        return dispatch

    assert sum(asyncio.run(run()).attempts) == min(n_jobs, SHUT_AFTER)


def test_fewer_in_flight_after_refusals(openai_server, openai_model, openai_requests):
    """After a round of 429s half as many are in flight, later all again; answers tell how many there were."""
    refused = [f"refused {number}" for number in range(8)]
    others = [f"other {number}" for number in range(60)]
    last = [f"last {number}" for number in range(8)]
    in_flight, now, lock = [], set(), threading.Lock()
    at_once, recovered = threading.Barrier(8), threading.Barrier(8)

    def refuse(handler):
        at_once.wait(timeout=5)
        openai_server.refuse(429, Retry_After="0.1")(handler)

    def answer(handler):
        with lock:
            now.add(handler)
            in_flight.append(len(now))
        openai_server.is_over.wait(0.01)
        with lock:
            now.discard(handler)
        openai_server.stream("ok")(handler)

    for prompt in refused:
        openai_server.on(prompt, refuse, answer)
    for prompt in others:
        openai_server.on(prompt, answer)
    for prompt in last:
        openai_server.on(prompt, openai_server.together(recovered))

    answers = openai_model(concurrency=8).answer(openai_requests(*refused, *others, *last))

    assert {answer.text for answer in answers} == {"ok"}
    assert max(in_flight[:10]) <= 6  # four, and what the first nine answers gave back
    assert openai_server.most_in_flight == 8
    assert min(answer.concurrency for answer in answers) <= 6
    assert answers[-1].concurrency == 8


def test_pause_of_one_among_many(openai_server, openai_model, openai_requests):
    """While one request waits as long as it was asked to, all others are answered."""
    others = [f"other {number}" for number in range(40)]
    openai_server.on("refused", openai_server.refuse(429, Retry_After="0.5"), openai_server.stream("ok"))

    answers = openai_model(concurrency=4).answer(openai_requests("refused", *others))

    assert {answer.text for answer in answers} == {"ok"}
    assert [answer.attempts for answer in answers] == [2] + [1] * 40
    assert openai_server.prompts()[-1] == "refused"
    assert openai_server.received[-1].at - openai_server.received[0].at >= 0.5


def test_nothing_is_lost(openai_server, openai_model, openai_requests):
    """With 20 % refused, 10 % broken servers and 5 % dropped connections, each request is sent until it is answered, at most 5 times."""
    prompts = [f"prompt {number}" for number in range(300)]
    faults = [
        (0.20, openai_server.refuse(429, Retry_After="0")),
        (0.30, openai_server.refuse(500)),
        (0.35, openai_server.dropped()),
        (1.00, openai_server.stream("ok")),
    ]
    expected = []
    for prompt in prompts:
        drawn = [draw(prompt, attempt) for attempt in range(5)]
        openai_server.on(prompt, *(next(behave for share, behave in faults if at < share) for at in drawn))
        first_good = next((number for number, at in enumerate(drawn, 1) if at >= 0.35), None)
        expected.append((first_good is not None, first_good or 5))

    answers = openai_model(concurrency=16).answer(openai_requests(*prompts))

    assert [(isinstance(answer, Answer), answer.attempts) for answer in answers] == expected
    assert sum(is_answer for is_answer, _ in expected) < len(prompts)  # some run out of attempts
