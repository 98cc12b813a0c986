"""What the user gets wrong is one clear sentence, never a traceback; what other packages add works like the built-in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Project = Callable[..., pytest.Pytester]

SUITE = """\
suite: capitals
grader: exact
prompt:
  completion: "Q: {{ question }}\\nA:"
cases:
  - {id: france, question: "Capital of France?", expected: Paris}
  - {id: peru, question: "Capital of Peru?", expected: Lima}
"""

PLUGIN = '''
from pytest_llmbench.errors import ModelFault
from pytest_llmbench.models import Identity, Opened
from pytest_llmbench.models.entries import Entry, Strict
from pytest_llmbench import Answer, Grade, GraderKind, PromptStyle


class EchoEntry(Entry):
    says: str


class Echo(Opened):
    """Says the same to everything; what it says may make it break."""

    concurrency = 2
    identity = Identity(provider="echo", model="echo")

    def __init__(self, says):
        self.says = says

    def answer(self, requests, *, arrived=None, halt=None):
        if self.says == "a bug":
            raise ValueError("the provider has a bug")
        if self.says == "a fault":
            raise ModelFault("the device is lost; start it again.")
        return tuple(Answer(text=self.says, latency_s=0.5) for _ in requests)


class EchoProvider:
    entry_type = EchoEntry
    target_field = "says"

    def prompt_style(self, entry):
        return PromptStyle.COMPLETION

    def open(self, entry, settings):
        if entry.says == "nothing":
            raise ModelFault("the weights are gone; fetch them.")
        return Echo(entry.says)


class SameLengthCase(Strict):
    expected: str


def grade(case, answer):
    passed = len(answer.text) == len(case.expected)
    return Grade(score=float(passed), passed=passed, reason="length", explanation="The length counts.")


def pytest_llmbench_providers(config):
    return {"echo": EchoProvider()}


def pytest_llmbench_graders(config):
    kind = GraderKind(name="length", case_fields=SameLengthCase, suite_fields=Strict, build=lambda suite, root: grade)
    return {"length": kind}
'''

SHOW_OUR_WARNINGS = ("-W", "always::pytest.PytestWarning")
"""Where tests run in this process, warnings are errors."""


def usage_error(result: pytest.RunResult) -> str:
    """Give the sentence of a usage error, and see that nothing else stands on stderr."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = (line for line in result.errlines if line)
    no_traceback(result)
    return line


def no_traceback(result: pytest.RunResult) -> None:
    text = result.stdout.str() + result.stderr.str()
    assert "Traceback" not in text
    assert "INTERNALERROR" not in text
    assert "pytest_llmbench/" not in text


def records(pytester: pytest.Pytester) -> dict[str, Any]:
    """Give the records of `run.json` by case."""
    found = json.loads((pytester.path / "run.json").read_text())
    measured = [benchmark["extra_info"]["llmbench"] for benchmark in found["benchmarks"]]
    return {record["case"]: record for record in (*measured, *found["llmbench"]["unmeasured"])}


# -- usage errors

MODELS = {
    "an unknown model": (
        "odl",
        'ERROR: there is no model "odl" in {root}/fixtures/models.toml; it has: old, new. To use another, add [odl] to '
        'it, or name one as PROVIDER:TARGET, such as transformers:./folder. Did you mean "old"?',
    ),
    "an unknown provider": (
        "opnai:gpt",
        'ERROR: --llm-model "opnai:gpt": there is no provider "opnai"; the known ones are: openai, anthropic, '
        'openrouter, python, ollama, gemini, http, groq, azure, mistral, recorded, lmstudio, transformers, vllm. Did you mean "openai"?',
    ),
    "no name": ("base=", 'ERROR: --llm-model "base=" is incomplete; write NAME or ROLE=NAME.'),
    "no file of answers": (
        "recorded:none.jsonl",
        "ERROR: {root}/none.jsonl: there is no such file; name the recorded answers in answers.",
    ),
}


