"""Several workers: the same records and file as without, one load a model, and no worker takes more than its own case.

The provider of these tests notes in a file what it does: which worker opened which model, and each call of it.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PROVIDER = '''
import json, os, signal
from pathlib import Path
import pytest
from pytest_llmbench.models import Identity, Opened
from pytest_llmbench.models.entries import Entry
from pytest_llmbench.values import Answer, PromptStyle


LOG = Path(__file__).with_name("log.jsonl")


def note(**what):
    what["worker"] = os.environ.get("PYTEST_XDIST_WORKER", "none")
    what["device"] = os.environ.get("CUDA_VISIBLE_DEVICES", "none")
    with LOG.open("a") as log:
        log.write(json.dumps(what) + "\\n")


class NotingEntry(Entry):
    says: str
    kills: str = ""


class Noting(Opened):
    """Answers with the country; a prompt that it `kills` at ends its process while it answers a batch."""

    def __init__(self, entry, settings):
        self.entry = entry
        self.concurrency = settings.concurrency or entry.concurrency or 4
        self.identity = Identity(provider="noting", model=entry.says)
        note(opened=entry.says)

    def answer(self, requests, *, arrived=None, halt=None):
        note(asked=[request.case for request in requests], model=self.entry.says)
        answers = []
        for index, request in enumerate(requests):
            if request.case == self.entry.kills:
                os.kill(os.getpid(), signal.SIGKILL)
            answers.append(Answer(text=request.prompt.text, latency_s=0.5, concurrency=self.concurrency))
            if arrived is not None:
                arrived(index, answers[-1])
        return tuple(answers)

    def close(self):
        note(closed=self.entry.says)


class Provider:
    entry_type = NotingEntry
    target_field = "says"

    def prompt_style(self, entry):
        return PromptStyle.COMPLETION

    def open(self, entry, settings):
        return Noting(entry, settings)


def pytest_llmbench_providers(config):
    return {"noting": Provider()}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item):
    note(ran=item.nodeid)
'''
SUITE = """\
suite: SUITE
grader: exact
prompt: {completion: "{{ word }}"}
cases:
"""
QUIET = ("--benchmark-quiet", "-p", "no:cacheprovider")
Noted = list[dict[str, Any]]


def suite(name: str, *cases: str) -> str:
    rows = (f"  - {{id: {case}, word: {case}, expected: {case}}}\n" for case in cases)
    return SUITE.replace("SUITE", name) + "".join(rows)


@pytest.fixture
def noting(pytester: pytest.Pytester) -> Callable[..., pytest.Pytester]:
    """Make a project of two suites and two models, `a` and `b`, with keys of the models' entries as given."""

    def make(**entries: str) -> pytest.Pytester:
        pytester.makeini("[pytest]\n")
        pytester.makeconftest(PROVIDER)
        cases = pytester.mkdir("cases")
        cases.joinpath("one.yaml").write_text(suite("one", *(f"one{n}" for n in range(6))))
        cases.joinpath("two.yaml").write_text(suite("two", *(f"two{n}" for n in range(4))))
        models = "".join(
            f'[{name}]\nprovider = "noting"\nsays = "{name}"\n{entries.get(name, "")}\n' for name in ("a", "b")
        )
        pytester.mkdir("fixtures").joinpath("models.toml").write_text(models)
        return pytester

    return make


def run(pytester: pytest.Pytester, *options: str, models: str = "ab") -> pytest.RunResult:
    named = [option for model in models for option in ("--llm-model", model)]
    (pytester.path / "log.jsonl").write_text("")
    return pytester.runpytest_subprocess(*named, *QUIET, "--benchmark-json=run.json", *options)


def noted(pytester: pytest.Pytester) -> Noted:
    return [json.loads(line) for line in (pytester.path / "log.jsonl").read_text().splitlines()]


def asked(pytester: pytest.Pytester) -> Counter[tuple[str, str]]:
    """Count how often each model was asked each case."""
    return Counter((line["model"], case) for line in noted(pytester) if "asked" in line for case in line["asked"])


