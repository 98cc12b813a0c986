"""Cases from data sets: local folders and files, and names of the hub that are pinned."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pytest_llmbench.cli import main
from pytest_llmbench.errors import SuiteFault
from pytest_llmbench.suites.loader import LoadedSuite, load_suite

pytestmark = pytest.mark.slow

HEAD = 'suite: d\ngrader: exact\nprompt: {completion: "{{ q }}"}\n'
COLUMNS = "columns: {id: '', q: question, expected: label}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write one table of 20 rows in every form."""
    import datasets

    datasets.disable_progress_bars()
    root = tmp_path_factory.mktemp("sets")
    features = {
        "question": datasets.Value("string"),
        "lang": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["no", "yes"]),
        "words": datasets.Sequence(datasets.Value("string")),
    }
    rows = {
        "question": [f"Question {n}?" for n in range(20)],
        "lang": ["en", "de"] * 10,
        "label": [0, 0, 1, 1] * 5,
        "words": [["a"]] * 20,
    }
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    table.save_to_disk(str(root / "saved"))
    datasets.DatasetDict({"train": table, "test": table}).save_to_disk(str(root / "splits"))
    (root / "folder").mkdir()
    table.to_parquet(str(root / "folder" / "test.parquet"))
    (root / "lines.json").write_text("\n".join(json.dumps({"q": f"Q{n}", "expected": n, "id": n}) for n in range(3)))
    return root


def load(folder: Path, data: str) -> LoadedSuite:
    path = folder / "d.yaml"
    path.write_text(f"{HEAD}data: {data}\n", encoding="utf-8")
    loaded = load_suite(path)
    assert loaded is not None
    return loaded


FORMS = {
    "saved to disk": f"{{dataset: saved, {COLUMNS}}}",
    "splits": f"{{dataset: splits, split: test, {COLUMNS}}}",
    "a folder of Parquet": f"{{dataset: folder, {COLUMNS}}}",
    "Parquet files": f"{{dataset: 'parquet:folder/*.parquet', {COLUMNS}}}",
}


@pytest.mark.parametrize("data", FORMS.values(), ids=list(FORMS))
def test_every_form_gives_the_same_cases(data: str, folder: Path) -> None:
    """Labels are their names, ids are made of the inputs, and the digest does not depend on the form."""
    loaded, other = load(folder, data), load(folder, FORMS["saved to disk"])

    first = loaded.suite.cases[0]
    assert (first.inputs, first.expected) == ({"q": "Question 0?"}, "no")
    assert loaded.suite.sha256 == other.suite.sha256
    assert len(loaded.suite.cases) == 20


def test_json_lines_keep_their_own_names(folder: Path) -> None:
    """Without `columns`, each column is a field; numbers are texts where a text is asked."""
    cases = load(folder, "{dataset: 'json:lines.json'}").suite.cases

    assert [(case.id, case.inputs, case.expected) for case in cases[:2]] == [
        ("0", {"q": "Q0"}, "0"),
        ("1", {"q": "Q1"}, "1"),
    ]


