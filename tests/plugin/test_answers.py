"""Answers that are never paid for twice: the store behind a run, its options, its faults."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

# A run in this process forgets what it imported, and the client takes a second to import: once, here.
import openai.resources.chat  # noqa: F401
import pytest

import pytest_llmbench.models.openai.provider  # noqa: F401

SUITE = """\
suite: capitals
grader: exact
prompt: {chat: [{role: user, content: "{{ country }}"}]}
cases:
  - {id: france, country: france, expected: Paris}
  - {id: peru, country: peru, expected: Lima}
  - {id: kenya, country: kenya, expected: Nairobi}
"""
RIGHT = {"france": "Paris", "peru": "Lima", "kenya": "Nairobi"}
QUIET = ("--benchmark-quiet",)
ALONE = pytest.param((), id="one process")
ONE_WORKER = pytest.param(("-n", "1"), id="xdist", marks=pytest.mark.slow)
TWO_WORKERS = pytest.param(("-n", "2"), id="xdist", marks=pytest.mark.slow)

MakeProject = Callable[..., pytest.Pytester]


@pytest.fixture
def make_project(pytester: pytest.Pytester, openai_server: Any) -> MakeProject:
    """Make a project whose model is the server: `make_project(**entry)`; it answers each case right."""

    def make(**entry: object) -> pytest.Pytester:
        pytester.makeini("[pytest]\n")
        pytester.mkdir("cases").joinpath("capitals.yaml").write_text(SUITE)
        keys = {"provider": "openai", "model": "m-1", "base_url": openai_server.url, "max_retries": 0, **entry}
        table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())
        pytester.mkdir("fixtures").joinpath("models.toml").write_text(f"[m]\n{table}")
        for country, capital in RIGHT.items():
            openai_server.on(country, openai_server.stream(capital))
        return pytester

    return make


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest("--llm-model", "m", *QUIET, "--benchmark-json=run.json", *options, "cases")


def begun(pytester: pytest.Pytester, *options: str) -> "subprocess.Popen[bytes]":
    """Begin a run in a process of its own."""
    command = [sys.executable, "-m", "pytest", "--llm-model", "m", "--benchmark-json=run.json", *options, "cases"]
    return pytester.popen(command, stdin=subprocess.DEVNULL)  # type: ignore[no-any-return]


PATIENCE_S = 120.0
"""How long a run may take to end before the test gives up, on a machine where much else is at work."""


def come_to(reached: threading.Event, run: "subprocess.Popen[bytes]") -> None:
    """Wait for a request of a run, as long as the run is alive."""
    while not reached.wait(0.1):
        assert run.poll() is None, run.communicate()[0].decode()


def samples(pytester: pytest.Pytester) -> dict[str, dict[str, Any]]:
    """Give the first sample of each record of the last run, by case."""
    found = json.loads((pytester.path / "run.json").read_text())
    records = [benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"]]
    return {record["case"]: record["samples"][0] for record in (*records, *found["llmbench"]["unmeasured"])}


# -- what is asked again


def test_a_run_stopped_by_x_is_continued(make_project: MakeProject, openai_server: Any) -> None:
    """After -x the same command asks only for what is missing; the rest is marked as reused, with its first times."""
    pytester = make_project(concurrency=1)
    openai_server.on("france", openai_server.stream("Lyon"))
    run(pytester, "-x").assert_outcomes(failed=1)
    first, asked = samples(pytester), openai_server.prompts()

    result = run(pytester)

    result.assert_outcomes(passed=2, failed=1)
    again = samples(pytester)
    assert sorted(openai_server.prompts()) == sorted(RIGHT)
    assert {case: sample["reused"] for case, sample in again.items()} == {case: case in asked for case in RIGHT}
    assert again["france"]["latency_s"] == first["france"]["latency_s"]
    told = f"{len(asked)} of 3 answers were reused from an earlier run; --llm-reuse none asks again."
    assert told in " ".join(result.stdout.str().split())


def test_a_finished_run_is_not_continued(make_project: MakeProject, openai_server: Any) -> None:
    """The next run asks everything anew, also where tests failed."""
    pytester = make_project()
    openai_server.on("france", openai_server.stream("Lyon"))

    run(pytester).assert_outcomes(passed=2, failed=1)
    run(pytester)

    assert len(openai_server.prompts()) == 6
    assert not any(sample["reused"] for sample in samples(pytester).values())


@pytest.mark.parametrize(("reuse", "asked"), [("all", 3), ("none", 6)])
def test_all_grades_stored_answers_again_and_none_never(
    make_project: MakeProject, openai_server: Any, reuse: str, asked: int
) -> None:
    """`--llm-reuse all` asks nothing that was ever answered; `none` asks everything."""
    pytester = make_project()
    run(pytester)

    run(pytester, "--llm-reuse", reuse).assert_outcomes(passed=3)

    assert len(openai_server.prompts()) == asked
    assert all(sample["reused"] is (reuse == "all") for sample in samples(pytester).values())


def test_errors_are_asked_again(make_project: MakeProject, openai_server: Any) -> None:
    """An error is not stored: with `all`, only its request is sent."""
    pytester = make_project()
    openai_server.on("peru", openai_server.refuse(400, "too long"), openai_server.stream("Lima"))
    run(pytester).assert_outcomes(passed=2, errors=1)

    run(pytester, "--llm-reuse", "all").assert_outcomes(passed=3)

    assert openai_server.prompts()[3:] == ["peru"]


def test_what_changes_the_request_asks_it_again(make_project: MakeProject, openai_server: Any) -> None:
    """Another prompt or sampling is another request, another grader is not."""
    pytester = make_project()
    suite = pytester.path / "cases" / "capitals.yaml"
    run(pytester)

    suite.write_text(SUITE.replace("grader: exact", "grader: contains"))
    run(pytester, "--llm-reuse", "all")
    regraded = len(openai_server.prompts())
    suite.write_text(SUITE.replace("grader: exact", "grader: exact\nsampling: {max_tokens: 3}"))
    run(pytester, "--llm-reuse", "all")

    assert (regraded, len(openai_server.prompts())) == (3, 6)


def test_roles_of_one_model_are_asked_apart(make_project: MakeProject, openai_server: Any) -> None:
    """Two roles of one model, and a suite's cases in a Python test too, are requests of their own."""
    pytester = make_project()
    pytester.makepyfile(
        'import pytest\n@pytest.mark.llm_suite("cases/capitals.yaml")\ndef test_it(llm_grade): assert llm_grade.passed'
    )

    result = pytester.runpytest("--llm-model", "a=m", "--llm-model", "b=m", "--llm-reuse", "all", *QUIET)

    result.assert_outcomes(passed=12)
    assert len(openai_server.prompts()) == 12


