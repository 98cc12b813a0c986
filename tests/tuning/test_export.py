"""Training data: which rows each format has, that nothing is held out in them, and what is left out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories import record, sample
from pytest_llmbench.cli import main
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.results.records import Record, Run, RunInfo, SuiteInfo
from pytest_llmbench.suites.loader import LoadedSuite
from pytest_llmbench.suites.registry import SuiteRegistry
from pytest_llmbench.tuning.export import Export, ExportSettings, export
from pytest_llmbench.tuning.known_answers import NamedRun
from pytest_llmbench.tuning.rows import Format, RowSettings
from pytest_llmbench.values import PromptStyle, Side

EXACT = """\
suite: capitals
grader: exact
split: {train: 0.5}
prompt:
  completion: "Q: {{ question }}\\nA:"
  chat: [{role: user, content: "{{ question }}"}]
cases:
  - {id: peru, question: "Peru?", expected: Lima, split: train}
  - {id: france, question: "France?", expected: Paris, split: train}
  - {id: kenya, question: "Kenya?", expected: Nairobi, split: held-out}
"""
LABELS = EXACT.replace("exact", "yes_no").replace("Lima", "yes").replace("Paris", "no").replace("Nairobi", '"yes"')


class Project:
    """A suite on disk, and answers to it as runs would hold them."""

    def __init__(self, folder: Path, text: str = EXACT):
        path = folder / "suite.yaml"
        path.write_text(text)
        self.registry = SuiteRegistry(folder, {})
        found = self.registry.load(path)
        assert found is not None
        self.loaded: LoadedSuite = found

    def record(self, case: str, answers: Mapping[str, float | None], **others: Any) -> Record:
        """Make the record of a case: each answer with its score, None for an error."""
        style = PromptStyle(others.pop("style", "chat"))
        known = next(one for one in self.loaded.suite.cases if one.id == case)
        made = record(
            case,
            *(sample(score, answer) for answer, score in answers.items()),
            suite=self.loaded.suite.name,
            role=others.pop("role", "base"),
            case_sha256=known.sha256,
            prompt_style=style,
            prompt_sha256=self.loaded.prompts[style][case].sha256,
            grader=self.loaded.suite.grader,
        )
        return replace(made, **others)

    def run(self, *records: Record, name: str = "run.json", version: int | None = None) -> NamedRun:
        info = SuiteInfo(
            suite=self.loaded.suite.name,
            sha256="",
            grader=self.loaded.suite.grader,
            grader_version=self.loaded.kind.version if version is None else version,
            path="suite.yaml",
        )
        return NamedRun(name=name, run=Run(records=records, facts=RunInfo(suites=(info,))))

    def export(self, kind: str, runs: Sequence[NamedRun] = (), style: str | None = None, **rows: Any) -> Export:
        made = ExportSettings(
            format=Format(kind),
            style=None if style is None else PromptStyle(style),
            rows=RowSettings(**rows),
        )
        return export([self.loaded], self.registry.graders, runs, made)


@pytest.fixture
def capitals(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def labels(tmp_path: Path) -> Project:
    return Project(tmp_path, LABELS)


def short(found: Export, *columns: str) -> list[tuple[Any, ...]]:
    """Give some columns of the rows, messages as the text of the last."""
    return [tuple(_text(row[column]) for column in columns) for row in found.rows]


def _text(value: Any) -> Any:
    return value[-1]["content"] if isinstance(value, list) else value


def test_a_row_of_sft_says_where_it_is_from(capitals: Project) -> None:
    """The reference, in chat; with the digests by which a case can be found again, in TRL's columns."""
    found = capitals.export("sft")

    france = capitals.loaded.suite.cases[1]
    assert found.rows[0] == {
        "prompt": [{"role": "user", "content": "France?"}],
        "completion": [{"role": "assistant", "content": "Paris"}],
        "suite": "capitals",
        "case_id": "france",
        "case_sha256": france.sha256,
        "prompt_sha256": capitals.loaded.prompts[PromptStyle.CHAT]["france"].sha256,
        "grader": "exact",
        "grader_version": capitals.loaded.kind.version,
        "score": 1.0,
        "source": "reference",
    }
    assert short(found, "case_id", "completion") == [("france", "Paris"), ("peru", "Lima")]
    assert found.left_out == {("case", "held out"): 1}


