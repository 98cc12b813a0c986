"""The answer store: what is kept, what is used again, and what a broken file says."""

import os
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.base import Identity
from pytest_llmbench.runner.store.store import AnswerStore, Reuse, model_key, request_key
from pytest_llmbench.values import Answer, Prompt, Request, Sampling, ToolCall

ANSWER = Answer(
    text="Lima \ud800 \u00e9", latency_s=0.5, ttft_s=0.25, output_tokens=2, concurrency=4, finish_reason="stop",
    tool_calls=(ToolCall(name="f", arguments={"a": [1]}), ToolCall(name="g", arguments="{")), cost_usd=0.5,
)  # fmt: skip


REQUEST = Request(suite="s", case="c", sample=0, prompt=Prompt(text="x"), sampling=Sampling())
OTHER = replace(REQUEST, prompt=Prompt(text="y"))
IDENTITY = Identity(provider="p", model="m", settings={"dtype": "float32"})


def opened(path: Path, reuse: Reuse = Reuse.AUTO, token: str = "first") -> AnswerStore:
    return AnswerStore(path / "answers.sqlite", reuse=reuse, token=token)


def keep(store: AnswerStore, request: Request = REQUEST, answer: Answer = ANSWER, role: str = "m") -> None:
    answers = store.answers_of(IDENTITY, role)
    answers.keep(answers.key(request), answer)


def find(store: AnswerStore, request: Request = REQUEST, role: str = "m") -> Answer | None:
    answers = store.answers_of(IDENTITY, role)
    return answers.find(answers.key(request))


def left_behind(
    path: Path, request: Request = REQUEST, *, is_finished: bool = False, token: str = "first", role: str = "m"
) -> None:
    store = opened(path, token=token)
    keep(store, request, role=role)
    if is_finished:
        store.finish()
    store.close()


def test_an_unfinished_run_is_continued(tmp_path: Path) -> None:
    """The next run finds the answers of one that did not finish, marked as reused, with their first times."""
    left_behind(tmp_path)

    store = opened(tmp_path, token="second")

    found = find(store)
    store.close()
    assert found == replace(ANSWER, reused=True)


def test_a_finished_run_is_not_continued(tmp_path: Path) -> None:
    """After a run that finished, the next one asks anew."""
    left_behind(tmp_path, is_finished=True)

    store = opened(tmp_path, token="second")

    assert find(store) is None
    store.close()


def test_a_run_interrupted_twice_is_continued_twice(tmp_path: Path) -> None:
    """What a run used again counts as its own, so a third run finds it too."""
    left_behind(tmp_path)
    second = opened(tmp_path, token="second")
    found = find(second)
    assert found is not None
    keep(second, answer=found)
    second.close()

    third = opened(tmp_path, token="third")

    assert find(third) is not None
    third.close()


def test_a_continuation_that_stops_early_loses_nothing(tmp_path: Path) -> None:
    """A run that continues one, and stops before it asked all that one had, leaves the rest to the next."""
    left_behind(tmp_path)
    left_behind(tmp_path, OTHER, token="second")

    third = opened(tmp_path, token="third")

    assert None not in (find(third), find(third, OTHER))
    third.close()


def test_the_newest_answer_of_runs_that_did_not_finish_is_used(tmp_path: Path) -> None:
    """Where several have an answer, it is that of the last."""
    left_behind(tmp_path)
    second = opened(tmp_path, token="second")
    keep(second, answer=Answer(text="newer"))
    second.close()

    third = opened(tmp_path, token="third")

    found = find(third)
    third.close()
    assert found == Answer(text="newer", reused=True)


def test_what_was_asked_anew_is_continued_without_what_came_before(tmp_path: Path) -> None:
    """After a run with `none` that did not finish, the next one uses its answers, and none of those it did not want."""
    left_behind(tmp_path)
    second = opened(tmp_path, Reuse.NONE, token="second")
    keep(second, OTHER)
    second.close()

    third = opened(tmp_path, token="third")

    assert (find(third) is None, find(third, OTHER) is None) == (True, False)
    third.close()


def test_only_the_last_run_is_continued(tmp_path: Path) -> None:
    """An unfinished run before a finished one is past."""
    left_behind(tmp_path)
    left_behind(tmp_path, OTHER, is_finished=True, token="second")

    store = opened(tmp_path, token="third")

    assert find(store) is None
    store.close()