def test_what_a_test_asks_itself_is_not_stored(make_project: MakeProject, openai_server: Any) -> None:
    """Requests beyond the plan go to the model as they are."""
    pytester = make_project()
    pytester.makepyfile(
        "import pytest\nfrom pytest_llmbench import Message, Prompt, Request, Sampling\n"
        '@pytest.mark.llm_suite("cases/capitals.yaml")\ndef test_it(llm_model):\n'
        '    prompt = Prompt(messages=(Message(role="user", content="own"),))\n'
        '    request = Request(suite="s", case="c", sample=0, prompt=prompt, sampling=Sampling())\n'
        '    assert llm_model.answer([request])[0].text == "ok"\n'
    )
    options = (
        "--llm-model",
        "m",
        "--llm-reuse",
        "all",
        "-k",
        "peru",
        *QUIET,
        "test_what_a_test_asks_itself_is_not_stored.py",
    )

    pytester.runpytest(*options).assert_outcomes(passed=1)
    pytester.runpytest(*options).assert_outcomes(passed=1)

    assert openai_server.prompts() == ["peru", "own", "own"]


# -- interrupted runs


@pytest.mark.slow
def test_kill_9_in_the_middle_loses_no_answer_and_asks_none_twice(
    make_project: MakeProject, openai_server: Any
) -> None:
    """A run killed while a request hangs is continued: what had been answered is not asked again."""
    pytester = make_project(concurrency=1)
    reached = openai_server.meet("kenya")
    killed = begun(pytester)
    come_to(reached, killed)
    killed.kill()
    killed.communicate()
    openai_server.on("kenya", openai_server.stream("Nairobi"))

    result = run(pytester)

    result.assert_outcomes(passed=3)
    assert sorted(openai_server.prompts()) == ["france", "kenya", "kenya", "peru"]
    assert {case: sample["reused"] for case, sample in samples(pytester).items()} == {
        "france": True,
        "kenya": False,
        "peru": True,
    }


