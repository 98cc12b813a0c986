"""Grading ahead: several answers at once, and the same records, in the same order, as one after another."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmbench.grading.base import GraderKind
from pytest_llmbench.grading.checks.grader import checks_kind
from pytest_llmbench.grading.match import EXACT
from pytest_llmbench.grading.parallel import graded_at_once
from pytest_llmbench.models.base import Traits
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.runner.ahead import GradingAhead, default_graders
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.values import Answer, AnswerError, Case, Grade

N = 12


class Threads:
    """A grader that notes the thread it is called in; it waits for `go`."""

    def __init__(self, *, is_parallel: bool = True):
        self.names: list[str] = []
        self.go = threading.Event()
        self.begun = threading.Event()
        self.go.set()
        self.kind = GraderKind(
            name="threads",
            case_fields=EXACT.case_fields,
            suite_fields=EXACT.suite_fields,
            build=lambda suite, root: self.grade,
            is_parallel=is_parallel,
        )

    def grade(self, case: Case, answer: Answer) -> Grade:
        self.names.append(threading.current_thread().name)
        self.begun.set()
        assert self.go.wait(20)
        if answer.text == "bad":
            raise ValueError("this answer cannot be graded")
        is_right = answer.text == case.expected
        return Grade(
            score=float(is_right), passed=is_right, reason="correct" if is_right else "different", explanation=""
        )


@pytest.fixture
def prepared(tmp_path: Path) -> Callable[..., tuple[Runner, list[Item]]]:
    """Give a runner with recorded answers, one of which the grader breaks on and one of which is missing."""

    def prepare(threads: Threads, n_graders: int) -> tuple[Runner, list[Item]]:
        cases = "".join(f"  - {{id: c{number}, expected: x{number}}}\n" for number in range(N))
        path = tmp_path / "s.yaml"
        path.write_text(f"suite: s\ngrader: threads\nprompt: {{completion: Q}}\ncases:\n{cases}")
        texts = ["bad" if number == 2 else f"x{number % 7}" for number in range(N - 1)]
        lines = (f'{{"case": "c{number}", "answer": "{text}"}}\n' for number, text in enumerate(texts))
        (tmp_path / "answers.jsonl").write_text("".join(lines))
        specs = Catalog(tmp_path / "none.toml", {}).choose([f"m=recorded:{tmp_path / 'answers.jsonl'}"], tmp_path)
        runner = Runner(RunSettings(root=tmp_path, graders=n_graders), specs, {"threads": threads.kind})
        loaded = runner.suites.load(path)
        assert loaded is not None
        return runner, [Item(key=case.id, loaded=loaded, case=case, spec=specs[0]) for case in loaded.suite.cases]

    return prepare


@pytest.mark.parametrize("n_graders", [2, 3])
def test_records_are_the_same_however_many_graders(
    prepared: Callable[..., tuple[Runner, list[Item]]], n_graders: int
) -> None:
    """Right and wrong answers, errors of the grader and of the model: ahead as in turn."""
    found = []
    for n, is_parallel in ((1, True), (n_graders, True), (n_graders, False)):
        threads = Threads(is_parallel=is_parallel)
        runner, items = prepared(threads, n)
        runner.start(items)
        found.append([runner.result(item.key).record for item in items])
        runner.close()
        in_pool = [name.startswith("llmbench-grader") for name in threads.names]
        assert in_pool == [n > 1 and is_parallel] * (N - 1)

    assert [_without_lines(records) for records in found] == [_without_lines(found[0])] * 3
    assert {str(record.outcome) for record in found[0]} == {"passed", "failed", "error"}


def _without_lines(records: object) -> str:
    """Give records as text without the traceback of the grader that broke, which names the lines it went through."""
    return "\n".join(line for line in str(records).split("\\n") if "File " not in line and "^^" not in line)


def test_what_has_not_begun_when_the_run_ends_is_graded_where_it_is_wanted(
    prepared: Callable[..., tuple[Runner, list[Item]]],
) -> None:
    """After Ctrl-C the item at work keeps its grade, and the others are graded in the main thread: none is lost."""
    threads = Threads()
    threads.go.clear()
    runner, items = prepared(threads, 2)
    runner.start(items)
    assert threads.begun.wait(20)
    runner.builder.end(is_finished=False)
    for item in items[:-1]:
        assert runner._answers is not None
        runner._answers.wait(item.key)

    runner.close()
    threads.go.set()
    kept = dict(runner.keep_arrived(reported=()))

    assert list(kept) == [item.key for item in items[:-1]]
    assert sum(name.startswith("llmbench-grader") for name in threads.names) <= 2
    assert len(threads.names) == N - 1


def test_a_test_that_waits_for_a_grade_can_be_interrupted() -> None:
    """Waiting is cut in slices, in each of which the caller may raise."""
    go = threading.Event()

    def grade(item: Item, answers: object) -> list[object]:
        go.wait(20)
        return []

    ahead = GradingAhead({"a": object()}, grade, 1)  # type: ignore[dict-item, arg-type]
    ahead.answered("a", (Answer(text="x"),))
    ahead.answered("b", (AnswerError(cause="x"),))

    def interrupt() -> None:
        raise KeyboardInterrupt

    assert ahead.take("b") is None
    with pytest.raises(KeyboardInterrupt):
        ahead.take("a", interrupt)
    ahead.close()
    go.set()
    assert ahead.take("a") == []
    assert ahead.take("a") is None


API = Traits(is_local=False, is_api=True)
GPU = Traits(takes_device=True)


@pytest.mark.parametrize(
    ("models", "n_cores", "has_gpu", "is_worker", "n"),
    [
        ([API], 8, False, False, 4),
        ([API], 3, False, False, 2),
        ([API], 1, False, False, 1),
        ([API], 8, False, True, 1),
        ([API, GPU], 8, True, False, 4),
        ([API, GPU], 8, False, False, 1),
        ([Traits()], 8, True, False, 1),
    ],
)
def test_the_default_leaves_the_cores_to_who_needs_them(
    models: list[Traits], n_cores: int, has_gpu: bool, is_worker: bool, n: int
) -> None:
    """A core stays with the run; a local model on the CPU, or several workers, leave none."""
    assert default_graders(models, n_cores, has_gpu=has_gpu, is_worker=is_worker) == n


@pytest.mark.parametrize("is_parallel", [True, False])
def test_answers_graded_at_once_keep_their_order(is_parallel: bool) -> None:
    """What came of each stands in its place; a grader that is not parallel is called here."""
    threads = Threads(is_parallel=is_parallel)
    names: list[str] = []

    def grade(number: int) -> int:
        names.append(threading.current_thread().name)
        return number * 2

    assert graded_at_once(threads.kind, grade, range(20), 3) == [number * 2 for number in range(20)]
    assert all(name.startswith("llmbench-grader") is is_parallel for name in names)


CHECKS = """\
suite: s
prompt: {completion: Q}
checks:
  - sql: {database: db, reference: SELECT x FROM t}
  - words: {max: 4}
