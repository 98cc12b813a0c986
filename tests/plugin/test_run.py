"""A run as its user sees it: outcomes, texts, exit status."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

Project = Callable[..., pytest.Pytester]

WRONG_PERU = (
    {"case": "france", "answer": "Paris", "latency_s": 0.25},
    {"case": "peru", "answer": "Cusco", "latency_s": 0.5},
    {"case": "kenya", "answer": "Nairobi", "latency_s": 0.75},
)
NO_PERU = (WRONG_PERU[0], WRONG_PERU[2])
QUIET = ("--benchmark-quiet",)


def test_right_answers_pass(project: Project) -> None:
    """A case whose answer is graded as passed is a passed test, and the scoreboard sums them up."""
    result = project().runpytest("--llm-model", "old", *QUIET, "cases")

    result.assert_outcomes(passed=3)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "llmbench: old",
            "cases/capitals.yaml ... *",
            "=* llmbench =*",
            "suite     model  cases   score  95% interval    p50    p95  errors",
            "capitals  old        3  100.0%    43.9-100.0  0.50s  0.72s       0",
        ]
    )


def test_a_wrong_answer_fails_its_test_and_tells_the_story(project: Project) -> None:
    """A failed test shows reason, question, answer, what was expected and the place, and no frame of the plugin."""
    result = project(WRONG_PERU).runpytest("--llm-model", "old", *QUIET, "cases")

    result.assert_outcomes(passed=2, failed=1)
    assert result.ret == 1
    shown = result.outlines[
        result.outlines.index(next(line for line in result.outlines if "capitals peru (old)" in line)) :
    ]
    assert shown[1:7] == [
        'different: Expected "Lima", found "Cusco".',
        "  question  Capital of Peru?",
        "  answer    Cusco",
        "  expected  Lima",
        "  case      cases/capitals.yaml:7",
        shown[6],
    ]
    assert "llmbench =" in shown[6]
    result.stdout.fnmatch_lines(["FAILED cases/capitals.yaml::peru[[]old[]] - different: Expected*"])


def test_with_tb_line_a_failure_is_one_line_with_its_place(project: Project) -> None:
    """As pytest has it for any failure, so that editors find the case; whole, and without the story."""
    result = project(WRONG_PERU).runpytest("--llm-model", "old", "--tb=line", *QUIET, "cases")

    assert 'cases/capitals.yaml:7: different: Expected "Lima", found "Cusco".' in result.outlines
    result.stdout.no_fnmatch_line("*Capital of Peru?*")


def test_a_wrong_answer_is_shown_as_w_where_the_run_does_not_fail_for_it(project: Project) -> None:
    """With --llm-no-fail a wrong answer is `w`, a passed report for JUnit with the property outcome=failed, exit 0."""
    pytester = project(WRONG_PERU)

    result = pytester.runpytest("--llm-model", "old", "--llm-no-fail", "--junitxml=run.xml", *QUIET, "cases")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["cases/capitals.yaml .w. *", "capitals old: 2 correct, 1 different", "*2 passed, 1 wrong in*"]
    )
    junit = (pytester.path / "run.xml").read_text()
    assert 'failures="0"' in junit
    assert '<property name="outcome" value="failed" />' in junit


def test_x_ignores_a_wrong_answer_that_fails_nothing_and_lf_takes_it(project: Project) -> None:
    """A `w` does not stop the run at -x, and is run again by --lf until it is right."""
    pytester = project(WRONG_PERU)
    options = ("--llm-model", "old", "--llm-no-fail", "cases")

    first = pytester.runpytest(*options, "-x")
    again = pytester.runpytest(*options, "--lf")
    right = pytester.path / "fixtures" / "old.jsonl"
    right.write_text(right.read_text().replace("Cusco", "Lima"))
    pytester.runpytest(*options, "--lf")

    first.stdout.fnmatch_lines(["*2 passed, 1 wrong in*"])
    again.stdout.fnmatch_lines(["run-last-failure: rerun previous 1 failure", "*= 1 wrong in*"])
    last = pytester.runpytest(*options, "--lf")
    last.stdout.fnmatch_lines(["run-last-failure: no previously failed tests, not deselecting items."])


def test_a_case_without_an_answer_is_an_error(project: Project) -> None:
    """An error is ERROR, never a wrong answer, also with --llm-no-fail, and says its cause without a traceback."""
    result = project(NO_PERU).runpytest("--llm-model", "old", "--llm-no-fail", *QUIET, "cases")

    result.assert_outcomes(passed=2, errors=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["ERROR cases/capitals.yaml::peru[[]old[]] - no recorded answer*"])
    assert "Traceback" not in result.stdout.str()
    assert "fixtures.py" not in result.stdout.str()


def test_lf_runs_what_failed_again(project: Project) -> None:
    """--lf finds a failed case again by its id."""
    pytester = project(WRONG_PERU)
    pytester.runpytest("--llm-model", "old", "cases")

    result = pytester.runpytest("--llm-model", "old", "--lf", "-v", *QUIET, "cases")

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["cases/capitals.yaml::peru[[]old[]] FAILED *"])


def test_sw_goes_on_where_it_stopped(project: Project) -> None:
    """--sw leaves out what came before the last failure."""
    pytester = project(WRONG_PERU)
    pytester.runpytest("--llm-model", "old", "--sw", "cases")

    result = pytester.runpytest("--llm-model", "old", "--sw", "cases")

    result.assert_outcomes(failed=1, deselected=1)


@pytest.mark.parametrize(
    ("selection", "passed"),
    [
        (["-k", "peru"], 1),
        (["-m", "america or africa"], 2),
        (["-m", "capitals"], 3),
        (["--deselect", "cases/capitals.yaml::peru[old]"], 2),
        (["--llm-limit", "2"], 2),
        (["-x"], 3),
        (["--maxfail=2"], 3),
    ],
)
def test_pytest_s_own_selection_works(project: Project, selection: list[str], passed: int) -> None:
    """-k, -m by tag and suite, --deselect and --llm-limit choose cases; -x asks for all of them if none fails."""
    result = project().runpytest("--llm-model", "old", "--strict-markers", *selection, "cases")

    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == passed


def test_a_case_is_run_by_its_id_for_one_or_all_models(project: Project) -> None:
    """`file::case[role]` is one test, `file::case` all models of it."""
    pytester = project(new=WRONG_PERU)
    models = ("--llm-model", "old", "--llm-model", "new")

    one = pytester.runpytest(*models, "cases/capitals.yaml::peru[new]")
    both = pytester.runpytest(*models, "cases/capitals.yaml::peru")

    one.assert_outcomes(failed=1)
    both.assert_outcomes(passed=1, failed=1)


def test_collect_only_asks_nothing_and_lists_ids(project: Project) -> None:
    """--collect-only lists the tests and reads no answers, so a missing file of answers is not noticed."""
    pytester = project()
    (pytester.path / "fixtures" / "old.jsonl").unlink()

    result = pytester.runpytest("--llm-model", "old", "--collect-only", "-q", "cases")

    assert result.ret == 0
    assert result.outlines[:3] == [f"cases/capitals.yaml::{case}[old]" for case in ("france", "peru", "kenya")]


def test_roles_stand_in_the_ids_and_models_run_one_after_another(project: Project) -> None:
    """Two models make two tests of each case, ordered by model, named by role."""
    result = project(new=WRONG_PERU).runpytest(
        "--llm-model", "base=old", "--llm-model", "candidate=new", "--llm-no-fail", "-v", *QUIET, "cases"
    )

    ids = [line.split(" ")[0] for line in result.outlines if "::" in line and "WRONG cases" not in line]
    assert ids == [f"cases/capitals.yaml::{c}[{r}]" for r in ("base", "candidate") for c in ("france", "peru", "kenya")]
    result.stdout.fnmatch_lines(
        ["llmbench: base=old, candidate=new", "WRONG cases/capitals.yaml::peru[[]candidate[]] - different: *"]
    )


def test_the_scoreboard_stands_as_asked_for(project: Project) -> None:
    """With --llm-sort score the best model of a suite is first, whichever was named first; an unknown word is refused."""
    pytester = project(WRONG_PERU, new=(*WRONG_PERU[::2], {"case": "peru", "answer": "Lima"}))
    run = ("--llm-model", "old", "--llm-model", "new", "--llm-no-fail", *QUIET, "cases")

    sorted_run, refused = pytester.runpytest("--llm-sort", "score", *run), pytester.runpytest("--llm-sort=best", *run)

    sorted_run.stdout.fnmatch_lines(["suite *", "capitals  new *", "capitals  old *"], consecutive=True)
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(['ERROR: --llm-sort needs suite, model or score, not "best".'])


@pytest.mark.parametrize("option", ["--ff", "--nf"])
def test_models_run_one_after_another_whatever_is_to_be_first(project: Project, option: str) -> None:
    """With --ff what failed comes first of its model, with --nf what is new; a model that a test asks is open."""
    pytester = project(new=WRONG_PERU)
    pytester.makepyfile(
        'import pytest\n@pytest.mark.llm_suite("cases/capitals.yaml")\n'
        "def test_it(llm_model, llm_grade): assert llm_grade.passed and llm_model.identity"
    )
    models = ("--llm-model", "base=old", "--llm-model", "candidate=new", "--benchmark-quiet", "-v")
    pytester.runpytest(*models)
    with (pytester.path / "cases" / "capitals.yaml").open("a") as suite:
        suite.write('  - {id: chile, question: "Capital of Chile?", expected: Santiago}\n')

    result = pytester.runpytest(*models, option, "-k", "test_it")

    result.assert_outcomes(passed=5, failed=1, errors=2, deselected=8)  # no answer is recorded for the new one
    ids = [line.split("[")[1].split("]")[0] for line in result.outlines if line.endswith("%]") and "::test_it[" in line]
    assert [name.split("-")[1] for name in ids] == ["base"] * 4 + ["candidate"] * 4
    assert ids[4] == {"--ff": "peru-candidate", "--nf": "chile-candidate"}[option]


def test_sw_goes_on_in_the_order_of_the_models(project: Project) -> None:
    """What a model was not asked before the failure is asked when the run goes on."""
    right = (WRONG_PERU[0], {"case": "peru", "answer": "Lima"}, WRONG_PERU[2])
    pytester = project(WRONG_PERU, new=right)
    models = ("--llm-model", "old", "--llm-model", "new", "--sw", "--benchmark-quiet")
    pytester.runpytest(*models, "cases").assert_outcomes(passed=1, failed=1)
    (pytester.path / "fixtures" / "old.jsonl").write_text("".join(json.dumps(row) + "\n" for row in right))

    pytester.runpytest(*models, "cases").assert_outcomes(passed=5, deselected=1)


def test_several_samples_make_one_record(project: Project) -> None:
    """With --llm-samples 2 a case passes if both answers do; each is one round of the benchmark."""
    answers = [
        {"case": case, "answer": text, "latency_s": 0.5}
        for case, text in [
            ("france", "Paris"),
            ("france", "Paris"),
            ("peru", "Lima"),
            ("peru", "Cusco"),
            ("kenya", "Nairobi"),
        ]
    ]
    pytester = project(answers)

    result = pytester.runpytest("--llm-model", "old", "--llm-samples", "2", "--benchmark-json=run.json", "cases")

    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["  samples   1 of 2 failed; the first of them is shown"])
    records = _records(pytester.path / "run.json")
    assert {r["case"]: (r["outcome"], r["score"], len(r["samples"])) for r in records} == {
        "france": ("passed", 1.0, 2),
        "peru": ("failed", 0.5, 2),
        "kenya": ("passed", 1.0, 2),
    }
    kenya = next(r for r in records if r["case"] == "kenya")
    assert [sample["outcome"] for sample in kenya["samples"]] == ["passed", "error"]


def test_an_expected_failure_is_xfailed(project: Project) -> None:
    """`xfail:` in a case gives an xfailed test with its reason, with --llm-no-fail too."""
    suite = (
        "suite: s\ngrader: exact\nprompt: {completion: '{{ q }}'}\n"
        "cases: [{id: peru, q: x, expected: Lima, xfail: known gap}]\n"
    )
    pytester = project(WRONG_PERU, suite=suite)

    strict = pytester.runpytest("--llm-model", "old", "-rx", "cases")
    lenient = pytester.runpytest("--llm-model", "old", "--llm-no-fail", "cases")

    strict.assert_outcomes(xfailed=1)
    strict.stdout.fnmatch_lines(["XFAIL cases/capitals.yaml::peru[[]old[]] - known gap"])
    lenient.assert_outcomes(xfailed=1)


def test_control_characters_of_an_answer_never_reach_the_terminal(project: Project) -> None:
    """Escapes, bells, bidirectional overrides and lone surrogates are shown, not sent."""
    hostile = "\x1b[2J\x07Cusco\u202e\x9b31m\r\ud800"
    pytester = project(({"case": "france", "answer": hostile, "latency_s": 1},))

    result = pytester.runpytest_subprocess("--llm-model", "old", "-k", "france", "--color=no", "cases")

    text = result.stdout.str()
    assert not set(text) & {"\x1b", "\x07", "\u202e", "\x9b"}
    result.stdout.fnmatch_lines([r"  answer    \x1b[[]2J\x07Cusco\u202e\x9b31m\r\ud800"])


def test_quiet_shortens_the_scoreboard(project: Project) -> None:
    """-q shows the needed columns, -qq nothing."""
    pytester = project()

    quiet = pytester.runpytest("--llm-model", "old", "-q", *QUIET, "cases")
    quieter = pytester.runpytest("--llm-model", "old", "-qq", *QUIET, "cases")

    quiet.stdout.fnmatch_lines(["suite     model   score  95% interval    p50  errors"])
    quiet.stdout.no_fnmatch_line("*correct*")
    quieter.stdout.no_fnmatch_line("suite *")


def test_colours_are_those_of_pytest_s_own_reporter(project: Project) -> None:
    """--color=yes shows titles bold and errors red, --color=no sends no escape at all."""
    pytester = project(NO_PERU)
    run = ("--llm-model", "old", "--benchmark-quiet", "cases")

    coloured = pytester.runpytest("--color=yes", *run).stdout.str()
    plain = pytester.runpytest("--color=no", *run).stdout.str()

    assert "\x1b[1msuite\x1b[0m     \x1b[1mmodel\x1b[0m" in coloured
    assert "       \x1b[31m\x1b[1m1\x1b[0m\n" in coloured
    assert "\x1b" not in plain


@pytest.mark.parametrize("width", [40, 60, 80])
def test_on_a_narrow_terminal_nothing_of_the_summary_is_wider(
    project: Project, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    """Columns are left out and sentences folded; what is left out is in the file and the report."""
    monkeypatch.setenv("COLUMNS", str(width))

    result = project(WRONG_PERU).runpytest("--llm-model", "old", "--llm-no-fail", "-v", *QUIET, "cases")

    shown = result.outlines[next(place for place, line in enumerate(result.outlines) if " llmbench =" in line) :]
    assert len(shown) > 4
    assert [line for line in shown if len(line) > width and not line.startswith("WRONG ")] == []


def test_models_may_be_named_in_the_ini_file(project: Project) -> None:
    """The ini twin `llm_model` names models; a TARGET's path is relative to the ini file."""
    pytester = project()
    pytester.makeini("[pytest]\nllm_model =\n    old\n    other=recorded:fixtures/old.jsonl\nllm_no_fail = true\n")

    result = pytester.runpytest("--rootdir", str(pytester.path), str(pytester.path / "cases"))

    result.assert_outcomes(passed=6)


def _records(path: Path) -> list[dict[str, object]]:
    return [benchmark["extra_info"]["llmbench"] for benchmark in json.loads(path.read_text())["benchmarks"]]