def test_in_completion_style_the_blank_belongs_to_the_answer(capitals: Project) -> None:
    """`A:` goes on with ` Paris`, as the run's tokens would."""
    assert short(capitals.export("sft", style="completion"), "prompt", "completion")[0] == ("Q: France?\nA:", " Paris")


def test_passing_answers_of_runs_come_before_references(capitals: Project) -> None:
    """Each text once, by run, role and number; a reference where none passed, unless it is not wanted."""
    runs = [
        capitals.run(capitals.record("france", {" Paris\n": 1, "Rome": 0, "paris, I think": 1, "Paris": 1}), name="b"),
        capitals.run(
            capitals.record("france", {"Paris": 1}, role="z"), capitals.record("peru", {"Cusco": 0}), name="a"
        ),
    ]

    found = capitals.export("sft", runs)

    assert short(found, "case_id", "completion", "source") == [
        ("france", "Paris", "a#z/0"),
        ("france", "paris, I think", "b#base/2"),
        ("peru", "Lima", "reference"),
    ]
    strict = capitals.export("sft", runs, uses_references=False)
    assert {row["case_id"] for row in strict.rows} == {"france"}
    assert strict.left_out["case", "no right answer is known"] == 1


def test_what_is_no_longer_what_was_graded_is_left_out_by_reason(capitals: Project) -> None:
    """Errors, held-out cases, other digests, prompts, graders and suites, unknown cases, and answers cut off."""
    peru = capitals.record("peru", {"Lima": 1})
    cut = replace(peru, samples=(replace(peru.samples[0], finish_reason="length"),))
    runs = [
        capitals.run(
            capitals.record("peru", {"a": None}),
            capitals.record("kenya", {"Nairobi": 1, "b": 0}),
            replace(peru, case="mars"),
            replace(peru, case_sha256="other"),
            replace(peru, prompt_sha256="other"),
            replace(peru, grader="contains"),
            replace(peru, suite="elsewhere"),
            cut,
        ),
        capitals.run(peru, name="old", version=1),
    ]

    assert capitals.export("sft", runs).left_out == {
        ("answer", "another grader or version"): 2,
        ("answer", "error"): 1,
        ("answer", "held out"): 2,
        ("answer", "of an unknown case"): 1,
        ("answer", "of another suite"): 1,
        ("answer", "passed, but cut off at the limit of tokens"): 1,
        ("answer", "the case has changed (another digest)"): 1,
        ("answer", "the prompt is another"): 1,
        ("case", "held out"): 1,
    }


def test_references_that_fail_are_left_out(tmp_path: Path) -> None:
    """Such a reference is a fault of the suite, and would teach it; one behind a begun word goes on from there."""
    database = tmp_path / "fixtures" / "databases" / "d"
    database.mkdir(parents=True)
    (database / "schema.sql").write_text("CREATE TABLE t (a BIGINT);")
    (database / "one.sql").write_text("INSERT INTO t VALUES (1), (2);")
    (database / "database.toml").write_text("[instances.one]\nnow = 2024-01-01T00:00:00\n")
    text = """\
suite: s
grader: sql
database: d
split: {train: 0.5}
sampling: {stop: ["\\n"]}
prompt: {completion: "-- {{ q }}\\nSELECT"}
cases:
  - {id: a, q: sum, split: train, reference: [select sum(a) FROM t, "WITH x AS (FROM t) SELECT sum(a) FROM x"]}
  - {id: b, q: rows, split: train, reference: "SELECT a\\nFROM t"}
"""

    found = Project(tmp_path, text).export("sft")

    assert short(found, "case_id", "completion") == [("a", " sum(a) FROM t")]
    assert found.left_out == {
        ("case", "no right answer is known"): 1,
        ("reference", "does not go on behind the prompt"): 1,
        ("reference", "does not pass"): 1,
    }