@pytest.mark.parametrize(("model", "message"), MODELS.values(), ids=MODELS)
def test_a_model_that_cannot_be_had_is_a_usage_error(project: Project, model: str, message: str) -> None:
    """Exit 4 and a sentence with the way out, the nearest of what there is first."""
    pytester = project(new=())

    result = pytester.runpytest("--llm-model", model, "cases")

    assert usage_error(result) == message.format(root=pytester.path)


def test_an_unknown_key_of_the_models_file_is_a_usage_error(project: Project) -> None:
    """File, entry and key are named, and the keys there are, the nearest first."""
    pytester = project()
    file = pytester.path / "fixtures" / "models.toml"
    file.write_text(file.read_text().replace("answers =", "anwsers ="))

    result = pytester.runpytest("--llm-model", "old", "cases")

    assert usage_error(result).startswith(
        f'ERROR: {file}: [old] has the unknown key "anwsers"; its keys are: answers, '
    )


def test_a_missing_api_key_is_a_usage_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found before anything is asked, and the variable to set is named."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    result = project().runpytest("--llm-model", "openai:gpt-4o-mini", "--benchmark-json=run.json", "cases")

    assert usage_error(result) == (
        'ERROR: Model "gpt-4o-mini" needs an API key: set OPENAI_API_KEY, or name another variable with api_key_env.'
    )


NUMBERS = [
    ("--llm-samples", "0", "a whole number of at least 1, not 0"),
    ("--llm-samples", "many", 'a whole number of at least 1, not "many"'),
    ("--llm-samples", "99999999999999999999", "a number of at most 10,000, not 99999999999999999999"),
    ("--llm-limit", "-1", "a whole number of at least 1, not -1"),
    ("--llm-limit", "1.5", 'a whole number of at least 1, not "1.5"'),
    ("--llm-reasoning-tokens", "-1", "a whole number of at least 0, not -1"),
    ("--llm-concurrency", "0", "a whole number of at least 1, not 0"),
    ("--llm-timeout", "0", "a number above 0, not 0"),
    ("--llm-timeout", "nan", "a number above 0, not nan"),
    ("--llm-timeout", "inf", "a number above 0, not inf"),
    ("--llm-timeout", "soon", 'a number above 0, not "soon"'),
]


@pytest.mark.parametrize(("option", "value", "wanted"), NUMBERS)
def test_a_number_that_is_none_is_a_usage_error(project: Project, option: str, value: str, wanted: str) -> None:
    """The option, what it needs and what was given are named."""
    result = project().runpytest("--llm-model", "old", f"{option}={value}", "cases")

    assert usage_error(result) == f"ERROR: {option} needs {wanted}."


def test_a_switch_of_the_ini_file_is_true_or_false(project: Project) -> None:
    """The key and the file are named."""
    pytester = project()
    ini = pytester.makeini("[pytest]\nllm_no_fail = maybe\n")

    result = pytester.runpytest("--llm-model", "old", "cases")

    assert usage_error(result) == f"ERROR: llm_no_fail in {ini} needs true or false: invalid truth value 'maybe'."


def test_a_baseline_without_a_name_is_a_usage_error(project: Project) -> None:
    """As of an empty variable in a script; it is not the current folder."""
    result = project().runpytest("--llm-model", "old", "--llm-baseline=", "cases")

    assert usage_error(result) == "ERROR: --llm-baseline names no file; write the benchmark JSON of a run, or latest."


