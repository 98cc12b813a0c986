"""The `llmbench` command: what it prints, and its exit status."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

import factories
from pytest_llmbench.cli import COMMANDS, main
from pytest_llmbench.cli.output import print_lines
from pytest_llmbench.cli.validate import Remark, grouped
from pytest_llmbench.grading.base import Severity
from pytest_llmbench.results.records import Record, Run, RunInfo, error_sample, graded_sample
from pytest_llmbench.results.run_json import block_to_json, record_to_json
from pytest_llmbench.values import Answer, AnswerError, Grade, Outcome, Prompt

COMMAND = Path(sys.executable).parent / "llmbench"

GRADE = Grade(score=1.0, passed=True, reason="correct", explanation="As expected.")
FRANCE = factories.record(
    "france",
    graded_sample(Answer(text="Paris", latency_s=0.25), GRADE),
    suite="capitals",
    role="old",
    model="gpt",
    prompt_style="completion",
    case_sha256="",
)
PERU = replace(
    FRANCE,
    case="peru",
    score=None,
    outcome=Outcome.ERROR,
    prompt_sha256="q",
    samples=(error_sample(AnswerError(cause="HTTP 500")),),
)
FRANCE_LINES = [
    "== capitals/france [old]: passed, score 1.00",
    "-- prompt",
    "   Q: France?",
    "-- answer",
    "   Paris",
    "-- grade",
    "   correct (score 1.00): As expected.",
    "-- cost",
    "   0.25s total",
    "",
]
PERU_LINES = ["== capitals/peru [old]: error, no score", "-- error", "   HTTP 500", ""]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def write_run(path: Path, *records: Record) -> None:
    run = Run(records=records, facts=RunInfo(prompts={"p": Prompt(text="Q: France?")}))
    measured = [{"extra_info": {"llmbench": record_to_json(record)}} for record in records if record.latencies_s]
    path.write_text(json.dumps({"benchmarks": measured, "llmbench": block_to_json(run)}))


def output(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def fault(capsys: pytest.CaptureFixture[str]) -> str:
    """Give what stands on stderr where nothing stands on stdout."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# -- init

WRITTEN = ("cases/capitals.yaml", "fixtures/models.toml", "fixtures/answers/example.jsonl")
ACTION = (".github/actions/llmbench/action.yml", ".github/actions/llmbench/run.sh")
LAST = (*ACTION, ".github/workflows/llmbench.yml", "pytest.ini")