def test_rows_are_kept_by_value_and_drawn_by_seed(folder: Path) -> None:
    """`where` compares labels by name too; the same seed draws the same rows, in their order."""
    kept = f"dataset: saved, {COLUMNS}, where: {{lang: en, label: yes}}"

    chosen = load(folder, f"{{{kept}}}").suite.cases
    drawn = [load(folder, f"{{{kept}, limit: 3, seed: {seed}}}").suite.cases for seed in (7, 7, 8)]

    assert [case.inputs["q"] for case in chosen] == [f"Question {n}?" for n in (2, 6, 10, 14, 18)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert [case.id for case in chosen if case.id in {one.id for one in drawn[0]}] == [case.id for case in drawn[0]]


def test_labels_may_stay_numbers(folder: Path) -> None:
    """With `labels: number` a label is its number, as a text where a text is asked."""
    cases = load(folder, f"{{dataset: saved, {COLUMNS}, labels: number}}").suite.cases

    assert {case.expected for case in cases} == {"0", "1"}


FAULTS = {
    "no id": (
        "{dataset: saved}",
        'd.yaml:4: a data set needs a column id; this one has: question, lang, label, words. Write `columns` with `id: ""` for an id made of the inputs.',
    ),
    "no column": (
        "{dataset: saved, columns: {id: '', q: text}}",
        'd.yaml:4: `columns` takes q from "text", which is not here; there are: question, lang, label, words.',
    ),
    "a list": (
        "{dataset: saved, columns: {id: '', q: question, expected: words}}",
        'd.yaml: row 1: case "fc9877a68256": expected: must be a text.',
    ),
    "several splits": (
        f"{{dataset: splits, {COLUMNS}}}",
        "d.yaml:4: the data set has several splits: train, test; name one with `split`.",
    ),
    "no split": (
        f"{{dataset: splits, split: dev, {COLUMNS}}}",
        'd.yaml:4: the data set has no split "dev"; it has: train, test.',
    ),
    "a limit alone": (
        f"{{dataset: saved, {COLUMNS}, limit: 3}}",
        "d.yaml:4: data: `limit` needs a `seed`: the first rows of a set that is sorted are no sample of it.",
    ),
    "no folder": (
        f"{{dataset: ./none, {COLUMNS}}}",
        "d.yaml:4: there is no folder FOLDER/none; `dataset` is relative to the suite, or a name of the hub.",
    ),
    "no file": (
        f"{{dataset: 'json:*.xyz', {COLUMNS}}}",
        'd.yaml:4: no file matches "*.xyz"; the path is relative to the suite.',
    ),
    "not pinned": (
        f"{{dataset: some/set, {COLUMNS}}}",
        'd.yaml:4: "some/set" has no `revision`, and may change unseen; pin it: llmbench lock FOLDER/d.yaml',
    ),
    "nothing left": (
        f"{{dataset: saved, {COLUMNS}, where: {{lang: fr}}}}",
        "d.yaml:4: no row of the data set is left; a case stands in each.",
    ),
}


@pytest.mark.parametrize(("data", "message"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_is_one_line(data: str, message: str, folder: Path) -> None:
    """It names the file, the line, and the way out."""
    with pytest.raises(SuiteFault) as raised:
        load(folder, data)

    found = str(raised.value).replace(f"{folder}/d.yaml:", "d.yaml:").replace(str(folder), "FOLDER")
    assert found == message


def test_a_set_of_millions_needs_a_limit(tmp_path: Path) -> None:
    """Ten million rows would be ten million tests; they are counted, and not read."""
    duckdb.execute(f"COPY (SELECT 'x' AS question FROM range(10_000_000)) TO '{tmp_path / 'd.parquet'}'")

    with pytest.raises(SuiteFault) as raised:
        load(tmp_path, "{dataset: 'parquet:d.parquet', columns: {id: '', question: question}}")

    assert str(raised.value).endswith(
        "d.yaml:4: the data set has 10,000,000 rows, each a test; write `limit` and `seed`."
    )


class _Hub(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"id": "some/set", "sha": "0123abc", "siblings": [], "tags": [], "private": False}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve a hub that has one data set."""
    server = http.server.HTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


STYLES = {
    "in braces": (
        "data: {dataset: some/set, split: test}",
        "data: {dataset: some/set, revision: 0123abc, split: test}",
    ),
    "in lines": (
        "data:\n  dataset: some/set  # ours\n  split: test",
        "data:\n  dataset: some/set\n  revision: 0123abc  # ours\n  split: test",
    ),
}


@pytest.mark.parametrize(("before", "after"), STYLES.values(), ids=list(STYLES))
@pytest.mark.usefixtures("hub")
def test_lock_writes_the_revision(before: str, after: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest of the file stays as it is; a second call changes nothing."""
    path = tmp_path / "d.yaml"
    path.write_text(f"{HEAD}{before}\n", encoding="utf-8")

    assert main(["lock", str(path)]) == 0
    assert main(["lock", str(tmp_path)]) == 0

    assert path.read_text(encoding="utf-8") == f"{HEAD}{after}\n"
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: some/set pinned to 0123abc",
        f"{path}: some/set is pinned already, to 0123abc",
    ]