@pytest.mark.slow
def test_without_pytest_benchmark_nothing_can_be_recorded(project: Project) -> None:
    """A sentence instead of a hook that nobody knows."""
    result = project().runpytest_subprocess("--llm-model", "old", "-p", "no:benchmark", "cases")

    assert usage_error(result) == (
        "ERROR: llmbench records its runs through pytest-benchmark, which is not loaded; leave -p no:benchmark out, or "
        "add -p pytest_benchmark.plugin."
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("--llm-margin=x", '--llm-margin needs points of score above 0 and below 100, not "x". The default is 5.'),
        ("--llm-min-score=2", "--llm-min-score *"),
        ("--llm-reuse=some", '--llm-reuse needs auto, all or none, not "some".'),
    ],
)
def test_a_wrong_value_is_a_usage_error_without_a_model_too(
    pytester: pytest.Pytester, given: str, message: str
) -> None:
    """Else a mistake in a script shows only where the model is named."""
    result = pytester.runpytest(given)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])


def test_a_mistyped_option_is_answered_with_the_nearest(pytester: pytest.Pytester) -> None:
    """Below pytest's own error; of what is like nothing of ours, nothing is said."""
    near, far = pytester.runpytest("--llm-modle=x", "--llm-no-fial"), pytester.runpytest("--llm-qqq")

    assert near.ret == far.ret == pytest.ExitCode.USAGE_ERROR
    near.stderr.fnmatch_lines(["*unrecognized arguments: --llm-modle=x --llm-no-fial"])
    near.stderr.fnmatch_lines(["  did you mean: --llm-model, --llm-no-fail"])
    far.stderr.no_fnmatch_line("*did you mean*")


def test_a_number_of_the_ini_file_is_checked_too(project: Project) -> None:
    """The ini twin of an option says the same."""
    pytester = project()
    pytester.makeini("[pytest]\nllm_samples = many\n")

    result = pytester.runpytest("--llm-model", "old", "cases")

    assert usage_error(result) == 'ERROR: --llm-samples needs a whole number of at least 1, not "many".'


def test_a_prompt_style_that_a_suite_lacks_is_a_usage_error(project: Project) -> None:
    """It is found when the plan is settled, before anything is asked; what was left out does not matter."""
    pytester = project(suite=SUITE)
    (pytester.path / "fixtures" / "models.toml").write_text(
        '[old]\nprovider = "recorded"\nanswers = "old.jsonl"\nprompt_style = "chat"\n'
    )
    (pytester.path / "cases" / "chat.yaml").write_text(
        "suite: greetings\ngrader: exact\nprompt: {chat: [{role: user, content: hi}]}\n"
        "cases: [{id: france, expected: Paris}]\n"
    )

    all_suites = pytester.runpytest("--llm-model", "old", "--benchmark-json=run.json", "cases")
    one_suite = pytester.runpytest("--llm-model", "old", "-m", "greetings", "cases")

    assert usage_error(all_suites) == (
        'ERROR: model "old" takes chat prompts, and the suite "capitals" has only: completion. Add a chat prompt to '
        'cases/capitals.yaml, or set prompt_style = "completion" for the model.'
    )
    one_suite.assert_outcomes(passed=1, deselected=2)


@pytest.mark.slow
def test_a_usage_error_of_a_worker_is_told_by_its_tests(project: Project) -> None:
    """With -n, where only workers know the plan, the run ends with the sentence, no traceback, and exit status 4 too."""
    pytester = project(suite=SUITE)
    (pytester.path / "fixtures" / "models.toml").write_text(
        '[old]\nprovider = "recorded"\nanswers = "old.jsonl"\nprompt_style = "chat"\n'
    )

    result = pytester.runpytest("--llm-model", "old", "-n", "1", "cases")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    no_traceback(result)
    result.stdout.fnmatch_lines(
        ['model "old" takes chat prompts, and the suite "capitals" has only: completion. Add a chat prompt to *']
    )


# -- collection errors

