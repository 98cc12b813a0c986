"""The gate in pytest: outcomes, exit status, verdicts in every output, usage errors before any model is called."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.results.annotations import Drawn, Mark, add_annotation, annotation_on
from pytest_llmbench.results.run_file import read_run
from pytest_llmbench.values import Outcome

GateProject = Callable[..., pytest.Pytester]

CASES = 100
FAST = ("--benchmark-quiet", "-p", "no:cacheprovider")
SUITE_HEAD = 'suite: sums\ngrader: exact\nprompt:\n  completion: "{{ question }}"\ncases:\n'
BASE = {"wrong": range(10)}
"""The incumbent: nine cases in ten right."""


def answers(*, wrong: Collection[int] = (), missing: Collection[int] = (), slow: float = 1.0) -> str:
    """Give recorded answers to all cases but the missing ones, as JSON lines."""
    rows = (
        {"case": f"c{i}", "answer": "x" if i in wrong else f"{i}", "latency_s": (0.5 + i / 50) * slow}
        for i in range(CASES)
        if i not in missing
    )
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(scope="module")
def bases() -> dict[int | str, str]:
    """Keep the incumbent's run by the number of cases, or by what makes it another: it is the same in every project."""
    return {}


@pytest.fixture
def gated(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, bases: dict[int | str, str]) -> GateProject:
    """Make a project of one suite of 100 cases and models of these names: `gated(new={"wrong": [1]})`; base is there."""
    monkeypatch.setenv("COLUMNS", "1000")  # no line is folded, however long the path of the run

    def make(*, cases: int = CASES, **models: Mapping[str, Any]) -> pytest.Pytester:
        folder = pytester.mkdir("cases")
        rows = (f'  - {{id: c{i}, question: "{i}?", expected: "{i}"}}\n' for i in range(cases))
        (folder / "sums.yaml").write_text(SUITE_HEAD + "".join(rows))
        fixtures = pytester.mkdir("fixtures")
        entries = ""
        for name, made in {"base": BASE, **models}.items():
            (fixtures / f"{name}.jsonl").write_text(answers(**made))
            entries += f'[{name}]\nprovider = "recorded"\nanswers = "{name}.jsonl"\n'
        (fixtures / "models.toml").write_text(entries)
        pytester.makeini("[pytest]\n")
        path = pytester.path / "base.json"
        if cases not in bases:
            options = ("--llm-no-fail", f"--benchmark-json={path}", *FAST)
            assert pytester.runpytest("--llm-model", "base", *options, "cases").ret == 0
            bases[cases] = path.read_text()
        path.write_text(bases[cases])
        return pytester

    return make