def test_init_writes_a_first_project(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An empty folder gets a suite, a models file with its answers, a workflow and an ini file, and is told how to go on."""
    status = main(["init"])

    assert status == 0
    assert output(capsys) == [
        *(f"wrote {path}" for path in (*WRITTEN, *LAST)),
        "Next: pytest --llm-model example cases/",
    ]
    assert all((folder / path).is_file() for path in (*WRITTEN, *LAST))


def test_init_keeps_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of the user's own is left as it is; the others are written."""
    (folder / "cases").mkdir()
    (folder / "cases" / "capitals.yaml").write_text("mine")

    status = main(["init"])

    assert status == 0
    assert output(capsys) == [
        *(f"wrote {path}" for path in (*WRITTEN[1:], *LAST)),
        "kept  cases/capitals.yaml (already there)",
        "Next: pytest --llm-model example cases/",
    ]
    assert (folder / "cases" / "capitals.yaml").read_text() == "mine"


def test_init_writes_the_action_of_the_repository(folder: Path) -> None:
    """Byte for byte, and a workflow that installs the version that wrote both."""
    main(["init"])

    root = Path(__file__).parents[2]
    assert [(folder / path).read_bytes() for path in ACTION] == [
        (root / name).read_bytes() for name in ("action.yml", "run.sh")
    ]
    workflow = (folder / ".github/workflows/llmbench.yml").read_text()
    (installed,) = re.findall(r'version: "(.*)"', workflow)
    assert installed == importlib.metadata.version("pytest-llmbench")


def test_init_names_an_action_of_another_version(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is kept as everything that is there, with the way to renew it; ends of lines are no difference."""
    main(["init"])
    capsys.readouterr()
    action, script = (folder / path for path in ACTION)
    action.write_bytes(action.read_bytes().replace(b"\n", b"\r\n"))
    script.write_text("of another version")

    main(["init"])

    lines = output(capsys)
    assert f"kept  {ACTION[0]} (already there)" in lines
    assert (
        f"kept  {ACTION[1]} (already there; it differs from this version's: delete it, and run llmbench init again)"
        in lines
    )
    assert script.read_text() == "of another version"


def test_init_twice_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second call keeps every file."""
    main(["init"])
    capsys.readouterr()

    status = main(["init"])

    assert status == 0
    assert output(capsys)[:-1] == [f"kept  {path} (already there)" for path in (*WRITTEN, *LAST)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pytest.ini", ""),
        (".pytest.toml", "[pytest]\n"),
        ("pyproject.toml", "[project]\n\n[tool.pytest.ini_options]\n"),
        ("pyproject.toml", "[tool.pytest]\n"),
        ("tox.ini", "[tox]\n[pytest]\n"),
        ("setup.cfg", "[tool:pytest]\n"),
    ],
)
def test_init_leaves_the_settings_of_pytest_where_they_are(
    folder: Path, capsys: pytest.CaptureFixture[str], name: str, content: str
) -> None:
    """A second file would take their place."""
    (folder / name).write_text(content)

    main(["init"])

    assert f"kept  {name} (already there)" in output(capsys)
    assert (folder / name).read_text() == content
    assert (folder / "pytest.ini").exists() is (name == "pytest.ini")


def test_init_writes_settings_beside_those_of_others(folder: Path) -> None:
    """A project's file without a section of pytest's is none of its settings."""
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.pytest-watcher]\n')

    main(["init"])

    assert (folder / "pytest.ini").is_file()


