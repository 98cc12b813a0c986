"""Suites of choices through a whole run: who is asked what, and who is not."""

from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.grading.registry import BUILT_IN
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.runner.requests import RequestBuilder
from pytest_llmbench.runner.runner import Item, Runner, RunSettings
from pytest_llmbench.runner.store.keys import request_key

SUITE = """\
suite: s
grader: choices
target_delimiter: ": "
choices: [x, y]
prompt: {completion: "Q {{ q }}"}
cases: [{id: one, q: 1, expected: x}, {id: two, q: 2, expected: z, choices: [z, y]}]
"""


def items(tmp_path: Path, target: str) -> list[Item]:
    path = tmp_path / "s.yaml"
    path.write_text(SUITE, encoding="utf-8")
    (spec,) = Catalog(tmp_path / "models.toml", {}).choose([target], tmp_path)
    loaded = Runner(RunSettings(root=tmp_path), [spec], dict(BUILT_IN)).suites.load(path)
    assert loaded is not None
    return [Item(key=case.id, loaded=loaded, case=case, spec=spec) for case in loaded.suite.cases]


def test_each_case_is_asked_for_its_own_choices(tmp_path: Path) -> None:
    """A request has the choices of its case and their delimiter, which is part of what a stored answer is found by."""
    (tmp_path / "a.jsonl").write_text('{"case": "one", "choice_logprobs": {"x": -1, "y": -2}}\n', encoding="utf-8")
    builder = RequestBuilder(RunSettings(root=tmp_path))
    asked = items(tmp_path, f"recorded:{tmp_path / 'a.jsonl'}")
    builder.check_styles(asked)

    requests = [one for (one,) in builder.requests(asked)]

    assert [(one.labels, one.picks_label, one.delimiter) for one in requests] == [
        (("x", "y"), True, ": "),
        (("z", "y"), True, ": "),
    ]
    assert len({request_key("m", one) for one in requests}) == 2


def test_a_model_that_gives_no_probability_of_texts_is_refused(tmp_path: Path) -> None:
    """Before anything is sent, in one sentence with the way out."""
    (tmp_path / "app.py").write_text("def answer(prompt): return 'x'\n", encoding="utf-8")

    with pytest.raises(UsageFault) as caught:
        RequestBuilder(RunSettings(root=tmp_path)).check_styles(items(tmp_path, "python:app:answer"))

    assert str(caught.value) == (
        'model "python:app:answer" is of the provider "python", which gives no probability of whole texts, and the '
        'suite "s" compares those of its choices; name a model of transformers, or recorded answers with '
        "choice_logprobs."
    )