def run_new(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest("--llm-model", "new", "--llm-baseline=base.json", *FAST, *options, "cases")


def block(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["llmbench"]
    return found


def gate_lines(result: pytest.RunResult) -> list[str]:
    """Give what stands below the gate's heading, up to the verdict."""
    start = next(place for place, line in enumerate(result.outlines) if " llmbench gate =" in line) + 1
    verdict = next(place for place in range(start, len(result.outlines)) if "verdict: " in result.outlines[place])
    return result.outlines[start : verdict + 1]


# -- verdicts


@pytest.mark.parametrize(
    ("new", "cases", "verdict", "status"),
    [
        ({"wrong": range(10)}, 100, "no worse", 0),
        ({"wrong": range(40)}, 100, "worse", 1),
        ({"wrong": range(10)}, 20, "too few cases", 8),
    ],
    ids=["no worse", "worse", "too few cases"],
)
def test_the_gate_s_verdict_is_the_exit_status(
    gated: GateProject, new: Mapping[str, Any], cases: int, verdict: str, status: int
) -> None:
    """0 for better and no worse, 1 for worse, 8 where it cannot be told; the verdict stands last and in the file."""
    pytester = gated(cases=cases, new=new)

    result = run_new(pytester, "--benchmark-json=new.json")

    assert result.ret == status
    assert gate_lines(result)[-1] == f"verdict: {verdict}"
    gate = block(pytester.path / "new.json")["gate"]
    assert (gate["verdict"], gate["exit_status"]) == (verdict, status)


def test_wrong_answers_of_a_gated_run_fail_no_test(gated: GateProject) -> None:
    """Wrong answers are `w`, JUnit calls them passed with the property outcome=failed; what decides is told at the end."""
    pytester = gated(new={"wrong": range(5, 40)})

    result = run_new(pytester, "--junitxml=run.xml")

    result.stdout.fnmatch_lines(
        [
            "llmbench: new",
            "llmbench gate: against base.json (base, 20??-??-?? ??:??), margin 5 points",
            "cases/sums.yaml .....wwwwwwwwww*",
            "=* llmbench gate =*",
            "sums     worse         90.0% -> 65.0% right on 100 cases (-25.0 points, 90% interval *; margin 5)",
            "  30 got worse: c10, c11, c12, c13, c14, c15, c16, c17, c18, c19, c20, c21 and 18 more",
            "  5 got better: c0, c1, c2, c3, c4",
            "  answers: 65% have the same grade, 65% the same text",
            "latency                per case x1.00 (median of 100 cases, interval x0.89 to x1.12)",
            "  allowing for run-to-run noise of 5% (assumed)",
            "verdict: worse",
            "=* 65 passed, 35 wrong in *",
        ]
    )
    (suite,) = ET.parse(pytester.path / "run.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert sum(one.get("value") == "failed" for one in suite.iterfind("testcase/properties/property")) == 35


def test_x_ignores_wrong_answers_of_a_gated_run_and_lf_takes_them(gated: GateProject) -> None:
    """A gated run with -x asks every case, and --lf runs the wrong ones again."""
    pytester = gated(new={"wrong": range(10)})
    options = ("--llm-model", "new", "--llm-baseline=base.json", "--benchmark-quiet")

    first = pytester.runpytest(*options, "-x", "cases")
    again = pytester.runpytest(*options, "--lf", "--collect-only", "-q", "cases")

    assert first.ret == 0
    first.assert_outcomes(passed=90)
    assert "10 tests collected" in again.stdout.str()


# -- errors and failures


def test_a_case_without_an_answer_is_an_error_and_the_gate_s_to_weigh(gated: GateProject) -> None:
    """One ERROR among 100 cases cannot change the verdict: it is shown as ERROR, and the exit status is the gate's."""
    pytester = gated(new={"wrong": range(10), "missing": [50]})

    result = run_new(pytester, "--junitxml=run.xml")

    assert result.ret == 0
    result.assert_outcomes(passed=89, errors=1)
    assert "  1 case with errors: c50" in gate_lines(result)
    (suite,) = ET.parse(pytester.path / "run.xml").getroot()
    assert (suite.get("failures"), suite.get("errors")) == ("0", "1")


def test_an_error_fails_a_run_without_a_gate(gated: GateProject) -> None:
    """With --llm-no-fail alone nobody weighs an ERROR: exit 1."""
    pytester = gated(new={"missing": [50]})

    result = pytester.runpytest("--llm-model", "new", "--llm-no-fail", *FAST, "cases")

    assert result.ret == 1


def test_a_failed_ordinary_test_is_exit_1_whatever_the_gate_says(gated: GateProject) -> None:
    """The verdict is told all the same."""
    pytester = gated(cases=20, new={"wrong": range(10), "missing": [15]})
    path = pytester.makepyfile("def test_ordinary():\n    assert not 'broken'\n")

    result = run_new(pytester, str(path))

    assert result.ret == 1
    result.assert_outcomes(passed=9, failed=1, errors=1)
    assert gate_lines(result)[-1] == "verdict: too few cases"


def test_an_error_of_a_fixture_is_no_unknown_answer(gated: GateProject) -> None:
    """A fixture that breaks fails the run: the case has its answer, and the gate has nothing to weigh."""
    pytester = gated(new={"wrong": range(10)})
    path = pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def broken():
            raise OSError("no disk")

        @pytest.mark.llm_suite("cases/sums.yaml")
        def test_sums(broken, llm_grade):
            assert llm_grade.passed
        """
    )

    result = pytester.runpytest("--llm-model", "new", "--llm-baseline=base.json", *FAST, "-k", "c50-", str(path))

    assert result.ret == 1
    result.assert_outcomes(errors=1, deselected=99)


def test_in_a_python_test_the_failed_grade_alone_is_forgiven(gated: GateProject) -> None:
    """Of a marked test only an AssertionError whose llm_grade failed becomes `w`; one on a right answer fails the run."""
    pytester = gated(new={"wrong": range(10)})
    path = pytester.makepyfile(
        """
        import pytest

        @pytest.mark.llm_suite("cases/sums.yaml")
        def test_sums(llm_case, llm_grade):
            assert llm_grade.passed and llm_case.id != "c50"
        """
    )
    options = ("--llm-model", "new", "--llm-baseline=base.json", *FAST)

    whole = pytester.runpytest(*options, str(path))
    without = pytester.runpytest(*options, "--deselect", f"{path.name}::test_sums[c50-new]", str(path))

    whole.assert_outcomes(passed=89, failed=1)
    assert (whole.ret, without.ret) == (1, 0)


# -- runs that are not whole


def test_a_run_stopped_by_x_is_not_judged_as_if_whole(gated: GateProject, capsys: pytest.CaptureFixture[str]) -> None:
    """-x stops at an ERROR; what was answered says nothing about the rest: exit 8, in the run and by its file."""
    pytester = gated(cases=20, new={"missing": [15]})

    result = run_new(pytester, "-x", "--benchmark-json=new.json")

    assert result.ret == 8
    assert gate_lines(result) == [
        "not judged: the run ended before its time (stopping after 1 failures)",
        "verdict: inconclusive",
    ]
    gate = block(pytester.path / "new.json")["gate"]
    assert gate["not_judged"] == "the run ended before its time (stopping after 1 failures)"
    assert "suites" not in gate
    assert block(pytester.path / "new.json")["stopped"] == gate["not_judged"]
    capsys.readouterr()
    assert main(["compare", "base.json", "new.json"]) == 8
    told = capsys.readouterr().out
    assert "the candidate ended early: the run ended before its time (stopping after 1 failures)" in told
    assert told.splitlines()[-1] == "verdict: inconclusive"


def test_a_model_that_answers_nothing_is_exit_1_and_so_are_its_files(
    gated: GateProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """A suite without any answer is no undecided gate: not judged, exit 1, in the run and in a comparison of its file."""
    pytester = gated(cases=20, new={"missing": range(20)})

    result = run_new(pytester, "--benchmark-json=new.json")

    assert result.ret == 1
    not_judged, verdict = gate_lines(result)
    assert not_judged.startswith('not judged: new could not be asked (no recorded answer for case "c0"')
    assert verdict == "verdict: inconclusive"
    gate = block(pytester.path / "new.json")["gate"]
    assert (gate["exit_status"], f"not judged: {gate['not_judged']}") == (1, not_judged)
    capsys.readouterr()
    assert main(["compare", "base.json", "new.json"]) == 1
    assert not_judged in capsys.readouterr().out
    assert main(["compare", "new.json", "base.json"]) == 1
    assert "not judged: the baseline's new could not be asked" in capsys.readouterr().out


def test_a_refused_key_is_exit_1(gated: GateProject, openai_server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends the run at its first case, which is no undecided gate either: not in the run, nor by its file."""
    pytester = gated(cases=20)
    models = pytester.path / "fixtures" / "models.toml"
    entry = f'[new]\nprovider = "openai"\nmodel = "x"\nbase_url = "{openai_server.url}"\napi = "completions"\n'
    models.write_text(models.read_text() + entry + "max_retries = 0\n")
    for case in range(20):
        openai_server.on(f"{case}?", openai_server.refuse(401, "Incorrect API key provided"))

    result = run_new(pytester, "--benchmark-json=new.json", "--llm-answers=off")

    assert result.ret == 1
    assert gate_lines(result)[0].startswith("not judged: new could not be asked (")
    assert "Incorrect API key" in block(pytester.path / "new.json")["broken"]["new"]
    capsys.readouterr()
    assert main(["compare", "base.json", "new.json"]) == 1


def test_more_errors_than_usual_are_tolerated_on_request(gated: GateProject) -> None:
    """Three of a hundred cases without an answer take a pass, unless as many are expected."""
    pytester = gated(new={"missing": [50, 51, 52]})

    result = run_new(pytester, "--llm-margin=15", "--llm-max-errors=0.05")

    assert result.ret == 0


def test_x_at_the_last_case_has_stopped_nothing(gated: GateProject) -> None:
    """A run whose last case is the ERROR that -x stops at is whole, and judged."""
    pytester = gated(new={"wrong": range(10), "missing": [99]})

    result = run_new(pytester, "-x")

    assert result.ret == 0
    assert gate_lines(result)[-1] == "verdict: no worse"


@pytest.mark.slow
def test_an_interrupted_run_is_not_judged(gated: GateProject) -> None:
    """Ctrl-C is exit 2, and the file says why there is no verdict."""
    pytester = gated(new={})
    pytester.makeconftest(
        "import os, signal\n"
        "def pytest_runtest_logreport(report):\n"
        "    if report.when == 'teardown' and 'c70' in report.nodeid:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
    )

    result = pytester.runpytest_subprocess(
        "--llm-model", "new", "--llm-baseline=base.json", "--benchmark-json=new.json", *FAST, "cases"
    )

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert gate_lines(result) == [
        "not judged: the run ended before its time (interrupted)",
        "verdict: inconclusive",
    ]
    assert block(pytester.path / "new.json")["gate"]["verdict"] == "inconclusive"


def test_a_gated_run_without_any_case_is_undecided(gated: GateProject) -> None:
    """Where only ordinary tests are left a gate has seen nothing, and does not pass."""
    pytester = gated()
    path = pytester.makepyfile("def test_ordinary():\n    pass\n")

    result = pytester.runpytest("--llm-model", "base", "--llm-baseline=base.json", *FAST, str(path))

    assert result.ret == 8
    assert gate_lines(result)[-2:] == ["not judged: no case was run", "verdict: inconclusive"]


@pytest.mark.parametrize("option", ["--collect-only", "--setup-plan"])
def test_what_runs_no_case_is_not_gated(gated: GateProject, option: str) -> None:
    """Looking at what would run exits 0 and has no verdict."""
    result = run_new(gated(cases=20, new={}), option)

    assert result.ret == 0
    result.stdout.no_fnmatch_line("*verdict*")


def test_selection_leaves_cases_out_by_name(gated: GateProject) -> None:
    """A gate over a part of the cases says so."""
    result = run_new(gated(new={"wrong": range(10)}), "--llm-limit=60")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["  compared 60 of 100 cases, 40 only in the baseline: c60, c61, *"])


def test_pytest_s_own_exit_status_goes_first(gated: GateProject) -> None:
    """Too many warnings are pytest's 6, though the gate could not decide."""
    pytester = gated(cases=20, new={"wrong": range(10)})
    path = pytester.makepyfile("import warnings\ndef test_warns():\n    warnings.warn('old')\n")

    result = pytester.runpytest_subprocess(
        "--llm-model", "new", "--llm-baseline=base.json", "--max-warnings=0", *FAST, str(path), "cases"
    )

    assert result.ret == 6
    assert gate_lines(result)[-1] == "verdict: too few cases"


# -- the same as the command


PAIRS: Mapping[str, tuple[Mapping[str, Any], tuple[str, ...]]] = {
    "slower": ({"wrong": range(10), "slow": 1.6}, ("--llm-latency-margin=1.25",)),
    "more samples allowed": ({"wrong": range(10)}, ("--llm-samples=2", "--llm-allow-different=samples")),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_the_command_says_the_same_of_the_files(
    gated: GateProject, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`llmbench compare` of the baseline and the run's own file gives verdict, exit status and all numbers alike."""
    new, options = PAIRS[pair]
    pytester = gated(new=new)

    result = run_new(pytester, "--benchmark-json=new.json", *options)

    capsys.readouterr()
    same = [option.replace("--llm-", "--") for option in options if "samples=" not in option]
    status = main(["compare", "base.json", "new.json", "--format=json", *same])
    said = json.loads(capsys.readouterr().out)
    gate = block(pytester.path / "new.json")["gate"]
    assert (result.ret, gate["verdict"]) == (status, said["verdict"])
    assert {name: gate[name] for name in said} == said


def test_several_models_are_each_judged_against_their_own_role(
    gated: GateProject, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two roles give two verdicts, the gravest decides, and the command says the same."""
    pytester = gated(new={"wrong": range(40)})
    both = ("--benchmark-quiet", "-p", "no:cacheprovider", "cases")
    pytester.runpytest(
        "--llm-model", "a=base", "--llm-model", "b=base", "--llm-no-fail", "--benchmark-json=two.json", *both
    )

    result = pytester.runpytest(
        "--llm-model", "a=base", "--llm-model", "b=new", "--llm-baseline=two.json", "--benchmark-json=now.json", *both
    )

    capsys.readouterr()
    assert (result.ret, main(["compare", "two.json", "now.json", "--format=json"])) == (1, 1)
    said = json.loads(capsys.readouterr().out)
    gate = block(pytester.path / "now.json")["gate"]
    assert {suite["role"]: suite["verdict"] for suite in gate["suites"]} == {"a": "no worse", "b": "worse"}
    assert {name: gate[name] for name in said} == said


@pytest.mark.slow
def test_xdist_gives_the_same_verdicts(gated: GateProject) -> None:
    """With -n 2 the controller judges: exit status, file, JUnit and text are those of a serial run."""
    pytester = gated(new={"wrong": range(40), "missing": [50]})

    serial = run_new(pytester, "--benchmark-json=serial.json", "--junitxml=serial.xml")
    parallel = run_new(pytester, "-n", "2", "--benchmark-json=parallel.json", "--junitxml=parallel.xml")

    assert (serial.ret, parallel.ret) == (1, 1)
    assert gate_lines(parallel) == gate_lines(serial)
    assert block(pytester.path / "parallel.json")["gate"] == block(pytester.path / "serial.json")["gate"]
    properties = [
        [
            (one.get("name"), one.get("value"))
            for one in ET.parse(pytester.path / name).iterfind("*/properties/property")
        ]
        for name in ("serial.xml", "parallel.xml")
    ]
    assert properties[0] == properties[1]
    assert properties[0][:3] == [
        ("llmbench.verdict", "worse"),
        ("llmbench.baseline", "base.json"),
        ("llmbench.verdict.sums[new]", "worse"),
    ]


# -- minimum scores


@pytest.mark.parametrize(
    ("floors", "status", "line"),
    [
        (["0.91"], 1, "sums  worse         minimum score 91.0% missed: 90.0% on 100 cases (errors count as wrong)"),
        (["0.99", "sums=0.5"], 0, "sums  no worse      minimum score 50.0% reached: 90.0% on 100 cases *"),
    ],
)
def test_a_minimum_score_is_a_gate_of_its_own(gated: GateProject, floors: list[str], status: int, line: str) -> None:
    """Without a baseline the suite's score must reach it; wrong answers fail no test; a suite's own goes first."""
    pytester = gated()

    options = [f"--llm-min-score={floor}" for floor in floors]
    result = pytester.runpytest("--llm-model", "base", "--benchmark-json=run.json", *options, *FAST, "cases")

    assert result.ret == status
    result.stdout.fnmatch_lines(["*wwwwwwwwww....*", line, f"verdict: {'worse' if status else 'no worse'}"])
    gate = block(pytester.path / "run.json")["gate"]
    (found,) = gate["min_scores"]
    assert (found["score"], found["reached"], gate["baselines"]) == (0.9, not status, [])


# -- baselines


def test_latest_is_the_newest_saved_run_and_never_the_run_itself(gated: GateProject) -> None:
    """`latest` is taken before this run is saved, from the storage that pytest-benchmark uses."""
    pytester = gated(new={"wrong": range(40)})
    saving = ("--benchmark-autosave", "--benchmark-storage=saved", *FAST)
    pytester.runpytest("--llm-model", "m=base", "--llm-no-fail", *saving, "cases")

    first = pytester.runpytest("--llm-model", "m=new", "--llm-baseline=latest", *saving, "cases")
    second = pytester.runpytest("--llm-model", "m=new", "--llm-baseline=latest", *saving, "cases")

    assert (first.ret, second.ret) == (1, 0)
    first.stdout.fnmatch_lines(["llmbench gate: against saved/*/0001_*.json (m=base, *"])
    second.stdout.fnmatch_lines(["llmbench gate: against saved/*/0002_*.json (m=new, *"])


def test_latest_passes_over_what_is_no_run_of_ours(gated: GateProject) -> None:
    """A newer plain benchmark in the storage is no baseline."""
    pytester = gated()
    pytester.runpytest("--llm-model", "base", "--llm-no-fail", "--benchmark-autosave", *FAST, "cases")
    path = pytester.makepyfile("def test_plain(benchmark):\n    benchmark.pedantic(int)\n")
    pytester.runpytest("--benchmark-autosave", *FAST, str(path))

    result = pytester.runpytest("--llm-model", "base", "--llm-baseline=latest", *FAST, "cases")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["llmbench gate: against .benchmarks/*/0001_*.json (base, *"])


def test_the_newest_of_several_baselines_is_compared_and_the_older_pooled(gated: GateProject) -> None:
    """Whatever their order on the command line."""
    pytester = gated(new={"wrong": range(10)})
    older = pytester.path / "older.json"
    older.write_text((pytester.path / "base.json").read_text().replace('"datetime": "20', '"datetime": "19'))

    result = pytester.runpytest(
        "--llm-model", "new", "--llm-baseline=older.json", "--llm-baseline=base.json", *FAST, "-v", "cases"
    )

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "llmbench gate: against base.json (base, 20*), pooled with 1 older run, margin 5 points",
            "  answers of 1 older run of the baseline are pooled",
        ]
    )


def test_options_may_stand_in_the_ini_file(gated: GateProject) -> None:
    """Each has an ini twin, its paths relative to the ini file; a minimum for a suite that is not run waits."""
    pytester = gated(new={"wrong": range(40)})
    pytester.makeini(
        "[pytest]\n"
        "llm_model = new\n"
        "llm_baseline =\n  base.json\n"
        "llm_margin = 60\n"
        "llm_min_score =\n  sums=0.5\n  jokes=0.9\n"
    )
    below = pytester.mkdir("below")

    plain = pytester.runpytest("--rootdir", str(pytester.path), *FAST, "cases")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(below)
        narrow = pytester.runpytest("--llm-margin=5", *FAST, "../cases")

    assert (plain.ret, narrow.ret) == (0, 1)
    plain.stdout.fnmatch_lines(
        ["llmbench gate: against base.json (*), margin 60 points, minimum score of sums 50.0%, *"]
    )


# -- usage errors


PLAIN = {"benchmarks": [], "datetime": "2026-01-01"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "new.json: there is no such file; write one with pytest --benchmark-json=new.json."),
        ("{", "new.json:1: this is not JSON, or it was cut off*"),
        (PLAIN, "new.json: this is a plain pytest-benchmark file; only runs with --llm-model can be read here."),
        (
            {**PLAIN, "llmbench": {"schema": 99}},
            "new.json: this file has schema 99, this pytest-llmbench reads up to 2; update it.",
        ),
        (
            {**PLAIN, "llmbench": {"schema": 1}},
            "new.json: this run has no records to compare with; run its suites again.",
        ),
    ],
    ids=["missing", "cut off", "plain", "newer", "empty"],
)
def test_a_baseline_that_cannot_be_used_ends_the_run_before_it_begins(
    gated: GateProject, content: Mapping[str, Any] | str | None, message: str
) -> None:
    """Exit 4 with a sentence, and nothing is asked."""
    pytester = gated(cases=20, new={})
    if content is not None:
        (pytester.path / "new.json").write_text(content if isinstance(content, str) else json.dumps(content))

    result = pytester.runpytest("--llm-model", "new", "--llm-baseline=new.json", *FAST, "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    result.stdout.no_fnmatch_line("*passed*")


@pytest.mark.slow
def test_a_baseline_that_shares_no_case_ends_the_run_before_it_begins(gated: GateProject) -> None:
    """Exit 4 with what the baseline has, before any model is called; with -n, where workers find out, it is the same."""
    message = (
        "base.json shares no case with this run: 20 were changed since (their digests differ). Run the baseline's model "
        "again on the present suites."
    )
    pytester = gated(cases=20, new={})
    path = pytester.path / "base.json"
    path.write_text(path.read_text().replace('"case_sha256": "', '"case_sha256": "0'))

    serial = run_new(pytester)
    parallel = run_new(pytester, "-n", "2", "--benchmark-json=new.json")

    assert (serial.ret, parallel.ret) == (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.USAGE_ERROR)
    serial.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert message.removeprefix("base.json") in parallel.stdout.str()
    parallel.stdout.no_fnmatch_line("*passed*")
    parallel.stdout.no_fnmatch_line("*llmbench gate =*")
    assert not (pytester.path / "new.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--llm-baseline=latest"], ".benchmarks: there is no run to compare with; save one with pytest *"),
        (["--llm-baseline=base.json", "--llm-baseline=./base.json"], "*base.json: this baseline is named twice; *"),
        (["--llm-baseline=base.json", "--benchmark-json=base.json"], "--benchmark-json=base.json would write over *"),
        (["--llm-baseline=base.json", "--llm-report=base.json"], "--llm-report *base.json: this would overwrite *"),
        (["--llm-baseline=base.json", "--llm-summary=base.json"], "--llm-summary *base.json: this would overwrite *"),
        (
            ["--llm-margin=0"],
            '--llm-margin needs points of score above 0 and below 100, not "0"; a loss of nothing at all cannot be shown*',
        ),
        (["--llm-latency-margin=1"], '--llm-latency-margin needs a ratio above 1, such as 1.25, not "1".'),
        (["--llm-min-score=80"], '--llm-min-score needs a share from 0 to 1, as 0.8 or SUITE=0.8, not "80".'),
        (
            ["--llm-min-score=sum=0.8"],
            'there is no suite "sum" to hold to a minimum score; this run has: sums. Did you mean "sums"?',
        ),
        (["--llm-allow-different=all"], '--llm-allow-different knows prompt, grader, *, not "all".'),
        (
            ["--llm-baseline=base.json", "--llm-model=second=base"],
            "the runs have no role in common (baseline: base; candidate: new, second); give the candidate a role *",
        ),
    ],
)
def test_a_fault_of_the_gate_s_options_ends_the_run_before_it_begins(
    gated: GateProject, options: list[str], message: str
) -> None:
    """Exit 4 with what is wrong and the way out."""
    pytester = gated(new={})
    baseline = (pytester.path / "base.json").read_bytes()

    result = pytester.runpytest("--llm-model", "new", *options, *FAST, "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    result.stdout.no_fnmatch_line("*passed*")
    assert (pytester.path / "base.json").read_bytes() == baseline


def test_a_case_met_twice_counts_once(gated: GateProject) -> None:
    """A suite file and a Python test of it ask each case twice; every figure counts one, and the file is a baseline."""
    pytester = gated(new={"wrong": range(10)})
    path = pytester.makepyfile(
        "import pytest\n@pytest.mark.llm_suite('cases/sums.yaml')\ndef test_sums(llm_grade):\n    assert llm_grade.passed\n"
    )

    result = run_new(pytester, str(path), "--benchmark-json=new.json")

    assert result.ret == 0
    result.stdout.fnmatch_lines(["sums   new      100      90  90.0% *", "sums     no worse *on 100 cases*"])
    run = read_run(pytester.path / "new.json")
    assert (len(run.records), len(run.twins)) == (100, 100)
    assert {twin.twin_of for twin in run.twins if twin.case == "c0"} == {f"{path.name}::test_sums[c0-new]"}
    assert block(pytester.path / "new.json")["totals"]["records"] == 100
    again = pytester.runpytest("--llm-model", "new", "--llm-baseline=new.json", *FAST, "cases")
    assert again.ret == 0


# -- how much is told


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        (["-qq"], ["verdict: no worse"]),
        (
            ["-q"],
            [
                "sums     no worse      90.0% -> 90.0% right on 100 cases (+0.0 points, *",
                "latency                per case x1.00 (median of 100 cases, interval x0.89 to x1.12)",
                "verdict: no worse",
            ],
        ),
    ],
)
def test_q_shortens_what_the_gate_says(gated: GateProject, options: list[str], lines: list[str]) -> None:
    """-q leaves the details out, -qq all but the verdict."""
    result = run_new(gated(new={"wrong": range(10)}), *options)

    found = gate_lines(result) if options == ["-q"] else result.outlines[-1:]
    assert len(found) == len(lines)
    result.stdout.fnmatch_lines(lines)


def test_v_shows_both_answers_of_what_moved(gated: GateProject) -> None:
    """With -v the answers of both sides stand below the cases that changed."""
    result = run_new(gated(new={"wrong": range(11)}), "-v")

    result.stdout.fnmatch_lines(
        [
            "  1 got worse: c10",
            "    c10",
            "      baseline   10 [[]correct[]]",
            "      candidate  x [[]different[]]",
        ],
        consecutive=True,
    )


# -- graders that people must agree with


def ask_for_trust(pytester: pytest.Pytester) -> None:
    suite = pytester.path / "cases" / "sums.yaml"
    suite.write_text(suite.read_text() + "trust: {kappa: 0.4}\n")


def write_verdicts(pytester: pytest.Pytester) -> None:
    """Write what a person says of the baseline's answers: what the grader says."""
    for record in read_run(pytester.path / "base.json").records:
        said = Mark.PASS if record.outcome is Outcome.PASSED else Mark.FAIL
        answer = record.samples[0].answer or ""
        verdict = annotation_on(record, answer, said, by="ann", at="", drawn=Drawn.RANDOM)
        add_annotation(pytester.path / "verdicts.jsonl", verdict)


def test_a_suite_whose_grader_nobody_trusts_is_advice_only(gated: GateProject) -> None:
    """Its verdict is shown as advice, in every output, and decides nothing; `llmbench compare` says the same."""
    pytester = gated(new={"wrong": range(40)})
    ask_for_trust(pytester)
    allowed = "--llm-allow-different=gate"

    result = run_new(pytester, "--benchmark-json=new.json", "--junitxml=run.xml", "--llm-min-score=0.9", allowed)

    assert result.ret == 8
    result.stdout.fnmatch_lines(
        [
            "sums     worse         (advice only) 90.0% -> 60.0% right on 100 cases *",
            "  advice only, not part of the overall verdict: these answers have no annotations (write some with llmbench review RUN.json), and the suite *",
            "sums     worse         (advice only) minimum score 90.0% missed: 60.0% on 100 cases (errors count as wrong)",
            "verdict: inconclusive",
        ]
    )
    gate = block(pytester.path / "new.json")["gate"]
    assert gate["suites"][0]["advice_only"].startswith("these answers have no annotations")
    assert gate["min_scores"][0]["advice_only"].startswith("these answers have no annotations")
    assert 'name="llmbench.advice_only.sums[new]"' in (pytester.path / "run.xml").read_text()
    assert main(["compare", "base.json", "new.json", "--allow-different=gate"]) == 8


def test_a_grader_that_people_agree_with_gates(gated: GateProject) -> None:
    """With verdicts in the root directory the suite decides, in pytest and in `llmbench compare`."""
    pytester = gated(new={"wrong": range(40)})
    ask_for_trust(pytester)
    write_verdicts(pytester)

    result = run_new(pytester, "--benchmark-json=new.json", "--llm-allow-different=gate")

    assert result.ret == 1
    result.stdout.no_fnmatch_line("*advice only*")
    assert main(["compare", "base.json", "new.json", "--allow-different=gate"]) == 1
    pytester.path.joinpath("nothing.jsonl").touch()
    assert main(["compare", "base.json", "new.json", "--verdicts=nothing.jsonl", "--allow-different=gate"]) == 8


def test_a_verdict_that_cannot_be_read_is_told(gated: GateProject) -> None:
    """A broken line of the file is left out, and each run that is gated says which."""
    pytester = gated(cases=20, new={"wrong": range(10)})
    write_verdicts(pytester)
    path = pytester.path / "verdicts.jsonl"
    path.write_text("nonsense\n" + path.read_text())

    result = run_new(pytester)

    result.stdout.fnmatch_lines([f"llmbench: {path}:1: this line is not an annotation and is left out: not JSON *"])


# -- how a suite takes part


def set_gate(pytester: pytest.Pytester, word: str) -> None:
    """Write `gate:` into the suite, in place of what stands there."""
    path = pytester.path / "cases" / "sums.yaml"
    lines = [line for line in path.read_text().splitlines(keepends=True) if not line.startswith("gate:")]
    path.write_text(f"gate: {word}\n" + "".join(lines))


def test_a_broken_rule_of_a_smoke_suite_is_named_with_q(gated: GateProject) -> None:
    """Twenty cases decide: nothing is statistical in it. -q names the cases that broke the rule, and no other detail."""
    pytester = gated(cases=20, new={"wrong": range(11)})
    set_gate(pytester, "smoke")

    result = run_new(pytester, "--benchmark-json=new.json", "-q")

    assert result.ret == 1
    lines = result.stdout.lines
    first = next(place for place, line in enumerate(lines) if "smoke: " in line)
    assert lines[first + 1 : lines.index("verdict: worse") - 1] == ["  c10 passed and now fails"]
    (suite,) = block(pytester.path / "new.json")["gate"]["suites"]
    assert (suite["method"], suite["verdict"]) == ("smoke", "worse")


def test_a_smoke_case_that_is_gone_from_its_file(gated: GateProject) -> None:
    """What the baseline had must be in the file."""
    pytester = gated(cases=20, new={"wrong": range(10)})
    set_gate(pytester, "smoke")
    path = pytester.path / "cases" / "sums.yaml"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "id: c15," not in line))

    result = run_new(pytester)

    assert result.ret == 1
    assert "  c15 is no longer in the suite" in gate_lines(result)


@pytest.mark.parametrize("option", ["--llm-limit=12", "-kc1"])
def test_a_smoke_case_that_was_not_selected_is_not_gone(gated: GateProject, option: str) -> None:
    """-k and --llm-limit leave cases out of a run, not out of the suite."""
    pytester = gated(cases=20, new={"wrong": range(10)})
    set_gate(pytester, "smoke")

    assert run_new(pytester, option).ret == 0


def test_advice_cannot_be_switched_on_unseen(gated: GateProject) -> None:
    """A weaker gate than the baseline's is inconclusive until it is allowed."""
    pytester = gated(cases=20, new={"wrong": range(20)})
    set_gate(pytester, "advice")

    unseen = run_new(pytester)

    assert unseen.ret == 8
    assert any("gate differs: `statistical` -> `advice`" in line for line in gate_lines(unseen))


def test_a_suite_that_cannot_pass_is_named_at_the_start(gated: GateProject) -> None:
    """Twenty cases cannot pass an unchanged model at five points; the line has both ways out, once."""
    pytester = gated(cases=20, new={"wrong": range(10)})

    result = run_new(pytester)

    (line,) = [line for line in result.outlines if "cannot pass an unchanged model" in line]
    assert line.startswith('llmbench gate: suite "sums" has 20 cases')
    assert "add cases up to 59 or more, or set `gate: smoke`" in line


# -- usage errors in a CI step


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--llm-margin=0"], "needs points of score above 0"),
        (["--llm-baseline=gone.json"], "gone.json: there is no such file"),
        (["--llm-min-score=other=0.5"], 'there is no suite "other"'),
    ],
)
def test_a_usage_error_stands_in_the_step_summary(
    gated: GateProject, monkeypatch: pytest.MonkeyPatch, options: list[str], words: str
) -> None:
    """Exit 4, from an option, the baseline or the plan, leaves its error where a CI shows the results."""
    pytester = gated(cases=20, new={})
    step = pytester.path / "step.md"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))

    result = run_new(pytester, *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    page = step.read_text()
    assert page.startswith("before\n## llmbench: usage error\n\n")
    assert words in page.replace("\\", "")  # what Markdown would read is escaped


# -- what a pull request may change

MUST = """\
suite: must
gate: smoke
grader: exact
prompt:
  completion: "{{ question }}"
cases:
  - {id: c1, question: "1?", expected: "1"}
  - {id: c2, question: "2?", expected: "2"}
"""


@pytest.fixture
def two_suites(gated: GateProject, bases: dict[int | str, str]) -> pytest.Pytester:
    """Make the project with a smoke suite beside the other, in the baseline too; the candidate is as good."""
    pytester = gated(cases=20, new={})
    set_gate(pytester, "smoke")
    (pytester.path / "cases" / "must.yaml").write_text(MUST)
    path = pytester.path / "base.json"
    if MUST not in bases:
        options = ("--llm-no-fail", "--benchmark-json=base.json", *FAST)
        assert pytester.runpytest("--llm-model", "base=new", *options, "cases").ret == 0
        bases[MUST] = path.read_text()
    path.write_text(bases[MUST])
    return pytester


def gone(path: Path) -> None:
    path.unlink()


def no_suite(path: Path) -> None:
    path.write_text(MUST.replace("suite: must", "name: must"))


@pytest.mark.parametrize("edit", [gone, no_suite])
def test_a_smoke_suite_that_is_gone_is_worse(
    two_suites: pytest.Pytester, edit: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its file removed, renamed within, or no suite any more: 1, in the run and by its file."""
    edit(two_suites.path / "cases" / "must.yaml")

    result = run_new(two_suites, "--benchmark-json=new.json")

    assert result.ret == 1
    assert "  the suite is gone, with the 2 cases that the baseline had" in gate_lines(result)
    capsys.readouterr()
    assert main(["compare", "base.json", "new.json"]) == 1
    assert "the suite is gone" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options",
    [("-k", "sums"), ("--deselect=cases/must.yaml",), ("--ignore=cases/must.yaml",)],
)
def test_a_smoke_suite_that_was_not_selected_is_not_gone(
    two_suites: pytest.Pytester, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """What selection left out is named, and does not block, in the run and by its file."""
    result = run_new(two_suites, "--benchmark-json=new.json", *options)

    assert result.ret == 0
    assert any("must [new]: 2 only in the baseline" in line for line in gate_lines(result))
    capsys.readouterr()
    assert main(["compare", "base.json", "new.json"]) == 0


def test_a_smoke_suite_outside_of_the_given_paths_is_not_gone(two_suites: pytest.Pytester) -> None:
    """A run of another suite's file says nothing of it, though its own file was removed."""
    gone(two_suites.path / "cases" / "must.yaml")
    options = ("--llm-model", "new", "--llm-baseline=base.json", *FAST)

    assert two_suites.runpytest(*options, "cases/sums.yaml").ret == 0


@pytest.mark.slow
def test_a_smoke_suite_that_is_gone_is_worse_with_workers_too(two_suites: pytest.Pytester) -> None:
    """With -n workers find the suites, and the controller decides."""
    gone(two_suites.path / "cases" / "must.yaml")

    assert run_new(two_suites, "-n1").ret == 1


def test_a_changed_prompt_is_inconclusive_and_names_what_allows_it(gated: GateProject) -> None:
    """Exit 8, also with -q, and with the option that the output names it is compared all the same."""
    pytester = gated(new={"wrong": range(10)})
    path = pytester.path / "cases" / "sums.yaml"
    path.write_text(path.read_text().replace("{{ question }}", "Sum: {{ question }}"))

    result = run_new(pytester, "-q")
    allowed = run_new(pytester, "-q", "--llm-allow-different=prompt")

    assert (result.ret, allowed.ret) == (8, 0)
    assert any("--llm-allow-different prompt" in line for line in gate_lines(result))
    assert gate_lines(result)[-1] == "verdict: inconclusive"


# -- a model that cannot be asked

DEAD = [
    pytest.param(
        'provider = "openai"\nmodel = "x"\nbase_url = "http://127.0.0.1:9/v1"\nmax_retries = 0\n', id="a dead server"
    ),
    pytest.param(
        'provider = "transformers"\nmodel = "./weights"\n', id="weights that do not load", marks=pytest.mark.slow
    ),
]


@pytest.mark.parametrize("entry", DEAD)
def test_a_model_that_cannot_be_asked_is_exit_1(gated: GateProject, entry: str) -> None:
    """Neither undecided nor a pass: not judged, with the cause, under -q too."""
    pytester = gated(cases=20)
    models = pytester.path / "fixtures" / "models.toml"
    models.write_text(f"{models.read_text()}[new]\n{entry}")
    weights = pytester.path / "fixtures" / "weights"
    weights.mkdir()
    (weights / "config.json").write_text('{"model_type": "gpt2"}')
    (weights / "model.safetensors").write_bytes(b"cut off")
    suite = pytester.path / "cases" / "sums.yaml"
    suite.write_text(
        suite.read_text().replace("prompt:\n", 'prompt:\n  chat: [{role: user, content: "{{ question }}"}]\n')
    )

    result = run_new(pytester, "-q", "--llm-answers=off")

    assert result.ret == 1
    assert gate_lines(result)[0].startswith("not judged: new could not be asked (")
    assert gate_lines(result)[-1] == "verdict: inconclusive"