def test_pairs_are_of_one_case_and_the_nearest_lengths_come_first(capitals: Project) -> None:
    """Right answers by wrong ones, at most so many; a case without a wrong answer gives none; empty ones teach nothing."""
    runs = [capitals.run(capitals.record("france", {"Paris": 1, "Rome": 0, "": 0, "x" * 30: 0, "Paris!": 0.5}))]

    found = capitals.export("preference", runs, pairs=2)

    assert short(found, "prompt", "chosen", "rejected", "source", "rejected_source", "rejected_score") == [
        ("France?", "Paris", "Rome", "run.json#base/0", "run.json#base/1", 0.0),
        ("France?", "Paris", "Paris!", "run.json#base/0", "run.json#base/4", 0.5),
    ]
    assert found.left_out["case", "no wrong answer is known"] == 1
    reward = capitals.export("reward", runs, "chat", pairs=1).rows[0]
    assert "prompt" not in reward
    assert reward["chosen"] == [{"role": "user", "content": "France?"}, {"role": "assistant", "content": "Paris"}]


def test_labels_give_pairs_without_sampling(labels: Project) -> None:
    """The right label and each other one; for unpaired data both, marked."""
    assert short(labels.export("preference"), "case_id", "chosen", "rejected", "source", "rejected_source") == [
        ("france", "no", "yes", "reference", "label"),
        ("peru", "yes", "no", "reference", "label"),
    ]
    assert short(labels.export("unpaired"), "completion", "label") == [
        ("no", True),
        ("yes", False),
        ("yes", True),
        ("no", False),
    ]
    text = LABELS.replace("grader: yes_no", 'checks: [{label: "{{ expected }}", labels: [yes, no]}]')
    assert len(Project(labels.loaded.suite.path.parent, text).export("preference").rows) == 2


def test_unpaired_has_every_graded_answer(capitals: Project) -> None:
    """Whatever its score; `label` is whether it passed."""
    runs = [capitals.run(capitals.record("france", {"Paris": 1, "Rome": 0, "Pari": 0.9, "e": None}))]

    assert short(capitals.export("unpaired", runs), "completion", "label", "score") == [
        ("Paris", True, 1.0),
        ("Rome", False, 0.0),
        ("Pari", False, 0.9),
    ]


def test_verl_reads_parquet_whose_ground_truth_is_the_case(capitals: Project, tmp_path: Path) -> None:
    """Its columns, in the order of the cases; a suite without a chat prompt has none for it."""
    path = tmp_path / "x.parquet"
    path.write_bytes(capitals.export("verl").content())

    columns = "data_source, prompt, ability, reward_model, extra_info.case_id, suite"
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT {columns} FROM '{path}'").fetchall()

    assert rows[0] == (
        "capitals",
        [{"role": "user", "content": "France?"}],
        "exact",
        {"style": "rule", "ground_truth": "france"},
        "france",
        "capitals",
    )
    with pytest.raises(UsageFault, match="verl takes chat messages"):
        capitals.export("verl", style="completion")