cases: [{id: right}, {id: long}, {id: wrong}, {id: unsafe}]
"""
OF_CHECKS = {
    "right": "SELECT x FROM t",
    "long": "SELECT x FROM t WHERE x = 1",
    "wrong": "SELECT 2",
    "unsafe": "DROP TABLE t",
}


def test_checks_are_graded_ahead_where_one_of_them_is_sql(tmp_path: Path) -> None:
    """Two graders take the answers as they arrive, and the records are those of one."""
    (tmp_path / "db").mkdir()
    (tmp_path / "db" / "schema.sql").write_text("CREATE TABLE t (x INTEGER NOT NULL);")
    (tmp_path / "db" / "a.sql").write_text("INSERT INTO t VALUES (1);")
    (tmp_path / "db" / "database.toml").write_text("[instances.a]\nnow = 2024-03-15T12:00:00\n")
    path, answers = tmp_path / "s.yaml", tmp_path / "answers.jsonl"
    path.write_text(CHECKS)
    answers.write_text("".join(f'{{"case": "{case}", "answer": "{text}"}}\n' for case, text in OF_CHECKS.items()))
    found = []
    for n in (1, 2):
        specs = Catalog(tmp_path / "none.toml", {}).choose([f"m=recorded:{answers}"], tmp_path)
        runner = Runner(RunSettings(root=tmp_path, graders=n), specs, {})
        loaded = runner.suites.load(path)
        assert loaded is not None
        items = [Item(key=case.id, loaded=loaded, case=case, spec=specs[0]) for case in loaded.suite.cases]
        runner.start(items)
        assert (runner._ahead is not None) is (n > 1)
        found.append([runner.result(item.key).record for item in items])
        runner.close()

    assert found[0] == found[1]
    assert [record.score for record in found[0]] == [1.0, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(("kinds", "is_parallel"), [(["sql", "contains"], True), (["contains"], False)])
def test_checks_without_sql_or_with_a_function_are_graded_in_turn(kinds: list[str], is_parallel: bool) -> None:
    """Threads gain nothing where no process is waited for, and a user's function was never promised them."""
    assert checks_kind(kinds, is_expected_text=True).is_parallel is is_parallel
    assert not checks_kind([*kinds, "function"], is_expected_text=True).is_parallel