@pytest.mark.parametrize("workers", [ALONE, ONE_WORKER])
@pytest.mark.slow
def test_ctrl_c_writes_what_arrived_and_the_next_run_asks_the_rest(
    make_project: MakeProject, openai_server: Any, workers: tuple[str, ...]
) -> None:
    """Answers behind a slow one are graded and written when the run is interrupted, and not asked again."""
    pytester = make_project(concurrency=2)
    with (pytester.path / "cases" / "capitals.yaml").open("a") as suite:
        suite.write("  - {id: chile, country: chile, expected: Santiago}\n")
    openai_server.meet("france")
    reached = openai_server.meet("chile")  # in the slot that has answered the two before it
    interrupted = begun(pytester, *workers)
    come_to(reached, interrupted)
    interrupted.send_signal(signal.SIGINT)
    out, _ = interrupted.communicate(timeout=PATIENCE_S)
    kept = samples(pytester)
    openai_server.on("france", openai_server.stream("Paris"))
    openai_server.on("chile", openai_server.stream("Santiago"))

    result = run(pytester)

    assert interrupted.returncode == pytest.ExitCode.INTERRUPTED, out
    assert {case: sample["outcome"] for case, sample in kept.items()} == {"peru": "passed", "kenya": "passed"}
    result.assert_outcomes(passed=4)
    assert sorted(openai_server.prompts()) == ["chile", "chile", "france", "france", "kenya", "peru"]


@pytest.mark.parametrize("workers", [ALONE, TWO_WORKERS])
@pytest.mark.slow
def test_ctrl_c_before_anything_arrived_writes_a_file_too(
    make_project: MakeProject, openai_server: Any, workers: tuple[str, ...]
) -> None:
    """It has no records, and says which models and suites the run was of."""
    pytester = make_project(concurrency=1)
    reached = openai_server.meet("france")
    interrupted = begun(pytester, *workers)
    come_to(reached, interrupted)

    interrupted.send_signal(signal.SIGINT)
    out, _ = interrupted.communicate(timeout=PATIENCE_S)

    assert interrupted.returncode == pytest.ExitCode.INTERRUPTED, out
    assert samples(pytester) == {}
    block = json.loads((pytester.path / "run.json").read_text())["llmbench"]
    assert (list(block["models"]), list(block["suites"])) == (["m"], ["capitals"])