def test_an_answer_stored_by_version_0_1_is_found(tmp_path: Path) -> None:
    """It has another name for the probabilities of labels, and none of the fields that came later."""
    left_behind(tmp_path)
    row = (
        '{"text": "yes", "finish_reason": "stop", "input_tokens": 3, "output_tokens": 4, "latency_s": 0.5, "ttft_s": null,'
        ' "concurrency": 16, "attempts": 1, "reused": false, "choice_logprobs": {"yes": -0.5, "no": -1.5}}'
    )
    with closing(sqlite3.connect(tmp_path / "answers.sqlite")) as connection, connection:
        connection.execute("UPDATE answer SET answer = ?", (row,))

    store = opened(tmp_path, token="second")

    found = find(store)
    store.close()
    assert found is not None
    assert (found.text, found.label_logprobs) == ("yes", {"yes": -0.5, "no": -1.5})


@pytest.mark.parametrize(("reuse", "is_found"), [(Reuse.ALL, True), (Reuse.NONE, False)])
def test_all_finds_any_equal_request_and_none_finds_nothing(tmp_path: Path, reuse: Reuse, *, is_found: bool) -> None:
    """`all` uses answers of finished runs too; `none` uses not even those of an unfinished one."""
    left_behind(tmp_path, is_finished=reuse is Reuse.ALL)

    store = opened(tmp_path, reuse, token="second")

    assert (find(store) is not None) == is_found
    store.close()


def test_processes_of_one_run_share_what_they_keep(tmp_path: Path) -> None:
    """Two processes with one token are one run: what one keeps, the next run finds beside the other's."""
    one, two = opened(tmp_path, token="run"), opened(tmp_path, token="run")
    keep(one)
    keep(two, OTHER)
    one.close()
    two.close()

    store = opened(tmp_path, token="next")

    assert None not in (find(store), find(store, OTHER))
    store.close()


def test_kill_9_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """A process killed the moment after it kept an answer leaves it to the next run."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pytest_llmbench.models import Identity; from pytest_llmbench.values import *\n"
        "from pytest_llmbench.runner.store.store import AnswerStore, Reuse\n"
        "store = AnswerStore(Path(sys.argv[1]) / 'answers.sqlite', reuse=Reuse.AUTO, token='killed')\n"
        "answers = store.answers_of(Identity(provider='p', model='m', settings={'dtype': 'float32'}), 'm')\n"
        "for i in range(100):\n"
        "    request = Request(suite='s', case='c', sample=i, prompt=Prompt(text='x'), sampling=Sampling())\n"
        "    answers.keep(answers.key(request), Answer(text=str(i)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)])

    assert killed.returncode == -9
    store = opened(tmp_path, token="next")
    found = [find(store, replace(REQUEST, sample=i)) for i in range(100)]
    store.close()
    assert [answer.text if answer else None for answer in found] == [str(i) for i in range(100)]


@pytest.mark.parametrize(("is_owner", "expected"), [(True, None), (False, "its own")], ids=["owner", "worker"])
def test_a_run_at_work_is_not_taken_for_one_that_stopped(tmp_path: Path, is_owner: bool, expected: str | None) -> None:
    """While the process that owns a run lives, another run of the same model asks anew; a worker keeps none at work."""
    program = (
        "import sys; from pathlib import Path\n"
        "from pytest_llmbench.models import Identity; from pytest_llmbench.values import *\n"
        "from pytest_llmbench.runner.store.store import AnswerStore, Reuse\n"
        f"store = AnswerStore(Path(sys.argv[1]) / 'answers.sqlite', reuse=Reuse.AUTO, token='at work', is_owner={is_owner})\n"
        "answers = store.answers_of(Identity(provider='p', model='m', settings={'dtype': 'float32'}), 'm')\n"
        "request = Request(suite='s', case='c', sample=0, prompt=Prompt(text='x'), sampling=Sampling())\n"
        "answers.keep(answers.key(request), Answer(text='its own'))\n"
        "print('kept', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        beside = opened(tmp_path, token="beside")
        found_beside = find(beside)
        other.kill()
    beside.close()

    assert (found_beside and found_beside.text) == expected


def test_what_a_process_of_the_same_run_kept_is_new(tmp_path: Path) -> None:
    """A worker in place of one that died finds what that one got in this run, and it counts as asked in this run."""
    dead, instead = opened(tmp_path, token="run"), opened(tmp_path, token="run")
    keep(dead)

    found = find(instead)

    dead.close()
    instead.close()
    assert found == ANSWER


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path: Path) -> None:
    """Which run was the last is a matter of order, not of the time of day."""
    left_behind(tmp_path, is_finished=True)
    left_behind(tmp_path, token="second")
    with sqlite3.connect(tmp_path / "answers.sqlite") as connection:
        connection.execute("UPDATE run SET started = CASE token WHEN 'first' THEN 9e9 ELSE 1 END")
    connection.close()

    store = opened(tmp_path, token="third")

    assert find(store) is not None
    store.close()


def test_another_model_in_between_takes_nothing_away(tmp_path: Path) -> None:
    """The last run is that of the same model in the same role: one of another role between the two is no end."""
    left_behind(tmp_path)
    left_behind(tmp_path, is_finished=True, token="second", role="other")

    store = opened(tmp_path, token="third")

    assert find(store) is not None
    store.close()


def test_two_roles_of_one_model_have_answers_of_their_own(tmp_path: Path) -> None:
    """What one role got is not given to the other, neither in this run nor, where it is continued, in the next."""
    left_behind(tmp_path, role="base")

    store = opened(tmp_path, token="second")
    of_candidate = find(store, role="candidate")
    of_base = find(store, role="base")
    store.close()

    assert (of_candidate is None, of_base is None) == (True, False)


def test_all_prefers_the_answer_of_the_same_role(tmp_path: Path) -> None:
    """Under `all` a role finds its own answer first, and any other's where it has none."""
    store = opened(tmp_path)
    keep(store, answer=Answer(text="base's"), role="base")
    keep(store, answer=Answer(text="candidate's"), role="candidate")
    store.close()

    second = opened(tmp_path, Reuse.ALL, token="second")
    found = [find(second, role=role) for role in ("base", "candidate", "third")]
    second.close()

    assert [answer.text if answer else None for answer in found] in (
        ["base's", "candidate's", "base's"],
        ["base's", "candidate's", "candidate's"],
    )