def test_the_style_is_that_of_the_runs_where_none_is_named(capitals: Project) -> None:
    """So that the rows are the prompts that were answered; of both styles one must be chosen."""
    plain = capitals.record("france", {"Paris": 1}, style="completion")

    assert capitals.export("sft", [capitals.run(plain)]).rows[0]["completion"] == " Paris"
    both = capitals.run(plain, capitals.record("peru", {"Lima": 1}))
    with pytest.raises(UsageFault, match="both prompt styles; choose one with --prompt"):
        capitals.export("sft", [both])
    assert capitals.export("sft", [both], "chat").left_out["answer", "the prompt is another"] == 1


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("suite: capitals\ngrader: exact\nsplit: {train: 0.5}\ncases: [{id: a, expected: x, q: y, split: train}]\n",
         "sft", "has no `prompt`, only inputs for an application"),
        (EXACT.replace("split: {train: 0.5}\n", "").replace(", split: train", "").replace(", split: held-out", ""),
         "sft", "has no `split`, so no model may be trained on it: write `split: {train: 0.5}`"),
        (EXACT.replace("split: train", "split: held-out"), "prompts", "has no case on the train side"),
        (EXACT.replace("split: {", "tools: [{name: find, parameters: {type: object}}]\nsplit: {"), "sft",
         "has `tools`, and training data holds one answer in text to each prompt; leave the suite out"),
        (EXACT, "preference", "no row is left for --format preference .*; name runs with graded answers, as --runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_said_with_the_way_out(tmp_path: Path, text: str, kind: str, message: str) -> None:
    """No split, nothing on the train side, nothing for the format."""
    with pytest.raises(UsageFault, match=message):
        Project(tmp_path, text).export(kind)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["", "c1", "c2"]), st.sampled_from(["yes", "no"])), min_size=2, max_size=8),
    st.floats(0.1, 0.9),
    st.sampled_from([kind for kind in Format if kind is not Format.VERL]),
)
def test_no_format_holds_a_held_out_case_and_bytes_are_equal(
    tmp_path_factory: pytest.TempPathFactory, cases: list[tuple[str, str]], share: float, kind: Format
) -> None:
    """Whatever the suite and the run: no id and no prompt of the held-out side; the same input gives the same bytes."""
    lines = [
        f"  - {{id: case-{n}-end, question: about {n}., expected: '{label}'{f', cluster: {c}' if c else ''}}}"
        for n, (c, label) in enumerate(cases)
    ]
    head = LABELS.partition("cases:")[0].replace("0.5", str(share))
    project = Project(tmp_path_factory.mktemp("p"), f"{head}cases:\n" + "\n".join(lines))
    records = [project.record(case.id, {"yes": case.expected == "yes"}) for case in project.loaded.suite.cases]
    held_out = [case for case in project.loaded.suite.cases if case.side is Side.HELD_OUT]

    try:
        one, two = (project.export(kind, [project.run(*order)]).content() for order in (records, records[::-1]))
    except UsageFault:
        assert len(held_out) == len(records)
        return

    assert one == two
    assert not any(f"{case.id}" in one.decode() or f"about {case.id[5:-4]}." in one.decode() for case in held_out)


def test_the_command_prints_what_it_left_out_and_the_digest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line is the file's sha256; a second call writes the same bytes."""
    monkeypatch.chdir(tmp_path)
    Path("s.yaml").write_text(EXACT)

    Path("t.yaml").write_text(EXACT.replace("capitals", "all").replace("split: held-out", "split: train"))
    main(["export-training", "t.yaml", "--format", "prompts", "-o", "p.jsonl"])
    unheld = capsys.readouterr().out.splitlines()
    status = main(["export-training", "s.yaml", "--format", "prompts", "-o", "p.jsonl"])
    first = Path("p.jsonl").read_bytes()
    main(["export-training", "s.yaml", "--format", "prompts", "-o", "p.jsonl"])

    lines = capsys.readouterr().out.splitlines()
    assert status == 0
    assert lines[:3] == [
        "capitals: 2 rows from 2 cases of the train side, chat prompts",
        "left out: 1 case: held out",
        "wrote 2 rows to p.jsonl",
    ]
    assert unheld[1] == "all: no case is held out, so none can decide about a model trained on this"
    assert (lines[3], Path("p.jsonl").read_bytes()) == (lines[-1], first)
    assert [json.loads(line)["case_id"] for line in first.splitlines()] == ["france", "peru"]