@pytest.mark.parametrize(("times", "is_kept"), [(1, True), (2, False)])
@pytest.mark.slow
def test_ctrl_c_while_a_case_is_graded_takes_no_record_away(
    make_project: MakeProject, times: int, *, is_kept: bool
) -> None:
    """The case is graded again for the file; if Ctrl-C is pressed again meanwhile, only that case is not in it."""
    pytester = make_project(concurrency=1)
    pytester.makepyfile(
        graded="from pytest_llmbench import Grade\n"
        "calls = []\n"
        "def grade(case, answer):\n"
        "    calls.append(case.id)\n"
        f"    if case.id == 'peru' and calls.count('peru') <= {times}: raise KeyboardInterrupt\n"
        "    return Grade(score=1.0, passed=True, reason='correct', explanation='')\n"
    )
    suite = pytester.path / "cases" / "capitals.yaml"
    suite.write_text(SUITE.replace("grader: exact", "grader: graded:grade"))

    result = pytester.runpytest_subprocess("--llm-model", "m", "--benchmark-json=run.json", "cases")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    kept = samples(pytester)
    assert kept["france"]["outcome"] == "passed"
    assert ("peru" in kept) == is_kept


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["KeyboardInterrupt", "SystemError"])
def test_a_run_that_ends_by_an_error_of_pytest_is_continued(
    make_project: MakeProject, openai_server: Any, fault: str
) -> None:
    """Ctrl-C where no line of code is, which pytest cannot show, and an internal error: the answers are used again."""
    pytester = make_project(concurrency=1)
    pytester.makeconftest(
        "import pytest\n"
        f"def end(): raise {fault}\n"
        "units = len(end.__code__.co_code) // 2\n"
        "NO_LINES = bytes([0xFF] * (units // 8) + [0xF8 | (units % 8 - 1)] * bool(units % 8))\n"
        # no line for any instruction, as compilers leave some jumps
        f"if {fault == 'KeyboardInterrupt'}: end.__code__ = end.__code__.replace(co_linetable=NO_LINES)\n"
        "@pytest.hookimpl(trylast=True)\n"
        "def pytest_runtest_logfinish(nodeid):\n"
        "    if 'peru' in nodeid: end()\n"
    )
    first = pytester.runpytest_subprocess("--llm-model", "m", "--benchmark-json=run.json", "cases")
    kept = samples(pytester) if fault == "KeyboardInterrupt" else {}
    pytester.makeconftest("")
    asked = openai_server.prompts()

    run(pytester).assert_outcomes(passed=3)

    assert first.ret == (2 if fault == "KeyboardInterrupt" else 3)
    assert {"france", "peru"} <= kept.keys() or not kept
    assert sorted(openai_server.prompts()) == sorted(RIGHT)
    assert sum(sample["reused"] for sample in samples(pytester).values()) == len(asked) >= 2


# -- where it is


def test_the_store_is_made_below_the_root_directory(make_project: MakeProject) -> None:
    """Its default place is `.llmbench/answers.sqlite`, whatever folder pytest is called in."""
    pytester = make_project()
    os.chdir(pytester.path / "cases")

    pytester.runpytest("--llm-model", "m", "--rootdir", str(pytester.path), *QUIET, "capitals.yaml")

    assert (pytester.path / ".llmbench" / "answers.sqlite").is_file()
    assert not (pytester.path / "cases" / ".llmbench").exists()


def test_off_keeps_nothing(make_project: MakeProject) -> None:
    """With `--llm-answers off` nothing is written."""
    pytester = make_project()

    run(pytester, "--llm-answers", "off").assert_outcomes(passed=3)

    assert not (pytester.path / ".llmbench").exists()


def test_store_and_reuse_may_be_named_in_the_ini_file(make_project: MakeProject, openai_server: Any) -> None:
    """`llm_answers` is relative to the ini file; `llm_reuse` is the option's twin."""
    pytester = make_project()
    pytester.makeini("[pytest]\nllm_answers = kept/mine.sqlite\nllm_reuse = all\n")

    run(pytester)
    run(pytester)

    assert (pytester.path / "kept" / "mine.sqlite").is_file()
    assert len(openai_server.prompts()) == 3