BROKEN = {
    "bad YAML": (
        SUITE.replace("expected: Paris}", "expected: Paris").encode(),
        "cases/capitals.yaml:7: this is not YAML: did not find expected ',' or '}'.",
    ),
    "a duplicate id": (
        SUITE.replace("id: peru", "id: france").encode(),
        'cases/capitals.yaml:7: case id "france" occurs twice, first at line 6; ids must be unique.',
    ),
    "an unknown grader": (
        SUITE.replace("exact", "exakt").encode(),
        'cases/capitals.yaml:2: there is no grader "exakt"; did you mean "exact"? Known are: exact, contains, regex, '
        "json, yes_no, choices, key_points, sql, or a function of yours as package.module:function.",
    ),
    "a missing data file": (
        f"{SUITE}data: rows.csv\n".encode(),
        "cases/capitals.yaml:8: there is no data file cases/rows.csv; `data` is a path relative to the suite file.",
    ),
    "another encoding": (
        SUITE.replace("Paris", "París").encode("latin-1"),
        "cases/capitals.yaml:6: this file is not UTF-8; save it as UTF-8.",
    ),
    "UTF-16": (SUITE.encode("utf-16"), "cases/capitals.yaml:1: this file is not UTF-8; save it as UTF-8."),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_suite_is_a_collection_error_without_traceback(project: Project, content: bytes, message: str) -> None:
    """Exit 2, and below its heading nothing but the sentence."""
    pytester = project()
    (pytester.path / "cases" / "capitals.yaml").write_bytes(content)

    result = pytester.runpytest("--llm-model", "old", "cases")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    no_traceback(result)
    heading = next(
        index for index, line in enumerate(result.outlines) if "ERROR collecting cases/capitals.yaml" in line
    )
    assert result.outlines[heading + 1] == message
    assert result.outlines[heading + 2].startswith("=====")


def test_other_yaml_is_left_alone(project: Project) -> None:
    """Files without `suite` and `grader` at their top level are no tests, broken or not, in any encoding."""
    pytester = project(suite=SUITE)
    cases = pytester.path / "cases"
    (cases / "compose.yml").write_text("services: {web: {image: nginx}}\n")
    (cases / "helm.yaml").write_text("{{ if }}\n\t- [\n")
    (cases / "nested.yaml").write_text("jobs:\n  suite: x\n  grader: y\n")
    (cases / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    (cases / "wide.yaml").write_text("name: x\n", encoding="utf-16")
    (cases / "empty.yaml").write_text("")

    result = pytester.runpytest("--llm-model", "old", "cases")

    result.assert_outcomes(passed=2)


def test_two_suites_of_one_name_are_a_collection_error(project: Project) -> None:
    """The second one names the first."""
    pytester = project(suite=SUITE)
    (pytester.path / "cases" / "twin.yaml").write_text(SUITE)

    result = pytester.runpytest("--llm-model", "old", "cases")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    no_traceback(result)
    result.stdout.fnmatch_lines(
        ['cases/twin.yaml:1: the suite name "capitals" is already used by cases/capitals.yaml; rename one of them.']
    )


# -- several samples at temperature 0

WARNING = (
    'SuiteWarning: model "{role}" is asked 2 times for each case of suite "capitals" at temperature 0, so its answers '
    "hardly differ; set a temperature in cases/capitals.yaml or in the model's `sampling`, or ask once."
)


def test_several_samples_at_temperature_0_warn_once_a_model_and_suite(project: Project) -> None:
    """The warning stands at the suite and names model, suite and the way out."""
    pytester = project(suite=SUITE)
    pytester.makeconftest(PLUGIN)
    models = ("--llm-model", "a=echo:Paris", "--llm-model", "b=echo:Lima")

    result = pytester.runpytest(*models, "--llm-samples", "2", "--llm-no-fail", *SHOW_OUR_WARNINGS, "cases")

    shown = [line.strip() for line in result.outlines if "SuiteWarning" in line]
    assert shown == [f"cases/capitals.yaml:6: {WARNING.format(role=role)}" for role in ("a", "b")]


@pytest.mark.parametrize(
    ("options", "suite"),
    [
        (("--llm-samples", "2"), SUITE + "sampling: {temperature: 0.7}\n"),
        (("--llm-samples", "1"), SUITE),
        (("--llm-samples", "2", "--collect-only"), SUITE),
        (("--llm-samples", "2", "-k", "nothing"), SUITE),
    ],
)
def test_nothing_warns_where_samples_can_differ_or_nothing_is_asked(
    project: Project, options: tuple[str, ...], suite: str
) -> None:
    """With a temperature, one sample, or no plan there is nothing to warn of; here a warning would be an error."""
    pytester = project(suite=suite)
    pytester.makeconftest(PLUGIN)

    result = pytester.runpytest("--llm-model", "echo:Paris", "--llm-no-fail", *options, "cases")

    assert result.ret in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "SuiteWarning" not in result.stdout.str()


def test_where_warnings_are_errors_the_sentence_is_a_usage_error(project: Project) -> None:
    """With -W error the run ends before anything is asked, without a traceback."""
    pytester = project(suite=SUITE)
    pytester.makeconftest(PLUGIN)

    result = pytester.runpytest("--llm-model", "echo:Paris", "--llm-samples", "2", "-W", "error", "cases")

    assert usage_error(result) == WARNING.format(role="Paris").replace("SuiteWarning", "ERROR")


# -- what other packages add


def test_a_provider_and_a_grader_of_another_package_work_like_the_built_in(project: Project) -> None:
    """They are named in the models file and the suite, their keys are checked, their answers are recorded."""
    pytester = project(suite=SUITE.replace("grader: exact", "grader: length"))
    pytester.makeconftest(PLUGIN)
    (pytester.path / "fixtures" / "models.toml").write_text('[mine]\nprovider = "echo"\nsays = "Rome!"\n')

    result = pytester.runpytest("--llm-model", "mine", "--benchmark-json=run.json", "cases")

    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED cases/capitals.yaml::peru[[]mine[]] - length: The length counts."])
    found = records(pytester)
    assert {case: record["outcome"] for case, record in found.items()} == {"france": "passed", "peru": "failed"}
    assert found["france"]["grader"] == "length"


def test_what_other_packages_add_is_named_among_the_known(project: Project) -> None:
    """A misspelt provider or grader of theirs is found too."""
    pytester = project(suite=SUITE.replace("grader: exact", "grader: lenght"))
    pytester.makeconftest(PLUGIN)

    provider = pytester.runpytest("--llm-model", "ecko:x", "cases")
    grader = pytester.runpytest("--llm-model", "echo:x", "cases")

    assert usage_error(provider).startswith(
        'ERROR: --llm-model "ecko:x": there is no provider "ecko"; the known ones are: echo, recorded, '
    )
    grader.stdout.fnmatch_lines(['*:2: there is no grader "lenght"; did you mean "length"? Known are: length, *'])


# -- models that break


@pytest.mark.parametrize(
    ("says", "cause"),
    [("nothing", "the weights are gone; fetch them."), ("a fault", "the device is lost; start it again.")],
)
def test_a_model_that_can_answer_nothing_ends_the_run_at_the_first_case(
    project: Project, says: str, cause: str
) -> None:
    """One ERROR with the cause, exit 1, and the file has what there was."""
    pytester = project(suite=SUITE)
    pytester.makeconftest(PLUGIN)

    result = pytester.runpytest("--llm-model", f"m=echo:{says}", "--benchmark-json=run.json", "cases")

    result.assert_outcomes(errors=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    no_traceback(result)
    result.stdout.fnmatch_lines([f"ERROR cases/capitals.yaml::france[[]m[]] - {cause}", f"!* {cause} !*"])
    assert [sample["error"] for sample in records(pytester)["france"]["samples"]] == [cause]


def test_one_of_several_models_that_can_answer_nothing_does_not_end_the_run(project: Project) -> None:
    """Its cases are errors, the other model's are judged."""
    pytester = project(suite=SUITE)
    pytester.makeconftest(PLUGIN)

    result = pytester.runpytest("--llm-model", "bad=echo:nothing", "--llm-model", "old", "cases")

    result.assert_outcomes(errors=2, passed=2)


def test_a_bug_of_a_provider_is_an_error_of_each_case(project: Project) -> None:
    """An exception it should not raise is told with its traceback, and does not end the run."""
    pytester = project(suite=SUITE)
    pytester.makeconftest(PLUGIN)

    result = pytester.runpytest("--llm-model", "m=echo:a bug", "cases")

    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "the model broke: ValueError: the provider has a bug",
            "  error  the model broke: ValueError: the provider has a bug",
            "         Traceback (most recent call last):",
        ]
    )


@pytest.mark.slow
def test_workers_end_a_run_whose_model_can_answer_nothing(project: Project) -> None:
    """With -n 2 each worker's first case is the ERROR, and the file has them."""
    pytester = project(suite=SUITE + "".join(f"  - {{id: c{n}, question: q, expected: e}}\n" for n in range(20)))
    pytester.makeconftest(PLUGIN)

    result = pytester.runpytest("--llm-model", "m=echo:nothing", "-n", "2", "--benchmark-json=run.json", "cases")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    no_traceback(result)
    found = records(pytester)
    assert 1 <= len(found) <= 4
    assert {record["outcome"] for record in found.values()} == {"error"}
    result.stdout.fnmatch_lines(["!* xdist.dsession.Interrupted: the weights are gone; fetch them. !*"])


@pytest.mark.slow
def test_workers_bring_half_characters_home(project: Project) -> None:
    """An answer that is no valid text reaches the file of a run with -n as it does without."""
    pytester = project([{"case": "france", "answer": "Pa\ud83dris", "latency_s": 1}], suite=SUITE)

    result = pytester.runpytest("--llm-model", "old", "-n", "1", "--benchmark-json=run.json", "cases")

    result.assert_outcomes(failed=1, errors=1)
    assert records(pytester)["france"]["samples"][0]["answer"] == "Pa\ud83dris"


def test_the_file_of_a_run_with_odd_parts_is_strict_json(project: Project) -> None:
    """What a grader of another package puts into its parts never keeps the file from being written or read."""
    pytester = project(suite=SUITE.replace("grader: exact", "grader: odd:grade"))
    pytester.makepyfile(
        odd="from pytest_llmbench import Grade\n"
        "def grade(case, answer):\n"
        "    parts = {'share': float('nan'), 'seen': {1}}\n"
        "    return Grade(score=1.0, passed=True, reason='fine', explanation='', parts=parts)\n"
    )
    pytester.syspathinsert()

    result = pytester.runpytest("--llm-model", "old", "--benchmark-json=run.json", "cases")

    result.assert_outcomes(passed=2)
    text = Path("run.json").read_text()
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert records(pytester)["france"]["samples"][0]["parts"] == {"share": None, "seen": "{1}"}


def test_an_option_is_one_line(pytester: pytest.Pytester) -> None:
    """What is listed as an option has a flag, an ini twin, a line in --help, and its number parsed."""
    pytester.makeconftest(
        """
        from pytest_llmbench.plugin.command_line import COUNT, Option

        def pytest_addoption(parser):
            Option("--llm-throwaway", "N", "Throw N away.", COUNT).add(parser, parser.getgroup("llmbench"))

        def pytest_report_header(config):
            return f"thrown away: {config.getoption('llm_throwaway')}, {config.getini('llm_throwaway')}"
        """
    )
    pytester.makeini("[pytest]\nllm_throwaway = 3\n")

    given, wrong = pytester.runpytest("--llm-throwaway=2"), pytester.runpytest("--llm-throwaway=0")

    given.stdout.fnmatch_lines(["thrown away: 2, 3"])
    assert usage_error(wrong) == "ERROR: --llm-throwaway needs a whole number of at least 1, not 0."
    pytester.runpytest("--help").stdout.fnmatch_lines(["*--llm-throwaway=N*Throw N away."])
