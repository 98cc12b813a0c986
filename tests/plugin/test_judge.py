"""A judge model in pytest: the option and its ini twin, what is shown and written, and comparisons between judges."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.cli import main

SUITE = """\
suite: jokes
grader: key_points
prompt: {completion: "{{ joke }}"}
cases:
  - {id: dough, joke: "Not enough dough.", points: [{name: money, any: [cash]}, {name: bread, any: [loaf]}]}
  - {id: bank, joke: "A wet bank.", points: [{name: money, any: [cash]}, {name: river, any: [river]}]}
  - {id: mole, joke: "A deep mole.", points: [{name: spy, any: [spy]}, {name: animal, any: [animal]}]}
"""
ANSWERS = {"dough": "Money, and what becomes bread.", "bank": "Nothing to do with money.", "mole": "A spy."}
FAST = ("--benchmark-quiet", "-p", "no:cacheprovider")
Judged = Callable[..., pytest.Pytester]


def reply(*quotes: str) -> str:
    """Write a judge's reply: a quote for each point, an empty one where it is not made."""
    points = {f"p{number}": {"quote": quote, "hit": bool(quote)} for number, quote in enumerate(quotes, start=1)}
    return json.dumps({"points": points, "contradiction": False, "padding": "none"})


REPLIES = {"dough": reply("Money", "becomes bread"), "bank": reply("", ""), "mole": "What a joke!"}