def test_init_says_where_it_cannot_write(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file where a folder should be is one sentence and exit 2."""
    (folder / "cases").write_text("")

    status = main(["init"])

    assert status == 2
    assert fault(capsys) == "llmbench: cases: cannot be written: File exists.\n"


def test_the_first_project_runs(pytester: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """As the command says: two of its recorded answers are right, one is wrong; its suite has no fault."""
    main(["init"])
    capsys.readouterr()

    status = main(["validate", "cases"])
    validated = output(capsys)
    result = pytester.runpytest("--llm-model", "example", "cases/")

    assert (status, validated) == (0, ["1 suite, 3 cases: no errors, no warnings, no hints"])
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED cases/capitals.yaml::kenya[[]example[]] - different: *"])


def test_the_first_project_is_found_whatever_pytest_is_given(
    pytester: pytest.Pytester, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A baseline that lies elsewhere, which pytest takes for a path to tests, does not move the root directory there."""
    main(["init"])
    base = tmp_path_factory.mktemp("elsewhere") / "base.json"
    run = ("--llm-model", "m=example", "--llm-no-fail", "--benchmark-quiet")
    pytester.runpytest(*run, f"--benchmark-json={base}", "cases/")

    result = pytester.runpytest(*run, "--llm-baseline", str(base), "cases/")

    result.stdout.fnmatch_lines([f"rootdir: {pytester.path}", "verdict: no worse"])


# -- validate

GOOD = """\
suite: good
grader: exact
prompt: {completion: "{{ q }}"}
cases: [{id: a, q: x, expected: y}, {id: b, q: x, expected: y}]
"""


def test_validate_lists_the_faults_of_all_suites(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each broken suite is a line with its place, and other YAML, hidden folders and good suites are none."""
    (folder / "cases" / "deep").mkdir(parents=True)
    (folder / "cases" / ".hidden").mkdir()
    (folder / "cases" / ".hidden" / "x.yaml").write_text("suite: x\ngrader: y\n")
    (folder / "cases" / "good.yaml").write_text(GOOD + "gate: smoke\n")
    (folder / "cases" / "other.yaml").write_text("a: [")
    (folder / "cases" / "twin.yaml").write_text(GOOD + "gate: smoke\n")
    (folder / "cases" / "a.yaml").write_text(GOOD.replace("id: b", "id: a").replace("good", "a"))
    (folder / "cases" / "deep" / "b.yml").write_text(GOOD.replace("exact", "exakt").replace("good", "b"))

    status = main(["validate", "cases", "cases/good.yaml"])

    assert status == 1
    assert output(capsys) == [
        'cases/a.yaml:4: case id "a" occurs twice, first at line 4; ids must be unique. [error]',
        'cases/deep/b.yml:2: there is no grader "exakt"; did you mean "exact"? Known are: exact, contains, regex, json, '
        "yes_no, choices, key_points, sql, or a function of yours as package.module:function. [error]",
        'cases/twin.yaml:1: the suite name "good" is already used by cases/good.yaml; rename one of them. [error]',
        "4 suites, 2 cases: 3 errors, no warnings, no hints",
    ]


ADVICE = Remark(severity=Severity.ADVICE, text="t", suite=Path("s.yaml"), kind="near misses")


@pytest.mark.parametrize("severity", Severity)
def test_many_hints_of_one_kind_are_one_line(severity: Severity) -> None:
    """For each suite, in the place of the first, with two examples; a few stay, and so does what is graver."""
    many = [replace(ADVICE, severity=severity, text=f"m{n}", example=f"c{n} (x => {n})") for n in range(4)]
    few = [replace(ADVICE, text=f"f{n}", suite=Path("t.yaml")) for n in range(3)]
    other = Remark(severity=Severity.WARNING, text="other")

    found = [remark.text for remark in grouped([*many[:2], other, *many[2:], *few])]

    as_one = ["s.yaml:1: 4 near misses, such as c0 (x => 0) and c3 (x => 3); --all lists each.", "other"]
    each = ["m0", "m1", "other", "m2", "m3"]
    assert found == [*(as_one if severity is Severity.ADVICE else each), "f0", "f1", "f2"]


def test_validate_shows_what_could_act_on_the_terminal(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A suite of somebody else's may hold an escape; it is shown."""
    (folder / "a.yaml").write_text(GOOD.replace("suite: good", r'suite: "\x1b[2J"'))

    main(["validate", "a.yaml"])

    assert output(capsys)[0].startswith(r'a.yaml:1: "\x1b[2J" is not a valid suite name;')


NOTHING = {
    "no path": (["none"], "none: no such file or folder."),
    "no suite": (
        ["."],
        "no suite file found; a suite is a .yaml file with `suite`, and `grader` or `checks`, at its top level.",
    ),
    "a file that is none": (
        ["other.yaml"],
        "other.yaml: this is not a suite file; it needs `suite`, and `grader` or `checks`, at its top level.",
    ),
}


@pytest.mark.parametrize(("paths", "message"), NOTHING.values(), ids=NOTHING)
def test_validate_with_nothing_to_look_at_is_wrong_usage(
    folder: Path, capsys: pytest.CaptureFixture[str], paths: list[str], message: str
) -> None:
    """A path that does not exist, or holds no suite, is exit 2: a check that checks nothing must not be green."""
    (folder / "other.yaml").write_text("a: 1")

    status = main(["validate", *paths])

    assert status == 2
    assert fault(capsys) == f"llmbench: {message}\n"


def test_validate_looks_in_the_usual_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Bare `llmbench validate` checks cases/ of the root directory; where there is none, it says what to name."""
    missing = main(["validate"])
    (folder / "cases").mkdir()
    (folder / "cases" / "good.yaml").write_text(GOOD)

    found = main(["validate"])

    assert (missing, found) == (2, 0)
    shown = capsys.readouterr()
    message = "there is no folder cases/; name suite files, or folders of them: llmbench validate PATH."
    assert shown.err == f"llmbench: {message}\n"
    assert "1 suite" in shown.out


# -- show


def test_show_tells_a_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every record with prompt, answer and grade, then the scoreboard."""
    write_run(folder / "run.json", FRANCE, PERU)

    status = main(["show", "run.json"])

    assert status == 0
    assert output(capsys) == [
        *FRANCE_LINES,
        *PERU_LINES,
        "suite     model  cases  passed   score  95% interval    p50    p95  errors",
        "capitals  old        2       1  100.0%    20.7-100.0  0.25s  0.25s       1",
    ]


@pytest.mark.parametrize("case", ["peru", "capitals/peru"])
def test_show_tells_one_case(folder: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    """A case is named by its id, or by suite and id."""
    write_run(folder / "run.json", FRANCE, PERU)

    status = main(["show", "run.json", case])

    assert status == 0
    assert output(capsys)[: len(PERU_LINES) + 1] == [
        *PERU_LINES,
        "suite     model  cases  passed  score  errors",
    ]


def test_show_names_the_nearest_cases(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A case the run does not have is exit 2, with the likest of those it has."""
    write_run(folder / "run.json", FRANCE, PERU)

    status = main(["show", "run.json", "prou"])

    assert status == 2
    assert fault(capsys) == 'llmbench: run.json has no case "prou"; did you mean "peru"?\n'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--suite", "capitols"), 'no suite "capitols"; did you mean "capitals"?'),
        (("--model", "x"), 'no model "x"; it has old.'),
        (("nope",), 'no case "nope"; it has france, peru.'),
        (("rome", "--suite", "capitals", "--model", "gpt"), 'no case "rome"; it has france, peru.'),
    ],
)
def test_show_names_what_is_there(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], message: str
) -> None:
    """A name that nothing has is exit 2; far-off names are listed, and not suggested."""
    write_run(folder / "run.json", FRANCE, PERU)

    assert main(["show", "run.json", *options]) == 2
    assert fault(capsys) == f"llmbench: run.json has {message}\n"


@pytest.mark.parametrize("words", ["run.json lima --failed", "run.json --failed lima", "--failed run.json lima"])
def test_the_arguments_of_show_come_in_any_order(folder: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    """The case is found though an option stands between it and the file."""
    write_run(folder / "run.json", FRANCE, LIMA)

    assert main(["show", *words.split()]) == 0
    assert output(capsys)[-1] == "1 of 1 case failed."


LIMA = replace(FRANCE, case="lima", suite="rivers", role="new", score=0.0, outcome=Outcome.FAILED)
REPLIES = {"judge_replies": ['{"points": "all"}', None]}
JUDGED = replace(
    LIMA,
    samples=(replace(LIMA.samples[0], answer="# Rimac\n```", outcome=Outcome.FAILED, score=0.0, parts=REPLIES),),
)


@pytest.mark.parametrize(
    ("options", "heads"),
    [
        (("--failed",), ["rivers/lima [new]"]),
        (("--model", "gpt"), ["capitals/france [old]", "capitals/peru [old]", "rivers/lima [new]"]),
        (("--model", "old", "--suite", "capitals"), ["capitals/france [old]", "capitals/peru [old]"]),
        (("--failed", "--suite", "capitals"), []),
    ],
)
def test_show_chooses_records(
    folder: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], heads: list[str]
) -> None:
    """--failed keeps wrong answers, not errors; a model goes by its role and by its name."""
    write_run(folder / "run.json", FRANCE, PERU, JUDGED)

    status = main(["show", "run.json", *options])

    lines = output(capsys)
    assert status == 0
    assert sorted(line[3:].partition(":")[0] for line in lines if line.startswith("== ")) == heads
    assert ("1 of 3 cases failed." in lines) is (options == ("--failed",))


def test_show_prints_what_a_judge_replied(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word, a vote each, so that its grade can be understood."""
    write_run(folder / "run.json", JUDGED)

    main(["show", "run.json", "lima"])

    shown = "\n".join(output(capsys))
    assert '-- reply of the judge, vote 1\n   {"points": "all"}\n-- reply of the judge, vote 2\n   (none)' in shown


def test_show_writes_markdown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An answer stands in a code block that it cannot leave, the scores in a table."""
    write_run(folder / "run.json", JUDGED)

    main(["show", "run.json", "--failed", "--format", "md"])

    lines = output(capsys)
    assert lines[0] == r"### rivers/lima \[new\]: failed, score 0.00"
    answer = lines.index("**answer**")
    assert lines[answer + 1 : answer + 6] == ["", " ````", " # Rimac", " ```", " ````"]
    assert "| suite | model | cases |" in "\n".join(lines)


def test_show_of_an_unreadable_file_says_why(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is no run is exit 2 and one sentence."""
    (folder / "run.json").write_text("{")

    status = main(["show", "run.json"])

    assert status == 2
    assert fault(capsys) == (
        "llmbench: run.json:1: this is not JSON, or it was cut off: Expecting property name enclosed in double quotes.\n"
    )


# -- the command itself


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "llmbench: error: the following arguments are required: COMMAND"),
        (["show"], "llmbench show: error: the following arguments are required: RUN.json"),
        (["show", "a", "b", "c"], "llmbench show: error: unrecognized arguments: c"),
        (["init", "--force"], "llmbench init: error: unrecognized arguments: --force"),
        (
            ["compare", "a", "b", "--fromat=json"],
            'llmbench compare: error: unrecognized arguments: --fromat=json; did you mean "--format"?',
        ),
    ],
)
def test_wrong_usage_is_exit_2(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    """What is missing or unknown is named behind the usage."""
    with pytest.raises(SystemExit) as raised:
        main(arguments)

    assert raised.value.code == 2
    assert fault(capsys).splitlines()[-1] == message


def test_an_unknown_command_is_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest command is named."""
    with pytest.raises(SystemExit) as raised:
        main(["shwo"])

    assert raised.value.code == 2
    assert fault(capsys).splitlines()[-1] == (
        'llmbench: error: there is no command "shwo"; did you mean "show"? See: llmbench --help'
    )


def test_agreement_wants_the_file_of_annotations_that_was_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A mistyped name is exit 2, and no report of an agreement with nobody; a folder is called none that is missing."""
    write_run(folder / "run.json", FRANCE)

    assert main(["agreement", "run.json", "--verdicts", "verdict.jsonl"]) == 2
    assert fault(capsys) == "llmbench: --verdicts verdict.jsonl: there is no such file; llmbench review writes one.\n"
    assert main(["agreement", "run.json", "--verdicts", "."]) == 2
    assert fault(capsys) == "llmbench: .: cannot be read: Is a directory.\n"


def test_the_command_is_installed(folder: Path) -> None:
    """`llmbench` runs as a program; a console that lacks a character gets its escape."""
    write_run(folder / "run.json", replace(FRANCE, samples=(graded_sample(Answer(text="Zürich \U0001f642"), GRADE),)))

    result = subprocess.run(
        [COMMAND, "show", "run.json", "france"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, b"")
    assert rb"   Z\xfcrich \U0001f642" in result.stdout.splitlines()


@pytest.mark.parametrize(
    ("arguments", "status"), [(["show", "run.json"], 0), (["compare", "run.json", "worse.json"], 1)]
)
def test_a_reader_that_has_seen_enough_takes_nothing_from_the_status(
    folder: Path, arguments: list[str], status: int
) -> None:
    """Behind a closed pipe, as of `| head -1`, the command ends in silence, and a worse candidate stays worse."""
    records = [replace(FRANCE, case=f"c{number}") for number in range(500)]
    write_run(folder / "run.json", *records)
    wrong = replace(FRANCE.samples[0], outcome=Outcome.FAILED, score=0.0)
    write_run(
        folder / "worse.json",
        *(replace(record, outcome=Outcome.FAILED, score=0.0, samples=(wrong,)) for record in records),
    )
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "wb") as closed:
        result = subprocess.run([COMMAND, *arguments], stdout=closed, stderr=subprocess.PIPE, check=False)

    assert (result.returncode, result.stderr) == (status, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the disk that is always full is of Linux")
def test_output_that_cannot_be_written_is_wrong_usage(folder: Path) -> None:
    """Exit status 1 of a traceback would be that of a worse candidate."""
    write_run(folder / "run.json", FRANCE)

    with Path("/dev/full").open("wb") as full:
        result = subprocess.run([COMMAND, "show", "run.json"], stdout=full, stderr=subprocess.PIPE, check=False)

    assert result.returncode == 2
    assert result.stderr == (
        b"llmbench: the output cannot be written: No space left on device; make room, or write elsewhere.\n"
    )


def test_what_makes_the_lines_is_not_cut_off_by_a_reader_that_has_gone(tmp_path: Path) -> None:
    """`llmbench tune ... | head -1` trains all the same, and its exit status 0 stays true."""
    program = (
        "import pathlib, sys\n"
        "from pytest_llmbench.cli.output import print_lines\n"
        "from pytest_llmbench.cli.tune import StageProgress\n"
        "def lines():\n"
        "    progress = StageProgress(sys.stdout)\n"
        "    for number in range(3):\n"
        "        progress.line(f'step {number}')\n"
        "    yield 'a line'\n"
        "    pathlib.Path('made').touch()\n"
        "print_lines(lines())\n"
    )
    reading, writing = os.pipe()
    os.close(reading)

    with os.fdopen(writing, "wb") as closed:
        result = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, stdout=closed, stderr=subprocess.PIPE, check=False
        )

    assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / "made").exists()


def test_a_fault_of_what_makes_the_lines_is_not_one_of_the_output(tmp_path: Path) -> None:
    """The file that is not there is named."""

    def lines() -> Iterator[str]:
        yield (tmp_path / "missing").read_text()

    with pytest.raises(FileNotFoundError, match="missing"):
        print_lines(lines())


# -- a command is one file and one line

THROWAWAY = """\
def add_arguments(parser):
    parser.add_argument("--times", type=int, default=1)

def run(options):
    print("word " * options.times)
    return 8
"""


def test_a_command_is_a_module_and_a_line_of_the_table(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A new command needs its file and its entry: it is called, helped and found when mistyped like the others."""
    (folder / "throwaway_command.py").write_text(THROWAWAY)
    monkeypatch.syspath_prepend(folder)
    commands = {**COMMANDS, "throwaway": ("throwaway_command", "print a word")}

    status = main(["throwaway", "--times", "2"], commands)

    assert (status, output(capsys)) == (8, ["word word "])
    with pytest.raises(SystemExit):
        main(["--help"], commands)
    assert any(line.split() == ["throwaway", "print", "a", "word"] for line in output(capsys))
    with pytest.raises(SystemExit):
        main(["throwawya"], commands)
    assert 'did you mean "throwaway"?' in fault(capsys)


def test_ctrl_c_ends_a_command_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, and the exit status that shells give."""
    (tmp_path / "waits.py").write_text("def add_arguments(parser): pass\ndef run(options): raise KeyboardInterrupt\n")
    monkeypatch.syspath_prepend(tmp_path)

    status = main(["wait"], {"wait": ("waits", "wait for the end")})

    assert (status, capsys.readouterr().err) == (130, "llmbench: ended by Ctrl-C.\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_help(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """`llmbench COMMAND --help` begins with its usage and the line of the table."""
    with pytest.raises(SystemExit) as raised:
        main([name, "--help"])

    shown = " ".join(output(capsys))
    assert raised.value.code == 0
    assert shown.startswith(f"usage: llmbench {name} [-h]")
    assert COMMANDS[name][1][1:].split()[0] in shown


def test_the_list_of_commands_imports_none_of_them() -> None:
    """`llmbench --help` costs what argparse costs, and a command pays only for its own module."""
    modules = [module for module, _ in COMMANDS.values()]
    check = (
        f"import sys\ntry:\n main(['--help'])\nexcept SystemExit:\n print(sorted(set({modules}) & set(sys.modules)))"
    )

    result = subprocess.run(
        [sys.executable, "-c", f"from pytest_llmbench.cli import main\n{check}"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.splitlines()[-1] == "[]"


def test_schema_prints_the_published_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The schema for editors is that of the package, byte for byte."""
    status = main(["schema"])

    assert status == 0
    assert capsys.readouterr().out == files("pytest_llmbench").joinpath("suite.schema.json").read_text(encoding="utf-8")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`llmbench --version` names the installed version and ends with 0."""
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])

    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"pytest-llmbench {importlib.metadata.version('pytest-llmbench')}\n"