@pytest.mark.parametrize("option", [(), ("--collect-only",)])
def test_recorded_answers_and_collecting_need_no_store(
    make_project: MakeProject, write_answers: Callable[..., Path], option: tuple[str, ...]
) -> None:
    """Where nothing can be asked, no store is made."""
    pytester = make_project()
    answers = write_answers("answers.jsonl", [{"case": case, "answer": text} for case, text in RIGHT.items()])

    model = "m" if option else f"recorded:{answers}"
    pytester.runpytest("--llm-model", model, *option, *QUIET, "cases")

    assert not (pytester.path / ".llmbench").exists()


# -- faults

WAY_OUT = "name another file with --llm-answers FILE, or go without one with --llm-answers off."


def test_a_word_that_is_no_reuse_is_a_usage_error(make_project: MakeProject) -> None:
    """--llm-reuse takes three words."""
    result = run(make_project(), "--llm-reuse", "some")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['ERROR: --llm-reuse needs auto, all or none, not "some".'])


@pytest.mark.parametrize("workers", [ALONE, TWO_WORKERS])
def test_a_damaged_store_ends_the_run_before_anything_is_asked(
    make_project: MakeProject, openai_server: Any, workers: tuple[str, ...]
) -> None:
    """A store that is none is a usage error that names the file and leaves it as it is."""
    pytester = make_project()
    (pytester.path / "bad.sqlite").write_bytes(b"no database" * 100)

    result = run(pytester, "--llm-answers", "bad.sqlite", *workers)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *bad.sqlite: the answer store cannot be read: it is damaged*; {WAY_OUT}"])
    assert openai_server.prompts() == []
    assert (pytester.path / "bad.sqlite").read_bytes() == b"no database" * 100


def test_a_store_in_a_folder_that_cannot_be_made_is_a_usage_error(
    make_project: MakeProject, openai_server: Any
) -> None:
    """Nothing is asked that could not be kept, unless the user goes without a store."""
    pytester = make_project()
    (pytester.path / "file").write_text("")

    result = run(pytester, "--llm-answers", "file/answers.sqlite")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: *answers.sqlite: the answer store cannot be opened (*); {WAY_OUT}"])
    assert openai_server.prompts() == []


@pytest.mark.parametrize("workers", [ALONE, ONE_WORKER])
@pytest.mark.slow
def test_a_disk_that_is_full_in_the_middle_ends_the_store_but_not_the_run(
    make_project: MakeProject, openai_server: Any, workers: tuple[str, ...]
) -> None:
    """The run goes on without the store, and says so once."""
    pytester = make_project(concurrency=1)
    openai_server.on("peru", openai_server.stream("x" * 300_000))
    # files may not grow beyond 200 kB meanwhile, in whichever process asks
    pytester.makeconftest(
        "import resource, signal\nimport pytest\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "HARD = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "def pytest_sessionstart(): resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, HARD))\n"
        "@pytest.hookimpl(wrapper=True)\ndef pytest_runtestloop():\n"
        "    try: return (yield)\n    finally: resource.setrlimit(resource.RLIMIT_FSIZE, (HARD, HARD))\n"
    )

    result = pytester.runpytest_subprocess(
        "--llm-model", "m", "--llm-no-fail", *QUIET, "--benchmark-json=run.json", *workers, "cases"
    )

    assert result.ret == 0
    assert len(samples(pytester)) == 3
    told = " ".join(result.stdout.str().split())  # it is folded to the width of the terminal
    assert told.count("answer store") == 1
    assert "answers.sqlite: the answer store cannot be written any more (" in told
    assert "the run went on without it, and what was answered since then is asked again by the next one." in told


