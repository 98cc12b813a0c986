"""The answer store: what is kept, what is used again, and what a broken file says."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models import Identity
from pytest_llmbench.store import AnswerStore, Reuse, request_key
from pytest_llmbench.values import Answer, Prompt, Request, Sampling

ANSWER = Answer(
    text="Lima \ud800 \u00e9", latency_s=0.5, ttft_s=0.25, output_tokens=2, concurrency=4, finish_reason="stop"
)


def opened(path: Path, reuse: Reuse = Reuse.AUTO, token: str = "first") -> AnswerStore:
    return AnswerStore(path / "answers.sqlite", reuse=reuse, token=token)


def left_behind(path: Path, key: str = "k", *, is_finished: bool = False, token: str = "first") -> None:
    store = opened(path, token=token)
    store.keep(key, ANSWER)
    if is_finished:
        store.finish()
    store.close()


def test_an_unfinished_run_is_continued(tmp_path: Path) -> None:
    """The next run finds the answers of one that did not finish, marked as reused, with their first times."""
    left_behind(tmp_path)

    store = opened(tmp_path, token="second")

    found = store.find("k")
    store.close()
    assert found == Answer(
        text=ANSWER.text, latency_s=0.5, ttft_s=0.25, output_tokens=2, concurrency=4, finish_reason="stop", reused=True
    )


def test_a_finished_run_is_not_continued(tmp_path: Path) -> None:
    """After a run that finished, the next one asks anew."""
    left_behind(tmp_path, is_finished=True)

    store = opened(tmp_path, token="second")

    assert store.find("k") is None
    store.close()


def test_a_run_interrupted_twice_is_continued_twice(tmp_path: Path) -> None:
    """What a run used again counts as its own, so a third run finds it too."""
    left_behind(tmp_path)
    second = opened(tmp_path, token="second")
    found = second.find("k")
    assert found is not None
    second.keep("k", found)
    second.close()

    third = opened(tmp_path, token="third")

    assert third.find("k") is not None
    third.close()


def test_only_the_last_run_is_continued(tmp_path: Path) -> None:
    """An unfinished run before a finished one is past."""
    left_behind(tmp_path)
    left_behind(tmp_path, "other", is_finished=True, token="second")

    store = opened(tmp_path, token="third")

    assert store.find("k") is None
    store.close()


@pytest.mark.parametrize(("reuse", "is_found"), [(Reuse.ALL, True), (Reuse.NONE, False)])
def test_all_finds_any_equal_request_and_none_finds_nothing(tmp_path: Path, reuse: Reuse, *, is_found: bool) -> None:
    """`all` uses answers of finished runs too; `none` uses not even those of an unfinished one."""
    left_behind(tmp_path, is_finished=reuse is Reuse.ALL)

    store = opened(tmp_path, reuse, token="second")

    assert (store.find("k") is not None) == is_found
    store.close()


def test_processes_of_one_run_share_what_they_keep(tmp_path: Path) -> None:
    """Two processes with one token are one run: what one keeps, the next run finds beside the other's."""
    one, two = opened(tmp_path, token="run"), opened(tmp_path, token="run")
    one.keep("a", ANSWER)
    two.keep("b", ANSWER)
    one.close()
    two.close()

    store = opened(tmp_path, token="next")

    assert (store.find("a"), store.find("b")) != (None, None)
    store.close()


def test_kill_9_loses_nothing_that_was_kept(tmp_path: Path) -> None:
    """A process killed the moment after it kept an answer leaves it to the next run."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pytest_llmbench.store import AnswerStore, Reuse; from pytest_llmbench.values import Answer\n"
        "store = AnswerStore(Path(sys.argv[1]) / 'answers.sqlite', reuse=Reuse.AUTO, token='killed')\n"
        "for i in range(100): store.keep(f'k{i}', Answer(text=str(i)))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )

    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path)])

    assert killed.returncode == -9
    store = opened(tmp_path, token="next")
    found = [store.find(f"k{i}") for i in range(100)]
    store.close()
    assert [answer.text if answer else None for answer in found] == [str(i) for i in range(100)]


REQUEST = Request(suite="s", case="c", sample=0, prompt=Prompt(text="x"), sampling=Sampling())
IDENTITY = Identity(provider="p", model="m", settings={"dtype": "float32"})


def test_a_request_is_known_by_identity_prompt_sampling_and_sample() -> None:
    """Each of them changes the key; the case's name and the server's word for its model do not."""
    key = request_key(IDENTITY, REQUEST)
    others = [
        request_key(Identity(provider="p", model="m", settings={"dtype": "bfloat16"}), REQUEST),
        request_key(Identity(provider="p", model="m", settings={"dtype": "float32"}, weights="w"), REQUEST),
        request_key(IDENTITY, Request(suite="s", case="c", sample=1, prompt=Prompt(text="x"), sampling=Sampling())),
        request_key(IDENTITY, Request(suite="s", case="c", sample=0, prompt=Prompt(text="y"), sampling=Sampling())),
        request_key(
            IDENTITY, Request(suite="s", case="c", sample=0, prompt=Prompt(text="x"), sampling=Sampling(seed=1))
        ),
    ]

    renamed = request_key(
        IDENTITY, Request(suite="t", case="d", sample=0, prompt=Prompt(text="x"), sampling=Sampling())
    )
    served = request_key(Identity(provider="p", model="m", server_model="m-1", settings={"dtype": "float32"}), REQUEST)

    assert len({key, *others}) == 6
    assert renamed == served == key


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
