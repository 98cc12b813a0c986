"""Where a local model is looked for, and what is said when it is not there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.transformers.files import LocalFiles, find_adapter, find_model, weights_digest
from pytest_llmbench.models.transformers.libraries import EXTRA, require_libraries

GGUF_HEADER = b"GGUF\x03\x00\x00\x00" + bytes(16)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package that has a model in it and cannot be imported."""
    folder = tmp_path / "site" / "tiny_llm_model"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('this package wants a server')")
    (folder / "tiny.gguf").write_bytes(GGUF_HEADER)
    monkeypatch.syspath_prepend(folder.parent)
    return folder


def fault_of(name: str, revision: str | None = None) -> str:
    with pytest.raises(UsageFault) as fault:
        find_model(name, revision, with_weights=True)
    return str(fault.value)


def test_file_in_a_package(package: Path) -> None:
    """A file inside a package is found, and the package is not imported for it."""
    found = find_model("package:tiny_llm_model/tiny.gguf", None, with_weights=True)

    assert found == LocalFiles(path=package / "tiny.gguf")
    assert found.is_gguf


def test_package_that_is_not_installed() -> None:
    """A missing package is named as pip knows it."""
    assert fault_of("package:no_such_model/x.gguf") == (
        'The model "package:no_such_model/x.gguf" is inside the Python package no_such_model, '
        "which is not installed: pip install no-such-model"
    )


@pytest.mark.parametrize("name", ["package:tiny_llm_model/big.gguf", "package:tiny_llm_model"])
def test_file_that_the_package_lacks(package: Path, name: str) -> None:
    """A file that a package does not have is answered with those it has."""
    assert fault_of(name) == (
        f'The model "{name}" is not there: the package tiny_llm_model has tiny.gguf; '
        "name one as package:tiny_llm_model/FILE."
    )


def test_missing_folder(tmp_path: Path) -> None:
    """A path that does not exist is named."""
    missing = tmp_path / "nowhere"

    assert fault_of(str(missing)) == f'The model "{missing}" is not there: {missing} does not exist; correct the path.'


def test_folder_without_a_model(tmp_path: Path) -> None:
    """A folder without config.json holds no model."""
    assert fault_of(str(tmp_path)) == (
        f"{tmp_path} holds no model: it has no config.json; save one there with save_pretrained."
    )


def test_folder_without_weights(tmp_path: Path) -> None:
    """A folder without weights is told which files were looked for."""
    (tmp_path / "config.json").write_text("{}")

    assert fault_of(str(tmp_path)) == (
        f"{tmp_path} has no weights: none of model.safetensors, model.safetensors.index.json, pytorch_model.bin, "
        "pytorch_model.bin.index.json is there; save the model there with save_pretrained, or name a .gguf file itself."
    )


def test_adapter_named_as_model(tmp_path: Path) -> None:
    """An adapter's folder given as model is recognised."""
    (tmp_path / "adapter_config.json").write_text("{}")

    assert fault_of(str(tmp_path)) == (
        f"{tmp_path} holds an adapter; name its base model as model and this folder as adapter."
    )


def test_no_gguf(tmp_path: Path) -> None:
    """A file that is no GGUF file is told so, with the reason."""
    file = tmp_path / "model.gguf"
    file.write_bytes(b"<html>not found</html>")

    assert fault_of(str(file)) == (
        f'{file} is no GGUF file: it does not begin with "GGUF"; fetch it again, or name another.'
    )


def test_revision_of_a_folder(tmp_path: Path) -> None:
    """A revision means nothing for what is on this machine."""
    assert fault_of(str(tmp_path), "main") == (
        f'revision = "main" names a version on the hub, but the model "{tmp_path}" is a file or folder here; '
        "leave the revision out."
    )


def test_neither_path_nor_id() -> None:
    """A name that can be no hub id is not looked for there."""
    assert fault_of("a/b/c") == ('The model "a/b/c" is neither a file or folder here nor a hub id; correct the name.')


def test_missing_adapter(tmp_path: Path) -> None:
    """An adapter's folder that does not exist is named."""
    with pytest.raises(UsageFault) as fault:
        find_adapter(str(tmp_path / "lora"))

    assert str(fault.value) == (
        f'The adapter "{tmp_path / "lora"}" is not there: {tmp_path / "lora"} is no folder; correct the path.'
    )


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ([], "adapter_config.json"),
        (["adapter_config.json"], "adapter_model.safetensors or adapter_model.bin"),
    ],
)
def test_incomplete_adapter(tmp_path: Path, files: list[str], wanted: str) -> None:
    """An adapter that lacks a file is told which."""
    for file in files:
        (tmp_path / file).touch()

    with pytest.raises(UsageFault) as fault:
        find_adapter(str(tmp_path))

    assert str(fault.value) == (
        f"{tmp_path} is no PEFT adapter: it has no {wanted}; save the adapter there with its save_pretrained."
    )


def test_missing_library() -> None:
    """Libraries that are missing are named, with the extra that brings them; those that are there are not."""
    with pytest.raises(UsageFault) as fault:
        require_libraries(["json", "no_such_torch", "no_such_gguf"], EXTRA, 'The model "x"')

    assert str(fault.value) == (
        'The model "x" needs no_such_torch and no_such_gguf, which is not installed: pip install "pytest-llmbench[local]"'
    )


def test_digest_follows_the_weights_alone(tmp_path: Path) -> None:
    """Weights have one digest wherever they are, and another when a byte of them differs."""
    for folder, weights in (("one", "abc"), ("two", "abc"), ("three", "abd")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").write_text(weights)
        (tmp_path / folder / "README.md").write_text(folder)

    one, two, three = (
        weights_digest(LocalFiles(path=tmp_path / folder), tmp_path / "cache") for folder in ("one", "two", "three")
    )

    assert one == two != three
    assert one.startswith("sha256:")


def test_digest_of_the_hub_is_its_commit(tmp_path: Path) -> None:
    """What came from the hub is named by its commit."""
    assert weights_digest(LocalFiles(path=tmp_path, commit=COMMIT), tmp_path) == COMMIT


def test_hub_that_cannot_be_reached(tmp_path: Path) -> None:
    """Without the hub a model of its cache is found by its commit, and one that is not there is told at once."""
    repository = tmp_path / "hub" / "models--tiny--llama"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").touch()
    script = """
import json
from pytest_llmbench.errors import UsageFault
from pytest_llmbench.models.transformers.files import find_model
found = find_model("tiny/llama", None, with_weights=True)
try:
    find_model("tiny/other", None, with_weights=False)
except UsageFault as fault:
    print(json.dumps([str(found.path), found.commit, str(fault)]))
"""
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment.pop("HF_HUB_CACHE", None)

    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=100)

    assert run.stderr == ""
    assert json.loads(run.stdout) == [
        str(snapshot),
        COMMIT,
        'The model "tiny/other" is no file or folder here, is not in the local cache of the Hugging Face hub, and the '
        "hub cannot be reached; correct the name, go online once to fetch it, or name a local folder.",
    ]