@pytest.mark.parametrize("workers", [ALONE, ONE_WORKER])
def test_a_refused_key_ends_the_run_at_once(
    make_project: MakeProject, openai_server: Any, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    """A 401 is told once, with the variable that holds the key, and not asked for again case by case."""
    monkeypatch.setenv("MY_KEY", "sk-wrong")
    pytester = make_project(api_key_env="MY_KEY", concurrency=2)
    rows = "".join(f"  - {{id: c{n}, country: c{n}, expected: x}}\n" for n in range(40))
    with (pytester.path / "cases" / "capitals.yaml").open("a") as suite:
        suite.write(rows)
    for case in (*RIGHT, *(f"c{n}" for n in range(40))):
        openai_server.on(case, openai_server.refuse(401, "Incorrect API key provided"))

    result = run(pytester, *workers)

    assert result.ret != 0
    assert len(openai_server.prompts()) <= 2
    told = result.stdout.str()
    assert "MY_KEY" in told
    assert "sk-wrong" not in told
    assert result.parseoutcomes()["errors"] <= 2


@pytest.mark.parametrize("workers", [ALONE, ONE_WORKER])
def test_a_key_refused_to_one_of_two_models_takes_nothing_from_the_other(
    make_project: MakeProject, openai_server: Any, workers: tuple[str, ...]
) -> None:
    """The run goes on with the other model and is not finished: the next one asks only the model that was refused."""
    pytester = make_project(concurrency=1)
    openai_server.on("france", openai_server.stream("Paris"), openai_server.refuse(401, "Incorrect API key provided"))
    command = ("--llm-model", "a=m", "--llm-model", "b=m", *QUIET, *workers, "cases")
    pytester.runpytest(*command).assert_outcomes(passed=3, errors=3)
    asked = len(openai_server.prompts())
    openai_server.on("france", openai_server.stream("Paris"))

    pytester.runpytest(*command).assert_outcomes(passed=6)

    assert len(openai_server.prompts()) == asked + 3


# -- one run of several processes


@pytest.mark.slow
def test_a_run_of_several_workers_is_one_run(make_project: MakeProject, openai_server: Any) -> None:
    """Under xdist a run that finished is not continued, and one that was stopped is, whichever worker asked what."""
    pytester = make_project()
    run(pytester, "-n", "2").assert_outcomes(passed=3)
    openai_server.on("peru", openai_server.stream("Cusco"))
    run(pytester, "-n", "2", "-x")
    asked = openai_server.prompts()[3:]

    run(pytester, "-n", "2")

    assert asked
    assert len(openai_server.prompts()) == 6


# -- asked again alone


@pytest.mark.parametrize("workers", [ALONE, ONE_WORKER])
def test_answers_are_asked_again_alone_and_differences_are_reported(
    make_project: MakeProject, openai_server: Any, workers: tuple[str, ...]
) -> None:
    """--llm-check-batching asks some cases a second time, after the run; it changes no record and no exit status."""
    pytester = make_project()
    openai_server.on("peru", openai_server.stream("Lima"), openai_server.stream("Cusco"))

    result = run(pytester, "--llm-check-batching", "3", *workers)

    result.assert_outcomes(passed=3)
    assert result.ret == 0
    assert sorted(openai_server.prompts()) == sorted([*RIGHT, *RIGHT])
    told = " ".join(result.stdout.str().split())
    assert (
        "--llm-check-batching, m: 1 of 3 answers are others when asked alone (few are arithmetic, many a fault): "
        "capitals/peru, sample 0: 'Lima' in the batch, 'Cusco' alone."
    ) in told
    assert samples(pytester)["peru"]["answer"] == "Lima"


# -- what it costs

A_CENT_A_TOKEN = "price = { input_per_million = 0, output_per_million = 10000 }\n"


def priced(make_project: MakeProject, openai_server: Any, tokens: int = 100) -> pytest.Pytester:
    """Make a project whose answers cost a dollar each."""
    pytester = make_project(concurrency=1)
    models = pytester.path / "fixtures" / "models.toml"
    models.write_text(models.read_text() + A_CENT_A_TOKEN)
    for country, capital in RIGHT.items():
        usage = {"prompt_tokens": 3, "completion_tokens": tokens}
        openai_server.on(country, openai_server.stream(capital, usage=usage))
    return pytester


def test_a_plan_sends_nothing(make_project: MakeProject, openai_server: Any) -> None:
    """--llm-plan tells requests, cost, time and what the suite can decide, runs no test, writes nothing, exit 0."""
    pytester = priced(make_project, openai_server)

    result = run(pytester, "--llm-plan")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "=* llmbench plan =*",
            "suite     model  cases  requests  stored  tokens in  out at most  cost at most   time",
            "capitals  m          3         3       0        ~18          768         $7.68  ~17 s",
            "3 requests would be sent, for at most $7.68, in about 17 s. Nothing was sent.",
            "capitals: 3 cases are mostly too few to decide at a margin of 5 points",
            "*no tests ran*",
        ]
    )
    assert openai_server.prompts() == []
    assert sorted(path.name for path in pytester.path.iterdir() if path.name.startswith((".llm", "run"))) == []