def records(pytester: pytest.Pytester) -> dict[str, Any]:
    """Give the records of the last run, by role and case."""
    found = json.loads((pytester.path / "run.json").read_text())
    every = [benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"]]
    return {f"{record['role']} {record['case']}": record for record in (*every, *found["llmbench"]["unmeasured"])}


ALL = {(model, f"{name}{n}") for model in "ab" for name, size in (("one", 6), ("two", 4)) for n in range(size)}


# -- dealing


def test_each_model_is_opened_once_by_one_worker_that_batches_as_without_workers(
    noting: Callable[..., pytest.Pytester],
) -> None:
    """All cases of a model go to one worker, which asks them in one call ahead of the tests; each case once."""
    pytester = noting()

    result = run(pytester, "-n", "3", "cases")

    result.assert_outcomes(passed=20)
    lines = noted(pytester)
    opened = {line["opened"]: line["worker"] for line in lines if "opened" in line}
    assert Counter(line["opened"] for line in lines if "opened" in line) == {"a": 1, "b": 1}
    assert opened["a"] != opened["b"]
    assert {line["worker"] for line in lines if "asked" in line} == set(opened.values())
    assert [len(line["asked"]) for line in lines if "asked" in line] == [10, 10]
    assert asked(pytester) == dict.fromkeys(ALL, 1)


def test_the_file_is_the_same_as_without_workers(noting: Callable[..., pytest.Pytester]) -> None:
    """Records, their order, models, suites and prompts are those of a run in one process; so is the scoreboard."""
    pytester = noting()
    alone = run(pytester, "--llm-answers", "off", "cases", models="ba")
    serial = json.loads((pytester.path / "run.json").read_text())

    several = run(pytester, "--llm-answers", "off", "-n", "2", "cases", models="ba")

    assert [words(result) for result in (alone, several)] == [["one b", "one a", "two b", "two a"]] * 2
    parallel = json.loads((pytester.path / "run.json").read_text())
    assert [(b["fullname"], b["params"], b["stats"]["data"], b["extra_info"]) for b in parallel["benchmarks"]] == [
        (b["fullname"], b["params"], b["stats"]["data"], b["extra_info"]) for b in serial["benchmarks"]
    ]
    assert parallel["llmbench"] == serial["llmbench"]
    assert list(parallel["llmbench"]["models"]) == ["b", "a"]


def words(result: pytest.RunResult) -> list[str]:
    """Give suite and model of each line of the scoreboard."""
    first = next(place for place, line in enumerate(result.outlines) if line.startswith("suite "))
    return [" ".join(line.split()[:2]) for line in result.outlines[first + 1 : first + 5]]


def test_more_models_than_workers_are_dealt_one_after_another(noting: Callable[..., pytest.Pytester]) -> None:
    """A worker that is done with a model gets the next one; it closes the first before."""
    pytester = noting()

    run(pytester, "-n", "1", "cases").assert_outcomes(passed=20)

    steps = [(next(iter(line)), line.get("opened", line.get("closed"))) for line in noted(pytester)]
    kinds = [step for step in steps if step[0] in ("opened", "closed")]
    assert kinds == [("opened", "a"), ("closed", "a"), ("opened", "b"), ("closed", "b")]


def test_other_tests_are_spread_over_the_workers_that_are_free(noting: Callable[..., pytest.Pytester]) -> None:
    """Ordinary tests run beside the cases, on several workers, each once."""
    pytester = noting()
    pytester.makepyfile(
        "import pytest\n@pytest.mark.parametrize('n', range(12))\ndef test_it(n): pass\n"
        "@pytest.mark.llm_suite('cases/two.yaml')\ndef test_case(llm_grade): assert llm_grade.passed\n"
    )

    result = run(pytester, "-n", "3", "--llm-limit", "2", models="a")

    result.assert_outcomes(passed=18)
    ran = [(line["ran"], line["worker"]) for line in noted(pytester) if "ran" in line]
    assert len(ran) == len(dict(ran)) == 18
    assert len({worker for test, worker in ran if "test_it" in test}) > 1
    assert len({worker for test, worker in ran if "test_it" not in test}) == 1
    assert asked(pytester) == {("a", "one0"): 1, ("a", "one1"): 1, ("a", "two0"): 2, ("a", "two1"): 2}


@pytest.mark.parametrize("dist", ["loadfile", "worksteal", "loadscope"])
def test_another_way_of_dealing_is_respected(noting: Callable[..., pytest.Pytester], dist: str) -> None:
    """--dist other than the usual one is xdist's own; each case is still asked once, by the worker that runs it."""
    pytester = noting()

    result = run(pytester, "-n", "2", "--dist", dist, "-v", "cases")

    result.assert_outcomes(passed=20)
    assert asked(pytester) == dict.fromkeys(ALL, 1)
    result.stdout.no_fnmatch_line("*scheduling tests via ModelScheduling*")


def test_a_collection_error_ends_the_run_before_anything_is_asked(noting: Callable[..., pytest.Pytester]) -> None:
    """As without workers, nothing is run where something could not be collected."""
    pytester = noting()
    (pytester.path / "cases" / "bad.yaml").write_text("suite: bad\ngrader: exact\n")

    result = run(pytester, "-n", "2", "cases")

    assert result.ret != 0
    result.assert_outcomes(errors=1)
    assert asked(pytester) == {}


def test_maxfail_stops_every_worker(noting: Callable[..., pytest.Pytester]) -> None:
    """After -x the workers run no further test, although their whole plan was dealt to them."""
    pytester = noting(a="concurrency = 1", b="concurrency = 1")
    path = pytester.path / "cases" / "one.yaml"
    path.write_text(path.read_text().replace("expected: one0", "expected: other"))

    result = run(pytester, "-n", "2", "-x", "cases")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    ran = [line["ran"] for line in noted(pytester) if "ran" in line]
    assert len(ran) < 20
    assert all(count == 1 for count in asked(pytester).values())


# -- devices


def test_each_worker_has_a_device_of_its_own(noting: Callable[..., pytest.Pytester]) -> None:
    """Where the machine has several, each model is opened by a worker that sees one alone."""
    pytester = noting()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
        run(pytester, "-n", "2", "--llm-limit", "1", "cases")

    opened = [line["device"] for line in noted(pytester) if "opened" in line]
    assert sorted(opened) == ["5", "7"]


# -- workers that end


def test_a_case_whose_test_ends_its_worker_becomes_an_error(noting: Callable[..., pytest.Pytester]) -> None:
    """It is not run again; the other cases get their records, and are asked once."""
    pytester = noting()
    pytester.makepyfile(
        "import os, pytest\n@pytest.mark.llm_suite('cases/one.yaml')\n"
        "def test_case(llm_case, llm_grade):\n    if llm_case.id == 'one2': os._exit(3)\n    assert llm_grade.passed\n"
    )

    result = run(pytester, "-n", "2", "-k", "test_case", models="a")

    result.assert_outcomes(passed=5, errors=1)
    assert result.ret == 1
    found = records(pytester)
    assert {case: record["outcome"] for case, record in found.items()} == {
        **{f"a one{n}": "passed" for n in range(6)},
        "a one2": "error",
    }
    assert found["a one2"]["samples"][0]["error"] == "the process that ran this case ended: it crashed, or was killed"
    assert asked(pytester) == {("a", f"one{n}"): 1 for n in range(6)}
    result.stdout.fnmatch_lines(["*the process that ran this case ended: it crashed, or was killed*"])


def test_a_case_that_ends_its_worker_while_it_is_asked_is_found(noting: Callable[..., pytest.Pytester]) -> None:
    """Of those asked ahead only the one that ends a process becomes an error; the rest are answered."""
    pytester = noting(a='kills = "one3"\nconcurrency = 2')

    result = run(pytester, "-n", "2", "cases", models="a")

    result.assert_outcomes(passed=9, errors=1)
    assert {case: record["outcome"] for case, record in records(pytester).items()} == {
        **{f"a {case}": "passed" for model, case in ALL if model == "a"},
        "a one3": "error",
    }
    counts = asked(pytester)
    assert all(counts["a", f"one{n}"] == 1 for n in range(3)), "what had been answered is in the store"


def test_two_cases_that_end_their_worker_are_both_found(noting: Callable[..., pytest.Pytester]) -> None:
    """Each costs one record, and the run comes to its end."""
    pytester = noting(a='kills = "one1"', b='kills = "two3"')

    result = run(pytester, "-n", "2", "cases")

    result.assert_outcomes(passed=18, errors=2)
    outcomes = {case: record["outcome"] for case, record in records(pytester).items()}
    assert sorted(case for case, outcome in outcomes.items() if outcome == "error") == ["a one1", "b two3"]
    assert len(outcomes) == 20


def test_what_a_worker_that_ended_was_made_of_stands_in_the_file(noting: Callable[..., pytest.Pytester]) -> None:
    """Models, suites and prompts are told by others, or by the controller itself."""
    pytester = noting()
    run(pytester, "--llm-answers", "off", "cases", models="a")
    serial = json.loads((pytester.path / "run.json").read_text())["llmbench"]
    pytester.makepyfile(
        "import os, pytest\ndef test_last(): os._exit(3)\n"  # in the worker that had the cases, where there is but one
    )

    run(pytester, "-n", "1", "--llm-answers", "off", "cases", f"{pytester.path.name[:-1]}.py", models="a")

    parallel = json.loads((pytester.path / "run.json").read_text())["llmbench"]
    assert parallel.pop("collected")["suites"] == serial.pop("collected")["suites"]  # its paths are what was named
    assert parallel == serial


def test_without_restarts_the_case_that_was_waited_for_is_an_error(noting: Callable[..., pytest.Pytester]) -> None:
    """With --max-worker-restart=0 nothing can be asked again, and the run says that it failed."""
    pytester = noting(a='kills = "one3"')

    result = run(pytester, "-n", "1", "--max-worker-restart=0", "cases", models="a")

    assert result.ret == 1
    assert [r["outcome"] for r in records(pytester).values()].count("error") == 1


def test_a_worker_killed_from_outside_loses_no_case(noting: Callable[..., pytest.Pytester], openai_server: Any) -> None:
    """A worker that is killed while it waits for an answer is replaced, and every case gets its record."""
    pytester = noting()
    models = pytester.path / "fixtures" / "models.toml"
    models.write_text(f'[a]\nprovider = "openai"\nmodel = "m"\nbase_url = "{openai_server.url}"\nconcurrency = 1\n')
    for name in ("one", "two"):
        path = pytester.path / "cases" / f"{name}.yaml"
        path.write_text(
            path.read_text().replace(
                'prompt: {completion: "{{ word }}"}', 'prompt: {chat: [{role: user, content: "{{ word }}"}]}'
            )
        )
    for _, case in ALL:
        openai_server.on(case, openai_server.stream(case))
    pytester.makeconftest(
        "import os\ndef pytest_configure(config):\n"
        "    if hasattr(config, 'workerinput'): open('pids.txt', 'a').write(f'{os.getpid()}\\n')\n"
    )
    pids = pytester.path / "pids.txt"

    def kill(handler: Any) -> None:
        os.kill(int(pids.read_text().split()[0]), signal.SIGKILL)
        handler.close_connection = True

    openai_server.on("one4", kill, openai_server.stream("one4"))

    result = run(pytester, "-n", "1", "cases", models="a")

    result.assert_outcomes(passed=10)
    assert len(pids.read_text().split()) == 2
    assert sorted(openai_server.prompts()) == sorted(["one4", *(case for model, case in ALL if model == "a")])