@pytest.fixture
def judged(pytester: pytest.Pytester) -> Judged:
    """Make a project with a model and judges that are recorded: `judged(other={...replies})`; `good` is there."""

    def make(suite: str = SUITE, **judges: dict[str, str]) -> pytest.Pytester:
        (pytester.mkdir("cases") / "jokes.yaml").write_text(suite)
        fixtures = pytester.mkdir("fixtures")
        entries = ""
        for name, answers in {"m": ANSWERS, "good": REPLIES, **judges}.items():
            rows = ({"case": case, "answer": text, "latency_s": 0.5} for case, text in answers.items())
            (fixtures / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            entries += f'[{name}]\nprovider = "recorded"\nanswers = "{name}.jsonl"\n'
        (fixtures / "models.toml").write_text(entries)
        pytester.makeini("[pytest]\n")
        return pytester

    return make


def block(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())["llmbench"]
    return found


def run(pytester: pytest.Pytester, judge: str | None, *options: str) -> pytest.RunResult:
    named = () if judge is None else ("--llm-judge", judge)
    return pytester.runpytest("--llm-model", "m", *named, *FAST, *options, "cases")


def test_a_judge_decides_and_is_named(judged: Judged) -> None:
    """What it passes passes, what it fails fails, what it does not judge is an error, and the run says who it was."""
    pytester = judged()

    result = run(pytester, "good", "-rfE", "--benchmark-json=run.json")

    result.stdout.fnmatch_lines(
        [
            "llmbench: m; judge: good",
            "cases/jokes.yaml .FE*",
            'the judge gave no grade: it holds no JSON object with points: "What a joke!"',
            "missing-points: By the judge, the answer misses money, river.",
            "jokes m: 1 correct, 1 missing-points, 1 error",
            "FAILED cases/jokes.yaml::bank[[]m] - missing-points: By the judge, the answer m*",
        ]
    )
    judge = block(pytester.path / "run.json")["options"]["judge"]
    assert (judge["model"], judge["identity"]["model"]) == ("good", "good.jsonl")
    assert judge["suites"]["jokes"]["sampling"]["temperature"] == 0
    assert len(judge["suites"]["jokes"]["prompt_sha256"]) == 64


def test_without_a_judge_the_patterns_decide(judged: Judged) -> None:
    """The same suite needs no judge."""
    pytester = judged()

    result = run(pytester, None, "--benchmark-json=run.json")

    result.assert_outcomes(failed=3)
    assert "judge" not in block(pytester.path / "run.json")["options"]


def test_the_ini_file_may_name_the_judge(judged: Judged) -> None:
    """As for every option; the command line comes first, and `PROVIDER:TARGET` is relative to where it stands."""
    pytester = judged(strict={case: reply("", "") for case in ANSWERS})
    pytester.makeini("[pytest]\nllm_judge = recorded:fixtures/good.jsonl\n")

    from_ini = run(pytester, None)
    from_option = run(pytester, "strict")

    from_ini.assert_outcomes(passed=1, failed=1, errors=1)
    from_option.assert_outcomes(failed=3)


@pytest.mark.parametrize(
    ("judge", "message"),
    [
        ("gud", 'there is no model "gud" in *models.toml; it has: good, m.*'),
        ("opnai:x", '--llm-judge "opnai:x": there is no provider "opnai"; the known ones are: openai, *'),
        ("m", '--llm-judge "m" is the model under test ("m"), and models favour their own answers; *'),
        ("openai:gpt", 'Model "gpt" needs an API key: set OPENAI_API_KEY, *'),
    ],
)
def test_a_judge_that_cannot_be_is_a_usage_error(
    judged: Judged, monkeypatch: pytest.MonkeyPatch, judge: str, message: str
) -> None:
    """It is told before anything is asked."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)

    result = run(judged(), judge)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_judge_that_nobody_asks_needs_no_key(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    """A judge named in the ini file does not hinder suites without one."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    result = run(judged(SUITE + "judge: false\n"), "openai:gpt")

    result.assert_outcomes(failed=3)


@pytest.mark.slow
def test_under_xdist_the_same_is_written(judged: Judged) -> None:
    """Workers ask the judge too, and the file says the same of it."""
    pytester = judged()
    run(pytester, "good", "--benchmark-json=one.json")

    result = run(pytester, "good", "--benchmark-json=two.json", "-n", "2")

    result.assert_outcomes(passed=1, failed=1, errors=1)
    one, two = (block(pytester.path / name) for name in ("one.json", "two.json"))
    assert one["options"]["judge"] == two["options"]["judge"]


def compare(capsys: pytest.CaptureFixture[str], *files: str) -> Sequence[str]:
    main(["compare", *files])
    return capsys.readouterr().out.splitlines()


def test_runs_of_other_judges_are_not_compared(judged: Judged, capsys: pytest.CaptureFixture[str]) -> None:
    """Another judge, or none, starts a new series; the same one under another name does not."""
    pytester = judged(other=REPLIES | {"mole": reply("spy", "")})
    models = pytester.path / "fixtures" / "models.toml"
    models.write_text(models.read_text() + '[again]\nprovider = "recorded"\nanswers = "good.jsonl"\n')
    for name, judge in (("good", "good"), ("again", "again"), ("other", "other"), ("none", None)):
        run(pytester, judge, f"--benchmark-json={name}.json", "--llm-no-fail")
    capsys.readouterr()

    same, other, none = (compare(capsys, "good.json", f"{name}.json") for name in ("again", "other", "none"))

    assert not any("judge" in line for line in same)
    assert any("3 of 3 cases have a different judge (model, weights) (blocks the comparison;" in line for line in other)
    assert any("3 of 3 cases have a different judge (model) (blocks the comparison;" in line for line in none)


def test_answers_are_judged_again_and_the_changes_counted(
    judged: Judged, read_run_strictly: Callable[[Path], dict[str, Any]]
) -> None:
    """A line a suite and a block in the JSON; a recorded judge goes on with the further replies of its file."""
    pytester = judged()
    again = [("dough", reply("", "")), ("bank", reply("", "")), ("mole", reply("spy", ""))]
    with (pytester.path / "fixtures" / "good.jsonl").open("a") as file:
        file.writelines(json.dumps({"case": case, "answer": text}) + "\n" for case, text in again)

    result = run(pytester, "good", "--llm-check-judge=100", "--benchmark-json=run.json", "--llm-no-fail")

    result.stdout.fnmatch_lines(["jokes: judge good: 1 of 2 grades changed when judged again (50.0%)"])
    assert read_run_strictly(pytester.path / "run.json")["llmbench"]["judge_check"] == {
        "jokes": {
            "answers": 2,
            "changed": 1,
            "scores_changed": 1,
            "errors": 0,
            "cases": ["dough"],
            "input_tokens": 0,
            "output_tokens": 0,
        }
    }


RUBRICS = """\
suite: jokes
prompt: {completion: "{{ joke }}"}
checks:
  - {rubric: "Names what dough stands for.", name: sense}
  - {rubric: "Is no longer than one sentence.", name: length}
  - {contains: never, name: never}
cases:
  - {id: dough, joke: "Not enough dough."}
"""


def test_a_rubric_that_changes_is_seen_behind_a_check_that_always_fails(judged: Judged) -> None:
    """The answer fails both times; the outcome of one of its rubrics is another one."""
    pytester = judged(RUBRICS)
    met, not_met = ({"quote": quote, "reasoning": "r", "grade": g} for quote, g in (("Money", "met"), ("", "not_met")))
    with (pytester.path / "fixtures" / "good.jsonl").open("w") as file:
        file.writelines(
            json.dumps({"case": "dough", "answer": json.dumps(one)}) + "\n" for one in (met, met, met, not_met)
        )

    result = run(pytester, "good", "--llm-check-judge=5", "--llm-no-fail")

    result.stdout.fnmatch_lines(["jokes: judge good: 1 of 1 grade changed when judged again (100.0%)"])


def test_the_plan_counts_what_is_judged_again(judged: Judged) -> None:
    """Of three answers two, with three votes each."""
    result = run(judged(SUITE + "judge: {votes: 3}\n"), "good", "--llm-check-judge=2", "--llm-plan")

    told = " ".join(result.stdout.str().split())
    assert "asked up to 9 times about the answers, and up to 6 times more by --llm-check-judge; this is not" in told


@pytest.mark.parametrize(
    ("judge", "options", "message"),
    [
        (None, ["--llm-check-judge=2"], "--llm-check-judge needs a judge; name one with --llm-judge."),
        ("good", ["--llm-check-judge=0"], "--llm-check-judge needs a whole number of at least 1, not 0."),
        ("good", ["--llm-check-judge=-3"], "--llm-check-judge needs a whole number of at least 1, not -3."),
        (
            "good",
            ["--llm-check-judge=2", "-n2"],
            "--llm-check-judge draws its answers in one process; leave -n out, or add -n 0.",
        ),
    ],
)
def test_judging_again_needs_a_judge_a_number_and_one_process(
    judged: Judged, judge: str | None, options: list[str], message: str
) -> None:
    """Each is a usage error in one sentence, before anything is asked."""
    result = run(judged(), judge, *options)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{message}"])


RUBRIC = """\
suite: jokes
prompt: {completion: "{{ joke }}"}
checks:
  - {rubric: "Explains that dough is money.", name: money}
cases:
  - {id: dough, joke: "Not enough dough."}
  - {id: bank, joke: "A wet bank.", checks: [{contains: "Nothing"}]}
  - {id: mole, joke: "A deep mole."}
"""


def test_a_rubric_is_judged_and_shown(judged: Judged, capsys: pytest.CaptureFixture[str]) -> None:
    """The grade, its reasoning and the quote stand with the failure, in `show`, and in the file."""
    no = {"quote": "Nothing", "reasoning": "It denies it.", "grade": "not_met"}
    yes = {"quote": "Money", "reasoning": "It says so.", "grade": "met"}
    pytester = judged(RUBRIC, words={"dough": json.dumps(yes), "bank": json.dumps(no), "mole": "A fine joke."})

    result = run(pytester, "words", "--benchmark-json=run.json")
    main(["show", "run.json", "bank"])

    said = 'By the judge, not_met: It denies it ("Nothing").'
    result.stdout.fnmatch_lines(
        [
            'check "money" could not be tried: the judge gave no grade: it holds no JSON object with a grade: "A fine joke."',
            f"different (score 0.50): money: {said}",
            "  expected  money: by a judge: Explains that dough is money",
            f"  checks    failed money: {said}",
            "jokes m: 1 correct, 1 different, 1 error",
        ]
    )
    shown = capsys.readouterr().out
    assert f"failed money: {said}" in shown
    assert json.dumps(no) in shown
    assert block(pytester.path / "run.json")["options"]["judge"]["suites"]["jokes"]["votes"] == 1


def test_a_rubric_without_a_judge_is_refused_before_anything_is_asked(judged: Judged) -> None:
    """It has no form without one; the sentence names the option."""
    result = run(judged(RUBRIC), None)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(
        [
            'cases/jokes.yaml:6: case "dough": a judge model decides its check rubric, and none is named; add --llm-judge *'
        ]
    )


def test_a_plan_counts_what_a_judge_is_asked_about_rubrics(judged: Judged) -> None:
    """At most, as nothing is known of the answers yet."""
    pytester = judged(RUBRIC.replace("checks:\n", "judge: {votes: 3}\nchecks:\n", 1))

    result = run(pytester, "good", "--llm-plan", "--llm-samples", "2")

    result.stdout.fnmatch_lines(["The judge good would be asked up to 18 times about the answers*"])