def test_equal_requests_of_one_plan_have_answers_of_their_own(tmp_path: Path) -> None:
    """Two cases with one prompt are two requests, told apart by the number of the copy."""
    store = opened(tmp_path)
    keep(store, answer=Answer(text="first"))
    keep(store, replace(REQUEST, copy=1), Answer(text="second"))
    store.close()

    second = opened(tmp_path, token="second")
    found = [find(second, replace(REQUEST, copy=copy)) for copy in range(3)]
    second.close()

    assert [answer.text if answer else None for answer in found] == ["first", "second", None]


def test_a_folder_made_for_the_store_is_left_out_of_version_control(tmp_path: Path) -> None:
    """A new folder says so to git; one that was there is left as it is."""
    AnswerStore(tmp_path / ".llmbench" / "answers.sqlite", reuse=Reuse.AUTO, token="t").close()
    AnswerStore(tmp_path / "answers.sqlite", reuse=Reuse.AUTO, token="t").close()

    assert (tmp_path / ".llmbench" / ".gitignore").read_text() == "*\n"
    assert not (tmp_path / ".gitignore").exists()


def test_a_store_that_fails_in_the_middle_is_given_up(tmp_path: Path) -> None:
    """When the disk is full, what was kept stays, nothing is raised, and one sentence says why."""
    store = opened(tmp_path)
    keep(store)
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages}")

    keep(store, OTHER, Answer(text="x" * 100_000))
    fault = store.fault
    store._connection.execute("PRAGMA max_page_count = 1000000")
    keep(store, OTHER)
    store.finish()
    found = find(store)
    store.close()

    assert str(fault).replace(str(tmp_path), "") == (
        "/answers.sqlite: the answer store cannot be written any more (database or disk is full); the run went on "
        "without it, and what was answered since then is asked again by the next one."
    )
    assert found is None
    next_run = opened(tmp_path, token="next")
    assert (find(next_run) is None, find(next_run, OTHER) is None) == (False, True)
    next_run.close()


def test_a_request_is_known_by_identity_prompt_sampling_and_sample() -> None:
    """Each of them changes the key; the case's name and the server's word for its model do not."""

    def key(request: Request = REQUEST, **identity: Any) -> str:
        return request_key(model_key(replace(IDENTITY, **identity)), request)

    others = [
        key(settings={"dtype": "bfloat16"}),
        key(weights="w"),
        key(replace(REQUEST, sample=1)),
        key(OTHER),
        key(replace(REQUEST, sampling=Sampling(seed=1))),
        key(replace(REQUEST, labels=("yes", "no"))),
        key(replace(REQUEST, labels=("yes", "no"), picks_label=True)),
        key(replace(REQUEST, reply_schema={"type": "object"})),
    ]

    renamed = key(replace(REQUEST, suite="t", case="d"))
    served = key(server_model="m-1")

    assert len({key(), *others}) == 9
    assert renamed == served == key()