def test_a_plan_knows_what_an_interrupted_run_has(make_project: MakeProject, openai_server: Any) -> None:
    """What the store would answer is not counted, and the plan takes nothing from it."""
    pytester = priced(make_project, openai_server)
    openai_server.on("france", openai_server.stream("Lyon"))
    run(pytester, "-x")
    n_asked = len(openai_server.prompts())

    first, second = run(pytester, "--llm-plan"), run(pytester, "--llm-plan")

    lines = [re.search(r"^capitals  m +3 +3 +(\d) .*$", plan.stdout.str(), re.MULTILINE) for plan in (first, second)]
    assert lines[0] is not None
    assert lines[1] is not None
    assert lines[0].group() == lines[1].group()
    n_stored = int(lines[0].group(1))  # what was in flight when -x ended the run was asked for nothing
    assert 1 <= n_stored <= n_asked
    run(pytester)
    assert len(openai_server.prompts()) == n_asked + 3 - n_stored


def test_a_plan_needs_no_workers(make_project: MakeProject) -> None:
    """-n is refused, for it would say everything several times."""
    result = run(make_project(), "--llm-plan", "-n", "2")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --llm-plan asks nothing and needs no workers; leave -n out, or add -n 0."])


def test_asking_stops_at_the_limit_of_cost(make_project: MakeProject, openai_server: Any) -> None:
    """What is not asked is an ERROR that says so; the next run with a higher limit asks only for that."""
    pytester = priced(make_project, openai_server)

    result = run(pytester, "--llm-max-cost", "1.5")

    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == 1
    told = " ".join(result.stdout.str().split())
    assert "not asked: --llm-max-cost 1.5 was reached, the answers of this run cost 2 USD; raise it" in told
    assert (
        "--llm-max-cost 1.5 was reached: the answers of this run cost 2 USD, and 1 request was not sent; raise it, and "
        "the next run asks only for what is missing."
    ) in told
    assert len(openai_server.prompts()) == 2

    run(pytester, "--llm-max-cost", "9").assert_outcomes(passed=3)
    assert len(openai_server.prompts()) == 3


def test_a_limit_of_cost_needs_prices(make_project: MakeProject, openai_server: Any) -> None:
    """A model behind an API without a price is refused before anything is asked."""
    result = run(make_project(), "--llm-max-cost", "5")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ['ERROR: --llm-max-cost needs the price of model "m": add price = {*} in US dollars to its entry, 0 if*']
    )
    assert openai_server.prompts() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--llm-max-cost", "0"), "--llm-max-cost needs a number above 0, not 0."),
        (("--llm-max-cost", "much"), '--llm-max-cost needs a number above 0, not "much".'),
        (
            ("--llm-max-cost", "5", "-n", "2"),
            "--llm-max-cost counts in one process; leave -n out, which models behind an API do not need.",
        ),
    ],
)
def test_a_limit_that_cannot_be_kept_is_a_usage_error(
    make_project: MakeProject, options: tuple[str, ...], message: str
) -> None:
    """It is a number, and counted in one process."""
    result = run(make_project(), *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: {message}" in result.errlines
