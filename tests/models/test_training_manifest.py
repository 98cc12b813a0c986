"""What a model was trained on: which cases count, and which manifests are not believed."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmbench.errors import ModelFault, UsageFault
from pytest_llmbench.models.base import OpenSettings, Training
from pytest_llmbench.models.catalog import Catalog
from pytest_llmbench.models.training_manifest import (
    FILE,
    CaseToMatch,
    manifest_beside,
    merged,
    read_manifest,
    sealed,
)
from pytest_llmbench.models.transformers.files import LocalFiles, weights_digest
from pytest_llmbench.values import Message, Prompt

MOON = Prompt(text="What is the moon?")
CONTENT: dict[str, Any] = {
    "schema": 1,
    "made_by": "pytest-llmbench 0.2.0",
    "weights": "sha256:abc",
    "cases": {
        "sky": {"moon": ["digest-moon", MOON.sha256, None], "sun": ["digest-sun", "p", "stars"]},
        "sea": {"tide": ["digest-tide", "q", "shore"]},
    },
    "foreign": [hashlib.sha256(b"user: hi\n\nassistant: yes").hexdigest()],
}


def written(folder: Path, content: Any = CONTENT) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / FILE
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def case(suite: str, id_: str, sha256: str = "new", cluster: str | None = None, prompt: str = "other") -> CaseToMatch:
    return CaseToMatch(suite=suite, id=id_, sha256=sha256, cluster=cluster, prompt=Prompt(text=prompt))


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        (case("sky", "moon", "digest-moon"), "case"),
        (case("renamed", "luna", "digest-moon"), "case"),
        (case("sky", "moon", "digest-of-now"), "id"),
        (case("land", "moon", "digest-of-now"), None),
        (case("land", "luna", prompt="What is the moon?"), "prompt"),
        (case("sky", "vega", cluster="stars"), "cluster"),
        (case("sea", "wave", cluster="stars"), None),
        (case("sky", "vega"), None),
    ],
)
def test_a_case_counts_as_trained_by_digest_id_prompt_or_cluster(
    tmp_path: Path, asked: CaseToMatch, why: str | None
) -> None:
    """A changed, renamed or moved case, one with an equal prompt, and one of the same cluster: each is known again."""
    manifest = read_manifest(written(tmp_path))

    assert manifest.why_trained(asked) == why
    assert manifest.training == Training(
        manifest_sha256=hashlib.sha256(manifest.path.read_bytes()).hexdigest(), cases=3, foreign=1
    )


def test_a_prompt_that_belonged_to_no_case_is_known_by_its_plain_text(tmp_path: Path) -> None:
    """Rows of other data sets have no case; one with an equal prompt is found in chat too."""
    chat = Prompt(messages=(Message(role="user", content="hi"), Message(role="assistant", content="yes")))
    asked = CaseToMatch(suite="s", id="x", sha256="y", cluster=None, prompt=chat)

    assert read_manifest(written(tmp_path)).why_trained(asked) == "prompt"


def test_what_adapter_and_base_were_trained_on_counts_together(tmp_path: Path) -> None:
    """A chain of trainings cannot lose cases."""
    base = {**CONTENT, "cases": {"sky": {"mars": ["m", "p", None]}}, "foreign": []}

    both = merged(read_manifest(written(tmp_path / "a")), read_manifest(written(tmp_path / "b", base)))

    assert both is not None
    assert [both.why_trained(case("sky", name)) for name in ("moon", "mars", "vega")] == ["id", "id", None]
    assert merged(None, both) is both
    assert manifest_beside(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON, or was cut off"),
        ([], r"is no training manifest \(the whole: must be a mapping of names to values\)"),
        ({**CONTENT, "schema": 2}, "has schema 2, this pytest-llmbench reads up to 1; update it"),
        ({**CONTENT, "weights": None}, r"is no training manifest \(weights: must be a text\)"),
        ({**CONTENT, "cases": {"s": {"a": ["x"]}}}, "a case needs its digest, that of its prompt, and its cluster"),
        ({**CONTENT, "cases": {"s": {"a": ["x", None, None]}}}, "a case needs its digest"),
        (
            {**sealed(CONTENT), "cases": {}},
            "was edited after it was written; train again with llmbench tune, or remove",
        ),
    ],
)
def test_a_manifest_that_cannot_be_believed_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    """One that was edited, cut off, or is of a later version, with the way out."""
    with pytest.raises(UsageFault, match=message):
        read_manifest(written(tmp_path, content))


def test_a_sealed_manifest_is_read(tmp_path: Path) -> None:
    """The digest of its content is of what stands in it, in whatever order."""
    content = sealed({**CONTENT, "stages": [{"final": {"loss": 0.1}, "cases": (1, 2)}]})

    assert read_manifest(written(tmp_path, dict(reversed(content.items())))).weights == "sha256:abc"


def test_a_manifest_of_other_weights_is_an_error(tmp_path: Path) -> None:
    """It was moved, or the weights were trained on: nothing is known, and nothing must pass."""
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    digest = weights_digest(LocalFiles(path=folder), tmp_path / "cache")
    written(folder, {**CONTENT, "weights": digest})
    (tmp_path / "a.jsonl").write_text('{"case": "moon", "answer": "x"}\n')
    models = tmp_path / "models.toml"
    models.write_text(f'[m]\nprovider = "recorded"\nanswers = "a.jsonl"\ntraining = "adapter/{FILE}"\n')
    (spec,) = Catalog(models, {}).choose(["m"], tmp_path)
    settings = OpenSettings(cache_dir=tmp_path / "cache")

    assert spec.provider.open(spec.entry, settings).identity.training is not None
    (folder / "adapter_model.safetensors").write_bytes(b"other weights")
    with pytest.raises(ModelFault, match=r"belongs to other weights .* put the weights back"):
        spec.provider.open(spec.entry, settings)


def test_an_openai_entry_names_its_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server shows no files; what is known of the model stands in its identity."""
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    written(tmp_path / "adapter")
    models = tmp_path / "models.toml"
    text = '[tuned]\nprovider = "vllm"\nmodel = "tuned"\nbase_url = "http://127.0.0.1:1"\ntraining = '
    models.write_text(f'{text}"adapter/{FILE}"\n[lost]{text[7:]}"nowhere.json"\n')
    spec, lost = Catalog(models, {}).choose(["tuned", "lost"], tmp_path)

    model = spec.provider.open(spec.entry, OpenSettings(cache_dir=tmp_path))
    training = model.identity.training
    model.close()

    assert training is not None
    assert training.cases == 3
    with pytest.raises(UsageFault, match=r"nowhere.json cannot be read: No such file or directory; correct the path"):
        lost.provider.prompt_style(lost.entry)