def fault_of(path: Path) -> str:
    with pytest.raises(UsageFault) as raised:
        AnswerStore(path, reuse=Reuse.AUTO, token="t")
    return str(raised.value).replace(f"{path.parent}/", "")


WAY_OUT = "name another file with --llm-answers FILE, or go without one with --llm-answers off."


def test_a_damaged_store_is_named_and_left_untouched(tmp_path: Path) -> None:
    """A file that is no SQLite database is refused as it is."""
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"not a database at all, but long enough to be taken for one" * 10)
    before = path.read_bytes()

    message = fault_of(path)

    assert message == (
        f"answers.sqlite: the answer store cannot be read: it is damaged, or no store (file is not a database); {WAY_OUT}"
    )
    assert path.read_bytes() == before


def test_a_newer_store_is_named_and_left_untouched(tmp_path: Path) -> None:
    """A store of a newer version is refused as it is."""
    left_behind(tmp_path)
    path = tmp_path / "answers.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = path.read_bytes()

    message = fault_of(path)

    assert message == (
        "answers.sqlite: this answer store has version 2, this pytest-llmbench reads up to 1; "
        "update it, or name another file with --llm-answers FILE."
    )
    assert path.read_bytes() == before


def files_in(folder: Path) -> dict[str, bytes]:
    """Give what files hold, but for SQLite's index of the log, which holds nothing of a store."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}


@pytest.mark.parametrize("is_cut", [False, True])
def test_a_store_damaged_in_the_middle_is_named_and_left_untouched(tmp_path: Path, *, is_cut: bool) -> None:
    """A page of something else, far from the beginning, is found before anything is asked; so is an end cut off."""
    store = opened(tmp_path)
    answers = store.answers_of(IDENTITY, "m")
    for sample in range(300):
        answers.keep(answers.key(replace(REQUEST, sample=sample)), Answer(text="x" * 500))
    store.close()
    path = tmp_path / "answers.sqlite"
    whole = path.read_bytes()
    third = len(whole) // 3
    path.write_bytes(whole[: 2 * third] if is_cut else whole[:third] + b"\xff" * 20_000 + whole[third + 20_000 :])
    before = files_in(tmp_path)

    message = fault_of(path)

    assert message.startswith("answers.sqlite: the answer store cannot be read: it is damaged, or no store (")
    assert message.endswith(f"); {WAY_OUT}")
    assert files_in(tmp_path) == before


def test_a_newer_store_with_a_log_is_left_untouched(tmp_path: Path) -> None:
    """What a process that was killed left in the log is not written into a store that is refused."""
    path = tmp_path / "answers.sqlite"
    left_behind(tmp_path)
    program = (
        "import os, signal, sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "connection.execute('PRAGMA user_version = 2')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)])
    before = files_in(tmp_path)
    assert before["answers.sqlite-wal"]

    message = fault_of(path)

    assert "this answer store has version 2" in message
    assert files_in(tmp_path) == before


def test_a_store_in_a_folder_that_cannot_be_written_is_named_and_left_untouched() -> None:
    """Nothing is asked that could not be kept."""
    with tempfile.TemporaryDirectory() as name:  # which another user can look into
        folder = Path(name)
        left_behind(folder)
        (folder / "answers.sqlite-runs").unlink()
        before = files_in(folder)
        folder.chmod(0o555)
        user = os.geteuid()
        if not user:
            os.seteuid(65534)  # nothing is forbidden to root
        try:
            message = fault_of(folder / "answers.sqlite")
        finally:
            os.seteuid(user)
            folder.chmod(0o755)

        assert message.startswith("answers.sqlite: the answer store cannot be written (")
        assert message.endswith(WAY_OUT)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_database_is_named_and_left_untouched(tmp_path: Path) -> None:
    """An SQLite file of something else is refused as it is."""
    path = tmp_path / "answers.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE mine (a)")
    connection.close()
    before = path.read_bytes()

    message = fault_of(path)

    assert message == "answers.sqlite: this SQLite file is no answer store; name another with --llm-answers FILE."
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where the store's folder is a file, the fault names it and the way out."""
    (tmp_path / "folder").write_text("a file")

    with pytest.raises(UsageFault) as raised:
        AnswerStore(tmp_path / "folder" / "answers.sqlite", reuse=Reuse.AUTO, token="t")

    assert str(raised.value).endswith(WAY_OUT)
